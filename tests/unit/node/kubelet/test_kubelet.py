"""A pod's way through a kubelet, against a real API server and the fake runtime."""

from __future__ import annotations

from pathlib import Path

from pybernetes.aio import clock
from tests.unit.node.kubelet.world import World, condition, pod, ready


async def test_pod_runs_and_is_deleted(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("web"))
        found = await world.until("web", ready)
        status = found.status
        assert status.phase == "Running" and status.host_ip == "10.0.0.1" and status.pod_ip == "10.244.0.2"
        assert status.qos_class == "BestEffort" and status.start_time == "2026-01-01T00:00:00Z"
        assert [c.type for c in status.conditions or ()] == [
            "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
        ]  # fmt: skip
        assert status.container_statuses and status.container_statuses[0].started
        assert status.container_statuses[0].container_id and status.container_statuses[0].container_id.startswith("fake://")
        await world.delete("web")
        await world.until_gone("web")
        assert await world.runtime.list_pod_sandboxes() == []
        assert not list((tmp_path / "kubelet" / "pods").iterdir())
        reasons = [reason for reason, _ in await world.events("web")]
        assert reasons == ["Pulled", "Created", "Started", "Killing"]


async def test_crash_loop(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("bad", {"name": "main", "command": ["false"]}))
        found = await world.until(
            "bad", lambda p: p.status.container_statuses and p.status.container_statuses[0].state.waiting
            and p.status.container_statuses[0].state.waiting.reason == "CrashLoopBackOff"
        )  # fmt: skip
        status = found.status.container_statuses[0]
        assert status.restart_count == 1 and found.status.phase == "Running"
        assert status.state.waiting.message == (
            f"back-off 10s restarting failed container=main pod=bad_default({found.metadata.uid})"
        )
        assert status.last_state.terminated.exit_code == 1 and status.last_state.terminated.reason == "Error"
        begin = clock.monotonic()
        await world.until("bad", lambda p: p.status.container_statuses[0].restart_count == 5)
        assert 10 + 20 + 40 + 80 <= clock.monotonic() - begin < 152
        found = await world.until("bad", lambda p: p.status.container_statuses[0].state.waiting)
        assert condition(found, "Ready") == (
            "False", "ContainersNotReady", "containers with unready status: [main]"
        )  # fmt: skip
