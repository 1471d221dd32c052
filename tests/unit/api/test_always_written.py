"""What upstream writes although nobody set it: structs and times that are no pointers, lists without omitempty.

A client that compares whole objects, or patches a field with a JSON patch, sees `null` and absent as two things.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pybernetes.api import (
    authentication_v1,
    autoscaling_v2,
    core_v1,
    events_v1,
    flowcontrol_v1,
    networking_v1,
    policy_v1,
    resource_v1,
    storage_v1,
)
from pybernetes.machinery import codec
from pybernetes.machinery.meta import Condition

NO_TIMES = {"lastProbeTime": None, "lastTransitionTime": None}


@pytest.mark.parametrize(
    ("type_", "written"),
    [
        (Condition, {"lastTransitionTime": None}),
        (core_v1.PodCondition, NO_TIMES),
        (core_v1.PersistentVolumeClaimCondition, NO_TIMES),
        (core_v1.NodeCondition, {"lastHeartbeatTime": None, "lastTransitionTime": None}),
        (core_v1.ContainerStatus, {"state": {}, "lastState": {}}),
        (core_v1.ContainerStateRunning, {"startedAt": None}),
        (core_v1.ContainerStateTerminated, {"startedAt": None, "finishedAt": None, "exitCode": 0}),
        (core_v1.TypedLocalObjectReference, {"apiGroup": None}),
        (core_v1.PersistentVolumeClaimTemplate, {"metadata": {}, "spec": {"resources": {}}}),
        (core_v1.Event, {"eventTime": None, "firstTimestamp": None, "lastTimestamp": None, "source": {}}),
        (core_v1.Event, {"reportingComponent": "", "reportingInstance": ""}),
        (events_v1.Event, {"eventTime": None, "regarding": {}, "deprecatedSource": {}}),
        (networking_v1.IngressServiceBackend, {"port": {}}),
        (policy_v1.PodDisruptionBudgetStatus, {"disruptionsAllowed": 0, "currentHealthy": 0, "expectedPods": 0}),
        (autoscaling_v2.HorizontalPodAutoscalerStatus, {"currentMetrics": None}),
        (authentication_v1.TokenReviewStatus, {"user": {}}),
        (flowcontrol_v1.ResourcePolicyRule, {"namespaces": None}),
        (resource_v1.AllocationResult, {"devices": {}}),
        (resource_v1.ResourceClaimSpec, {"devices": {"requests": None}}),
        (storage_v1.CSINodeDriver, {"topologyKeys": None}),
        (storage_v1.VolumeError, {"time": None}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_is_written_when_nobody_set_it(type_: type[msgspec.Struct], written: dict[str, Any]) -> None:
    told = msgspec.json.decode(codec.encode(codec.decode(type_, b"{}")))
    assert {name: told.get(name, "absent") for name in written} == written
