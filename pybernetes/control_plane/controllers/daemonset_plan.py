"""DaemonSets: which nodes get a Pod, which Pods go, and how an update moves on. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from pybernetes.api.apps_v1 import DaemonSet
from pybernetes.api.core_v1 import (
    Affinity,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodSpec,
    Toleration,
)
from pybernetes.control_plane.controllers import node_fit
from pybernetes.control_plane.controllers import pods as pod_state
from pybernetes.control_plane.controllers.numbers import resolve
from pybernetes.control_plane.controllers.pod_control import pod_from_template
from pybernetes.control_plane.controllers.revisions import POD_HASH
from pybernetes.machinery import codec

GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"
_PREFIX = "node.kubernetes.io/"


def tolerations(spec: PodSpec) -> list[Toleration]:
    """What the Pods of every DaemonSet tolerate beside what the template says."""
    rows = [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ]
    if spec.host_network:
        rows.append(("network-unavailable", "NoSchedule"))
    present = list(spec.tolerations or ())
    for key, effect in rows:
        wanted = Toleration(key=_PREFIX + key, operator="Exists", effect=effect)
        if wanted not in present:
            present.append(wanted)
    return present


def new_pod(owner: DaemonSet, node: str, revision_hash: str) -> Pod:
    """The Pod for a node: bound to it by affinity, so that the scheduler places it and nobody goes around it."""
    pod = pod_from_template(codec.copy(owner.spec.template), owner)
    labels = {**(pod.metadata.labels or {}), POD_HASH: revision_hash}
    if generation := (owner.metadata.annotations or {}).get(GENERATION_ANNOTATION):
        labels[GENERATION_LABEL] = generation
    pod.metadata.labels = labels
    spec = pod.spec
    spec.affinity = spec.affinity or Affinity()
    spec.affinity.node_affinity = spec.affinity.node_affinity or NodeAffinity()
    name = NodeSelectorRequirement(key="metadata.name", operator="In", values=[node])
    spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution = NodeSelector(
        node_selector_terms=[NodeSelectorTerm(match_fields=[name])]
    )
    spec.tolerations = tolerations(spec)
    return pod


def node_of(pod: Pod) -> str:
    """The node a Pod runs on, or is meant for; "" when it is meant for none."""
    if pod.spec.node_name:
        return pod.spec.node_name
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    for term in required.node_selector_terms if required else ():
        for requirement in term.match_fields or ():
            if requirement.key == "metadata.name" and requirement.operator == "In" and requirement.values:
                return requirement.values[0]
    return ""


def runs_on(owner: DaemonSet, node: Node) -> tuple[bool, bool]:
    """(whether a Pod should be started on the node, whether one that is there may stay)."""
    spec = owner.spec.template.spec
    if spec.node_name and spec.node_name != node.metadata.name:
        return False, False
    if not node_fit.fits_affinity(spec, node):
        return False, False
    tolerated = tolerations(spec)
    stays = not node_fit.untolerated(node.spec.taints, tolerated, "NoExecute")
    return stays and not node_fit.untolerated(node.spec.taints, tolerated, "NoSchedule"), stays


@dataclass
class Step:
    """What to do now. `failed` and `succeeded` are among those deleted; they get an Event of their own."""

    create: list[str] = field(default_factory=list)  # node names
    delete: list[Pod] = field(default_factory=list)
    failed: list[Pod] = field(default_factory=list)
    succeeded: list[Pod] = field(default_factory=list)


def limits(owner: DaemonSet, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers, both rounded up; never both zero."""
    strategy = owner.spec.update_strategy
    rolling = strategy.rolling_update if strategy else None
    surge = resolve(rolling.max_surge if rolling else None, desired, round_up=True)
    unavailable = resolve(
        1 if rolling is None or rolling.max_unavailable is None else rolling.max_unavailable, desired, round_up=True
    )
    return surge, 1 if surge == 0 and unavailable == 0 else unavailable


def is_rolling(owner: DaemonSet) -> bool:
    """Whether a new template replaces Pods by itself."""
    strategy = owner.spec.update_strategy
    return strategy is None or strategy.type in (None, "RollingUpdate")


def manage(
    owner: DaemonSet, nodes: Sequence[Node], by_node: Mapping[str, Sequence[Pod]], revision_hash: str, now: float
) -> Step:
    """One Pod on every node that should have one, none elsewhere; Pods that have ended are replaced."""
    step = Step()
    surging = is_rolling(owner) and limits(owner, len(nodes))[0] > 0
    min_ready = owner.spec.min_ready_seconds or 0
    names = {node.metadata.name for node in nodes}
    for node in nodes:
        starts, stays = runs_on(owner, node)
        pods = by_node.get(node.metadata.name, ())
        if not stays:
            step.delete += [pod for pod in pods if not pod_state.is_terminating(pod)]
            continue
        running: list[Pod] = []
        for pod in pods:
            if pod_state.is_terminating(pod):
                continue
            if pod.status.phase == "Failed":
                step.failed.append(pod)
                step.delete.append(pod)
            elif pod.status.phase == "Succeeded":
                step.succeeded.append(pod)
                step.delete.append(pod)
            else:
                running.append(pod)
        if starts and (not pods or (surging and not running)):  # a surge does not wait for the last one to be gone
            step.create.append(node.metadata.name)
        running.sort(key=_age)
        if not surging or len(running) < 2:
            step.delete += running[1:]
            continue
        new = [pod for pod in running if is_updated(pod, revision_hash)]
        old = [pod for pod in running if not is_updated(pod, revision_hash)]
        step.delete += new[1:] + old[1:]
        if new and old and (not pod_state.is_ready(old[0]) or pod_state.is_available(new[0], min_ready, now)):
            step.delete.append(old[0])
    for name, pods in by_node.items():
        if name not in names:  # the node is gone: those never placed would wait for ever
            step.delete += [p for p in pods if not p.spec.node_name and not pod_state.is_terminating(p)]
    return step


def oldest(pods: Iterable[Pod]) -> Pod:
    """The Pod of a node that counts: one with a node before others, then by age."""
    return min(pods, key=_age)


def _age(pod: Pod) -> tuple[bool, str, str]:
    return (not pod.spec.node_name, pod.metadata.creation_timestamp or "", pod.metadata.name)


def is_updated(pod: Pod, revision_hash: str) -> bool:
    """Whether the Pod is of the newest template."""
    return (pod.metadata.labels or {}).get(POD_HASH) == revision_hash


def roll(
    owner: DaemonSet, nodes: Sequence[Node], by_node: Mapping[str, Sequence[Pod]], revision_hash: str, now: float
) -> Step:
    """The next step of a rolling update. Nodes without Pods do not hold it up, lest a broken node should."""
    eligible = {node.metadata.name for node in nodes if runs_on(owner, node)[0]}
    surge, max_unavailable = limits(owner, len(eligible))
    rolled = [_Rolled.of(name, pods, revision_hash, owner, now) for name, pods in by_node.items()]
    if surge:
        return _surge(rolled, eligible, surge)
    step = Step()
    candidates: list[Pod] = []
    unavailable = 0
    for each in rolled:
        if each.crowded or (each.new is None) == (each.old is None):  # `manage` mends those
            unavailable += 1
        elif each.old is None:
            unavailable += not each.new_available
        elif each.old_available:
            candidates.append(each.old)
        else:
            step.delete.append(each.old)
            unavailable += 1
    step.delete += candidates[: max(0, max_unavailable - unavailable)]
    return step


@dataclass
class _Rolled:
    """What an update finds on a node: at most one Pod of each template, or it is `crowded`."""

    node: str
    new: Pod | None
    old: Pod | None
    crowded: bool
    new_available: bool
    old_available: bool

    @classmethod
    def of(cls, node: str, pods: Sequence[Pod], revision_hash: str, owner: DaemonSet, now: float) -> _Rolled:
        staying = [pod for pod in pods if not pod_state.is_terminating(pod)]
        new = [pod for pod in staying if is_updated(pod, revision_hash)]
        old = [pod for pod in staying if not is_updated(pod, revision_hash)]
        min_ready = owner.spec.min_ready_seconds or 0
        good = [any(pod_state.is_available(pod, min_ready, now) for pod in some[:1]) for some in (new, old)]
        crowded = len(new) > 1 or len(old) > 1
        return cls(node, new[0] if new else None, old[0] if old else None, crowded, *good)


def _surge(rolled: Sequence[_Rolled], eligible: Set[str], surge: int) -> Step:
    """New Pods beside old ones, at most `surge` that nobody needs yet; where an old one fails a new one comes at once.

    Old Pods of nodes that are no longer meant go when others are available for them.
    """
    step = Step()
    candidates: list[str] = []
    leaving: list[Pod] = []
    surging = available = 0
    for each in rolled:
        if each.crowded:
            surging += 1
            continue
        available += each.old_available if each.old is not None else each.new_available
        if each.old is None:
            continue
        if each.new is not None:
            if each.new_available:
                step.delete.append(each.old)
            else:
                surging += 1
        elif each.node not in eligible:
            (leaving if each.old_available else step.delete).append(each.old)
        elif each.old_available:
            candidates.append(each.node)
        else:
            step.create.append(each.node)
    step.delete += leaving[: max(0, available - len(eligible))]
    step.create += candidates[: max(0, surge - surging)]
    return step
