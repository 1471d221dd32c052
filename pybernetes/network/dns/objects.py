"""The cluster's objects as the zone needs them: views on the process's shared informers, indexed by name and address.

`changed` is called after every change that may alter an answer. EndpointSlices and Services also change in ways no
answer shows (annotations, zones, hints, status), so what the zone reads of an object is compared, not its version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pybernetes.api.core_v1 import Namespace, Service
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.client.factory import InformerFactory

_SERVICE = "dns: service"
_ADDRESS = "dns: address"


class Objects:
    """`answers.Lookup` over informers."""

    def __init__(self, informers: InformerFactory, changed: Callable[[], object]) -> None:
        self._services = informers.informer(Service)
        self._slices = informers.informer(EndpointSlice)
        self._namespaces = informers.informer(Namespace)
        self._services.add_index(_ADDRESS, _cluster_ips)
        self._slices.add_index(_SERVICE, _owner)
        self._slices.add_index(_ADDRESS, _endpoint_addresses)

        def any_change(_: Any) -> None:
            changed()

        def change_of(view: Callable[[Any], Any]) -> Callable[[Any, Any], None]:
            def updated(old: Any, new: Any) -> None:
                if view(old) != view(new):
                    changed()

            return updated

        self._services.on(any_change, change_of(_service_view), any_change)
        self._slices.on(any_change, change_of(_slice_view), any_change)
        self._namespaces.on(any_change, None, any_change)

    @property
    def has_synced(self) -> bool:
        """Whether all of the cluster is known."""
        return self._services.has_synced and self._slices.has_synced and self._namespaces.has_synced

    async def synced(self) -> None:
        """Wait for it."""
        await self._services.synced()
        await self._slices.synced()
        await self._namespaces.synced()

    # answers.Lookup

    def namespace(self, name: str) -> bool:
        """See `answers.Lookup`, as for all below."""
        return self._namespaces.get("", name) is not None

    def service(self, namespace: str, name: str) -> Service | None:
        return self._services.get(namespace, name)

    def slices(self, namespace: str, service: str) -> Iterable[EndpointSlice]:
        return self._slices.by_index(_SERVICE, f"{namespace}/{service}")

    def services_by_address(self, address: str) -> Sequence[Service]:
        return self._services.by_index(_ADDRESS, address)

    def slices_by_address(self, address: str) -> Sequence[EndpointSlice]:
        return self._slices.by_index(_ADDRESS, address)


def _cluster_ips(service: Service) -> Iterable[str]:
    spec = service.spec
    if spec.type == "ExternalName" or spec.cluster_ip in (None, "", "None"):
        return ()
    return spec.cluster_ips or [spec.cluster_ip or ""]


def _owner(piece: EndpointSlice) -> Iterable[str]:
    service = (piece.metadata.labels or {}).get("kubernetes.io/service-name")
    return (f"{piece.metadata.namespace}/{service}",) if service else ()


def _endpoint_addresses(piece: EndpointSlice) -> Iterable[str]:
    return {address for endpoint in piece.endpoints or () for address in endpoint.addresses}


def _service_view(service: Service) -> Any:
    spec = service.spec
    return spec.type, spec.cluster_ip, spec.cluster_ips, spec.external_name, spec.ports


def _slice_view(piece: EndpointSlice) -> Any:
    endpoints = [
        (e.addresses, e.hostname, e.conditions is None or e.conditions.ready is not False)
        for e in piece.endpoints or ()
    ]
    return _owner(piece), piece.ports, endpoints
