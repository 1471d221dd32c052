"""What a kubelet tells of its own node: conditions that have changed, and whether new Pods may come. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api.core_v1 import Node

_REASONS = {
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}


def changes(known: Mapping[str, Any], now: Iterable[Mapping[str, Any]]) -> list[str]:
    """Reasons for what is another than it was. known: the conditions of before, by type; a node that is new was not
    ready."""
    found = []
    for condition in now:
        kind, status = condition["type"], condition["status"]
        before = known[kind].status if kind in known else "False" if kind == "Ready" else ""
        if before != status:
            found.append(_REASONS[kind, status])
    return found


def schedulable(before: Node | None, now: Node) -> str:
    """The reason when somebody has changed it; "": nobody has."""
    was = before is not None and bool(before.spec.unschedulable)
    if was == bool(now.spec.unschedulable):
        return ""
    return "NodeSchedulable" if was else "NodeNotSchedulable"


def rebooted(node: Node | None, boot_id: str) -> bool:
    """Whether the machine has been started anew since the node was last described."""
    before = node.status.node_info.boot_id if node is not None and node.status.node_info is not None else ""
    return bool(before) and before != boot_id
