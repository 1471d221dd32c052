"""The status of a pod out of what the kubelet knows."""

from __future__ import annotations

import pytest

from pybernetes.node.kubelet import status
from pybernetes.node.kubelet.state import CREATED, EXITED, RUNNING, PodState, Run
from tests.unit.node.kubelet.world import pod


@pytest.mark.parametrize("latest", [CREATED, RUNNING, EXITED])
def test_a_pod_whose_init_container_is_tried_again_is_pending(latest: str) -> None:
    one = pod("p", {"name": "main"}, initContainers=[{"name": "init", "image": "x"}])
    runs = [
        Run("1", "init", 0, "s", state=EXITED, exit_code=1, finished_at=5),
        Run("2", "init", 1, "s", state=latest, exit_code=1 if latest == EXITED else 0, finished_at=7),
    ]
    assert status.make(one, PodState(runs={"init": runs}), 10, ["192.0.2.1"]).phase == "Pending"


def test_a_pod_whose_init_container_failed_for_good_has_failed() -> None:
    init = [{"name": "init", "image": "x"}]
    one = pod("p", {"name": "main"}, initContainers=init, restartPolicy="Never")
    runs = [Run("1", "init", 0, "s", state=EXITED, exit_code=1, finished_at=5)]
    assert status.make(one, PodState(runs={"init": runs}), 10, ["192.0.2.1"]).phase == "Failed"
