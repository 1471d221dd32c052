"""The node, as a pod's worker sees it: runtime, images, volumes, API and paths, in one object handed to each worker."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybernetes.api.core_v1 import Service
from pybernetes.client.client import Client
from pybernetes.client.events import EventRecorder
from pybernetes.node.cri import ContainerRuntime
from pybernetes.node.kubelet.cgroups import Cgroups
from pybernetes.node.kubelet.config import Config, Paths
from pybernetes.node.kubelet.hosts import Resolver, parse_resolv_conf
from pybernetes.node.kubelet.images import Images
from pybernetes.node.kubelet.references import Watches
from pybernetes.node.kubelet.volumes.manager import Volumes


@dataclass
class NodeFacts:
    """What is known of the node itself; updated by `node_status`."""

    ips: tuple[str, ...] = ()
    capacity: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    memory: int = 0
    runtime_name: str = "containerd"


@dataclass
class Host:
    """Shared by all workers of a kubelet."""

    config: Config
    paths: Paths
    runtime: ContainerRuntime
    client: Client
    events: EventRecorder
    images: Images
    volumes: Volumes
    watches: Watches
    cgroups: Cgroups
    facts: NodeFacts
    #: Services whose addresses become variables; empty until the informer has synced.
    services: Callable[[], Iterable[Service]]
    services_synced: Callable[[], Any]
    #: The object was found gone: the kubelet forgets the pod.
    lost: Callable[[str], None]
    #: How many containers have ended: (their kind, exit code) -> number.
    terminated: Counter[tuple[str, int]] = field(default_factory=Counter)

    def resolver(self) -> Resolver:
        """The node's own resolver configuration."""
        try:
            return parse_resolv_conf(self.config.resolv_conf.read_text())
        except OSError:
            return Resolver([], [], [])


async def offload(config: Config, function: Callable[..., Any], *args: Any) -> Any:
    """Run blocking file work: in a thread when the configuration says so."""
    if config.offload_io:
        return await asyncio.to_thread(function, *args)
    return function(*args)


def write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Write in place: the file may be bind-mounted into containers, where a rename would not be seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
