"""APIServices of the group versions that this server has itself, so that `kubectl get apiservices` shows all."""

from __future__ import annotations

from pybernetes.api.apiregistration_v1 import APIService, APIServiceCondition, APIServiceSpec
from pybernetes.machinery.meta import ObjectMeta

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"

#: (group, version) -> (group priority, version priority), as upstream has them.
_PRIORITIES: dict[tuple[str, str], tuple[int, int]] = {
    ("", "v1"): (18000, 1),
    ("apps", "v1"): (17800, 15),
    ("events.k8s.io", "v1"): (17750, 5),
    ("authentication.k8s.io", "v1"): (17700, 15),
    ("authorization.k8s.io", "v1"): (17600, 15),
    ("autoscaling", "v1"): (17500, 15),
    ("autoscaling", "v2"): (17500, 30),
    ("batch", "v1"): (17400, 15),
    ("certificates.k8s.io", "v1"): (17300, 15),
    ("networking.k8s.io", "v1"): (17200, 15),
    ("policy", "v1"): (17100, 15),
    ("rbac.authorization.k8s.io", "v1"): (17000, 15),
    ("storage.k8s.io", "v1"): (16800, 15),
    ("apiextensions.k8s.io", "v1"): (16700, 15),
    ("admissionregistration.k8s.io", "v1"): (16700, 15),
    ("scheduling.k8s.io", "v1"): (16600, 15),
    ("coordination.k8s.io", "v1"): (16500, 15),
    ("node.k8s.io", "v1"): (16300, 15),
    ("discovery.k8s.io", "v1"): (16200, 15),
    ("flowcontrol.apiserver.k8s.io", "v1"): (16100, 21),
    ("resource.k8s.io", "v1"): (15900, 15),
    ("metrics.k8s.io", "v1beta1"): (100, 100),
}
_CUSTOM = (1000, 100)


def condition(time: str) -> APIServiceCondition:
    """What every local APIService says."""
    return APIServiceCondition(
        type="Available",
        status="True",
        last_transition_time=time,
        reason="Local",
        message="Local APIServices are always available",
    )


def local(group: str, version: str) -> APIService:
    """The APIService of a group version of ours; those of custom resources go when their definitions go."""
    known = _PRIORITIES.get((group, version))
    group_priority, version_priority = known or _CUSTOM
    return APIService(
        metadata=ObjectMeta(
            name=f"{version}.{group}", labels={AUTOMANAGED: "onstart" if known is not None else "true"}
        ),
        spec=APIServiceSpec(
            group=group or None,
            version=version,
            group_priority_minimum=group_priority,
            version_priority=version_priority,
        ),
    )
