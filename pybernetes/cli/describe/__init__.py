"""Descriptions: upstream's layout, one function per kind in the table of `registry`, a generic one for the rest."""
