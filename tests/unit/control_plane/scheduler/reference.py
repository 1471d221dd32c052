"""The scheduler's rules written naively: one Pod, one node, loops over everything. Slow and hopefully obvious.

The vectorised plugins must agree with it on every cluster (`test_plan_against_reference.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pybernetes.api.core_v1 import Node, NodeSelectorTerm, Pod, PodAffinityTerm, Taint, TopologySpreadConstraint
from pybernetes.control_plane.scheduler.facts import normal_image, pod_requests
from pybernetes.control_plane.scheduler.plugins.taints import tolerates
from pybernetes.machinery import labels, quantity

HOSTNAME = "kubernetes.io/hostname"


@dataclass
class Spot:
    """A node and the Pods on it."""

    node: Node
    pods: list[Pod] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        return self.node.metadata.labels or {}


@dataclass
class Cluster:
    spots: list[Spot]
    namespaces: dict[str, dict[str, str]]


def allocatable(spot: Spot, resource: str) -> int:
    text = (spot.node.status.allocatable or {}).get(resource, "0")
    return quantity.milli(text) if resource == "cpu" else quantity.value(text)


def requested(spot: Spot, resource: str) -> int:
    return sum(pod_requests(pod).get(resource, 0) for pod in spot.pods)


def with_defaults(pod: Pod, resource: str) -> int:
    default = {"cpu": 100, "memory": 200 * 1024 * 1024}[resource]
    total = 0
    for container in pod.spec.containers:
        requests = (container.resources.requests if container.resources else None) or {}
        text = requests.get(resource)
        if text is None:
            total += default
        else:
            total += quantity.milli(text) if resource == "cpu" else quantity.value(text)
    return total


# Filters


def why_not(pod: Pod, spot: Spot, cluster: Cluster) -> set[str]:
    """The reasons of the first filter that refuses; empty if the Pod fits."""
    for rule in (cordoned, tainted, selected, ports, resources, spread, affinity):
        reasons = rule(pod, spot, cluster)
        if reasons:
            return reasons
    return set()


def cordoned(pod: Pod, spot: Spot, cluster: Cluster) -> set[str]:
    taint = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
    if spot.node.spec.unschedulable and not any(tolerates(t, taint) for t in pod.spec.tolerations or []):
        return {"node(s) were unschedulable"}
    return set()


def tainted(pod: Pod, spot: Spot, cluster: Cluster) -> set[str]:
    return {"node(s) had untolerated taint(s)"} if bad_taints(pod, spot, "NoSchedule", "NoExecute") else set()


def bad_taints(pod: Pod, spot: Spot, *effects: str) -> int:
    tolerations = pod.spec.tolerations or []
    return sum(
        taint.effect in effects and not any(tolerates(t, taint) for t in tolerations)
        for taint in spot.node.spec.taints or []
    )


def term_fits(term: NodeSelectorTerm, spot: Spot) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    for source, requirements in (
        (spot.labels, term.match_expressions),
        ({"metadata.name": spot.node.metadata.name}, term.match_fields),
    ):
        for r in requirements or []:
            value, values = source.get(r.key), r.values or []
            match r.operator:
                case "In":
                    ok = value in values
                case "NotIn":
                    ok = value not in values
                case "Exists":
                    ok = value is not None
                case "DoesNotExist":
                    ok = value is None
                case "Gt":
                    ok = value is not None and value.isdigit() and int(value) > int(values[0])
                case _:
                    ok = value is not None and value.isdigit() and int(value) < int(values[0])
            if not ok:
                return False
    return True


def wants(pod: Pod, spot: Spot) -> bool:
    if any(spot.labels.get(k) != v for k, v in (pod.spec.node_selector or {}).items()):
        return False
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    return required is None or any(term_fits(t, spot) for t in required.node_selector_terms)


def selected(pod: Pod, spot: Spot, cluster: Cluster) -> set[str]:
    return set() if wants(pod, spot) else {"node(s) didn't match Pod's node affinity/selector"}


def ports(pod: Pod, spot: Spot, cluster: Cluster) -> set[str]:
    def of(one: Pod) -> list[tuple[str, str, int]]:
        return [
            (p.host_ip or "0.0.0.0", p.protocol or "TCP", p.host_port)
            for c in one.spec.containers
            for p in c.ports or []
            if p.host_port
        ]

    for address, protocol, port in of(pod):
        for other in spot.pods:
            for there, used, number in of(other):
                if (protocol, port) == (used, number) and (address == there or "0.0.0.0" in (address, there)):
                    return {"node(s) didn't have free ports for the requested pod ports"}
    return set()


def resources(pod: Pod, spot: Spot, cluster: Cluster) -> set[str]:
    found = set()
    if len(spot.pods) + 1 > allocatable(spot, "pods"):
        found.add("Too many pods")
    for name, amount in pod_requests(pod).items():
        if amount and amount > allocatable(spot, name) - requested(spot, name):
            found.add(f"Insufficient {name}")
    return found


def matching(cluster: Cluster, spots: list[Spot], namespace: str, constraint: TopologySpreadConstraint) -> int:
    selector = labels.from_struct(constraint.label_selector)
    return sum(
        p.metadata.namespace == namespace
        and p.metadata.deletion_timestamp is None
        and selector.matches(p.metadata.labels)
        for s in spots
        for p in s.pods
    )


def counts_for(pod: Pod, spot: Spot, constraint: TopologySpreadConstraint, keys: list[str]) -> bool:
    if any(key not in spot.labels for key in [*keys, constraint.topology_key]):
        return False
    if (constraint.node_affinity_policy or "Honor") == "Honor" and not wants(pod, spot):
        return False
    return not (constraint.node_taints_policy == "Honor" and bad_taints(pod, spot, "NoSchedule", "NoExecute"))


def spread(pod: Pod, spot: Spot, cluster: Cluster) -> set[str]:
    hard = [c for c in pod.spec.topology_spread_constraints or [] if c.when_unsatisfiable == "DoNotSchedule"]
    keys = [c.topology_key for c in hard]
    for constraint in hard:
        value = spot.labels.get(constraint.topology_key)
        text = "node(s) didn't match pod topology spread constraints"
        if value is None:
            return {text + " (missing required label)"}
        domains: dict[str, list[Spot]] = {}
        for other in cluster.spots:
            if counts_for(pod, other, constraint, keys):
                domains.setdefault(other.labels[constraint.topology_key], []).append(other)
        counts = {v: matching(cluster, s, pod.metadata.namespace, constraint) for v, s in domains.items()}
        least = min(counts.values(), default=0)
        if len(counts) < (constraint.min_domains or 1):
            least = 0
        itself = labels.from_struct(constraint.label_selector).matches(pod.metadata.labels)
        if counts.get(value, 0) + itself - least > constraint.max_skew:
            return {text}
    return set()


def selects(term: PodAffinityTerm, owner: Pod, other: Pod, cluster: Cluster) -> bool:
    namespace = other.metadata.namespace
    names = set(term.namespaces or [])
    if not names and term.namespace_selector is None:
        names = {owner.metadata.namespace}
    by_labels = term.namespace_selector is not None and labels.from_struct(term.namespace_selector).matches(
        cluster.namespaces.get(namespace, {})
    )
    return (namespace in names or by_labels) and labels.from_struct(term.label_selector).matches(other.metadata.labels)


def required_terms(pod: Pod, anti: bool) -> list[PodAffinityTerm]:
    affinity = pod.spec.affinity
    part = (affinity.pod_anti_affinity if anti else affinity.pod_affinity) if affinity else None
    return part.required_during_scheduling_ignored_during_execution or [] if part else []


def near(spot: Spot, key: str, cluster: Cluster) -> list[Spot]:
    value = spot.labels.get(key)
    return [s for s in cluster.spots if value is not None and s.labels.get(key) == value]


def affinity(pod: Pod, spot: Spot, cluster: Cluster) -> set[str]:
    together = required_terms(pod, False)
    if together:

        def all_match(other: Pod) -> bool:
            return all(selects(t, pod, other, cluster) for t in together)

        labelled = all(t.topology_key in spot.labels for t in together)
        here = all(any(all_match(p) for s in near(spot, t.topology_key, cluster) for p in s.pods) for t in together)
        anywhere = any(
            all_match(p) for t in together for s in cluster.spots if t.topology_key in s.labels for p in s.pods
        )
        if not (labelled and (here or (not anywhere and all_match(pod)))):
            return {"node(s) didn't match pod affinity rules"}
    for term in required_terms(pod, True):
        if any(selects(term, pod, p, cluster) for s in near(spot, term.topology_key, cluster) for p in s.pods):
            return {"node(s) didn't match pod anti-affinity rules"}
    for other_spot in cluster.spots:
        for other in other_spot.pods:
            for term in required_terms(other, True):
                if other_spot in near(spot, term.topology_key, cluster) and selects(term, other, pod, cluster):
                    return {"node(s) didn't satisfy existing pods anti-affinity rules"}
    return set()


# Scores: for all feasible nodes together


def points(pod: Pod, feasible: list[Spot], cluster: Cluster) -> list[float]:
    total = [0.0] * len(feasible)
    for weight, rule in (
        (3, taint_points),
        (2, affinity_points),
        (1, fit_points),
        (2, spread_points),
        (2, between_points),
        (1, balanced_points),
        (1, image_points),
    ):
        for i, value in enumerate(rule(pod, feasible, cluster)):
            total[i] += weight * value
    return total


def scaled(raw: list[int], reverse: bool) -> list[float]:
    top = max(raw)
    if top == 0:
        return [100.0 if reverse else 0.0] * len(raw)
    values = [100 * r // top for r in raw]
    return [100.0 - v if reverse else float(v) for v in values]


def taint_points(pod: Pod, feasible: list[Spot], cluster: Cluster) -> list[float]:
    relevant = [t for t in pod.spec.tolerations or [] if not t.effect or t.effect == "PreferNoSchedule"]
    return scaled(
        [
            sum(
                t.effect == "PreferNoSchedule" and not any(tolerates(x, t) for x in relevant)
                for t in s.node.spec.taints or []
            )
            for s in feasible
        ],
        True,
    )


def affinity_points(pod: Pod, feasible: list[Spot], cluster: Cluster) -> list[float]:
    part = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    terms = (part.preferred_during_scheduling_ignored_during_execution if part else None) or []
    if not terms:
        return [0.0] * len(feasible)
    return scaled([sum(t.weight for t in terms if term_fits(t.preference, s)) for s in feasible], False)


def fit_points(pod: Pod, feasible: list[Spot], cluster: Cluster) -> list[float]:
    result = []
    for spot in feasible:
        values = []
        for name in ("cpu", "memory"):
            capacity = allocatable(spot, name)
            if capacity:
                used = sum(with_defaults(p, name) for p in [*spot.pods, pod])
                values.append(0 if used > capacity else (capacity - used) * 100 // capacity)
        result.append(float(sum(values) // len(values)) if values else 0.0)
    return result


def balanced_points(pod: Pod, feasible: list[Spot], cluster: Cluster) -> list[float]:
    wanted = pod_requests(pod)
    if not any(wanted.get(name) for name in ("cpu", "memory")):
        return [0.0] * len(feasible)
    result = []
    for spot in feasible:
        shares = [
            min(1.0, (requested(spot, name) + wanted.get(name, 0)) / allocatable(spot, name))
            for name in ("cpu", "memory")
            if allocatable(spot, name)
        ]
        deviation = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
        result.append(float(int((1 - deviation) * 100)))
    return result


def image_points(pod: Pod, feasible: list[Spot], cluster: Cluster) -> list[float]:
    wanted = [normal_image(c.image or "") for c in pod.spec.containers]

    def size(spot: Spot, name: str) -> int:
        for image in spot.node.status.images or []:
            if any(name in (known, normal_image(known)) for known in image.names or []):
                return image.size_bytes or 0
        return 0

    result = []
    for spot in feasible:
        total = 0
        for name in wanted:
            share = sum(size(s, name) > 0 for s in cluster.spots) / len(cluster.spots)
            total += int(size(spot, name) * share)
        low, high = 23 * 2**20, 1000 * 2**20 * len(wanted)
        total = min(max(total, low), high)
        result.append(float(100 * (total - low) // (high - low)))
    return result


def spread_points(pod: Pod, feasible: list[Spot], cluster: Cluster) -> list[float]:
    soft = [c for c in pod.spec.topology_spread_constraints or [] if c.when_unsatisfiable == "ScheduleAnyway"]
    if not soft:
        return [0.0] * len(feasible)
    keys = [c.topology_key for c in soft]
    counted = [s for s in feasible if all(key in s.labels for key in keys)]
    raw: dict[int, int] = {}
    for spot in counted:
        score = 0.0
        for constraint in soft:
            value = spot.labels[constraint.topology_key]
            if constraint.topology_key == HOSTNAME:
                size = len(counted)
                count = matching(cluster, [spot], pod.metadata.namespace, constraint)
            else:
                size = len({s.labels[constraint.topology_key] for s in counted})
                domain = [
                    s
                    for s in cluster.spots
                    if counts_for(pod, s, constraint, keys) and s.labels[constraint.topology_key] == value
                ]
                count = matching(cluster, domain, pod.metadata.namespace, constraint)
            score += count * math.log(size + 2) + (constraint.max_skew - 1)
        raw[id(spot)] = math.floor(score + 0.5)
    if not raw:
        return [0.0] * len(feasible)
    most, least = max(raw.values()), min(raw.values())
    return [
        0.0 if id(s) not in raw else 100.0 if most == 0 else float(100 * (most + least - raw[id(s)]) // most)
        for s in feasible
    ]


def between_points(pod: Pod, feasible: list[Spot], cluster: Cluster) -> list[float]:
    def preferred(one: Pod) -> list[tuple[int, PodAffinityTerm]]:
        affinity = one.spec.affinity
        found: list[tuple[int, PodAffinityTerm]] = []
        if affinity and affinity.pod_affinity:
            for t in affinity.pod_affinity.preferred_during_scheduling_ignored_during_execution or []:
                found.append((t.weight, t.pod_affinity_term))
        if affinity and affinity.pod_anti_affinity:
            for t in affinity.pod_anti_affinity.preferred_during_scheduling_ignored_during_execution or []:
                found.append((-t.weight, t.pod_affinity_term))
        return found

    raw = []
    for spot in feasible:
        score = 0
        for other_spot in cluster.spots:
            for other in other_spot.pods:
                for weight, term in preferred(pod):
                    if other_spot in near(spot, term.topology_key, cluster) and selects(term, pod, other, cluster):
                        score += weight
                for weight, term in [*preferred(other), *((1, t) for t in required_terms(other, False))]:
                    if other_spot in near(spot, term.topology_key, cluster) and selects(term, other, pod, cluster):
                        score += weight
        raw.append(score)
    most, least = max(raw), min(raw)
    return [float(100 * (r - least) // (most - least)) if most > least else 0.0 for r in raw]
