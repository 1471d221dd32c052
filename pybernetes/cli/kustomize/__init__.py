"""Kustomizations: manifests made from other manifests by overlays, for `kustomize` and `-k`."""
