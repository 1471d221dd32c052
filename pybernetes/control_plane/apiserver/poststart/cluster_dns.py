"""Service kube-system/kube-dns: how Pods find the cluster's DNS.

It has no Pods behind it: every node agent answers DNS, so the EndpointSlice is written here, with the address of this
server's node, or with one that every node has for itself. Without such an address (no real nodes) nobody could ask,
and there is no Service. A Service that was given a selector has Pods behind it, somebody's own DNS: then the
EndpointSlice is not written, and one from before is removed. Nodes that were told to leave DNS to others
have neither.
"""

from __future__ import annotations

import ipaddress

from pybernetes.api.core_v1 import Service, ServicePort, ServiceSpec
from pybernetes.api.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta

_NAME, _NAMESPACE = "kube-dns", "kube-system"
_PORTS = (("dns", "UDP"), ("dns-tcp", "TCP"))


async def run(setup: Setup) -> None:
    if not setup.node_dns or not setup.advertise or ipaddress.ip_address(setup.advertise).is_loopback:
        return
    labels = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    tenth = str(ipaddress.ip_network(setup.service_cidrs[0])[10])
    service = Service(
        metadata=ObjectMeta(name=_NAME, namespace=_NAMESPACE, labels=labels),
        spec=ServiceSpec(
            cluster_ip=tenth,
            cluster_ips=[tenth],
            type="ClusterIP",
            ports=[ServicePort(name=name, protocol=protocol, port=53, target_port=53) for name, protocol in _PORTS],
        ),
    )
    slice_ = EndpointSlice(
        metadata=ObjectMeta(name=_NAME, namespace=_NAMESPACE, labels={**labels, "kubernetes.io/service-name": _NAME}),
        address_type="IPv6" if ":" in setup.dns else "IPv4",
        endpoints=[
            Endpoint(addresses=[setup.dns], conditions=EndpointConditions(ready=True, serving=True, terminating=False))
        ],
        ports=[EndpointPort(name=name, protocol=protocol, port=53) for name, protocol in _PORTS],
    )
    present_service = setup.find(service)
    if isinstance(present_service, Service) and present_service.spec.selector:
        if setup.find(slice_) is not None:
            await setup.write("DELETE", slice_)
        return
    await setup.ensure([service, slice_])
    present = setup.find(slice_)
    if isinstance(present, EndpointSlice) and (present.endpoints, present.ports) != (slice_.endpoints, slice_.ports):
        changed: EndpointSlice = codec.copy(present)
        changed.endpoints, changed.ports = slice_.endpoints, slice_.ports
        await setup.write("PUT", changed)
