"""A world for kubelet tests: a real API server in this process, a kubelet over the fake runtime, and short words.

async with World(tmp_path) as world:
    await world.create(pod("web"))
    await world.until("web", lambda p: p.status.phase == "Running")
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import ConfigMap, Event, Namespace, Node, Pod, ServiceAccount
from pybernetes.client.client import Client
from pybernetes.client.informer import Informer
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import APIServer
from pybernetes.control_plane.apiserver.server import Config as APIConfig
from pybernetes.control_plane.apiserver.transport import LocalTransport
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.node.cri import fake
from pybernetes.node.kubelet.config import Config
from pybernetes.node.kubelet.kubelet import Kubelet

NODE = "node-1"


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> Pod:
    """A pod bound to the node; containers default to one that runs until it is stopped."""
    wire = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", **spec.pop("metadata", {})},
        "spec": {
            "nodeName": NODE,
            "automountServiceAccountToken": False,
            "containers": [{"image": "busybox:1", **c} for c in containers] or [{"name": "main", "image": "busybox:1"}],
            **spec,
        },
    }
    return codec.from_dict(Pod, wire)


class World:
    """API server, fake runtime and one kubelet."""

    def __init__(self, tmp: Path, runtime: fake.Config | None = None, **config: Any) -> None:
        self.api = APIServer(APIConfig(listen=False))
        self.runtime = fake.FakeRuntime(runtime or fake.Config(images=("busybox:1",)))
        self.tmp = tmp
        self.config = Config(
            **{
                "node_name": NODE,
                "node_ips": ("10.0.0.1",),
                "data_dir": tmp / "kubelet",
                "log_dir": tmp / "logs",
                "port": 0,
                "offload_io": False,
                "real_mounts": False,
                "capacity": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Gi"},
                "cluster_dns": ("10.96.0.10",),
                **config,
            }
        )
        self.seen: list[Pod] = []
        self._nursery = Nursery("world")

    async def __aenter__(self) -> Self:
        self._nursery.start(self.api.run(), "api")
        await self.api.ready.wait()
        self.client = Client(LocalTransport(self.api.chain, User("admin", groups=("system:masters",))))
        for name in ("default", "kube-system", "kube-node-lease"):
            try:
                await self.client.resource(Namespace).create(Namespace(metadata=ObjectMeta(name=name)))
            except StatusError as error:
                if error.code != 409:
                    raise
        try:
            account = ServiceAccount(metadata=ObjectMeta(name="default", namespace="default"))
            await self.client.resource(ServiceAccount).create(account)
        except StatusError as error:
            if error.code != 409:
                raise
        root = ConfigMap(metadata=ObjectMeta(name="kube-root-ca.crt", namespace="default"), data={"ca.crt": "pem"})
        await self.client.resource(ConfigMap).create(root)
        self.pods: Informer[Pod] = Informer(self.client.resource(Pod))
        self.pods.on(self.seen.append, lambda _, new: self.seen.append(new))
        self._nursery.start(self.pods.run(), "pods")
        await self.start_kubelet()
        return self

    async def start_kubelet(self) -> None:
        """Start (another) kubelet on the same node."""
        self.kubelet = Kubelet(self.config, self.client, self.runtime)
        self.task = self._nursery.start(self.kubelet.run(), "kubelet")
        await self.kubelet.ready.wait()

    async def stop_kubelet(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.runtime.close()
        await self._nursery.close()

    async def create(self, obj: Any) -> Any:
        return await self.client.resource(type(obj)).create(obj)

    async def get(self, name: str) -> Pod:
        return await self.client.resource(Pod).get(name, "default")

    async def delete(self, name: str, **options: Any) -> None:
        await self.client.resource(Pod).delete(name, "default", **options)

    async def until(self, name: str, condition: Callable[[Pod], Any], timeout: float = 600.0) -> Pod:
        """Wait until the pod is so."""

        def holds() -> bool:
            found = self.pods.get("default", name)
            return found is not None and bool(condition(found))

        ok = await self.pods.until(holds, timeout)
        found = self.pods.get("default", name)
        assert ok and found is not None, (
            f"{name} never became so; it is {codec.to_dict(found.status) if found else None}"
        )
        return found

    async def until_gone(self, name: str, timeout: float = 600.0) -> None:
        assert await self.pods.until(lambda: self.pods.get("default", name) is None, timeout)

    async def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of the events about a pod."""
        await asyncio.sleep(0.05)
        found = (await self.client.resource(Event).list("default")).items
        return [(e.reason or "", e.message or "") for e in found if e.involved_object.name == name]

    async def node(self) -> Node:
        return await self.client.resource(Node).get(NODE)


def running(pod: Pod) -> bool:
    return pod.status.phase == "Running"


def condition(pod: Pod, kind: str) -> tuple[str, str, str]:
    """(status, reason, message) of a condition."""
    for c in pod.status.conditions or ():
        if c.type == kind:
            return c.status, c.reason or "", c.message or ""
    return "", "", ""


def ready(pod: Pod) -> bool:
    return condition(pod, "Ready")[0] == "True"
