"""Where a Node's kubelet, a Pod or a Service can be reached."""

from __future__ import annotations

import ssl
from typing import Any, cast

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, Pod, Service
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.control_plane.apiserver.connect.relay import Backend
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.machinery import errors

_ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")
_KUBELET_PORT = 10250


class Targets:
    """Knows the cluster (through the cache) and the credentials for kubelets.

    kubelet_tls: client context for kubelets (with our client certificate); None connects without TLS.
    """

    def __init__(self, core: Core, kubelet_tls: ssl.SSLContext | None) -> None:
        self._core = core
        self._kubelet_tls = kubelet_tls
        self._insecure: ssl.SSLContext | None = None

    def kubelet(self, name: str, port: int = 0, scheme: str = "") -> Backend:
        """The kubelet of a node. Raises 404 or 500."""
        item = self._core.item("", "nodes", "", name)
        if item is None:
            raise errors.not_found(("", "nodes"), name)
        node = cast(Node, item.obj)
        endpoints = node.status.daemon_endpoints
        if not port:
            port = _KUBELET_PORT
            if endpoints is not None and endpoints.kubelet_endpoint is not None:
                port = endpoints.kubelet_endpoint.port or _KUBELET_PORT
        found = {address.type: address.address for address in reversed(node.status.addresses or ())}
        for kind in _ADDRESS_TYPES:
            if host := found.get(kind):
                return Backend(host, port, None if scheme == "http" else self._kubelet_tls)
        raise errors.internal(f"no preferred addresses found; known addresses: {sorted(found)}")

    def pod(self, namespace: str, name: str, scheme: str, port: str) -> Backend:
        """A Pod by its IP; the port defaults to its first one."""
        item = self._core.item("", "pods", namespace, name)
        if item is None:
            raise errors.not_found(("", "pods"), name)
        pod = cast(Pod, item.obj)
        ip = pod.status.pod_ip
        if not ip:
            raise errors.bad_request("address not allowed")
        if port:
            number = _number(port)
        else:
            ports = [p.container_port for c in pod.spec.containers for p in c.ports or ()]
            number = ports[0] if ports else (443 if scheme == "https" else 80)
        return Backend(ip, number, self._unverified() if scheme == "https" else None)

    def service(self, namespace: str, name: str, scheme: str, port: str) -> Backend:
        """One ready endpoint of a Service. `port`: name or number of the Service's port."""
        item = self._core.item("", "services", namespace, name)
        if item is None:
            raise errors.not_found(("", "services"), name)
        service = cast(Service, item.obj)
        ports = service.spec.ports or []
        if not port:
            if len(ports) != 1:
                raise errors.service_unavailable(f'no endpoints available for service "{name}"')
            wanted = ports[0].name or ""
        elif port.isdigit():
            match = next((p for p in ports if p.port == int(port)), None)
            if match is None:
                raise errors.service_unavailable(f'no service port {port} found for service "{name}"')
            wanted = match.name or ""
        else:
            wanted = port
        found: list[tuple[str, int]] = []
        slices = self._core.cache.storage("discovery.k8s.io", "endpointslices")
        for other in slices.list(namespace):
            endpoints = cast(EndpointSlice, other.obj)
            if (endpoints.metadata.labels or {}).get("kubernetes.io/service-name") == name:
                found.extend(_ready(endpoints, wanted))
        if not found:
            raise errors.service_unavailable(f'no endpoints available for service "{name}"')
        host, number = clock.rng.choice(found)
        return Backend(host, number, self._unverified() if scheme == "https" else None)

    def _unverified(self) -> ssl.SSLContext:
        """For `https:` targets, whose certificates nobody can know."""
        if self._insecure is None:
            self._insecure = ssl.create_default_context()
            self._insecure.check_hostname = False
            self._insecure.verify_mode = ssl.CERT_NONE
        return self._insecure


def _ready(endpoints: EndpointSlice, wanted: str) -> list[tuple[str, int]]:
    ports = [p.port for p in endpoints.ports or () if (p.name or "") == wanted and p.port]
    found: list[tuple[str, int]] = []
    for endpoint in endpoints.endpoints or ():
        conditions: Any = endpoint.conditions
        if conditions is not None and conditions.ready is False:
            continue
        found.extend((address, port) for address in endpoint.addresses for port in ports)
    return found


def _number(port: str) -> int:
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise errors.bad_request(f'invalid port "{port}"')
    return int(port)


def split_name(text: str) -> tuple[str, str, str]:
    """`[scheme:]name[:port]` as (scheme, name, port). Raises 400."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        return parts[0], parts[1], parts[2]
    raise errors.bad_request(f'invalid service request "{text}"')


def kubelet_context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """A client context for kubelets. ca "": their serving certificates are not verified (as upstream without
    --kubelet-certificate-authority)."""
    context = ssl.create_default_context(cafile=ca or None)
    context.check_hostname = False
    if not ca:
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
