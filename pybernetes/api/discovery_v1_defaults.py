"""Defaults of EndpointSlices."""

from __future__ import annotations

from pybernetes.api.discovery_v1 import EndpointConditions, EndpointSlice


def default_endpoint_slice(endpoint_slice: EndpointSlice) -> None:
    for port in endpoint_slice.ports or ():
        if port.name is None:
            port.name = ""
        if not port.protocol:
            port.protocol = "TCP"
    for endpoint in endpoint_slice.endpoints or ():
        if endpoint.conditions is None:
            endpoint.conditions = EndpointConditions()
