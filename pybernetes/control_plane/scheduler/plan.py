"""Snapshot + Pod -> placement: a pure decision.

For each class of Pods that ask the same of a node the planner keeps an `_Answers`: which filter refuses each node, and
each node's points. Between two Pods of a class usually one node has changed (the one the first was put on), so one row
is asked about again and the best node is a maximum over an array. What depends on more than the class (topology spread,
affinity between Pods, volumes) is asked per Pod, over all nodes at once.

Unlike upstream all nodes are looked at and scored, also in large clusters; there is no sampling to make up for a loop
over nodes. Ties are broken by the given random generator, so a seed makes a run reproducible.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.nodes import Bools, Floats, Ints, Rows
from pybernetes.control_plane.scheduler.plugins.base import UNRESOLVABLE, PerNode, Plugin, Refused, Scope
from pybernetes.control_plane.scheduler.snapshot import Snapshot

NO_NODES = "no nodes available to schedule pods"
_PASSES = 127  # "refused by filter number": none
_CLASSES = 256  # classes whose answers are kept
_NOWHERE = -np.inf
_FEW = 4  # rows that are faster one by one than as an array


@dataclass(frozen=True)
class Profile:
    """One scheduler's rules: filters in order, and scores with weights."""

    name: str
    filters: tuple[Plugin, ...]
    scores: tuple[tuple[Plugin, int], ...]
    #: Whether Pods may push out others of lower priority.
    preempts: bool = True
    #: Nodes tried for that: a percentage of those it might help on, and no fewer than.
    preemption_percent: int = 10
    preemption_least: int = 100


@dataclass(slots=True)
class Refusal:
    """Why a Pod fits nowhere."""

    total: int  #: nodes there are
    reasons: Counter[str]  #: text -> nodes
    plugins: frozenset[str]  #: names of those that refused: their events may help
    #: Rows that might fit if Pods of lower priority were gone.
    resolvable: Sequence[int] = ()
    before_nodes: str = ""  #: a reason that has nothing to do with nodes, instead of `reasons`
    preemption: str = ""  #: what preemption says, "" if it was not tried
    claims: str = ""  #: what giving up devices says, which is tried before it

    @property
    def message(self) -> str:
        """As upstream's FitError."""
        if self.total == 0:
            return NO_NODES
        text = f"0/{self.total} nodes are available:"
        if self.before_nodes:
            text += f" {self.before_nodes}."
        elif self.reasons:
            text += f" {histogram(self.reasons)}."
        after = ", ".join(filter(None, (self.claims, self.preemption)))
        return f"{text} {after}" if after else text


def histogram(reasons: Counter[str]) -> str:
    """`1 Too many pods, 3 Insufficient cpu`, in upstream's order."""
    return ", ".join(sorted(f"{count} {text}" for text, count in reasons.items()))


@dataclass(slots=True)
class Placement:
    """What to do with a Pod: bind it to `node`, or if that is "", `refusal` tells why not."""

    pod: PodFacts
    node: str = ""
    refusal: Refusal | None = None
    #: Node the Pod waits for, until `victims` are gone; "" for none (any more), None to leave it as it is.
    nominated: str | None = ""
    victims: Sequence[PodFacts] = ()
    #: What the chosen plugins want done before binding, by plugin name.
    reservations: dict[str, Any] = field(default_factory=dict)


#: Why a Pod does not fit a node: reasons, whether fewer Pods there might help, and the plugin.
Why: TypeAlias = tuple[Sequence[str], bool, str]


@dataclass(slots=True)
class Weighed:
    """All nodes with their points, before one is chosen; for others to look at and change (see `extenders.py`)."""

    pod: PodFacts
    points: Floats  #: per row asked about; minus infinity where it does not fit
    rows: Rows
    narrow: Any  #: the rows as an array when the Pod names its nodes, else None
    refused: Any
    codes: Ints
    wide: list[tuple[int, Plugin, Any]]
    #: Nodes that fit by our rules and are out of the question nevertheless.
    crowded: dict[int, Why] = field(default_factory=dict)

    def feasible(self) -> list[tuple[int, int]]:
        """(index into `points`, row) of the nodes that fit."""
        found = np.flatnonzero(self.points > _NOWHERE)
        return [(int(i), int(i) if self.narrow is None else int(self.narrow[i])) for i in found]

    def strike(self, index: int, row: int, why: Why) -> None:
        """Rule a node out."""
        self.points[index] = _NOWHERE
        self.crowded[row] = why


class Nominations:
    """Pods that wait for a node whose Pods of lower priority are being removed for them. They count as being there for
    Pods of no higher priority, else the room would go to somebody else."""

    def __init__(self) -> None:
        self._nodes: dict[str, str] = {}
        self._pods: dict[str, dict[str, PodFacts]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def set(self, pod: PodFacts, node: str) -> None:
        """Nominate a node; "" for none."""
        self.pop(pod.uid)
        if node:
            self._nodes[pod.uid] = node
            self._pods.setdefault(node, {})[pod.uid] = pod

    def pop(self, uid: str) -> PodFacts | None:
        """Nominate no node any more; the Pod, or None when it was not nominated."""
        node = self._nodes.pop(uid, "")
        if not node:
            return None
        there = self._pods[node]
        pod = there.pop(uid)
        if not there:
            del self._pods[node]
        return pod

    def node_of(self, pod: PodFacts) -> str:
        return self._nodes.get(pod.uid, "") if self._nodes else ""

    def ahead_of(self, pod: PodFacts, node: str) -> Sequence[PodFacts]:
        """Others nominated to the node, of no lower priority."""
        there = self._pods.get(node) if self._pods else None
        return [p for p in there.values() if p.priority >= pod.priority and p.uid != pod.uid] if there else ()

    def behind(self, pod: PodFacts, node: str) -> Sequence[PodFacts]:
        """Others nominated to the node, of lower priority."""
        return [p for p in self._pods.get(node, {}).values() if p.priority < pod.priority]


class _Answers:
    """What is known about one class, for all rows."""

    __slots__ = ("capacity", "codes", "contexts", "filters", "generation", "node_codes", "node_refused", "of_pods",
                 "points", "position", "raw", "refused", "scores", "uneven")  # fmt: skip

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.position = -1
        self.generation = -1  #: of nodes, when the contexts were looked at
        self.contexts: Any = ()
        self.filters: list[tuple[int, Plugin, Any]] = []  #: (number, plugin, state) of NODE and PODS scope
        self.of_pods: list[tuple[int, Plugin, Any]] = []  #: of these, those that depend on Pods
        self.scores: list[tuple[Plugin, int, Any]] = []  #: those that need no normalising
        self.raw: list[tuple[Plugin, int, Any, Floats]] = []  #: those that do, with their points
        self.uneven: list[tuple[Plugin, int, Any, Floats]] = []  #: of these, those that make a difference
        self.node_refused: Any = np.full(capacity, _PASSES, np.int8)
        self.node_codes: Ints = np.zeros(capacity, np.int64)
        self.refused: Any = np.full(capacity, _PASSES, np.int8)  #: number of the first filter that refuses
        self.codes: Ints = np.zeros(capacity, np.int64)
        self.points: Floats = np.full(capacity, _NOWHERE)  #: weighted sum, -inf where refused


class Trial:
    """One Pod on single nodes, as the snapshot stands at each call. What follows from the class is prepared once."""

    def __init__(self, planner: Planner, pod: PodFacts) -> None:
        self._snapshot = planner.snapshot
        self._pod = pod
        self._steps: list[tuple[Plugin, Any]] = []  # in order; the state is None where it is made for each call
        wide = {plugin for _, plugin in planner._wide}
        for plugin in planner.profile.filters:
            if plugin in wide:
                self._steps.append((plugin, None))
            elif (state := plugin.prepare(pod, planner.snapshot)) is not None:
                self._steps.append((plugin, state))

    def is_local(self) -> bool:
        """Whether the answers depend on the Pod's class, the node and the Pods there alone."""
        try:
            return all(state is not None or p.prepare(self._pod, self._snapshot) is None for p, state in self._steps)
        except Refused:
            return False

    def refusal(self, row: int, guests: Sequence[PodFacts] = (), *, again: bool = False) -> Why | None:
        """None when the Pod fits, with `guests` placed there too. `again`: only Pods have changed since a call that
        found it to fit."""
        snapshot = self._snapshot
        added = [guest for guest in guests if not snapshot.node_of(guest.uid)]
        for guest in added:
            snapshot.place(guest, snapshot.nodes.names[row])
        try:
            return self._ask(row, again)
        finally:
            for guest in added:
                snapshot.remove(guest.uid)

    def _ask(self, row: int, again: bool) -> Why | None:
        snapshot = self._snapshot
        for plugin, kept in self._steps:
            if again and plugin.scope is Scope.NODE:
                continue
            state = kept
            if state is None:
                try:
                    state = plugin.prepare(self._pod, snapshot)
                except Refused as nowhere:
                    return [nowhere.message], not nowhere.unresolvable, plugin.name
                if state is None:
                    continue
            if code := plugin.filter_one(state, snapshot, row):
                return plugin.reasons(state, code & ~UNRESOLVABLE), not code & UNRESOLVABLE, plugin.name
        return None


class Planner:
    """Plans for one profile over a snapshot that others keep current."""

    def __init__(
        self, snapshot: Snapshot, profile: Profile, rng: random.Random, nominations: Nominations | None = None
    ) -> None:
        self.snapshot = snapshot
        self.profile = profile
        self._rng = rng
        self._answers: OrderedDict[Any, _Answers] = OrderedDict()
        local = [p for p in profile.filters if p.scope is not Scope.CLUSTER or isinstance(p, PerNode)]
        self._local = [(number, p) for number, p in enumerate(profile.filters) if p in local]
        self._wide = [(number, p) for number, p in enumerate(profile.filters) if p not in local]
        local_scores = [(p, w) for p, w in profile.scores if p.scope is not Scope.CLUSTER or isinstance(p, PerNode)]
        self._local_scores = local_scores
        self._wide_scores = [(p, w) for p, w in profile.scores if (p, w) not in local_scores]
        self._own: list[PerNode] = [
            p for p in (*profile.filters, *(p for p, _ in profile.scores)) if isinstance(p, PerNode)
        ]
        self.nominations = Nominations() if nominations is None else nominations  # an empty one is false
        mine = {*(p for _, p in self._local), *(p for p, _ in local_scores)}
        self._contextual = [p for p in mine if type(p).context is not Plugin.context]
        self._narrowing = [p for _, p in self._local if type(p).narrow is not Plugin.narrow]

    # Planning

    def plan(self, pod: PodFacts) -> Placement:
        """Where the Pod goes; the snapshot is not changed."""
        weighed = self.weigh(pod)
        return weighed if isinstance(weighed, Placement) else self.settle(weighed)

    def weigh(self, pod: PodFacts) -> Weighed | Placement:
        """All nodes with their points; a refusal when it is clear before that there is no node."""
        snapshot, nodes = self.snapshot, self.snapshot.nodes
        if nodes.count == 0:
            return Placement(pod, refusal=Refusal(0, Counter(), frozenset()))
        wide: list[tuple[int, Plugin, Any]] = []
        for number, plugin in self._wide:
            try:
                state = plugin.prepare(pod, snapshot)
            except Refused as nowhere:
                return self._refused_before(pod, plugin, nowhere)
            if state is not None:
                wide.append((number, plugin, state))
        narrow = self._narrow(pod)
        rows: Rows = nodes.everything if narrow is None else narrow
        if narrow is None:
            answers = self._current(pod)
        else:
            answers = self._fresh(pod, narrow)
        points = answers.points[rows]
        refused, codes = answers.refused[rows], answers.codes[rows]
        if wide:
            refused, codes = refused.copy(), codes.copy()
            for number, plugin, state in wide:
                asked = plugin.filter(state, snapshot, rows)
                first = (asked != 0) & (refused > number)
                refused[first] = number
                codes[first] = asked[first]
            points = np.where(refused == _PASSES, points, _NOWHERE)
        feasible = points > _NOWHERE
        if feasible.any():
            points = points + self._normalised(pod, answers, feasible, rows)
        return Weighed(pod, points, rows, narrow, refused, codes, wide)

    def settle(self, weighed: Weighed) -> Placement:
        """The best of the nodes, if the snapshot is as it was when they were weighed."""
        pod, points, rows, narrow = weighed.pod, weighed.points, weighed.rows, weighed.narrow
        nodes = self.snapshot.nodes
        crowded: dict[int, Why] = weighed.crowded
        trial: Trial | None = None
        while (found := self._best(pod, points, rows)) is not None:
            at = found if narrow is None else int(narrow[found])
            guests = self.nominations.ahead_of(pod, nodes.names[at])
            why = None
            if guests:
                trial = trial or self.trial(pod)
                why = trial.refusal(at, guests)
            if why is None:
                return self._chosen(pod, at, weighed.wide)
            points[found] = _NOWHERE
            crowded[at] = why
        return Placement(pod, refusal=self._explain(pod, weighed.refused, weighed.codes, rows, narrow, crowded))

    def trial(self, pod: PodFacts) -> Trial:
        """For asking about single nodes while Pods on them come and go."""
        return Trial(self, pod)

    # Choosing

    def _best(self, pod: PodFacts, points: Floats, rows: Rows) -> int | None:
        """Index into `rows` of a node with the most points; before all, the one the Pod made room on."""
        best = points.max(initial=_NOWHERE)
        if best == _NOWHERE:
            return None
        if (name := self.nominations.node_of(pod)) and (row := self.snapshot.nodes.rows.get(name)) is not None:
            at = row if isinstance(rows, slice) else next(iter(np.flatnonzero(rows == row)), None)
            if at is not None and points[at] > _NOWHERE:
                return int(at)
        ties = np.flatnonzero(points == best)
        return int(ties[int(self._rng.random() * len(ties))]) if len(ties) > 1 else int(ties[0])

    def _chosen(self, pod: PodFacts, row: int, wide: list[tuple[int, Plugin, Any]]) -> Placement:
        placement = Placement(pod, node=self.snapshot.nodes.names[row])
        for _, plugin, state in wide:
            if (wanted := plugin.reserve(state, self.snapshot, row)) is not None:
                placement.reservations[plugin.name] = wanted
        return placement

    def _normalised(self, pod: PodFacts, answers: _Answers, feasible: Bools, rows: Rows) -> Floats:
        """The weighted points that depend on which nodes are feasible, and those asked per Pod."""
        total = np.zeros(len(feasible))
        for plugin, weight, state, raw in answers.uneven:
            total += plugin.normalise(state, raw[rows], feasible, self.snapshot, rows) * weight
        for plugin, weight in self._wide_scores:
            state = plugin.prepare_score(pod, self.snapshot)
            if state is None:
                continue
            points = np.asarray(plugin.score(state, self.snapshot, rows), np.float64)
            total += (
                plugin.normalise(state, points, feasible, self.snapshot, rows) if plugin.normalises else points
            ) * weight
        return total

    # Answers

    def key(self, pod: PodFacts) -> Any:
        """Equal for Pods that get the same answers of all plugins that look at single nodes."""
        if not self._own:
            return pod.pod_class.local
        return (pod.pod_class.local, *(p.depends_on(pod.pod) for p in self._own))

    def _narrow(self, pod: PodFacts) -> Any:
        for plugin in self._narrowing:
            state = plugin.prepare(pod, self.snapshot)
            if state is not None and (rows := plugin.narrow(state, self.snapshot)) is not None:
                return np.array(rows, np.intp)
        return None

    def _current(self, pod: PodFacts) -> _Answers:
        """The class's answers, brought up to date."""
        nodes = self.snapshot.nodes
        key = self.key(pod)
        answers = self._answers.get(key)
        if answers is None or answers.capacity != nodes.capacity or not self._valid(answers, pod):
            answers = self._prepare(pod)
            self._answers[key] = answers
            if len(self._answers) > _CLASSES:
                self._answers.popitem(last=False)
        else:
            self._answers.move_to_end(key)
        changed = nodes.changed_since(answers.position) if answers.position >= 0 else None
        position = nodes.log_end
        if changed is None or len(changed[1]) > 8 or len(changed[0]) > nodes.size // 8 + 8:
            self._update(answers, nodes.everything, nodes_too=True)
        else:
            pods_changed, nodes_changed = changed
            if nodes_changed:
                self._update(answers, np.array([*nodes_changed]), nodes_too=True)
            if len(pods_changed) <= _FEW:
                for row in pods_changed:
                    self._update_one(answers, row)
            else:
                self._update(answers, np.array([*pods_changed]), nodes_too=False)
        answers.position = position
        return answers

    def _valid(self, answers: _Answers, pod: PodFacts) -> bool:
        if answers.generation == self.snapshot.nodes.generation:
            return True
        answers.generation = self.snapshot.nodes.generation
        before, answers.contexts = answers.contexts, self._contexts(pod)
        return bool(before == answers.contexts)

    def _contexts(self, pod: PodFacts) -> Any:
        return [plugin.context(pod, self.snapshot) for plugin in self._contextual]

    def _fresh(self, pod: PodFacts, rows: Any) -> _Answers:
        """Answers for a few rows only, not kept."""
        answers = self._prepare(pod)
        if len(rows):
            self._update(answers, rows, nodes_too=True)
        return answers

    def _prepare(self, pod: PodFacts) -> _Answers:
        snapshot = self.snapshot
        answers = _Answers(snapshot.nodes.capacity)
        answers.generation, answers.contexts = snapshot.nodes.generation, self._contexts(pod)
        for number, plugin in self._local:
            state = plugin.prepare(pod, snapshot)
            if state is not None:
                answers.filters.append((number, plugin, state))
                if plugin.scope is not Scope.NODE:
                    answers.of_pods.append((number, plugin, state))
        self._prepare_scores(answers, pod)
        return answers

    def _prepare_scores(self, answers: _Answers, pod: PodFacts) -> None:
        for plugin, weight in self._local_scores:
            state = plugin.prepare_score(pod, self.snapshot)
            if state is None:
                continue
            if plugin.normalises:
                answers.raw.append((plugin, weight, state, np.zeros(answers.capacity)))
            else:
                answers.scores.append((plugin, weight, state))

    def _update(self, answers: _Answers, rows: Rows, *, nodes_too: bool) -> None:
        """Ask about `rows` again; `nodes_too`: also what depends on the node objects."""
        snapshot = self.snapshot
        nodes = snapshot.nodes
        if nodes_too:
            refused, codes = self._ask(answers, rows, Scope.NODE)
            answers.node_refused[rows], answers.node_codes[rows] = refused, codes
            for plugin, _, state, raw in answers.raw:
                raw[rows] = plugin.score(state, snapshot, rows)
            alive = nodes.alive[nodes.everything]
            answers.uneven = (
                [one for one in answers.raw if np.ptp(one[3][nodes.everything][alive])] if alive.any() else []
            )
        refused, codes = self._ask(answers, rows, Scope.PODS)
        static = answers.node_refused[rows]
        first = static < refused
        refused = np.where(first, static, refused)
        answers.refused[rows] = refused
        answers.codes[rows] = np.where(first, answers.node_codes[rows], codes)
        points = np.zeros(len(refused))
        for plugin, weight, state in answers.scores:
            points += plugin.score(state, snapshot, rows) * weight
        answers.points[rows] = np.where((refused == _PASSES) & nodes.alive[rows], points, _NOWHERE)

    def _update_one(self, answers: _Answers, row: int) -> None:
        """As `_update` for one row whose Pods changed."""
        snapshot = self.snapshot
        refused, code = int(answers.node_refused[row]), int(answers.node_codes[row])
        for number, plugin, state in answers.of_pods:
            if number > refused:
                break
            if asked := plugin.filter_one(state, snapshot, row):
                refused, code = number, asked
                break
        answers.refused[row], answers.codes[row] = refused, code
        points = _NOWHERE
        if refused == _PASSES and snapshot.nodes.alive[row]:
            points = sum(plugin.score_one(state, snapshot, row) * weight for plugin, weight, state in answers.scores)
        answers.points[row] = points

    def _ask(self, answers: _Answers, rows: Rows, scope: Scope) -> tuple[Any, Ints]:
        size = len(self.snapshot.nodes.alive[rows])
        refused = np.full(size, _PASSES, np.int8)
        codes = np.zeros(size, np.int64)
        for number, plugin, state in answers.filters:
            if (plugin.scope is Scope.NODE) != (scope is Scope.NODE):
                continue
            asked = plugin.filter(state, self.snapshot, rows)
            first = (asked != 0) & (refused == _PASSES)
            if first.any():
                refused[first] = number
                codes[first] = asked[first]
        return refused, codes

    # Explaining

    def _refused_before(self, pod: PodFacts, plugin: Plugin, refused: Refused) -> Placement:
        nodes = self.snapshot.nodes
        resolvable = () if refused.unresolvable else list(nodes.rows.values())
        refusal = Refusal(nodes.count, Counter(), frozenset([plugin.name]), resolvable, before_nodes=refused.message)
        return Placement(pod, refusal=refusal)

    def _explain(
        self,
        pod: PodFacts,
        refused: Any,
        codes: Ints,
        rows: Rows,
        narrow: Any,
        crowded: dict[int, Why],
    ) -> Refusal:
        """Count the reasons of all nodes. `crowded`: nodes that fit but for Pods nominated to them."""
        nodes = self.snapshot.nodes
        alive = nodes.alive[rows]
        reasons: Counter[str] = Counter()
        plugins: set[str] = set()
        states: dict[int, Any] = {}
        for number, code, count in _tally(refused[alive], codes[alive]):
            if number == _PASSES:
                continue
            plugin = self.profile.filters[number]
            plugins.add(plugin.name)
            if number not in states:
                states[number] = plugin.prepare(pod, self.snapshot)
            for reason in plugin.reasons(states[number], code & ~UNRESOLVABLE):
                reasons[reason] += count
        helpable = alive & ((codes & UNRESOLVABLE) == 0)
        for row, (texts, helps, name) in crowded.items():
            plugins.add(name)
            reasons.update(texts)
            if not helps:
                helpable[row if narrow is None else int(np.flatnonzero(narrow == row)[0])] = False
        found = np.flatnonzero(helpable)
        resolvable = found.tolist() if narrow is None else narrow[found].tolist()
        if narrow is not None and (others := nodes.count - int(alive.sum())):
            plugins.add("NodeAffinity")
            reasons["node(s) didn't satisfy plugin(s) [NodeAffinity]"] += others
        return Refusal(nodes.count, reasons, frozenset(plugins), resolvable)


def _tally(refused: Any, codes: Ints) -> Iterator[tuple[int, int, int]]:
    """(number of the filter, code, how many nodes)."""
    for number in np.flatnonzero(np.bincount(refused)):
        some = codes[refused == number]
        if (some == some[0]).all():
            yield int(number), int(some[0]), len(some)
            continue
        for code, count in zip(*np.unique(some, return_counts=True), strict=True):
            yield int(number), int(code), int(count)
