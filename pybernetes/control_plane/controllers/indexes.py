"""Indexes of shared informers that several controllers read."""

from __future__ import annotations

from pybernetes.api.core_v1 import Pod
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.controllers.endpoint_plan import SERVICE_NAME

POD_NODE = "node"  #: Pods by the name of their node
SLICE_SERVICE = "service"  #: EndpointSlices by `namespace/name` of their Service


def pods_by_node(informers: InformerFactory) -> None:
    """Index Pods as `POD_NODE`."""
    informers.informer(Pod).add_index(POD_NODE, lambda pod: (pod.spec.node_name,) if pod.spec.node_name else ())


def slices_by_service(informers: InformerFactory) -> None:
    """Index slices as `SLICE_SERVICE`."""

    def service(one: EndpointSlice) -> tuple[str, ...]:
        name = (one.metadata.labels or {}).get(SERVICE_NAME)
        return (f"{one.metadata.namespace}/{name}",) if name else ()

    informers.informer(EndpointSlice).add_index(SLICE_SERVICE, service)
