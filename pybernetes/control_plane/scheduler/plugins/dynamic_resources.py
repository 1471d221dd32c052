"""DynamicResources: not supported, and said so.

Allocating devices makes sense only with a controller that makes claims from templates and a kubelet that prepares them
for a driver (KEP-4381); there is neither. A Pod with claims waits, and its condition tells why, rather than to run
without its devices.
"""

from __future__ import annotations

from typing import Any

from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.nodes import Ints, Rows
from pybernetes.control_plane.scheduler.plugins.base import Plugin, Refused, Scope
from pybernetes.control_plane.scheduler.snapshot import Snapshot


class DynamicResources(Plugin):
    """Refuses Pods with `spec.resourceClaims`."""

    name = "DynamicResources"
    scope = Scope.CLUSTER

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        if pod.pod.spec.resource_claims:
            raise Refused("spec.resourceClaims: dynamic resource allocation is not supported")
        return None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        raise AssertionError("nothing passes prepare")
