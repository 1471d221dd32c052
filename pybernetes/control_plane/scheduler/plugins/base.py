"""What a plugin is: pure decisions about many nodes at once.

A plugin may filter, score, or both. Both look at arrays of nodes (`Nodes`) and answer with arrays: of codes, 0 for a
node that fits, or of points. `rows` says which nodes are asked about: a slice (all of them) or an array of rows, one
row at times, so index with it and do not assume a length.

`scope` says what an answer depends on beside the Pod. The planner keeps answers of NODE and PODS plugins per class of
equal Pods and asks again only for rows that changed; CLUSTER plugins it asks for each Pod.

Not upstream's interface of one call per node: a Python call per node and plugin would cost more than all arithmetic.
Who prefers it derives from `PerNode`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pybernetes.control_plane.scheduler.nodes import Bools, Floats, Ints, Rows

if TYPE_CHECKING:
    from pybernetes.api.core_v1 import Node, Pod
    from pybernetes.control_plane.scheduler.facts import PodFacts
    from pybernetes.control_plane.scheduler.snapshot import Snapshot

#: In a code: removing other Pods would not help (upstream's UnschedulableAndUnresolvable).
UNRESOLVABLE = 1 << 62
MAX_SCORE = 100


class Scope(IntEnum):
    """What an answer depends on: the node object; also the Pods on that node; also Pods on other nodes, other objects,
    or the very Pod (not only its class)."""

    NODE = 0
    PODS = 1
    CLUSTER = 2


class Refused(Exception):
    """The Pod cannot be placed anywhere now, whatever the nodes; the text tells why."""

    def __init__(self, message: str, *, unresolvable: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.unresolvable = unresolvable


class Plugin:
    """Derive, set `name` and `scope`, and override `filter`, `score` or both."""

    name: ClassVar[str]
    scope: ClassVar[Scope] = Scope.CLUSTER
    #: What may make a Pod fit that this plugin refused: see `events.py`. A Pod is tried again when one happens.
    wakes_on: ClassVar[frozenset[str]] = frozenset()

    # Filter

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        """Work that is the same for all nodes. None: every node passes. Raises Refused: no node can pass.

        For NODE and PODS plugins: once per class, so only `pod.pod_class` may be looked at, and of that not the terms
        about other Pods.
        """
        return pod

    def narrow(self, state: Any, snapshot: Snapshot) -> Sequence[int] | None:
        """The only rows worth looking at, when the Pod names its nodes; None: all."""
        return None

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        """A code per row: 0 fits, else anything `reasons` understands, with UNRESOLVABLE set if that is so."""
        raise NotImplementedError

    def filter_one(self, state: Any, snapshot: Snapshot, row: int) -> int:
        """The code of one row. Override where it is often asked: arrays of one element are slow."""
        return int(self.filter(state, snapshot, np.array([row]))[0])

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        """The texts of a code, as they are counted in `0/5 nodes are available: ...`. UNRESOLVABLE is not set in it."""
        raise NotImplementedError

    def reserve(self, state: Any, snapshot: Snapshot, row: int) -> Any:
        """What must be written to the API before the Pod is bound to this node (volumes, claims); None: nothing."""
        return None

    # Score

    def prepare_score(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        """As `prepare`; None: this plugin gives all nodes the same."""
        return pod

    def context(self, pod: PodFacts, snapshot: Snapshot) -> Hashable:
        """For NODE and PODS plugins: what answers for all rows depend on beside the rows. A change voids them."""
        return None

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats | Ints:
        """Points per row: 0 to 100, or anything when `normalise` brings it there."""
        raise NotImplementedError

    def score_one(self, state: Any, snapshot: Snapshot, row: int) -> float:
        """The points of one row, as `filter_one`."""
        return float(self.score(state, snapshot, np.array([row]))[0])

    #: Override together with `normalises = True`.
    normalises: ClassVar[bool] = False

    def normalise(self, state: Any, points: Floats, feasible: Bools, snapshot: Snapshot, rows: Rows) -> Floats:
        """Bring points to 0..100, by what the feasible nodes have; at least one is feasible."""
        raise NotImplementedError

    # Waking up

    def helps(self, event: str, pod: PodFacts, old: Any, new: Any) -> bool:
        """Whether this event may help a Pod the plugin refused: a cheap guess, True when in doubt."""
        return True

    @classmethod
    def filters(cls) -> bool:
        return cls.filter is not Plugin.filter

    @classmethod
    def scores(cls) -> bool:
        return cls.score is not Plugin.score


def by_largest(points: Floats, feasible: Bools, *, reverse: bool = False) -> Floats:
    """Scale so that the largest of the feasible gets 100; `reverse`: so that the smallest is best."""
    largest = points[feasible].max()
    if largest <= 0:
        return np.full(len(points), float(MAX_SCORE) if reverse else 0.0)
    scaled: Floats = np.floor(points * MAX_SCORE / largest)
    return MAX_SCORE - scaled if reverse else scaled


class PerNode(Plugin):
    """A plugin that decides node by node: override `fits`, `points` or both.

    `depends_on(pod)` tells Pods apart: for Pods with equal values answers are reused until a node changes. The default
    is the Pod itself, which is always right.
    """

    wakes_on = frozenset({"Node/added", "Node/updated", "Pod/removed"})

    def fits(self, pod: Pod, node: Node) -> str:
        """ "" if the Pod may run there, else the reason, as it is counted in `0/5 nodes are available: 5 <reason>`."""
        raise NotImplementedError

    def points(self, pod: Pod, node: Node) -> float:
        """0 to 100: how good the node is."""
        raise NotImplementedError

    def depends_on(self, pod: Pod) -> Hashable:
        return pod.metadata.uid

    def __init__(self) -> None:
        self._texts: list[str] = [""]

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        return np.array([self._code(state.pod, node) for node in _objects(snapshot, rows)], np.int64)

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        return [self._texts[code]]

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats:
        return np.array([0 if n is None else self.points(state.pod, n) for n in _objects(snapshot, rows)], np.float64)

    def _code(self, pod: Pod, node: Node | None) -> int:
        text = self.fits(pod, node) if node is not None else ""
        if text not in self._texts:
            self._texts.append(text)
        return self._texts.index(text)

    @classmethod
    def filters(cls) -> bool:
        return cls.fits is not PerNode.fits

    @classmethod
    def scores(cls) -> bool:
        return cls.points is not PerNode.points


def _objects(snapshot: Snapshot, rows: Rows) -> list[Node | None]:
    objects = snapshot.nodes.objects
    return objects[rows] if isinstance(rows, slice) else [objects[row] for row in rows]
