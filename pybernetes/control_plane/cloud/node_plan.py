"""What a node is to look like, given the machine it runs on. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

from pybernetes.api.core_v1 import Node, NodeAddress, Taint
from pybernetes.control_plane.cloud.provider import CloudError, Instance

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
SHUTDOWN = "node.cloudprovider.kubernetes.io/shutdown"
#: The kubelet's --node-ip with an external cloud provider.
PROVIDED_IP = "alpha.kubernetes.io/provided-node-ip"
TYPE, ZONE, REGION = "node.kubernetes.io/instance-type", "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
#: Old label -> the new one; of an initialized node the old one decides, as upstream has it.
BETA = {
    "failure-domain.beta.kubernetes.io/zone": ZONE,
    "failure-domain.beta.kubernetes.io/region": REGION,
    "beta.kubernetes.io/instance-type": TYPE,
}
_RESERVED = re.compile(r"(^|\.)(kubernetes|k8s)\.io/")


def has_taint(node: Node, key: str) -> bool:
    """The node has a taint of that key."""
    return any(taint.key == key for taint in node.spec.taints or ())


def labels(node: Node, machine: Instance) -> dict[str, str]:
    """The labels a node gets when it is initialized, beyond those it has."""
    known = {TYPE: machine.type, ZONE: machine.zone, REGION: machine.region}
    found = {key: value for key, value in known.items() if value}
    found |= {old: found[new] for old, new in BETA.items() if new in found}
    present = node.metadata.labels or {}
    for key, value in machine.labels.items():
        if not _RESERVED.search(key) and key not in present:
            found[key] = value
    return {key: value for key, value in found.items() if present.get(key) != value}


def beta_labels(node: Node) -> dict[str, str]:
    """Labels of an initialized node that differ from their old names."""
    present = node.metadata.labels or {}
    return {new: present[old] for old, new in BETA.items() if old in present and present.get(new) != present[old]}


def more_labels(node: Node, machine: Instance) -> dict[str, str]:
    """The cloud's additional labels that have changed."""
    present = node.metadata.labels or {}
    return {
        key: value for key, value in machine.labels.items() if not _RESERVED.search(key) and present.get(key) != value
    }


def addresses(node: Node, machine: Instance) -> list[NodeAddress]:
    """The addresses of the machine, the kubelet's own first. Raises CloudError when the machine does not have that one.

    An empty list: the cloud tells none, so the node's stay.
    """
    found = list(machine.addresses)
    provided = (node.metadata.annotations or {}).get(PROVIDED_IP)
    if provided:
        found = _preferring(provided, found)
    if found and all(one.type != "Hostname" for one in found):
        found += [one for one in node.status.addresses or () if one.type == "Hostname"]
    return found


def _preferring(provided: str, found: Sequence[NodeAddress]) -> list[NodeAddress]:
    chosen: list[NodeAddress] = []
    for text in provided.split(","):
        try:
            wanted = ipaddress.ip_address(text.strip())
        except ValueError:
            raise CloudError(f'failed to parse node IP "{text}"') from None
        same = [one for one in found if _address(one) == wanted]
        if not same:
            raise CloudError(f"failed to get node address from cloud provider that matches ip: {wanted}")
        chosen += [one for one in same if one not in chosen]
    kinds = {one.type for one in chosen}  # of these only the chosen ones stay
    return [*chosen, *(one for one in found if one.type not in kinds)]


def _address(one: NodeAddress) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(one.address)
    except ValueError:
        return None


def taints(node: Node, *, without: str = "", plus: str = "") -> list[Taint] | None:
    """The node's taints changed by one; None when nothing changes."""
    present = node.spec.taints or []
    if without and has_taint(node, without):
        return [taint for taint in present if taint.key != without]
    if plus and not has_taint(node, plus):
        return [*present, Taint(key=plus, effect="NoSchedule")]
    return None


def routes(
    wanted: Mapping[str, Sequence[str]], existing: Mapping[tuple[str, str], object]
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Routes to make and to remove, as (node, destination). wanted: node -> its Pod ranges."""
    target = {(node, cidr) for node, cidrs in wanted.items() for cidr in cidrs}
    return target - existing.keys(), existing.keys() - target
