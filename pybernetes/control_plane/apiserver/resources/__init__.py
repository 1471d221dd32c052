"""What the server does with each kind: one module per group, collected by `builtin.py` into served resources."""
