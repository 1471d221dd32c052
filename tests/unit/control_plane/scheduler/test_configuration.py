"""KubeSchedulerConfiguration: what it changes, and what is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pybernetes.api.core_v1 import Container, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from pybernetes.control_plane.scheduler.config import Enabled, ProfileConfig
from pybernetes.control_plane.scheduler.configuration import ConfigurationError, load
from pybernetes.control_plane.scheduler.plan import Profile
from pybernetes.control_plane.scheduler.plugins.base import PerNode
from pybernetes.control_plane.scheduler.plugins.resources import NodeResourcesFit
from pybernetes.control_plane.scheduler.profiles import build
from pybernetes.control_plane.scheduler.snapshot import Snapshot
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.machinery.yaml import load as parse

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"


class Mine(PerNode):
    name = "Mine"

    def __init__(self, limit: int = 5) -> None:
        super().__init__()
        self.limit = limit

    def fits(self, pod: Pod, node: Node) -> str:
        return ""


def profile(text: str) -> Profile:
    config = load(parse(HEAD + text))
    return build(config.profiles[0])


def weights(built: Profile) -> dict[str, int]:
    return {plugin.name: weight for plugin, weight in built.scores}


def test_nothing_said_is_the_default() -> None:
    built = profile("")
    assert built.name == "default-scheduler" and built.preempts
    assert weights(built) == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "NodeResourcesFit": 1,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesBalancedAllocation": 1,
        "DynamicResources": 1,
        "ImageLocality": 1,
    }
    assert [p.name for p in built.filters][:4] == ["NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity"]


def test_plugins_are_disabled_and_weighted() -> None:
    built = profile(
        """
profiles:
- schedulerName: mine
  plugins:
    score:
      enabled: [{name: ImageLocality, weight: 9}]
      disabled: [{name: TaintToleration}]
    multiPoint:
      disabled: [{name: InterPodAffinity}]
    postFilter:
      disabled: [{name: "*"}]
"""
    )
    assert built.name == "mine" and not built.preempts
    assert weights(built)["ImageLocality"] == 9
    names = [p.name for p in built.filters]
    assert "TaintToleration" in names and "TaintToleration" not in weights(built)
    assert "InterPodAffinity" not in names and "InterPodAffinity" not in weights(built)


def test_all_off_and_some_on() -> None:
    built = profile(
        """
profiles:
- plugins:
    multiPoint:
      disabled: [{name: "*"}]
      enabled: [{name: NodeResourcesFit}, {name: DefaultBinder}, {name: PrioritySort}]
"""
    )
    assert [p.name for p in built.filters] == ["NodeResourcesFit"]
    assert weights(built) == {"NodeResourcesFit": 1}
    assert not built.preempts


def test_own_plugins_by_name_with_arguments() -> None:
    built = build(ProfileConfig(enabled=(Enabled(Mine, weight=4),), args={"Mine": {"limit": 7}}))
    mine = next(p for p in built.filters if isinstance(p, Mine))
    assert mine.limit == 7
    assert "Mine" not in weights(built)  # it only filters
    with pytest.raises(ConfigurationError, match="there is no plugin Nobody"):
        build(ProfileConfig(enabled=(Enabled("Nobody"),)))
    with pytest.raises(ConfigurationError, match="has no attribute 'Nobody'"):
        build(ProfileConfig(enabled=(Enabled("json:Nobody"),)))
    with pytest.raises(ConfigurationError, match="json:JSONDecoder is no Plugin"):
        build(ProfileConfig(enabled=(Enabled("json:JSONDecoder"),)))


def test_backoff_and_timeouts() -> None:
    config = load(
        parse(
            HEAD
            + "podInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 20\nprofiles:\n- pluginConfig:\n"
            + "  - {name: VolumeBinding, args: {bindTimeoutSeconds: 30}}\n"
        )
    )
    assert (config.first_backoff, config.max_backoff, config.volume_timeout) == (2.0, 20.0, 30.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("color: red", "color: unknown field"),
        ("profiles: [{plugins: {permit: {enabled: [{name: X}]}}}]", "permit.enabled: X is not supported"),
        ("profiles: [{plugins: {lunch: {}}}]", "lunch: unknown extension point"),
        ("profiles: [{plugins: {bind: {disabled: [{name: DefaultBinder}]}}}]", "cannot be disabled"),
        ("profiles: [{}, {}]", "schedulerName must be unique"),
        ("profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {mode: x}}]}]", "unknown field mode"),
        ("profiles: [{pluginConfig: [{name: Nobody, args: {}}]}]", "there is no plugin Nobody"),
        (
            "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]",
            "hardPodAffinityWeight",
        ),
        ("podInitialBackoffSeconds: 20", "podMaxBackoffSeconds"),
        (
            "profiles: [{pluginConfig: [{name: DynamicResources, args: {bindingTimeout: 500ms}}]}]",
            "bindingTimeout: must be at least 1 second",
        ),
        (
            "profiles: [{pluginConfig: [{name: DynamicResources, args: {bindingTimeout: soon}}]}]",
            "bindingTimeout: soon is no duration",
        ),
        (
            "profiles: [{pluginConfig: [{name: DynamicResources, args: {filterTimeout: 1s}}]}]",
            "filterTimeout is not supported",
        ),
    ],
)
def test_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build(load(parse(HEAD + text)).profiles[0])


def test_another_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="want apiVersion"):
        load({"apiVersion": "v1", "kind": "ConfigMap"})


def fit_scores(args: dict[str, Any], used: list[str]) -> list[float]:
    """Scores of NodeResourcesFit for a Pod of 1 CPU on nodes of 10 CPUs with so many used."""
    built = build(ProfileConfig(args={"NodeResourcesFit": args}))
    plugin = next(p for p in built.filters if isinstance(p, NodeResourcesFit))
    snapshot = Snapshot()
    for i, cpus in enumerate(used):
        snapshot.set_node(
            Node(
                metadata=ObjectMeta(name=f"n{i}"),
                status=NodeStatus(allocatable={"cpu": "10", "memory": "1Gi", "pods": "10"}),
            )
        )
        snapshot.place(snapshot.facts(one_pod(f"p{i}", cpus)), f"n{i}")
    facts = snapshot.facts(one_pod("new", "1"))
    state = plugin.prepare_score(facts, snapshot)
    return [float(x) for x in np.asarray(plugin.score(state, snapshot, snapshot.nodes.everything))]


def one_pod(name: str, cpu: str) -> Pod:
    container = Container(name="c", resources=ResourceRequirements(requests={"cpu": cpu}))
    return Pod(metadata=ObjectMeta(name=name, namespace="ns", uid=name), spec=PodSpec(containers=[container]))


def test_scoring_strategies() -> None:
    only_cpu = [{"name": "cpu", "weight": 1}]
    used = ["0", "4", "9"]
    least = {"scoringStrategy": {"type": "LeastAllocated", "resources": only_cpu}}
    most = {"scoringStrategy": {"type": "MostAllocated", "resources": only_cpu}}
    ratio = {
        "scoringStrategy": {
            "type": "RequestedToCapacityRatio",
            "resources": only_cpu,
            "requestedToCapacityRatio": {
                "shape": [
                    {"utilization": 0, "score": 0},
                    {"utilization": 50, "score": 10},
                    {"utilization": 100, "score": 2},
                ]
            },
        }
    }
    assert fit_scores(least, used) == [90.0, 50.0, 0.0]
    assert fit_scores(most, used) == [10.0, 50.0, 100.0]
    assert fit_scores(ratio, used) == [20.0, 100.0, 20.0]
