"""The autoscaler's arithmetic, and what it says when there are no metrics."""

from __future__ import annotations

from typing import Any

from pybernetes.api.apps_v1 import Deployment
from pybernetes.api.autoscaling_v2 import HorizontalPodAutoscaler
from pybernetes.control_plane.controllers import autoscaling_plan as plan

from .test_deployment import deployment
from .world import World, wire


def autoscaler(**spec: Any) -> HorizontalPodAutoscaler:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    return wire(HorizontalPodAutoscaler, "hpa", {"scaleTargetRef": target, "maxReplicas": 10, "metrics": [cpu], **spec})


def utilization(usage: dict[str, int], current: int, unready: int = 0, missing: int = 0) -> tuple[int, int]:
    groups = plan.Groups([*usage], [f"u{i}" for i in range(unready)], [f"m{i}" for i in range(missing)])
    requests = dict.fromkeys([*usage, *groups.unready, *groups.missing], 1000)
    return plan.by_utilization(current, groups, usage, requests, 50, plan.TOLERANCE)


def test_replicas_follow_the_ratio_outside_of_the_tolerance() -> None:
    assert utilization({"a": 1000, "b": 1000}, 2) == (4, 100)
    assert utilization({"a": 520, "b": 530}, 2) == (2, 52)
    assert utilization({"a": 100, "b": 100}, 2) == (1, 10)


def test_pods_without_metrics_count_against_the_change() -> None:
    assert utilization({"a": 1000}, 2, missing=1)[0] == 2  # with the other at nothing all is well
    assert utilization({"a": 100, "b": 100}, 3, missing=1)[0] == 3
    assert utilization({"a": 2000, "b": 2000}, 3, unready=1)[0] == 8


def test_scaling_down_waits_and_scaling_up_is_limited() -> None:
    hpa, history = autoscaler(), plan.History()
    assert plan.bound(hpa, 2, 10, history, 0.0)[:2] == (6, "ScaleUpLimit")
    history = plan.History([(0.0, 6)])
    assert plan.bound(hpa, 6, 3, history, 100.0)[0] == 6
    assert plan.bound(hpa, 6, 3, history, 301.0)[0] == 3
    assert plan.bound(hpa, 6, 30, plan.History(), 0.0)[:2] == (10, "TooManyReplicas")


async def test_without_metrics_it_stays_and_says_so() -> None:
    async with World("horizontal-pod-autoscaler-controller", "deployment-controller", "replicaset-controller") as world:
        await world.create(deployment(2))
        await world.create(autoscaler())

        def told(hpa: HorizontalPodAutoscaler) -> bool:
            found = {c.type: c for c in hpa.status.conditions or ()}
            return "ScalingActive" in found and found["ScalingActive"].reason == "FailedGetResourceMetric"

        hpa = await world.until(HorizontalPodAutoscaler, "hpa", told)
        found = {c.type: c for c in hpa.status.conditions or ()}
        assert found["AbleToScale"].status == "True"
        failed = (
            "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource "
            "metrics API"
        )
        assert found["ScalingActive"].message == f"the HPA was unable to compute the replica count: {failed}"
        assert hpa.status.desired_replicas == 0, "none was ever computed"
        await world.settle()
        (text,) = await world.events("FailedComputeMetricsReplicas")
        invalid = "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: "
        assert text == invalid + failed
        await world.client.resource(HorizontalPodAutoscaler).patch("hpa", "default", {"spec": {"minReplicas": 4}})
        await world.until(Deployment, "web", lambda d: d.status.available_replicas == 4)
        await world.settle()
        assert await world.events("SuccessfulRescale") == [
            "New size: 4; reason: Current number of replicas below Spec.MinReplicas"
        ]
