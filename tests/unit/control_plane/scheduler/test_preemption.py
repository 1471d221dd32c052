"""Which Pods have to go, and on which node; nominations."""

from __future__ import annotations

import random

import pytest

from pybernetes.api.core_v1 import (
    Affinity,
    Container,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeStatus,
    Pod,
    PodAffinityTerm,
    PodAntiAffinity,
    PodCondition,
    PodSpec,
    PodStatus,
    ResourceRequirements,
)
from pybernetes.api.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.plan import Planner
from pybernetes.control_plane.scheduler.preemption import Memory, Outcome, preempt
from pybernetes.control_plane.scheduler.profiles import default_profile
from pybernetes.control_plane.scheduler.snapshot import Snapshot
from pybernetes.machinery.meta import LabelSelector, ObjectMeta


class Cluster:
    """Nodes of 10 CPUs, Pods by (priority, CPUs)."""

    def __init__(self, nodes: int) -> None:
        self.snapshot = Snapshot()
        self.planner = Planner(self.snapshot, default_profile("default-scheduler"), random.Random(1))
        self.budgets: list[PodDisruptionBudget] = []
        self.memory = Memory()  # whatever it has seen, it must find what one without it finds
        for i in range(nodes):
            allocatable = {"cpu": "10", "memory": "10Gi", "pods": "10"}
            node = Node(metadata=ObjectMeta(name=f"n{i}"), status=NodeStatus(allocatable=allocatable))
            self.snapshot.set_node(node)

    def pod(self, name: str, priority: int, cpu: int, started: str = "2026-01-01T00:00:00Z", **labels: str) -> PodFacts:
        resources = ResourceRequirements(requests={"cpu": str(cpu)})
        return self.snapshot.facts(
            Pod(
                metadata=ObjectMeta(name=name, namespace="ns", uid=name, labels=labels or None),
                spec=PodSpec(containers=[Container(name="c", resources=resources)], priority=priority),
                status=PodStatus(start_time=started),
            )
        )

    def place(self, node: str, *pods: PodFacts) -> None:
        for pod in pods:
            self.snapshot.place(pod, node)

    def preempt(self, pod: PodFacts) -> Outcome:
        placement = self.planner.plan(pod)
        assert placement.refusal is not None, placement.node
        before = {uid: node for uid, (_, node) in self.snapshot.placed.items()}
        requested = self.snapshot.nodes.requested.copy()
        end = self.snapshot.nodes.log_end
        outcome = preempt(self.planner, pod, placement.refusal, self.budgets, random.Random(2))
        assert self.snapshot.nodes.log_end == end
        assert preempt(self.planner, pod, placement.refusal, self.budgets, random.Random(2), self.memory) == outcome
        assert {uid: node for uid, (_, node) in self.snapshot.placed.items()} == before
        assert (self.snapshot.nodes.requested == requested).all()
        return outcome

    def victims(self, pod: PodFacts) -> tuple[str, list[str]]:
        candidate = self.preempt(pod).candidate
        assert candidate is not None
        return candidate.node, [v.name for v in candidate.victims]


def test_no_more_than_needed_and_the_least_important() -> None:
    c = Cluster(1)
    c.place("n0", c.pod("a", 1, 3), c.pod("b", 2, 3), c.pod("c", 3, 3))
    assert c.victims(c.pod("new", 10, 4)) == ("n0", ["a"])
    assert c.victims(c.pod("big", 10, 7)) == ("n0", ["b", "a"])


def test_of_equal_priority_the_youngest_goes() -> None:
    c = Cluster(1)
    c.place("n0", c.pod("old", 1, 5, "2026-01-01T00:00:00Z"), c.pod("young", 1, 5, "2026-01-02T00:00:00Z"))
    assert c.victims(c.pod("new", 10, 5)) == ("n0", ["young"])


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        # lowest of the highest priorities
        ([(5, 10)], [(3, 5), (4, 5)], "n1"),
        # then the lowest sum
        ([(5, 5), (4, 5)], [(5, 5), (1, 5)], "n1"),
        # then the fewest
        ([(5, 10)], [(5, 5), (-(2**31), 5)], "n0"),
    ],
)
def test_the_node_whose_victims_matter_least(
    first: list[tuple[int, int]], second: list[tuple[int, int]], chosen: str
) -> None:
    c = Cluster(2)
    for node, listed in (("n0", first), ("n1", second)):
        c.place(node, *(c.pod(f"{node}-{i}", priority, cpu) for i, (priority, cpu) in enumerate(listed)))
    assert c.victims(c.pod("new", 100, 10))[0] == chosen


def test_the_node_whose_victims_started_last() -> None:
    c = Cluster(2)
    c.place("n0", c.pod("a", 1, 10, "2026-01-01T00:00:00Z"))
    c.place("n1", c.pod("b", 1, 10, "2026-01-05T00:00:00Z"))
    assert c.victims(c.pod("new", 100, 10))[0] == "n1"


def budget(app: str, allowed: int) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=ObjectMeta(name="b", namespace="ns"),
        spec=PodDisruptionBudgetSpec(selector=LabelSelector(match_labels={"app": app})),
        status=PodDisruptionBudgetStatus(disruptions_allowed=allowed),
    )


def test_budgets_are_broken_only_when_there_is_no_other_way() -> None:
    c = Cluster(2)
    c.place("n0", c.pod("guarded", 1, 10, app="guarded"))
    c.place("n1", c.pod("free", 50, 10))
    c.budgets = [budget("guarded", 0)]
    assert c.victims(c.pod("new", 100, 10)) == ("n1", ["free"])
    c.snapshot.remove_node("n1")
    assert c.victims(c.pod("new", 100, 10)) == ("n0", ["guarded"])
    c.budgets[0].status.disruptions_allowed, c.budgets[0].metadata.resource_version = 1, "2"
    candidate = c.preempt(c.pod("new", 100, 10)).candidate
    assert candidate is not None and candidate.violations == 0


def test_what_is_said_when_it_does_not_help() -> None:
    c = Cluster(3)
    c.place("n0", c.pod("same", 10, 10))
    c.place("n1", c.pod("mixed", 10, 8), c.pod("low", 1, 2))
    new = c.pod("new", 10, 5)
    c.snapshot.remove_node("n2")
    assert c.preempt(new).message == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod."
    )
    assert c.preempt(c.pod("huge", 10, 11)).message == (
        "0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )


def test_who_may_not_preempt() -> None:
    c = Cluster(1)
    c.place("n0", c.pod("low", 1, 10))
    polite = c.pod("polite", 10, 10)
    polite.pod.spec.preemption_policy = "Never"
    outcome = c.preempt(polite)
    assert (outcome.message, outcome.keeps) == ("not eligible due to preemptionPolicy=Never.", True)


def test_it_waits_for_victims_on_their_way_out() -> None:
    c = Cluster(1)
    victim = c.pod("low", 1, 10).pod
    victim.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    victim.status.conditions = [
        PodCondition(type="DisruptionTarget", status="True", reason="PreemptionByScheduler"),
    ]
    c.place("n0", c.snapshot.facts(victim))
    new = c.pod("new", 10, 10)
    new.pod.status.nominated_node_name = "n0"
    outcome = c.preempt(new)
    assert outcome.message == "not eligible due to a terminating pod on the nominated node."
    assert outcome.keeps


def test_room_made_for_a_pod_is_not_taken_by_a_lesser_one() -> None:
    c = Cluster(1)
    waiting = c.pod("waiting", 10, 10)
    c.planner.nominations.set(waiting, "n0")
    lesser = c.planner.plan(c.pod("lesser", 5, 1))
    assert lesser.refusal is not None
    assert lesser.refusal.message == "0/1 nodes are available: 1 Insufficient cpu."
    assert lesser.refusal.plugins == {"NodeResourcesFit"}
    assert c.planner.plan(c.pod("greater", 20, 1)).node == "n0"
    assert c.planner.plan(waiting).node == "n0"
    c.planner.nominations.pop("waiting")
    assert c.planner.plan(c.pod("lesser", 5, 1)).node == "n0"


def test_the_nominated_node_comes_before_better_ones() -> None:
    c = Cluster(5)
    c.place("n3", c.pod("there", 1, 5))
    pod = c.pod("new", 10, 1)
    c.planner.nominations.set(pod, "n3")
    assert c.planner.plan(pod).node == "n3"


def by_name(c: Cluster, name: str, *nodes: str) -> PodFacts:
    pod = c.pod(name, 0, 1).pod
    field = NodeSelectorRequirement(key="metadata.name", operator="In", values=[*nodes])
    required = NodeSelector(node_selector_terms=[NodeSelectorTerm(match_fields=[field])])
    pod.spec.affinity = Affinity(
        node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=required)
    )
    return c.snapshot.facts(pod)


def test_a_pod_that_names_its_nodes_is_only_tried_there() -> None:
    c = Cluster(4)
    assert c.planner.plan(by_name(c, "one", "n2")).node == "n2"
    c.place("n2", c.pod("full", 0, 10))
    refusal = c.planner.plan(by_name(c, "one", "n2")).refusal
    assert refusal is not None
    assert refusal.message == (
        "0/4 nodes are available: 1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    assert list(refusal.resolvable) == [c.snapshot.nodes.rows["n2"]]
    gone = c.planner.plan(by_name(c, "two", "nowhere")).refusal
    assert gone is not None
    assert gone.message == "0/4 nodes are available: 4 node(s) didn't satisfy plugin(s) [NodeAffinity]."


def test_a_seed_makes_ties_reproducible() -> None:
    def run(seed: int) -> list[str]:
        c = Cluster(8)
        c.planner = Planner(c.snapshot, default_profile("x"), random.Random(seed))
        chosen = []
        for i in range(8):
            pod = c.pod(f"p{i}", 0, 1)
            placement = c.planner.plan(pod)
            c.snapshot.place(pod, placement.node)
            chosen.append(placement.node)
        return chosen

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert sorted(run(1)) == [f"n{i}" for i in range(8)]


def test_nodes_that_come_and_go_keep_their_pods() -> None:
    c = Cluster(1)
    pod = c.pod("early", 0, 8)
    c.snapshot.place(pod, "later")  # its node is not known yet
    assert c.planner.plan(c.pod("a", 0, 9)).node == "n0"
    allocatable = {"cpu": "10", "memory": "10Gi", "pods": "10"}
    node = Node(metadata=ObjectMeta(name="later"), status=NodeStatus(allocatable=allocatable))
    c.snapshot.set_node(node)
    c.snapshot.remove_node("n0")
    assert c.planner.plan(c.pod("b", 0, 2)).node == "later"
    assert c.planner.plan(c.pod("c", 0, 3)).node == ""
    c.snapshot.remove_node("later")
    c.snapshot.set_node(node)
    assert c.planner.plan(c.pod("d", 0, 3)).node == ""
    c.snapshot.remove("early")
    assert c.planner.plan(c.pod("e", 0, 3)).node == "later"


def test_what_is_remembered_is_what_would_be_found() -> None:
    """Pods, starts, nominations, budgets, nodes and neighbours change between the trials of equal Pods."""
    chance = random.Random(5)
    c = Cluster(6)
    names = iter(range(10_000))
    placed: list[PodFacts] = []
    outcomes = set()
    for _ in range(300):
        node = f"n{chance.randrange(6)}"
        match chance.randrange(8):
            case 0 | 1 | 2:
                # All start at different times, else it would not matter who goes.
                started = f"2026-01-01T{next(names):06}Z"
                pod = c.pod(
                    f"p{next(names)}", chance.randrange(3), chance.randrange(1, 7), started, app=chance.choice("ab")
                )
                c.place(node, pod)
                placed.append(pod)
            case 3 if placed:
                c.snapshot.remove(placed.pop(chance.randrange(len(placed))).uid)
            case 4 if placed:
                started = f"2026-01-01T{next(names):06}Z"
                i = chance.randrange(len(placed))
                old = placed[i]
                cpu = old.pod_class.requests["cpu"] // 1000
                placed[i] = c.pod(old.name, old.priority, cpu, started, **old.group.labels)
                c.place(c.snapshot.node_of(old.uid), placed[i])
            case 5:
                c.planner.nominations.set(c.pod(f"waits-{chance.randrange(3)}", 20, chance.randrange(1, 9)), node)
            case 6:
                c.budgets = [budget(chance.choice("ab"), chance.randrange(2))] if chance.random() < 0.7 else []
                for known in c.budgets:
                    known.metadata.resource_version = str(next(names))
            case 7 if chance.random() < 0.3:
                alone = c.pod(f"alone-{next(names)}", 2, 1, f"2026-01-01T{next(names):06}Z", app="a").pod
                term = PodAffinityTerm(
                    label_selector=LabelSelector(match_labels={"app": "new"}), topology_key="kubernetes.io/hostname"
                )
                alone.spec.affinity = Affinity(
                    pod_anti_affinity=PodAntiAffinity(required_during_scheduling_ignored_during_execution=[term])
                )
                placed.append(c.snapshot.facts(alone))
                c.place(node, placed[-1])
        new = c.pod(f"new-{next(names)}", 10, chance.choice([5, 8]), app="new")
        if c.planner.plan(new).refusal is not None:
            outcome = c.preempt(new)
            outcomes.add((outcome.candidate.node, len(outcome.candidate.victims)) if outcome.candidate else ())
    assert len(outcomes) > 8, outcomes
