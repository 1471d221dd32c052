"""All nodes as arrays: one row per node, one array per fact.

A filter or score over 5,000 nodes is then a handful of array operations. What is not a number is interned: a label key
asked for becomes a column of value ids, a list of taints one id, so that a plugin decides once per distinct value and
spreads the verdict by indexing. Columns are made when first asked for: most labels are never looked at.

Rows of nodes that are gone are used again; `alive` tells. Every change is noted in `log`, by which the planner brings
what it remembers up to date row by row instead of anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pybernetes.api.core_v1 import ContainerImage, Node, Taint
from pybernetes.control_plane.scheduler.facts import PodFacts, amount, normal_image

Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]
Ids: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float64]
#: Which rows an operation is about: a slice (all) or an array of row numbers.
Rows: TypeAlias = slice | NDArray[np.intp]

CPU, MEMORY, STORAGE, PODS = 0, 1, 2, 3
#: The pseudo label of a node's name, for `matchFields`.
NAME = "\0metadata.name"
_LOG = 100_000


class Column:
    """One label key over all nodes: `ids[row]` indexes `values`, -1 where a node has no such label."""

    __slots__ = ("_index", "ids", "values")

    def __init__(self, capacity: int) -> None:
        self.ids: Ids = np.full(capacity, -1, np.int32)
        self.values: list[str] = []
        self._index: dict[str, int] = {}

    def find(self, value: str) -> int:
        """The id of a value; -1 when no node has ever had it."""
        return self._index.get(value, -1)

    def intern(self, value: str | None) -> int:
        if value is None:
            return -1
        found = self._index.get(value)
        if found is None:
            found = self._index[value] = len(self.values)
            self.values.append(value)
        return found

    def where(self, test: Callable[[str], bool], absent: bool, rows: Rows) -> Bools:
        """Whether the value passes `test` (called once per distinct value); `absent` for nodes without the label."""
        table = np.zeros(len(self.values) + 1, np.bool_)
        table[-1] = absent
        table[:-1] = [test(value) for value in self.values]
        return table[self.ids[rows]]

    def one_of(self, values: list[str], rows: Rows, *, inside: bool = True) -> Bools:
        """Whether the value is (not) one of `values`; a node without the label has none of them."""
        table = np.full(len(self.values) + 1, not inside)
        for value in values:
            if (found := self._index.get(value)) is not None:
                table[found] = inside
        return table[self.ids[rows]]

    def present(self, rows: Rows) -> Bools:
        return self.ids[rows] >= 0


class Nodes:
    """See the module. Arrays are longer than `size`, the number of rows in use: slice with `everything`."""

    def __init__(self) -> None:
        self.capacity = 16
        self.size = 0
        self.count = 0  #: nodes alive
        self.objects: list[Node | None] = []
        self.names: list[str] = []
        self.rows: dict[str, int] = {}
        self._free: list[int] = []
        #: resource name -> index into the first axis of `allocatable` and `requested`.
        self.resources: dict[str, int] = {"cpu": CPU, "memory": MEMORY, "ephemeral-storage": STORAGE, "pods": PODS}
        self.alive: Bools = np.zeros(self.capacity, np.bool_)
        self.unschedulable: Bools = np.zeros(self.capacity, np.bool_)
        self.allocatable: Ints = np.zeros((4, self.capacity), np.int64)
        self.requested: Ints = np.zeros((4, self.capacity), np.int64)
        #: CPU and memory requested, with defaults for containers that request nothing: for scores.
        self.nonzero: Ints = np.zeros((2, self.capacity), np.int64)
        self.taints: Ids = np.zeros(self.capacity, np.int32)
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self._taint_ids: dict[tuple[tuple[str, str, str], ...], int] = {(): 0}
        self._columns: dict[str, Column] = {}
        self._images: dict[str, Ints] = {}
        #: (protocol, port) -> row -> address -> how many Pods use it.
        self.ports: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
        #: Changed rows in order; ~row when the node itself changed and not only the Pods on it.
        self.log: list[int] = []
        #: How many entries were dropped from the front of `log`.
        self.log_start = 0
        #: Grows whenever a node comes, goes or changes its labels, taints or allocatable.
        self.generation = 0

    @property
    def everything(self) -> slice:
        """All rows in use, dead ones included."""
        return slice(0, self.size)

    # Nodes

    def upsert(self, node: Node) -> frozenset[str]:
        """Add or change a node. Returns what changed, of: added, allocatable, labels, taints, images, features."""
        name = node.metadata.name
        row = self.rows.get(name)
        if row is None:
            row = self._new_row(name)
            old = None
        else:
            old = self.objects[row]
        self.objects[row] = node
        changes: set[str] = set() if old is not None else {"added"}
        if old is None or old.status.allocatable != node.status.allocatable:
            self._set_allocatable(row, node)
            changes.add("allocatable")
        if old is None or old.metadata.labels != node.metadata.labels:
            labels = node.metadata.labels or {}
            for key, column in self._columns.items():
                column.ids[row] = column.intern(name if key == NAME else labels.get(key))
            changes.add("labels")
        if (
            old is None
            or old.spec.taints != node.spec.taints
            or bool(old.spec.unschedulable) != bool(node.spec.unschedulable)
        ):
            self.taints[row] = self._intern_taints(node.spec.taints or [])
            self.unschedulable[row] = bool(node.spec.unschedulable)
            changes.add("taints")
        if old is None or old.status.images != node.status.images:
            for image, sizes in self._images.items():
                sizes[row] = _image_size(node.status.images or [], image)
            changes.add("images")
        if old is None or old.status.declared_features != node.status.declared_features:
            changes.add("features")
        if changes:
            self.generation += 1
            self._note(~row)
        return frozenset(changes)

    def remove(self, name: str) -> int | None:
        """Forget a node; its row, or None when it was not known. The Pods on it are the caller's business."""
        row = self.rows.pop(name, None)
        if row is None:
            return None
        self.alive[row] = False
        self.objects[row] = None
        self.names[row] = ""
        self.allocatable[:, row] = 0
        self.requested[:, row] = 0
        self.nonzero[:, row] = 0
        self.taints[row] = 0
        for used in self.ports.values():
            used.pop(row, None)
        for column in self._columns.values():
            column.ids[row] = -1
        for sizes in self._images.values():
            sizes[row] = 0
        self._free.append(row)
        self.count -= 1
        self.generation += 1
        self._note(~row)
        return row

    # Pods on nodes

    def account(self, row: int, pod: PodFacts, sign: int) -> None:
        """Add (`sign` 1) or take away (-1) what a Pod uses of a node."""
        facts = pod.pod_class
        requested, resources = self.requested, self.resources
        for name, value in facts.requests.items():
            index = resources.get(name)
            if index is None:
                index = self._new_resource(name)
                requested = self.requested
            requested[index, row] += sign * value
        requested[PODS, row] += sign
        cpu, memory = facts.nonzero
        self.nonzero[0, row] += sign * cpu
        self.nonzero[1, row] += sign * memory
        for address, protocol, port in facts.host_ports:
            self._use_port((protocol, port), row, address, sign)
        self._note(row)

    def _use_port(self, port: tuple[str, int], row: int, address: str, sign: int) -> None:
        addresses = self.ports.setdefault(port, {}).setdefault(row, {})
        left = addresses.get(address, 0) + sign
        if left > 0:
            addresses[address] = left
            return
        addresses.pop(address, None)
        if not addresses:
            del self.ports[port][row]
            if not self.ports[port]:
                del self.ports[port]

    # Columns

    def label(self, key: str) -> Column:
        """The column of a label key (or NAME); kept current from now on."""
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = Column(self.capacity)
            for row, node in enumerate(self.objects):
                if node is not None:
                    labels = node.metadata.labels or {}
                    column.ids[row] = column.intern(self.names[row] if key == NAME else labels.get(key))
        return column

    def image(self, name: str) -> Ints:
        """The size in bytes of an image on every node; 0 where it is not."""
        sizes = self._images.get(name)
        if sizes is None:
            if len(self._images) >= 1000:  # images come and go; what is needed is read again
                self._images.clear()
            sizes = self._images[name] = np.zeros(self.capacity, np.int64)
            for row, node in enumerate(self.objects):
                if node is not None and node.status.images:
                    sizes[row] = _image_size(node.status.images, name)
        return sizes

    def resource(self, name: str) -> int:
        """The index of a resource; -1 when no node and no Pod has named it."""
        return self.resources.get(name, -1)

    # The log

    @property
    def log_end(self) -> int:
        return self.log_start + len(self.log)

    def changed_since(self, position: int) -> tuple[set[int], set[int]] | None:
        """Rows whose Pods changed, and rows whose node changed, since then; None when that is too long ago."""
        if position < self.log_start:
            return None
        pods: set[int] = set()
        nodes: set[int] = set()
        for entry in self.log[position - self.log_start :]:
            if entry >= 0:
                pods.add(entry)
            else:
                nodes.add(~entry)
        return pods - nodes, nodes

    def forget_since(self, position: int) -> None:
        """All that was changed since then has been changed back."""
        if position >= self.log_start:
            del self.log[position - self.log_start :]

    def _note(self, entry: int) -> None:
        log = self.log
        log.append(entry)
        if len(log) > _LOG:
            self.log_start += _LOG // 2
            del log[: _LOG // 2]

    # Within

    def _new_row(self, name: str) -> int:
        if self._free:
            row = self._free.pop()
            self.names[row] = name
        else:
            row = self.size
            if row == self.capacity:
                self._grow(self.capacity * 2)
            self.size += 1
            self.names.append(name)
            self.objects.append(None)
        self.rows[name] = row
        self.alive[row] = True
        self.count += 1
        return row

    def _grow(self, capacity: int) -> None:
        more = capacity - self.capacity
        self.capacity = capacity

        def longer(array: Any, fill: int = 0) -> Any:
            shape = (*array.shape[:-1], more)
            return np.concatenate([array, np.full(shape, fill, array.dtype)], axis=-1)

        for name in ("alive", "unschedulable", "allocatable", "requested", "nonzero", "taints"):
            setattr(self, name, longer(getattr(self, name)))
        for column in self._columns.values():
            column.ids = longer(column.ids, -1)
        self._images = {name: longer(sizes) for name, sizes in self._images.items()}

    def _new_resource(self, name: str) -> int:
        index = self.resources[name] = len(self.resources)
        row = np.zeros((1, self.capacity), np.int64)
        self.allocatable = np.concatenate([self.allocatable, row])
        self.requested = np.concatenate([self.requested, row])
        return index

    def _set_allocatable(self, row: int, node: Node) -> None:
        self.allocatable[:, row] = 0
        for name, text in (node.status.allocatable or {}).items():
            index = self.resources.get(name)
            if index is None:
                index = self._new_resource(name)
            self.allocatable[index, row] = amount(name, text)

    def _intern_taints(self, taints: list[Taint]) -> int:
        if not taints:
            return 0
        key = tuple((t.key, t.value or "", t.effect) for t in taints)
        found = self._taint_ids.get(key)
        if found is None:
            found = self._taint_ids[key] = len(self.taint_sets)
            self.taint_sets.append(tuple(taints))
        return found


def _image_size(images: list[ContainerImage], name: str) -> int:
    for image in images:
        for known in image.names or ():
            if known == name or normal_image(known) == name:
                return image.size_bytes or 0
    return 0
