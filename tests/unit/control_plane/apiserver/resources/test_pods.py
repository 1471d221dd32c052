"""What the status of a pod keeps when a writer leaves something out."""

from __future__ import annotations

from pybernetes.api.core_v1 import PodCondition, PodStatus
from pybernetes.control_plane.apiserver.resources.pods import keep_generations


def test_observed_generations_are_not_forgotten() -> None:
    before = PodStatus(
        observed_generation=3, conditions=[PodCondition(type="Ready", status="True", observed_generation=2)]
    )
    status = PodStatus(
        conditions=[PodCondition(type="Ready", status="False"), PodCondition(type="example.com/own", status="True")]
    )
    keep_generations(status, before)
    assert status.observed_generation == 3
    assert status.conditions and [c.observed_generation for c in status.conditions] == [2, None]
    status.observed_generation = status.conditions[0].observed_generation = 4
    keep_generations(status, before)
    assert (status.observed_generation, status.conditions[0].observed_generation) == (4, 4)
