"""The simulation is only worth its time if it finds bugs: here are some, planted into controllers."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api.apps_v1 import StatefulSet
from pybernetes.api.batch_v1 import Job
from pybernetes.api.core_v1 import Pod
from pybernetes.control_plane.controllers.garbage import GarbageCollector
from pybernetes.control_plane.controllers.job import JobController
from pybernetes.control_plane.controllers.statefulset import StatefulSetController

from .test_simulation import simulate


async def found(likely: int) -> None:
    """One of these runs fails; `likely` is the first that did when this was written."""
    for seed in (likely, *range(30)):
        try:
            await simulate(seed)
        except AssertionError:
            return
    raise RuntimeError("the bug was not found")


async def test_a_job_that_forgets_what_it_has_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: JobController, job: Job) -> None:
        """Pods are let go before it is written that they are counted."""

    monkeypatch.setattr(JobController, "_write_interim", nothing)
    await found(likely=16)


async def test_a_stateful_set_that_does_not_wait_for_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forced(self: StatefulSetController, owner: StatefulSet, pod: Pod) -> None:
        await self.client.resource(Pod).delete(pod.metadata.name, pod.metadata.namespace, grace_period=0)

    monkeypatch.setattr(StatefulSetController, "_delete", forced)
    await found(likely=2)


async def test_a_collector_that_takes_the_dead_for_living(monkeypatch: pytest.MonkeyPatch) -> None:
    state_of = GarbageCollector._state_of

    async def blind(self: GarbageCollector, *about: Any) -> str:
        state = await state_of(self, *about)
        return "solid" if state == "dangling" else state

    monkeypatch.setattr(GarbageCollector, "_state_of", blind)
    await found(likely=0)
