"""How objects are written: tables, YAML and JSON, names, templates, and descriptions."""
