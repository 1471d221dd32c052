"""What every container runtime must do: one suite for the real one and the one in memory.

A test file gives a factory (an async context manager of `World`) and gets one test for each `check_*` here:

    @pytest.mark.parametrize("check", runtime_contract.CHECKS)
    async def test_contract(check): ...
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from pybernetes.node.cri import ContainerRuntime, CRIError, DeadlineExceeded, ImagePullError, NotFound
from pybernetes.node.cri import types as t

_numbers = itertools.count(1)


@dataclass
class World:
    """A runtime with an image that has a shell, and where logs may go."""

    runtime: ContainerRuntime
    image: str = "docker.io/library/busybox:latest"
    log_directory: str = ""
    cgroup_parent: str = "/contract"
    labels: dict[str, str] = field(default_factory=lambda: {"suite": "contract"})

    def sandbox(self, name: str = "", **changes: object) -> t.PodSandboxConfig:
        name = name or f"pod-{next(_numbers)}"
        changes.setdefault("linux", t.LinuxPodSandboxConfig(cgroup_parent=self.cgroup_parent))
        return t.PodSandboxConfig(
            metadata=t.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default"),
            hostname=name,
            log_directory=self.log_directory,
            labels={**self.labels, "pod": name},
            annotations={"note": name},
            **changes,  # type: ignore[arg-type]
        )

    def container(self, *command: str, name: str = "main", attempt: int = 0) -> t.ContainerConfig:
        return t.ContainerConfig(
            metadata=t.ContainerMetadata(name=name, attempt=attempt),
            image=t.ImageSpec(image=self.image),
            command=list(command),
            labels={**self.labels, "container": name},
            log_path=f"{name}-{next(_numbers)}.log" if self.log_directory else "",
        )

    @asynccontextmanager
    async def pod(self) -> AsyncIterator[tuple[str, t.PodSandboxConfig]]:
        config = self.sandbox()
        id = await self.runtime.run_pod_sandbox(config)
        try:
            yield id, config
        finally:
            await self.runtime.remove_pod_sandbox(id)

    async def start(self, pod: tuple[str, t.PodSandboxConfig], *command: str, name: str = "main") -> str:
        id = await self.runtime.create_container(pod[0], self.container(*command, name=name), pod[1])
        await self.runtime.start_container(id)
        return id

    @asynccontextmanager
    async def listening(
        self, seconds: float = 20
    ) -> AsyncIterator[Callable[[str, t.EventKind], Awaitable[t.ContainerEvent]]]:
        """A function that waits for the next event of this id and kind."""
        async with aclosing(self.runtime.events()) as events:
            first = await anext(events)
            assert first.kind is t.EventKind.SUBSCRIBED and first.container_id == ""

            async def until(id: str, kind: t.EventKind) -> t.ContainerEvent:
                async with asyncio.timeout(seconds):
                    async for event in events:
                        if event.container_id == id and event.kind is kind:
                            return event
                raise AssertionError("the stream ended")

            yield until


async def check_version_and_conditions(world: World) -> None:
    version = await world.runtime.version()
    assert version.runtime_name and version.runtime_api_version.startswith("v1")
    status = await world.runtime.status()
    assert status.condition("RuntimeReady").status
    assert status.condition("NetworkReady").status
    assert not status.condition("Imaginary").status


async def check_sandbox_life(world: World) -> None:
    runtime, config = world.runtime, world.sandbox()
    id = await runtime.run_pod_sandbox(config)
    try:
        status = await runtime.pod_sandbox_status(id)
        assert status.state is t.PodSandboxState.READY
        assert status.metadata == config.metadata
        assert status.labels == config.labels and status.annotations == config.annotations
        assert status.created_at > 1_500_000_000 * 10**9
        assert len(status.ips) >= 1
        with pytest.raises(CRIError):
            await runtime.run_pod_sandbox(config)
        await runtime.stop_pod_sandbox(id)
        await runtime.stop_pod_sandbox(id)
        assert (await runtime.pod_sandbox_status(id)).state is t.PodSandboxState.NOTREADY
    finally:
        await runtime.remove_pod_sandbox(id)
    await runtime.remove_pod_sandbox(id)
    await runtime.stop_pod_sandbox(id)
    with pytest.raises(NotFound):
        await runtime.pod_sandbox_status(id)


async def check_sandbox_lists(world: World) -> None:
    async with world.pod() as (first, config), world.pod() as (second, _):
        found = await world.runtime.list_pod_sandboxes(labels=world.labels)
        assert {first, second} <= {s.id for s in found}
        assert [s.id for s in await world.runtime.list_pod_sandboxes(id=second)] == [second]
        assert [s.id for s in await world.runtime.list_pod_sandboxes(labels={"pod": config.metadata.name})] == [first]
        await world.runtime.stop_pod_sandbox(first)
        ready = await world.runtime.list_pod_sandboxes(state=t.PodSandboxState.READY, labels=world.labels)
        assert second in {s.id for s in ready} and first not in {s.id for s in ready}
        stopped = await world.runtime.list_pod_sandboxes(state=t.PodSandboxState.NOTREADY, labels=world.labels)
        assert first in {s.id for s in stopped}


async def check_two_pods_have_two_addresses(world: World) -> None:
    async with world.pod() as (first, _), world.pod() as (second, _):
        one = await world.runtime.pod_sandbox_status(first)
        two = await world.runtime.pod_sandbox_status(second)
        assert one.ips[0] != two.ips[0]


async def check_container_life(world: World) -> None:
    runtime = world.runtime
    async with world.pod() as pod:
        config = world.container("sleep", "3600")
        id = await runtime.create_container(pod[0], config, pod[1])
        created = await runtime.container_status(id)
        assert created.state is t.ContainerState.CREATED and created.started_at == 0
        with pytest.raises(CRIError):
            await runtime.create_container(pod[0], config, pod[1])
        await runtime.start_container(id)
        running = await runtime.container_status(id)
        assert running.state is t.ContainerState.RUNNING
        assert running.metadata == config.metadata and running.labels == config.labels
        assert running.started_at >= created.created_at > 0 and running.finished_at == 0
        assert running.image_ref
        with pytest.raises(CRIError):
            await runtime.start_container(id)
        await runtime.stop_container(id, 0)
        await runtime.stop_container(id, 5)
        exited = await runtime.container_status(id)
        assert exited.state is t.ContainerState.EXITED
        assert exited.exit_code == 137 and exited.reason == "Error"
        assert exited.finished_at >= exited.started_at
        await runtime.remove_container(id)
        await runtime.remove_container(id)
        await runtime.stop_container(id)
        with pytest.raises(NotFound):
            await runtime.container_status(id)


async def check_exit_codes_and_reasons(world: World) -> None:
    async with world.pod() as pod, world.listening() as until:
        good = await world.start(pod, "true", name="good")
        assert (await until(good, t.EventKind.EXITED)).exit_code == 0
        bad = await world.start(pod, "sh", "-c", "exit 3", name="bad")
        event = await until(bad, t.EventKind.EXITED)
        assert event.exit_code == 3 and event.at > 0
        status = await world.runtime.container_status(bad)
        assert (status.state, status.exit_code, status.reason) == (t.ContainerState.EXITED, 3, "Error")
        status = await world.runtime.container_status(good)
        assert (status.state, status.exit_code, status.reason) == (t.ContainerState.EXITED, 0, "Completed")


async def check_events_precede_nothing(world: World) -> None:
    """After an event the change is visible; starts come before exits; sandboxes have events as well."""
    async with world.listening() as until:
        async with world.pod() as pod:
            await until(pod[0], t.EventKind.STARTED)
            id = await world.start(pod, "sleep", "0.2")
            await until(id, t.EventKind.STARTED)
            await until(id, t.EventKind.EXITED)
            assert (await world.runtime.container_status(id)).state is t.ContainerState.EXITED
            await world.runtime.stop_pod_sandbox(pod[0])
            await until(pod[0], t.EventKind.EXITED)
            assert (await world.runtime.pod_sandbox_status(pod[0])).state is t.PodSandboxState.NOTREADY


async def check_two_subscribers(world: World) -> None:
    async with world.listening() as one, world.listening() as two, world.pod() as pod:
        id = await world.start(pod, "true")
        assert (await one(id, t.EventKind.EXITED)).exit_code == 0
        assert (await two(id, t.EventKind.EXITED)).exit_code == 0


async def check_container_lists(world: World) -> None:
    runtime = world.runtime
    async with world.pod() as pod, world.pod() as other, world.listening() as until:
        runs = await world.start(pod, "sleep", "3600", name="runs")
        done = await world.start(pod, "true", name="done")
        elsewhere = await world.start(other, "sleep", "3600", name="runs")
        await until(done, t.EventKind.EXITED)
        in_pod = await runtime.list_containers(pod_sandbox_id=pod[0])
        assert {c.id for c in in_pod} == {runs, done}
        assert all(c.pod_sandbox_id == pod[0] for c in in_pod)
        running = await runtime.list_containers(pod_sandbox_id=pod[0], state=t.ContainerState.RUNNING)
        assert [c.id for c in running] == [runs]
        assert [c.id for c in await runtime.list_containers(id=elsewhere)] == [elsewhere]
        by_label = await runtime.list_containers(labels={**world.labels, "container": "runs"})
        assert {runs, elsewhere} <= {c.id for c in by_label}
        assert done not in {c.id for c in by_label}


async def check_restart_is_a_new_attempt(world: World) -> None:
    runtime = world.runtime
    async with world.pod() as pod, world.listening() as until:
        first = await world.start(pod, "false")
        await until(first, t.EventKind.EXITED)
        second = await runtime.create_container(pod[0], world.container("sleep", "3600", attempt=1), pod[1])
        await runtime.start_container(second)
        states = {c.metadata.attempt: c.state for c in await runtime.list_containers(pod_sandbox_id=pod[0])}
        assert states == {0: t.ContainerState.EXITED, 1: t.ContainerState.RUNNING}


async def check_stopping_a_sandbox_stops_its_containers(world: World) -> None:
    async with world.pod() as pod:
        id = await world.start(pod, "sleep", "3600")
        await world.runtime.stop_pod_sandbox(pod[0])
        status = await world.runtime.container_status(id)
        assert status.state is t.ContainerState.EXITED and status.exit_code == 137


async def check_removing_a_sandbox_removes_its_containers(world: World) -> None:
    async with world.pod() as pod:
        id = await world.start(pod, "sleep", "3600")
        await world.runtime.remove_pod_sandbox(pod[0])
        with pytest.raises(NotFound):
            await world.runtime.container_status(id)
        assert await world.runtime.list_containers(pod_sandbox_id=pod[0]) == []


async def check_removing_a_running_container_kills_it(world: World) -> None:
    async with world.pod() as pod:
        id = await world.start(pod, "sleep", "3600")
        await world.runtime.remove_container(id)
        assert await world.runtime.list_containers(id=id) == []


async def check_exec(world: World) -> None:
    runtime = world.runtime
    async with world.pod() as pod:
        id = await world.start(pod, "sleep", "3600")
        assert await runtime.exec_sync(id, ["echo", "hi", "there"]) == t.ExecResult(stdout=b"hi there\n")
        assert (await runtime.exec_sync(id, ["sh", "-c", "exit 7"])).exit_code == 7
        assert (await runtime.exec_sync(id, ["false"], timeout=5)).exit_code == 1
        with pytest.raises(DeadlineExceeded):
            await runtime.exec_sync(id, ["sleep", "60"], timeout=1)
        await runtime.stop_container(id, 0)
        with pytest.raises(CRIError):
            await runtime.exec_sync(id, ["true"])


async def check_stats(world: World) -> None:
    runtime = world.runtime
    async with world.pod() as pod:
        id = await world.start(pod, "sleep", "3600")
        stats = await runtime.container_stats(id)
        assert stats.attributes.id == id and stats.attributes.metadata.name == "main"
        assert stats.memory is not None and (stats.memory.working_set_bytes or 0) > 0
        assert stats.cpu is not None and stats.cpu.usage_core_nano_seconds is not None
        listed = await runtime.list_container_stats(pod_sandbox_id=pod[0])
        assert [s.attributes.id for s in listed] == [id]
        pod_stats = await runtime.pod_sandbox_stats(pod[0])
        assert pod_stats.attributes.id == pod[0]
        with pytest.raises(NotFound):
            await runtime.container_stats("0" * 64)


async def check_resources_can_change(world: World) -> None:
    async with world.pod() as pod:
        id = await world.start(pod, "sleep", "3600")
        await world.runtime.update_container_resources(id, t.LinuxContainerResources(cpu_shares=512))
        with pytest.raises(NotFound):
            await world.runtime.update_container_resources("0" * 64, t.LinuxContainerResources(cpu_shares=512))


async def check_unknown_things_are_not_found(world: World) -> None:
    runtime, nobody = world.runtime, "0" * 64
    for call in (
        runtime.container_status(nobody),
        runtime.pod_sandbox_status(nobody),
        runtime.start_container(nobody),
        runtime.exec_sync(nobody, ["true"]),
        runtime.create_container(nobody, world.container("true"), world.sandbox()),
    ):
        with pytest.raises(NotFound):
            await call
    assert await runtime.list_containers(id=nobody) == []


async def check_image_must_be_present(world: World) -> None:
    async with world.pod() as pod:
        config = t.ContainerConfig(
            metadata=t.ContainerMetadata(name="main"), image=t.ImageSpec(image="docker.io/library/not-pulled:1")
        )
        with pytest.raises(NotFound):
            await world.runtime.create_container(pod[0], config, pod[1])


async def check_images(world: World) -> None:
    runtime = world.runtime
    image = await runtime.image_status(world.image)
    assert image is not None and world.image in image.repo_tags and image.size > 0
    assert await runtime.image_status(image.id) == image
    assert await runtime.image_status("busybox") == image
    assert image in await runtime.list_images()
    assert await runtime.image_status("docker.io/library/not-here:1") is None
    await runtime.remove_image("docker.io/library/not-here:1")
    with pytest.raises(ImagePullError) as caught:
        await runtime.pull_image("invalid.invalid/no-such-image:1")
    assert "invalid.invalid/no-such-image:1" in caught.value.message
    usage = (await runtime.image_fs_info()).image_filesystems[0]
    assert usage.used_bytes is not None and usage.fs_id is not None


async def check_many_at_once(world: World) -> None:
    async def one(number: int) -> str:
        async with world.pod() as pod, world.listening() as until:
            id = await world.start(pod, "sleep", "3600", name=f"c{number}")
            await world.runtime.stop_container(id, 0)
            assert (await until(id, t.EventKind.EXITED)).exit_code == 137
            return id

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(4)]
    assert len({task.result() for task in tasks}) == 4


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
