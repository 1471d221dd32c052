"""API types of Kubernetes v1.36, one module per group-version; `kinds` is the table of all of them."""
