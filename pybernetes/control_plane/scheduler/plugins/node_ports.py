"""NodePorts: one Pod per host port and address; 0.0.0.0 is in the way of every address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.nodes import Ints, Rows
from pybernetes.control_plane.scheduler.plugins.base import Plugin, Scope
from pybernetes.control_plane.scheduler.snapshot import Snapshot

_ALL = "0.0.0.0"


class NodePorts(Plugin):
    """See the module."""

    name = "NodePorts"
    scope = Scope.PODS
    wakes_on = frozenset({"Node/added", "Pod/removed"})

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        return pod.pod_class.host_ports or None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        codes = np.zeros(snapshot.nodes.size, np.int64)
        for address, protocol, port in state:
            for row, addresses in snapshot.nodes.ports.get((protocol, port), {}).items():
                if address == _ALL or address in addresses or _ALL in addresses:
                    codes[row] = 1
        return codes[rows]

    def filter_one(self, state: Any, snapshot: Snapshot, row: int) -> int:
        for address, protocol, port in state:
            addresses = snapshot.nodes.ports.get((protocol, port), {}).get(row)
            if addresses and (address == _ALL or address in addresses or _ALL in addresses):
                return 1
        return 0

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        return ["node(s) didn't have free ports for the requested pod ports"]

    def helps(self, event: str, pod: PodFacts, old: Any, new: Any) -> bool:
        if event != "Pod/removed":
            return True
        wanted = {(protocol, port) for _, protocol, port in pod.pod_class.host_ports}
        return any((protocol, port) in wanted for _, protocol, port in old.pod_class.host_ports)
