"""Sandbox and container configurations in the CRI's words. Pure: everything they depend on is an argument."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pybernetes.api.core_v1 import Pod
from pybernetes.machinery import quantity
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet import qos
from pybernetes.node.kubelet.config import Config, Paths
from pybernetes.node.kubelet.environment import expand
from pybernetes.node.kubelet.hosts import Resolver
from pybernetes.node.kubelet.restarts import AnyContainer, spec_hash
from pybernetes.node.kubelet.security import container_context, sandbox_context

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
POD_GRACE = "io.kubernetes.pod.terminationGracePeriod"
#: Ours: the resources a container was created with, for resizes after a restart of the kubelet.
RESOURCES = "pybernetes.io/resources"


@dataclass(frozen=True)
class Surroundings:
    """What a container's configuration takes from the pod's surroundings."""

    image: t.Image
    image_ref: str
    env: Mapping[str, str]
    mounts: Sequence[t.Mount]
    restart_count: int
    node_memory: int
    cgroup_v2: bool = False
    #: Container id whose process namespace an ephemeral container joins.
    target: str = ""
    resources: str = ""
    fs_groups: Sequence[int] = field(default_factory=tuple)


def sandbox_config(
    pod: Pod, config: Config, paths: Paths, attempt: int, name: str, resolver: Resolver, cgroup_parent: str
) -> t.PodSandboxConfig:
    """The sandbox of a pod."""
    metadata = pod.metadata
    context = pod.spec.security_context
    sysctls = {s.name.replace("/", "."): s.value for s in (context.sysctls if context else None) or ()}
    ports = [
        t.PortMapping(
            protocol=t.Protocol[port.protocol or "TCP"],
            container_port=port.container_port,
            host_port=port.host_port or 0,
            host_ip=port.host_ip or "",
        )
        for container in (*pod.spec.containers, *(pod.spec.init_containers or ()))
        for port in container.ports or ()
        if port.host_port
    ]
    host_network = bool(pod.spec.host_network)
    return t.PodSandboxConfig(
        metadata=t.PodSandboxMetadata(
            name=metadata.name, uid=metadata.uid, namespace=metadata.namespace, attempt=attempt
        ),
        hostname="" if host_network else name,
        log_directory=str(paths.pod_logs(metadata.namespace, metadata.name, metadata.uid)),
        dns_config=t.DNSConfig(servers=resolver.servers, searches=resolver.searches, options=resolver.options),
        port_mappings=[] if host_network else ports,
        labels={
            **(metadata.labels or {}),
            POD_NAME: metadata.name,
            POD_NAMESPACE: metadata.namespace,
            POD_UID: metadata.uid,
        },
        annotations=dict(metadata.annotations or {}),
        linux=t.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=sandbox_context(pod, config.data_dir / "seccomp"),
            sysctls=sysctls,
        ),
    )


def container_config(pod: Pod, container: AnyContainer, config: Config, around: Surroundings) -> t.ContainerConfig:
    """One run of a container. Raises environment.ConfigError."""
    metadata = pod.metadata
    env = around.env
    message_path = container.termination_message_path or "/dev/termination-log"
    annotations = {
        HASH: spec_hash(container),
        RESTART_COUNT: str(around.restart_count),
        TERMINATION_PATH: message_path,
        TERMINATION_POLICY: container.termination_message_policy or "File",
        RESOURCES: around.resources,
    }
    if pod.spec.termination_grace_period_seconds is not None:
        annotations[POD_GRACE] = str(pod.spec.termination_grace_period_seconds)
    return t.ContainerConfig(
        metadata=t.ContainerMetadata(name=container.name, attempt=around.restart_count),
        image=t.ImageSpec(image=around.image_ref, user_specified_image=container.image or ""),
        command=[expand(word, env) for word in container.command or ()],
        args=[expand(word, env) for word in container.args or ()],
        working_dir=container.working_dir or "",
        envs=[t.KeyValue(key=k, value=v.encode("utf-8", "surrogateescape")) for k, v in env.items()],
        mounts=list(around.mounts),
        labels={
            CONTAINER_NAME: container.name,
            POD_NAME: metadata.name,
            POD_NAMESPACE: metadata.namespace,
            POD_UID: metadata.uid,
        },
        annotations=annotations,
        log_path=str(Path(container.name) / f"{around.restart_count}.log"),
        stdin=bool(container.stdin),
        stdin_once=bool(container.stdin_once),
        tty=bool(container.tty),
        stop_signal=_signal(container),
        linux=t.LinuxContainerConfig(
            resources=container_resources(pod, container, around.node_memory, cgroup_v2=around.cgroup_v2),
            security_context=container_context(
                pod,
                container,
                around.image,
                config.data_dir / "seccomp",
                around.target,
                fs_groups=around.fs_groups,
            ),
        ),
    )


#: Numbers of the CRI's Signal enum: 0 is "the runtime's default", then signals in alphabetical order.
_SIGNALS = {
    name: number
    for number, name in enumerate(
        [
            "SIGABRT",
            "SIGALRM",
            "SIGBUS",
            "SIGCHLD",
            "SIGCLD",
            "SIGCONT",
            "SIGFPE",
            "SIGHUP",
            "SIGILL",
            "SIGINT",
            "SIGIO",
            "SIGIOT",
            "SIGKILL",
            "SIGPIPE",
            "SIGPOLL",
            "SIGPROF",
            "SIGPWR",
            "SIGQUIT",
            "SIGSEGV",
            "SIGSTKFLT",
            "SIGSTOP",
            "SIGSYS",
            "SIGTERM",
            "SIGTRAP",
            "SIGTSTP",
            "SIGTTIN",
            "SIGTTOU",
            "SIGURG",
            "SIGUSR1",
            "SIGUSR2",
            "SIGVTALRM",
            "SIGWINCH",
            "SIGXCPU",
            "SIGXFSZ",
        ],
        1,
    )
}


def _signal(container: AnyContainer) -> int:
    wanted = container.lifecycle.stop_signal if container.lifecycle else None
    return _SIGNALS.get(wanted, 0) if wanted else 0


def signal_number(name: str) -> int:
    """The kernel's number of a signal, as `SIGUSR1` or `SIGRTMIN+3`. Raises ValueError."""
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    number = int(getattr(signal, base, 0))
    if not number:
        raise ValueError(f"unknown signal {name}")
    return number + int(f"{sign}{offset}") if offset else number


def container_resources(
    pod: Pod, container: AnyContainer, node_memory: int, *, cgroup_v2: bool = False
) -> t.LinuxContainerResources:
    """CPU and memory limits of a container, for creation and for resizes. Without own ones the pod's count."""
    whole = (pod.spec.resources.limits if pod.spec.resources else None) or {}
    requests = qos.requests(container)
    limits: dict[str, str] = {name: whole[name] for name in ("cpu", "memory") if name in whole}
    limits.update(qos.limits(container))
    cpu = requests.get("cpu") or limits.get("cpu") or "0"
    memory = quantity.value(limits["memory"]) if "memory" in limits else 0
    unified = {"memory.oom.group": "1"} if cgroup_v2 else {}
    return t.LinuxContainerResources(
        cpu_period=qos.CPU_PERIOD,
        cpu_quota=qos.cpu_quota(quantity.milli(limits["cpu"])) if "cpu" in limits else 0,
        cpu_shares=qos.cpu_shares(quantity.milli(cpu)),
        memory_limit_in_bytes=memory,
        oom_score_adj=qos.oom_score_adj(pod, container, node_memory),
        unified=unified,
        hugepage_limits=[
            t.HugepageLimit(page_size=_page_size(name.removeprefix("hugepages-")), limit=quantity.value(amount))
            for name, amount in limits.items()
            if name.startswith("hugepages-")
        ],
    )


def _page_size(text: str) -> str:
    """A page size as the runtime writes it: `2Mi` is `2MB`, `1Gi` is `1GB`."""
    size = quantity.value(text)
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if size >= unit:
            return f"{size // unit}{name}"
    return f"{size}B"
