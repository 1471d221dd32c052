"""A container runtime in memory, of equal rank with the real one.

No process, no network: a container's life is decided when it starts (`fake_programs`) and played by the loop's
timers, so it follows virtual time and ten thousand pods cost a few kilobytes each and no task. Same rules, same
errors and the same events as the real runtime; `tests/suites/runtime_contract.py` judges both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pybernetes.aio import clock

from . import types as t
from .errors import (
    AlreadyExists,
    CRIError,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from .fake_images import FakeImages
from .fake_programs import Behaviour, Launch, behaviour_of, interpret
from .fake_records import (
    AddressPool,
    Container,
    Sandbox,
    network_mode,
    new_id,
    now,
    pod_stats_of,
    selected,
    state_of,
    stats_of,
)

Exec = Callable[[Launch, Sequence[str]], "t.ExecResult | Awaitable[t.ExecResult]"]


def run_command(launch: Launch, command: Sequence[str]) -> t.ExecResult:
    """The default for exec: the known programs do what they do, all others succeed and say nothing."""
    behaviour = interpret(command, launch.env)
    return t.ExecResult(stdout=behaviour.output, exit_code=behaviour.exit_code or 0)


@dataclass(frozen=True)
class Config:
    """How the fake world is."""

    #: Range of pod addresses until `update_runtime_config` names another. The first address is the gateway's.
    pod_cidr: str = "10.244.0.0/16"
    #: Images present from the start.
    images: tuple[str, ...] = ()
    #: Patterns (of the name as written) of images that no registry has.
    missing_images: tuple[str, ...] = ("*does-not-exist*", "*doesnotexist*", "*nonexistent*", "invalid.*")
    #: Seconds that a pull, a sandbox and a start take. 0: done when the call returns, without yielding.
    pull_seconds: float = 0.0
    sandbox_seconds: float = 0.0
    start_seconds: float = 0.0
    #: Decides what a container does. Called once at each start.
    behaviour: Callable[[Launch], Behaviour] = behaviour_of
    #: Answers exec_sync, in place of a process.
    on_exec: Exec = run_command
    #: Write container output to `log_directory/log_path` as a real runtime does. Off: `FakeRuntime.log()` only.
    write_logs: bool = False
    #: Base URL of a streaming server for exec, attach and port-forward; empty: these are Unsupported.
    streaming_url: str = ""


class FakeRuntime(FakeImages):
    """`runtime.ContainerRuntime` in memory."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config = config or Config()
        super().__init__(config.images, config.missing_images, config.pull_seconds)
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._names: dict[t.PodSandboxMetadata, str] = {}
        self._subscribers: set[asyncio.Queue[t.ContainerEvent | None]] = set()
        self._addresses = AddressPool(config.pod_cidr)
        self._up = True

    # --- what tests turn ---

    def set_available(self, up: bool) -> None:
        """Stop or resume answering: every call raises Unavailable, event streams end; containers live on."""
        self._up = up
        if not up:
            for queue in self._subscribers:
                queue.put_nowait(None)

    def exit_container(self, container_id: str, exit_code: int = 0, *, oom: bool = False) -> None:
        """End a running container now, as if its process had exited. Raises NotFound."""
        self._exit(self._container(container_id), exit_code, oom=oom)

    def kill_sandbox(self, pod_sandbox_id: str) -> None:
        """End a sandbox and all in it, as if someone had killed the pause process. Raises NotFound."""
        self._down(self._sandbox(pod_sandbox_id))

    def log(self, container_id: str) -> bytes:
        """What a container has written, in the CRI's log format. Raises NotFound."""
        return self._container(container_id).log

    # --- the runtime ---

    async def version(self) -> t.Version:
        self._check()
        return t.Version(version="0.1.0", runtime_name="fake", runtime_version="1.0.0", runtime_api_version="v1")

    async def status(self, *, verbose: bool = False) -> t.RuntimeStatus:
        self._check()
        return t.RuntimeStatus(
            conditions=[
                t.RuntimeCondition(type="RuntimeReady", status=True),
                t.RuntimeCondition(type="NetworkReady", status=True),
            ],
            handlers=[t.RuntimeHandler()],
            info={"containers": str(len(self._containers))} if verbose else {},
        )

    async def update_runtime_config(self, pod_cidr: str) -> None:
        self._check()
        if pod_cidr:
            self._addresses = AddressPool(pod_cidr.split(",")[0])

    async def cgroup_driver(self) -> t.CgroupDriver | None:
        return t.CgroupDriver.CGROUPFS

    async def events(self) -> AsyncGenerator[t.ContainerEvent, None]:
        self._check()
        queue: asyncio.Queue[t.ContainerEvent | None] = asyncio.Queue()
        self._subscribers.add(queue)
        try:
            yield t.ContainerEvent(container_id="", kind=t.EventKind.SUBSCRIBED, at=now())
            while (event := await queue.get()) is not None:
                yield event
            raise Unavailable("the event stream ended")
        finally:
            self._subscribers.discard(queue)

    async def close(self) -> None:
        for container in self._containers.values():
            if container.timer is not None:
                container.timer.cancel()

    # --- sandboxes ---

    async def run_pod_sandbox(self, config: t.PodSandboxConfig, runtime_handler: str = "") -> str:
        self._check()
        if not config.metadata.name or not config.metadata.uid:
            raise InvalidArgument("sandbox config must include metadata")
        if runtime_handler:
            raise CRIError(f'no runtime for "{runtime_handler}" is configured')
        if config.metadata in self._names:
            raise AlreadyExists(f"pod sandbox {config.metadata.name} is reserved for {self._names[config.metadata]}")
        sandbox = Sandbox(new_id(), config, runtime_handler, "", now())
        self._names[config.metadata] = sandbox.id
        if self.config.sandbox_seconds:
            try:
                await clock.sleep(self.config.sandbox_seconds)
            except BaseException:
                del self._names[config.metadata]
                raise
        if network_mode(config) is not t.NamespaceMode.NODE:
            sandbox.ip = self._addresses.allocate()
        self._sandboxes[sandbox.id] = sandbox
        self._publish(sandbox.id, t.EventKind.STARTED)
        return sandbox.id

    async def stop_pod_sandbox(self, pod_sandbox_id: str) -> None:
        self._check()
        if sandbox := self._sandboxes.get(pod_sandbox_id):
            self._down(sandbox)

    async def remove_pod_sandbox(self, pod_sandbox_id: str) -> None:
        self._check()
        if sandbox := self._sandboxes.get(pod_sandbox_id):
            self._down(sandbox)
            for container_id in sandbox.containers:
                del self._containers[container_id]
            del self._sandboxes[pod_sandbox_id]
            del self._names[sandbox.config.metadata]

    async def pod_sandbox_status(self, pod_sandbox_id: str) -> t.PodSandboxStatus:
        sandbox = self._sandbox(pod_sandbox_id)
        context = sandbox.config.linux.security_context if sandbox.config.linux else None
        options = (context.namespace_options if context else None) or t.NamespaceOption()
        return t.PodSandboxStatus(
            id=sandbox.id,
            metadata=sandbox.config.metadata,
            state=state_of(sandbox),
            created_at=sandbox.created_at,
            network=t.PodSandboxNetworkStatus(ip=sandbox.ip),
            linux=t.LinuxPodSandboxStatus(namespaces=t.Namespace(options=options)),
            labels=sandbox.config.labels,
            annotations=sandbox.config.annotations,
            runtime_handler=sandbox.handler,
        )

    async def list_pod_sandboxes(
        self, *, id: str = "", state: t.PodSandboxState | None = None, labels: Mapping[str, str] | None = None
    ) -> list[t.PodSandbox]:
        self._check()
        chosen: Iterable[Sandbox] = self._sandboxes.values()
        if id:
            chosen = [self._sandboxes[id]] if id in self._sandboxes else []
        return [
            t.PodSandbox(
                id=s.id,
                metadata=s.config.metadata,
                state=state_of(s),
                created_at=s.created_at,
                labels=s.config.labels,
                annotations=s.config.annotations,
                runtime_handler=s.handler,
            )
            for s in chosen
            if (state is None or state_of(s) is state) and selected(s.config.labels, labels)
        ]

    async def pod_sandbox_stats(self, pod_sandbox_id: str) -> t.PodSandboxStats:
        return pod_stats_of(self._sandbox(pod_sandbox_id))

    async def list_pod_sandbox_stats(self, *, labels: Mapping[str, str] | None = None) -> list[t.PodSandboxStats]:
        self._check()
        return [pod_stats_of(s) for s in self._sandboxes.values() if s.ready and selected(s.config.labels, labels)]

    async def port_forward_url(self, pod_sandbox_id: str, ports: Sequence[int] = ()) -> str:
        self._sandbox(pod_sandbox_id)
        return self._url("portforward", pod_sandbox_id)

    # --- containers ---

    async def create_container(
        self, pod_sandbox_id: str, config: t.ContainerConfig, sandbox_config: t.PodSandboxConfig
    ) -> str:
        sandbox = self._sandbox(pod_sandbox_id)
        if not config.metadata.name:
            raise InvalidArgument("container config must include metadata")
        if not sandbox.ready:
            raise CRIError(f'sandbox container "{pod_sandbox_id}" is not running')
        image = self.find(config.image.image)
        if image is None:
            raise NotFound(f'failed to resolve image "{config.image.image}": not found')
        if any(c.config.metadata == config.metadata for c in sandbox.containers.values()):
            raise AlreadyExists(f"container {config.metadata.name} attempt {config.metadata.attempt} is reserved")
        container = Container(new_id(), sandbox, config, image.id, now())
        self._containers[container.id] = sandbox.containers[container.id] = container
        return container.id

    async def start_container(self, container_id: str) -> None:
        container = self._container(container_id)
        if container.state is not t.ContainerState.CREATED:
            raise CRIError(f"container is in {container.state.name} state")
        if self.config.start_seconds:
            await clock.sleep(self.config.start_seconds)
            if container.state is not t.ContainerState.CREATED or container_id not in self._containers:
                raise CRIError("container was removed while it started")
        try:
            behaviour = self.config.behaviour(container.launch())
        except ValueError as error:
            behaviour = Behaviour(start_error=str(error))
        container.started_at = now()
        if behaviour.start_error:
            container.state = t.ContainerState.EXITED
            container.finished_at, container.exit_code = container.started_at, 128
            container.reason, container.message = "StartError", behaviour.start_error
            container.started_at = 0
            raise CRIError(behaviour.start_error)
        container.behaviour = behaviour
        container.state = t.ContainerState.RUNNING
        self._publish(container_id, t.EventKind.STARTED)
        if behaviour.exit_code is None:
            self._write(container, behaviour.output)
            return
        loop = asyncio.get_running_loop()  # a timer and not a task: thousands of them cost nothing
        container.timer = loop.call_later(behaviour.after, self._play, container)

    async def stop_container(self, container_id: str, timeout: int = 0) -> None:
        self._check()
        container = self._containers.get(container_id)
        if container is None or container.state is not t.ContainerState.RUNNING:
            return
        if timeout <= 0:
            self._exit(container, 137)
        elif not container.behaviour.ignores_stop:
            self._exit(container, container.behaviour.stop_exit_code)
        else:
            exited = asyncio.get_running_loop().create_future()
            container.waiters.append(exited)
            try:
                async with asyncio.timeout(timeout):
                    await exited
            except TimeoutError:
                self._exit(container, 137)

    async def signal_container(self, container_id: str, signal: int) -> None:
        raise Unsupported("stop signals are the fake runtime's own business")

    async def remove_container(self, container_id: str) -> None:
        self._check()
        if container := self._containers.get(container_id):
            self._exit(container, 137)
            del self._containers[container_id]
            del container.sandbox.containers[container_id]

    async def list_containers(
        self,
        *,
        id: str = "",
        pod_sandbox_id: str = "",
        state: t.ContainerState | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[t.Container]:
        self._check()
        return [
            t.Container(
                id=c.id,
                pod_sandbox_id=c.sandbox.id,
                metadata=c.config.metadata,
                image=c.config.image,
                image_ref=c.image_ref,
                image_id=c.image_ref,
                state=c.state,
                created_at=c.created_at,
                labels=c.config.labels,
                annotations=c.config.annotations,
            )
            for c in self._chosen(id, pod_sandbox_id)
            if (state is None or c.state is state) and selected(c.config.labels, labels)
        ]

    def _chosen(self, id: str, pod_sandbox_id: str) -> Iterable[Container]:
        if id:
            found = self._containers.get(id)
            return [found] if found and (not pod_sandbox_id or found.sandbox.id == pod_sandbox_id) else []
        if pod_sandbox_id:
            sandbox = self._sandboxes.get(pod_sandbox_id)
            return sandbox.containers.values() if sandbox else []
        return self._containers.values()

    async def container_status(self, container_id: str) -> t.ContainerStatus:
        c = self._container(container_id)
        return t.ContainerStatus(
            id=c.id,
            metadata=c.config.metadata,
            state=c.state,
            created_at=c.created_at,
            started_at=c.started_at,
            finished_at=c.finished_at,
            exit_code=c.exit_code,
            image=c.config.image,
            image_ref=c.image_ref,
            image_id=c.image_ref,
            reason=c.reason,
            message=c.message,
            labels=c.config.labels,
            annotations=c.config.annotations,
            mounts=c.config.mounts,
            log_path=f"{c.sandbox.config.log_directory}/{c.config.log_path}" if c.config.log_path else "",
            resources=t.ContainerResources(linux=c.resources) if c.resources else None,
            stop_signal=c.config.stop_signal,
        )

    async def update_container_resources(self, container_id: str, resources: t.LinuxContainerResources) -> None:
        container = self._container(container_id)
        if container.state is t.ContainerState.EXITED:
            raise CRIError("container is not running")
        before = container.resources or t.LinuxContainerResources()
        named = {n: v for n in resources.__struct_fields__ if (v := getattr(resources, n))}
        container.resources = msgspec.structs.replace(before, **named)

    async def reopen_container_log(self, container_id: str) -> None:
        if self._container(container_id).state is not t.ContainerState.RUNNING:
            raise CRIError("container is not running")

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float = 0) -> t.ExecResult:
        container = self._container(container_id)
        if container.state is not t.ContainerState.RUNNING:
            raise CRIError(f"container is in {container.state.name} state")
        try:
            async with asyncio.timeout(timeout or None):
                launch = container.launch()
                if self.config.on_exec is run_command:
                    await clock.sleep(interpret(command, launch.env).after)
                result = self.config.on_exec(launch, command)
                return result if isinstance(result, t.ExecResult) else await result
        except TimeoutError:
            raise DeadlineExceeded(f"command timed out: {' '.join(command)!r} timed out after {timeout:g}s") from None

    async def exec_url(
        self,
        container_id: str,
        command: Sequence[str],
        *,
        tty: bool = False,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
    ) -> str:
        self._container(container_id)
        return self._url("exec", container_id)

    async def attach_url(
        self, container_id: str, *, tty: bool = False, stdin: bool = False, stdout: bool = True, stderr: bool = True
    ) -> str:
        self._container(container_id)
        return self._url("attach", container_id)

    async def container_stats(self, container_id: str) -> t.ContainerStats:
        return stats_of(self._container(container_id))

    async def list_container_stats(
        self, *, pod_sandbox_id: str = "", labels: Mapping[str, str] | None = None
    ) -> list[t.ContainerStats]:
        self._check()
        return [
            stats_of(c)
            for c in self._chosen("", pod_sandbox_id)
            if c.state is t.ContainerState.RUNNING and selected(c.config.labels, labels)
        ]

    # --- inside ---

    def _check(self) -> None:
        if not self._up:
            raise Unavailable("the fake runtime is down")

    def _sandbox(self, id: str) -> Sandbox:
        self._check()
        if sandbox := self._sandboxes.get(id):
            return sandbox
        raise NotFound(f'an error occurred when try to find sandbox "{id}": not found')

    def _container(self, id: str) -> Container:
        self._check()
        if container := self._containers.get(id):
            return container
        raise NotFound(f'an error occurred when try to find container "{id}": not found')

    def _play(self, container: Container) -> None:
        """The end that the behaviour foresaw."""
        behaviour = container.behaviour
        self._write(container, behaviour.output)
        self._exit(container, behaviour.exit_code or 0, oom=behaviour.oom)

    def _exit(self, container: Container, code: int, *, oom: bool = False) -> None:
        if container.timer is not None:
            container.timer.cancel()
            container.timer = None
        if container.state is not t.ContainerState.RUNNING:
            return
        container.state = t.ContainerState.EXITED
        container.finished_at = now()
        container.exit_code = code
        container.reason = "OOMKilled" if oom else "Completed" if code == 0 else "Error"
        for waiter in container.waiters:
            if not waiter.done():
                waiter.set_result(None)
        container.waiters.clear()
        if oom:
            self._publish(container.id, t.EventKind.OOM)
        self._publish(container.id, t.EventKind.EXITED, code)

    def _down(self, sandbox: Sandbox) -> None:
        if not sandbox.ready:
            return
        for container in sandbox.containers.values():
            self._exit(container, 137)
        sandbox.ready = False
        if sandbox.ip:
            self._addresses.release(sandbox.ip)
            sandbox.ip = ""
        self._publish(sandbox.id, t.EventKind.EXITED, 137)

    def _publish(self, id: str, kind: t.EventKind, code: int = 0) -> None:
        if self._subscribers:
            event = t.ContainerEvent(container_id=id, kind=kind, exit_code=code, at=now())
            for queue in self._subscribers:
                queue.put_nowait(event)

    def _write(self, container: Container, output: bytes) -> None:
        if not output:
            return
        stamp = f"{clock.rfc3339_micro()} stdout F ".encode()
        text = b"".join(stamp + line + b"\n" for line in output.splitlines())
        container.log += text
        if self.config.write_logs and container.config.log_path:
            path = Path(container.sandbox.config.log_directory, container.config.log_path)
            with contextlib.suppress(OSError):  # a pod being deleted loses its directory, not its runtime
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as file:
                    file.write(text)

    def _url(self, kind: str, id: str) -> str:
        if not self.config.streaming_url:
            raise Unsupported(f"the fake runtime has no streaming server for {kind}")
        return f"{self.config.streaming_url}/{kind}/{id}"
