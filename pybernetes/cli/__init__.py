"""kubectl: one module per verb."""
