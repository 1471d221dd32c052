"""Which packets a NetworkPolicy lets through, for the Pods of one node. Pure.

A Pod that no policy selects for a direction is open in it; one that some do is closed but for what any of them allows.
The node itself always reaches its Pods, so only forwarded packets are judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pybernetes.api.core_v1 import Namespace, Pod
from pybernetes.api.networking_v1 import NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort
from pybernetes.machinery import labels
from pybernetes.network.proxy.rules import family_of


@dataclass(frozen=True)
class Ports:
    """A protocol and a range of ports; 0..65535 is all of them."""

    protocol: str
    first: int = 0
    last: int = 65535


@dataclass(frozen=True)
class Allow:
    """Packets that may pass: from (or to) any of the addresses or a block, on any of the ports.

    addresses, blocks: None is everybody; a block is a CIDR with the CIDRs excepted from it. ports: None is all.
    places: for named ports of others: (address, protocol, port).
    """

    addresses: frozenset[str] | None
    blocks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ports: tuple[Ports, ...] | None = None
    places: frozenset[tuple[str, str, int]] = frozenset()


#: What a direction allows; None: not isolated.
Verdicts = tuple[Allow, ...] | None


@dataclass(frozen=True)
class PodPolicy:
    """Both directions of one Pod."""

    ingress: Verdicts
    egress: Verdicts


def plan(
    policies: Iterable[NetworkPolicy],
    pods: Iterable[Pod],
    namespaces: Iterable[Namespace],
    node: str,
    family: str = "IPv4",
) -> dict[str, PodPolicy]:
    """Address -> what holds for it, for this node's isolated Pods."""
    names = {item.metadata.name: item.metadata.labels or {} for item in namespaces}
    alive = [(pod, address) for pod in pods if (address := _address(pod, family))]
    by_namespace: dict[str, list[NetworkPolicy]] = {}
    for policy in sorted(policies, key=lambda item: (item.metadata.namespace, item.metadata.name)):
        by_namespace.setdefault(policy.metadata.namespace, []).append(policy)
    found: dict[str, PodPolicy] = {}
    cache: dict[int, _Peers] = {}  # by the identity of a policy's list, which outlives this call
    for pod, address in alive:
        if pod.spec.node_name != node:
            continue
        ingress: list[Allow] | None = None
        egress: list[Allow] | None = None
        for policy in by_namespace.get(pod.metadata.namespace, ()):
            spec = policy.spec
            if not labels.from_struct(spec.pod_selector).matches(pod.metadata.labels):
                continue
            types = spec.policy_types or ["Ingress"]
            if "Ingress" in types:
                ingress = ingress if ingress is not None else []
                for incoming in spec.ingress or ():
                    who = _peers(incoming.from_, policy.metadata.namespace, alive, names, family, cache)
                    ingress.append(Allow(who.addresses, who.blocks, _ports(incoming.ports, pod)))
            if "Egress" in types:
                egress = egress if egress is not None else []
                for outgoing in spec.egress or ():
                    who = _peers(outgoing.to, policy.metadata.namespace, alive, names, family, cache)
                    egress.append(_outgoing(who, outgoing.ports))
        if ingress is not None or egress is not None:
            found[address] = PodPolicy(_frozen(ingress), _frozen(egress))
    return found


@dataclass(frozen=True)
class _Peers:
    addresses: frozenset[str] | None
    blocks: tuple[tuple[str, tuple[str, ...]], ...]
    pods: tuple[tuple[Pod, str], ...]


def _frozen(found: list[Allow] | None) -> Verdicts:
    return None if found is None else tuple(dict.fromkeys(found))


def _address(pod: Pod, family: str) -> str:
    """The address of a Pod that has one of its own."""
    if pod.spec.host_network or pod.status.phase in ("Succeeded", "Failed"):
        return ""
    listed: list[str | None] = [item.ip for item in pod.status.pod_ips or ()] or [pod.status.pod_ip]
    return next((ip for ip in listed if ip and family_of(ip) == family), "")


def _peers(
    listed: list[NetworkPolicyPeer] | None,
    namespace: str,
    alive: list[tuple[Pod, str]],
    names: Mapping[str, Mapping[str, str]],
    family: str,
    cache: dict[int, _Peers],
) -> _Peers:
    if (known := cache.get(id(listed))) is not None and listed:
        return known
    if not listed:
        return _Peers(None, (), tuple(alive))
    chosen: dict[str, Pod] = {}
    blocks = []
    for peer in listed:
        if peer.ip_block is not None:
            if family_of(peer.ip_block.cidr) == family:
                blocks.append((peer.ip_block.cidr, tuple(peer.ip_block.except_ or ())))
            continue
        pod_selector = labels.from_struct(peer.pod_selector) if peer.pod_selector is not None else None
        spaces = labels.from_struct(peer.namespace_selector) if peer.namespace_selector is not None else None
        for pod, address in alive:
            if spaces is None:
                if pod.metadata.namespace != namespace:
                    continue
            elif not spaces.matches(names.get(pod.metadata.namespace, {})):
                continue
            if pod_selector is None or pod_selector.matches(pod.metadata.labels):
                chosen[address] = pod
    made = _Peers(frozenset(chosen), tuple(blocks), tuple((pod, address) for address, pod in chosen.items()))
    cache[id(listed)] = made
    return made


def _ports(listed: list[NetworkPolicyPort] | None, pod: Pod) -> tuple[Ports, ...] | None:
    """Ports of a Pod, its names looked up."""
    if not listed:
        return None
    found: list[Ports] = []
    for port in listed:
        protocol = port.protocol or "TCP"
        if port.port is None:
            found.append(Ports(protocol))
        elif isinstance(port.port, str):
            if (number := _named(pod, port.port, protocol)) is not None:
                found.append(Ports(protocol, number, number))
        else:
            found.append(Ports(protocol, port.port, port.end_port or port.port))
    return tuple(found)


def _outgoing(who: _Peers, listed: list[NetworkPolicyPort] | None) -> Allow:
    """A name of a port means, for each Pod that packets go to, the port that is called so there."""
    if not listed:
        return Allow(who.addresses, who.blocks)
    numbers = tuple(
        Ports(port.protocol or "TCP", port.port or 0, port.end_port or port.port or 65535)
        for port in listed
        if not isinstance(port.port, str)
    )
    places = frozenset(
        (address, port.protocol or "TCP", number)
        for port in listed
        if isinstance(port.port, str)
        for pod, address in who.pods
        if (number := _named(pod, port.port, port.protocol or "TCP")) is not None
    )
    return Allow(who.addresses, who.blocks, numbers, places)


def _named(pod: Pod, name: str, protocol: str) -> int | None:
    restartable = [c for c in pod.spec.init_containers or () if c.restart_policy == "Always"]
    for container in (*pod.spec.containers, *restartable):
        for port in container.ports or ():
            if port.name == name and (port.protocol or "TCP") == protocol:
                return port.container_port
    return None
