"""Benchmarks: one module per component, and `python -m benchmarks` for the rows of the project's goals."""
