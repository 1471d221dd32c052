"""Subresources: one module each, all of one shape (`resource.Subresource`)."""
