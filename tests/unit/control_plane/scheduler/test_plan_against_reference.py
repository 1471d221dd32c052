"""Random clusters and Pods: the planner and the naive reference must agree on every node and every score."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from pybernetes.api.core_v1 import (
    Affinity,
    Container,
    ContainerImage,
    ContainerPort,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeSpec,
    NodeStatus,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSpec,
    PodStatus,
    PreferredSchedulingTerm,
    ResourceRequirements,
    Taint,
    Toleration,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from pybernetes.control_plane.scheduler.plan import Planner, _Answers
from pybernetes.control_plane.scheduler.profiles import default_profile
from pybernetes.control_plane.scheduler.snapshot import Snapshot
from pybernetes.machinery.meta import LabelSelector, ObjectMeta
from tests.unit.control_plane.scheduler.reference import Cluster, Spot, points, why_not

ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"
KEYS = [ZONE, HOSTNAME, "rack"]


class Maker:
    """Random objects from a seed; small ranges, so that things collide."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.made = 0

    def maybe(self, chance: float, value: Any) -> Any:
        return value() if self.rng.random() < chance else None

    def node(self, i: int) -> Node:
        rng = self.rng
        labels = {HOSTNAME: f"n{i}"}
        if rng.random() < 0.8:
            labels[ZONE] = rng.choice("abc")
        if rng.random() < 0.5:
            labels["rack"] = str(rng.randint(1, 5))
        taints = [
            Taint(key=rng.choice(["gpu", "spot"]), value=rng.choice(["", "x"]) or None, effect=effect)
            for effect in ("NoSchedule", "PreferNoSchedule", "NoExecute")
            if rng.random() < 0.2
        ]
        allocatable = {"cpu": rng.choice(["1", "2", "3500m"]), "memory": rng.choice(["1Gi", "4Gi"]), "pods": "6"}
        if rng.random() < 0.3:
            allocatable["example.com/gpu"] = "2"
        images = [
            ContainerImage(names=[f"web:{tag}"], size_bytes=rng.randint(1, 900) * 2**20)
            for tag in ("1", "2", "latest")
            if rng.random() < 0.4
        ]
        return Node(
            metadata=ObjectMeta(name=f"n{i}", labels=labels),
            spec=NodeSpec(unschedulable=True if rng.random() < 0.1 else None, taints=taints or None),
            status=NodeStatus(allocatable=allocatable, images=images or None),
        )

    def selector(self) -> LabelSelector:
        return LabelSelector(match_labels={"app": self.rng.choice("xyz")})

    def term(self) -> PodAffinityTerm:
        rng = self.rng
        return PodAffinityTerm(
            label_selector=self.selector(),
            topology_key=rng.choice(KEYS),
            namespaces=self.maybe(0.3, lambda: [rng.choice(["one", "two"])]),
            namespace_selector=self.maybe(0.3, lambda: LabelSelector(match_labels={"team": rng.choice("rg")})),
        )

    def node_term(self) -> NodeSelectorTerm:
        rng = self.rng
        operator = rng.choice(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
        values = {"In": ["a", "2"], "NotIn": ["a", "2"], "Gt": ["2"], "Lt": ["4"]}.get(operator)
        key = "rack" if operator in ("Gt", "Lt") else rng.choice([ZONE, "rack"])
        return NodeSelectorTerm(match_expressions=[NodeSelectorRequirement(key=key, operator=operator, values=values)])

    def pod(self, namespace: str) -> Pod:
        rng = self.rng
        self.made += 1
        requests = {
            name: rng.choice(values)
            for name, values in (
                ("cpu", ["100m", "500m", "0"]),
                ("memory", ["100Mi", "700Mi"]),
                ("example.com/gpu", ["1"]),
            )
            if rng.random() < (0.15 if "/" in name else 0.7)
        }
        affinity = Affinity(
            node_affinity=self.maybe(
                0.4,
                lambda: NodeAffinity(
                    required_during_scheduling_ignored_during_execution=self.maybe(
                        0.4, lambda: NodeSelector(node_selector_terms=[self.node_term(), self.node_term()])
                    ),
                    preferred_during_scheduling_ignored_during_execution=[
                        PreferredSchedulingTerm(weight=rng.randint(1, 100), preference=self.node_term())
                        for _ in range(2)
                    ],
                ),
            ),
            pod_affinity=self.maybe(
                0.3,
                lambda: PodAffinity(
                    required_during_scheduling_ignored_during_execution=self.maybe(0.5, lambda: [self.term()]),
                    preferred_during_scheduling_ignored_during_execution=[
                        WeightedPodAffinityTerm(weight=rng.randint(1, 100), pod_affinity_term=self.term())
                    ],
                ),
            ),
            pod_anti_affinity=self.maybe(
                0.3,
                lambda: PodAntiAffinity(
                    required_during_scheduling_ignored_during_execution=self.maybe(0.5, lambda: [self.term()]),
                    preferred_during_scheduling_ignored_during_execution=[
                        WeightedPodAffinityTerm(weight=rng.randint(1, 100), pod_affinity_term=self.term())
                    ],
                ),
            ),
        )
        spread = [
            TopologySpreadConstraint(
                max_skew=rng.randint(1, 2),
                topology_key=key,
                when_unsatisfiable=action,
                label_selector=self.selector(),
                min_domains=rng.randint(1, 4) if action == "DoNotSchedule" and rng.random() < 0.3 else None,
                node_affinity_policy=rng.choice([None, "Ignore", "Honor"]),
                node_taints_policy=rng.choice([None, "Ignore", "Honor"]),
            )
            for key in KEYS
            for action in ("DoNotSchedule", "ScheduleAnyway")
            if rng.random() < 0.12
        ]
        port = self.maybe(0.2, lambda: ContainerPort(
            container_port=80,
            host_port=rng.choice([80, 81]),
            protocol=rng.choice(["TCP", "UDP"]),
            host_ip=rng.choice([None, "127.0.0.1", "10.0.0.1"]),
        ))  # fmt: skip
        tolerations = [
            Toleration(key=rng.choice(["gpu", "spot"]), operator="Exists", effect=rng.choice([None, "NoSchedule"]))
            for _ in range(rng.choice([0, 0, 1, 2]))
        ]
        container = Container(
            name="c",
            image=rng.choice(["web", "web:1", "web:2"]),
            resources=ResourceRequirements(requests=requests or None),
            ports=[port] if port else None,
        )
        name = f"p{self.made}"
        return Pod(
            metadata=ObjectMeta(
                name=name, namespace=namespace, uid=name, labels={"app": rng.choice("xyz"), "v": rng.choice("12")}
            ),
            spec=PodSpec(
                containers=[container],
                affinity=affinity,
                tolerations=tolerations or None,
                topology_spread_constraints=spread or None,
                node_selector=self.maybe(0.1, lambda: {ZONE: rng.choice("ab")}),
            ),
            status=PodStatus(phase="Pending"),
        )


NAMESPACES = {"one": {"team": "r"}, "two": {"team": "g"}}


def scores_of(planner: Planner, snapshot: Snapshot, pod: Pod, rows: list[int]) -> list[float]:
    """The planner's weighted sums for the feasible rows."""
    facts = snapshot.facts(pod)
    answers: _Answers = planner._current(facts)
    feasible = np.zeros(snapshot.nodes.size, np.bool_)
    feasible[rows] = True
    everything = snapshot.nodes.everything
    total = answers.points[everything] + planner._normalised(facts, answers, feasible, everything)
    return [float(total[row]) for row in rows]


@pytest.mark.parametrize("seed", range(30))
def test_agreement(seed: int) -> None:
    maker = Maker(seed)
    snapshot = Snapshot()
    for name, labels in NAMESPACES.items():
        snapshot.terms.set_namespace(name, labels)
    planner = Planner(snapshot, default_profile("default-scheduler"), random.Random(seed))
    spots = [Spot(maker.node(i)) for i in range(maker.rng.choice([1, 5, 20]))]
    cluster = Cluster(spots, NAMESPACES)
    for spot in spots:
        snapshot.set_node(spot.node)
    templates = [maker.pod(maker.rng.choice(["one", "two"])) for _ in range(6)]
    by_name = {spot.node.metadata.name: spot for spot in spots}
    for step in range(40):
        template = maker.rng.choice(templates)
        name = f"s{step}"
        pod = Pod(
            metadata=ObjectMeta(
                name=name, namespace=template.metadata.namespace, uid=name, labels=template.metadata.labels
            ),
            spec=template.spec,
            status=PodStatus(phase="Pending"),
        )
        refusals = {s.node.metadata.name: why_not(pod, s, cluster) for s in spots}
        feasible = [s for s in spots if not refusals[s.node.metadata.name]]
        placement = planner.plan(snapshot.facts(pod))
        if not feasible:
            assert not placement.node, (seed, step, placement.node)
            assert placement.refusal is not None
            expected = Counter(text for reasons in refusals.values() for text in reasons)
            assert placement.refusal.reasons == expected, (seed, step)
        else:
            assert placement.node in {s.node.metadata.name for s in feasible}, (seed, step)
            wanted = points(pod, feasible, cluster)
            rows = [snapshot.nodes.rows[s.node.metadata.name] for s in feasible]
            got = scores_of(planner, snapshot, pod, rows)
            assert np.allclose(np.array(got) - got[0], np.array(wanted) - wanted[0]), (seed, step, got, wanted)
            chosen = [s.node.metadata.name for s in feasible].index(placement.node)
            assert wanted[chosen] == max(wanted)
            snapshot.place(snapshot.facts(pod), placement.node)
            by_name[placement.node].pods.append(pod)
        if maker.rng.random() < 0.3:  # somebody leaves
            crowded = [s for s in spots if s.pods]
            if crowded:
                spot = maker.rng.choice(crowded)
                gone = spot.pods.pop(maker.rng.randrange(len(spot.pods)))
                snapshot.remove(gone.metadata.uid)
        if maker.rng.random() < 0.15:  # a node changes
            i = maker.rng.randrange(len(spots))
            spots[i].node = maker.node(i)
            snapshot.set_node(spots[i].node)
