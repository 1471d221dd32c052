"""The shipped test kit: a whole cluster in one process, a pytest plugin, fault injection."""
