"""Kubernetes in Python: control plane, node, network, command line, in one package.

The folders are the architecture; `docs/architecture.md` is the tour.
"""

__version__ = "0.1.0"

#: The Kubernetes release whose API and behaviour this package provides.
KUBERNETES_VERSION = "v1.36.2"
