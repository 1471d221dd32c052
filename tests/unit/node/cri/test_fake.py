"""The runtime in memory: the contract, and what only it can do."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from pybernetes.aio import clock
from pybernetes.node.cri import CRIError, InvalidArgument, Unavailable, Unsupported
from pybernetes.node.cri import types as t
from pybernetes.node.cri.fake import Config, FakeRuntime
from pybernetes.node.cri.fake_programs import Behaviour, Launch
from pybernetes.node.cri.runtime import ContainerRuntime
from tests.suites import runtime_contract
from tests.suites.runtime_contract import World


def world(**config: object) -> World:
    return World(FakeRuntime(Config(images=("busybox",), **config)))  # type: ignore[arg-type]


@pytest.mark.parametrize("check", runtime_contract.CHECKS)
async def test_contract(check: Callable[[World], Awaitable[None]]) -> None:
    await check(world())


def test_it_is_a_container_runtime() -> None:
    runtime: ContainerRuntime = FakeRuntime()
    assert runtime is not None


async def test_a_container_ends_when_its_time_has_come() -> None:
    w = world()
    async with w.pod() as pod, w.listening(100) as until:
        start = clock.monotonic()
        id = await w.start(pod, "sh", "-c", "echo one; sleep 90; exit 4")
        event = await until(id, t.EventKind.EXITED)
        assert event.exit_code == 4
        assert clock.monotonic() - start == pytest.approx(90, abs=0.01)
        assert isinstance(w.runtime, FakeRuntime)
        assert w.runtime.log(id).endswith(b" stdout F one\n")


async def test_a_container_that_ignores_the_signal_is_killed_after_the_grace_period() -> None:
    w = world(behaviour=lambda launch: Behaviour(ignores_stop=True))
    async with w.pod() as pod:
        id = await w.start(pod, "stubborn")
        start = clock.monotonic()
        await w.runtime.stop_container(id, 30)
        assert clock.monotonic() - start == pytest.approx(30)
        assert (await w.runtime.container_status(id)).exit_code == 137


async def test_annotations_tell_a_container_what_to_do() -> None:
    w = world()
    config = w.sandbox()
    notes = {
        "fake.pybernetes.io/oom": "true",
        "fake.pybernetes.io/exit-after": "5",
        "fake.pybernetes.io/oom.calm": "no",
    }
    config = t.PodSandboxConfig(metadata=config.metadata, annotations=notes)
    sandbox = await w.runtime.run_pod_sandbox(config)
    async with w.listening() as until:
        id = await w.start((sandbox, config), "server", name="greedy")
        calm = await w.start((sandbox, config), "server", name="calm")
        await until(id, t.EventKind.OOM)
        assert (await until(id, t.EventKind.EXITED)).exit_code == 137
        assert (await w.runtime.container_status(id)).reason == "OOMKilled"
        assert (await w.runtime.container_status(calm)).state is t.ContainerState.RUNNING


async def test_a_wrong_annotation_fails_the_start() -> None:
    w = world()
    config = t.PodSandboxConfig(
        metadata=t.PodSandboxMetadata(name="a", uid="a"), annotations={"fake.pybernetes.io/colour": "red"}
    )
    sandbox = await w.runtime.run_pod_sandbox(config)
    id = await w.runtime.create_container(sandbox, w.container("x"), config)
    with pytest.raises(CRIError, match="colour is not known"):
        await w.runtime.start_container(id)
    status = await w.runtime.container_status(id)
    assert (status.state, status.exit_code, status.reason) == (t.ContainerState.EXITED, 128, "StartError")


async def test_exec_is_programmable() -> None:
    def answer(launch: Launch, command: object) -> t.ExecResult:
        return t.ExecResult(stdout=f"{launch.container}:{command}".encode())

    w = world(on_exec=answer)
    async with w.pod() as pod:
        id = await w.start(pod, "server")
        assert (await w.runtime.exec_sync(id, ["hostname"])).stdout == b"main:['hostname']"


async def test_a_runtime_that_is_down_answers_nothing_and_keeps_its_containers() -> None:
    w = world()
    runtime = w.runtime
    assert isinstance(runtime, FakeRuntime)
    async with w.pod() as pod:
        id = await w.start(pod, "server")
        async with aclosing(runtime.events()) as events:
            await anext(events)
            runtime.set_available(False)
            with pytest.raises(Unavailable):
                await anext(events)
        with pytest.raises(Unavailable):
            await runtime.list_containers()
        runtime.set_available(True)
        assert (await runtime.container_status(id)).state is t.ContainerState.RUNNING


async def test_addresses_come_again_only_when_the_range_is_used_up() -> None:
    w = world(pod_cidr="10.1.2.0/29")  # .2 to .6
    async with w.pod() as (first, _):
        assert (await w.runtime.pod_sandbox_status(first)).ips == ["10.1.2.2"]
    seen = []
    for _ in range(5):
        async with w.pod() as (id, _):
            seen += (await w.runtime.pod_sandbox_status(id)).ips
    assert seen == ["10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6", "10.1.2.2"]
    ids = [await w.runtime.run_pod_sandbox(w.sandbox()) for _ in range(5)]
    with pytest.raises(CRIError, match="no addresses left"):
        await w.runtime.run_pod_sandbox(w.sandbox())
    assert len(ids) == 5


async def test_pods_in_the_nodes_network_have_no_address() -> None:
    w = world()
    options = t.NamespaceOption(network=t.NamespaceMode.NODE)
    linux = t.LinuxPodSandboxConfig(security_context=t.LinuxSandboxSecurityContext(namespace_options=options))
    id = await w.runtime.run_pod_sandbox(w.sandbox(linux=linux))
    status = await w.runtime.pod_sandbox_status(id)
    assert status.ips == []
    assert status.linux and status.linux.namespaces and status.linux.namespaces.options == options


async def test_refusals() -> None:
    runtime = FakeRuntime()
    with pytest.raises(InvalidArgument):
        await runtime.run_pod_sandbox(t.PodSandboxConfig())
    with pytest.raises(CRIError, match='no runtime for "gvisor"'):
        await runtime.run_pod_sandbox(World(runtime).sandbox(), "gvisor")
    id = await runtime.run_pod_sandbox(World(runtime).sandbox())
    with pytest.raises(Unsupported):
        await runtime.port_forward_url(id)


async def test_logs_reach_the_disk_when_asked(tmp_path: object) -> None:
    w = world(write_logs=True)
    w.log_directory = str(tmp_path)
    async with w.pod() as pod, w.listening() as until:
        id = await w.start(pod, "echo", "hello")
        await until(id, t.EventKind.EXITED)
        path = (await w.runtime.container_status(id)).log_path
        with open(path) as file:  # noqa: ASYNC230
            assert file.read() == "2026-01-01T00:00:00.000000Z stdout F hello\n"


async def test_ten_thousand_pods_are_cheap() -> None:
    w = world(pod_cidr="10.0.0.0/8")
    tracemalloc.start()
    try:
        for _ in range(1000):
            config = w.sandbox()
            await w.start((await w.runtime.run_pod_sandbox(config), config), "server")
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / 1000 < 6000  # bytes each, of which the caller's own configs are the larger part
    assert len(asyncio.all_tasks()) == 1
