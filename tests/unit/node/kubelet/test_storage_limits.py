"""Limits of local storage: what counts as too much, and what becomes of the pod."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pybernetes.node.cri import types as t
from pybernetes.node.kubelet.storage_limits import bounded, excess
from tests.unit.node.kubelet.world import World, condition, pod, ready

MIB = 1 << 20


def limited(amount: str) -> dict[str, dict[str, dict[str, str]]]:
    return {"resources": {"limits": {"ephemeral-storage": amount}}}


TWO = pod("p", {"name": "a", **limited("5Mi")}, {"name": "b", **limited("3Mi")})
OPEN = pod("p", {"name": "a", **limited("5Mi")}, {"name": "b"})
WITH_DIRECTORY = pod("p", {"name": "a"}, volumes=[{"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}}])


def test_what_is_too_much() -> None:
    assert excess(TWO, {"tmp": MIB}, {"a": 4 * MIB, "b": 3 * MIB}) == ""
    assert excess(TWO, {"tmp": 2 * MIB}, {"a": 4 * MIB, "b": 3 * MIB}) == (
        "Pod ephemeral local storage usage exceeds the total limit of containers 8Mi. "
    )
    assert excess(TWO, {}, {"a": MIB, "b": 4 * MIB}) == 'Container b exceeded its local ephemeral storage limit "3Mi". '
    assert excess(OPEN, {}, {"a": 0, "b": 6 * MIB}) == (
        "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. "
    )
    assert excess(WITH_DIRECTORY, {"tmp": 2 * MIB}, {}) == 'Usage of EmptyDir volume "tmp" exceeds the limit "1Mi". '
    assert [bounded(p) for p in (TWO, WITH_DIRECTORY, pod("p"))] == [True, True, False]


async def test_a_writable_layer_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with World(tmp_path) as world:
        stats = world.runtime.list_container_stats

        async def list_container_stats() -> list[t.ContainerStats]:
            full = t.FilesystemUsage(used_bytes=10 * MIB)
            return [msgspec.structs.replace(one, writable_layer=full) for one in await stats()]

        await world.create(pod("p", {"name": "main", **limited("5Mi")}))
        await world.create(pod("free"))
        await world.until("p", ready)
        monkeypatch.setattr(world.runtime, "list_container_stats", list_container_stats)
        found = await world.until("p", lambda p: p.status.phase == "Failed")
        assert found.status.reason == "Evicted"
        assert found.status.message == "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. "
        assert condition(found, "DisruptionTarget")[:2] == ("True", "TerminationByKubelet")
        assert not [p for p in world.seen if p.status.phase == "Running" and p.status.reason]
        assert ready(await world.get("free"))
