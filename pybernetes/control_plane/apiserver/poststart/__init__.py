"""What every cluster has from the start: hooks that run once the server answers, in this order.

Each makes what is missing and leaves alone what is there, so a restart writes nothing. Writes of one hook go out side
by side: the store commits them together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pybernetes.control_plane.apiserver.poststart import (
    authentication_config,
    cluster_dns,
    flowcontrol,
    kubernetes_service,
    legacy_tokens,
    namespaces,
    node_network,
    priority_classes,
    rbac,
    service_cidr,
)
from pybernetes.control_plane.apiserver.poststart.setup import Setup

#: Namespaces come first: the others live in them.
HOOKS: tuple[tuple[str, Callable[[Setup], Awaitable[None]]], ...] = (
    ("start-system-namespaces-controller", namespaces.run),
    ("rbac/bootstrap-roles", rbac.run),
    ("scheduling/bootstrap-system-priority-classes", priority_classes.run),
    ("priority-and-fairness-config-producer", flowcontrol.run),
    ("start-cluster-authentication-info-controller", authentication_config.run),
    ("start-legacy-token-tracking-controller", legacy_tokens.run),
    ("start-kubernetes-service-cidr-controller", service_cidr.run),
    ("bootstrap-controller", kubernetes_service.run),
    ("cluster-dns", cluster_dns.run),
    ("node-network", node_network.run),
)
