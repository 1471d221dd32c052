"""The fake runtime's memory: sandboxes, containers, addresses, and the figures told of them."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping

from pybernetes.aio import clock

from . import types as t
from .errors import CRIError
from .fake_programs import Behaviour, Launch


class Sandbox:
    __slots__ = ("config", "containers", "created_at", "handler", "id", "ip", "ready")

    def __init__(self, id: str, config: t.PodSandboxConfig, handler: str, ip: str, created_at: int) -> None:
        self.id = id
        self.config = config
        self.handler = handler
        self.ip = ip
        self.created_at = created_at
        self.ready = True
        self.containers: dict[str, Container] = {}


class Container:
    __slots__ = (
        "behaviour", "config", "created_at", "exit_code", "finished_at", "id", "image_ref", "log", "message", "reason",
        "resources", "sandbox", "started_at", "state", "timer", "waiters",
    )  # fmt: skip

    def __init__(self, id: str, sandbox: Sandbox, config: t.ContainerConfig, image_ref: str, created_at: int) -> None:
        self.id = id
        self.sandbox = sandbox
        self.config = config
        self.image_ref = image_ref
        self.created_at = created_at
        self.started_at = self.finished_at = self.exit_code = 0
        self.state = t.ContainerState.CREATED
        self.reason = self.message = ""
        self.resources = config.linux.resources if config.linux else None
        self.behaviour = Behaviour()
        self.timer: asyncio.TimerHandle | None = None
        self.waiters: list[asyncio.Future[None]] = []
        self.log = b""

    def launch(self) -> Launch:
        pod = self.sandbox.config
        return Launch(
            container=self.config.metadata.name,
            image=self.config.image.user_specified_image or self.config.image.image,
            command=[*self.config.command, *self.config.args],
            env={e.key: e.value.decode("utf-8", "replace") for e in self.config.envs},
            pod_namespace=pod.metadata.namespace,
            pod_name=pod.metadata.name,
            annotations=pod.annotations,
            attempt=self.config.metadata.attempt,
        )


class AddressPool:
    """Pod addresses of one range; the network's first address is the gateway's."""

    def __init__(self, cidr: str) -> None:
        network = ipaddress.ip_network(cidr)
        self._next = int(network.network_address) + 2
        self._last = int(network.broadcast_address) - (1 if network.version == 4 else 0)
        self._version = network.version
        self._free: list[int] = []

    def allocate(self) -> str:
        if self._next <= self._last:  # addresses are used again only when all were used: stale ones show up
            number, self._next = self._next, self._next + 1
        elif self._free:
            number = self._free.pop(0)
        else:
            raise CRIError("failed to set up the sandbox network: no addresses left in the pod range")
        return str(ipaddress.IPv4Address(number) if self._version == 4 else ipaddress.IPv6Address(number))

    def release(self, address: str) -> None:
        """Give an address back."""
        self._free.append(int(ipaddress.ip_address(address)))


def stats_of(container: Container) -> t.ContainerStats:
    at, behaviour = now(), container.behaviour
    running = container.state is t.ContainerState.RUNNING
    alive = (at if running else container.finished_at) - container.started_at if container.started_at else 0
    memory = behaviour.memory_bytes if running else 0
    return t.ContainerStats(
        attributes=t.ContainerAttributes(
            id=container.id,
            metadata=container.config.metadata,
            labels=container.config.labels,
            annotations=container.config.annotations,
        ),
        cpu=t.CpuUsage(
            timestamp=at,
            usage_core_nano_seconds=alive * behaviour.cpu_millicores // 1000,
            usage_nano_cores=behaviour.cpu_millicores * 1_000_000 if running else 0,
        ),
        memory=t.MemoryUsage(timestamp=at, working_set_bytes=memory, usage_bytes=memory, rss_bytes=memory),
        writable_layer=t.FilesystemUsage(timestamp=at, used_bytes=0, inodes_used=0),
    )


def pod_stats_of(sandbox: Sandbox) -> t.PodSandboxStats:
    stats = [stats_of(c) for c in sandbox.containers.values() if c.state is t.ContainerState.RUNNING]
    cpu = [s.cpu for s in stats if s.cpu]
    memory = sum(s.memory.working_set_bytes or 0 for s in stats if s.memory)
    return t.PodSandboxStats(
        attributes=t.PodSandboxAttributes(
            id=sandbox.id,
            metadata=sandbox.config.metadata,
            labels=sandbox.config.labels,
            annotations=sandbox.config.annotations,
        ),
        linux=t.LinuxPodSandboxStats(
            cpu=t.CpuUsage(
                timestamp=now(),
                usage_core_nano_seconds=sum(c.usage_core_nano_seconds or 0 for c in cpu),
                usage_nano_cores=sum(c.usage_nano_cores or 0 for c in cpu),
            ),
            memory=t.MemoryUsage(timestamp=now(), working_set_bytes=memory, usage_bytes=memory, rss_bytes=memory),
            containers=stats,
        ),
    )


def now() -> int:
    return int(clock.timestamp() * 1_000_000_000)


def new_id() -> str:
    return f"{clock.rng.getrandbits(256):064x}"


def network_mode(config: t.PodSandboxConfig) -> t.NamespaceMode:
    context = config.linux.security_context if config.linux else None
    options = context.namespace_options if context else None
    return options.network if options else t.NamespaceMode.POD


def state_of(sandbox: Sandbox) -> t.PodSandboxState:
    return t.PodSandboxState.READY if sandbox.ready else t.PodSandboxState.NOTREADY


def selected(labels: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    return not wanted or all(labels.get(key) == value for key, value in wanted.items())
