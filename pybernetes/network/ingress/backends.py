"""Where the requests of an Ingress backend go: straight to the Pods behind its Service. Pure.

haproxy picks the Pod itself instead of going through the Service's address: it retries on another one when a
connection fails, which a packet filter cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pybernetes.api.core_v1 import Service, ServicePort
from pybernetes.api.discovery_v1 import Endpoint, EndpointSlice
from pybernetes.api.networking_v1 import IngressBackend

#: Address and port of a Pod.
Server = tuple[str, int]

#: appProtocol of a Service's port -> what haproxy must know about its servers.
PROTOCOLS = {"kubernetes.io/h2c": "proto h2", "https": "ssl verify none", "HTTPS": "ssl verify none"}


@dataclass(frozen=True)
class Backend:
    """One port of one Service. `name` is unique, and a word in haproxy's language."""

    name: str
    servers: tuple[Server, ...]
    #: One client stays with one Pod (`sessionAffinity: ClientIP`).
    sticky: bool = False
    #: More words for each server.
    options: str = ""


@dataclass(frozen=True)
class Problem:
    """Why something an Ingress asks for is not done: an Event of that reason."""

    reason: str
    message: str


Services = Callable[[str, str], Service | None]
Slices = Callable[[str, str], Sequence[EndpointSlice]]


def resolve(namespace: str, backend: IngressBackend, services: Services, slices: Slices) -> Backend | Problem:
    """The backend that an Ingress of this namespace names."""
    wanted = backend.service
    if wanted is None:
        resource = backend.resource
        described = f"{resource.kind} {resource.name}" if resource else "nothing"
        return Problem("UnsupportedBackend", f"a backend is {described}: only Services are supported")
    full = f"{namespace}/{wanted.name}"
    service = services(namespace, wanted.name)
    if service is None:
        return Problem("MissingService", f"Service {full} of a backend does not exist")
    if service.spec.type == "ExternalName":
        return Problem(
            "UnsupportedBackend", f"Service {full} of a backend is of type ExternalName, which is unsupported"
        )
    named = wanted.port
    port = next((one for one in service.spec.ports or () if named and _is(one, named.name, named.number)), None)
    if port is None:
        text = (named.name or named.number) if named else "(none)"
        return Problem("MissingPort", f"Service {full} of a backend has no port {text}")
    return Backend(
        f"{namespace}_{wanted.name}_{port.port}",
        servers(slices(namespace, wanted.name), port.name or ""),
        service.spec.session_affinity == "ClientIP",
        PROTOCOLS.get(port.app_protocol or "", ""),
    )


def _is(port: ServicePort, name: str | None, number: int | None) -> bool:
    if port.protocol not in (None, "TCP"):
        return False
    return port.name == name if name else port.port == number


def servers(slices: Iterable[EndpointSlice], port: str) -> tuple[Server, ...]:
    """The ready endpoints of a port, sorted; if none is ready, those that still serve while they terminate."""
    ready: set[Server] = set()
    leaving: set[Server] = set()
    for one in slices:
        if one.address_type not in ("IPv4", "IPv6"):
            continue
        number = next((p.port for p in one.ports or () if (p.name or "") == port), None)
        if number is None:
            continue
        for endpoint in one.endpoints or ():
            for address in endpoint.addresses[:1]:
                if _ready(endpoint):
                    ready.add((address, number))
                elif endpoint.conditions and endpoint.conditions.serving and endpoint.conditions.terminating:
                    leaving.add((address, number))
    return tuple(sorted(ready or leaving))


def _ready(endpoint: Endpoint) -> bool:
    return endpoint.conditions is None or endpoint.conditions.ready is not False
