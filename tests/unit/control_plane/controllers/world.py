"""A control plane in one event loop: the real API server, the controllers under test, and a fake kubelet.

async with World("deployment-controller", "replicaset-controller") as world:
    await world.create(deployment("web", replicas=3))
    await world.until(Deployment, "web", lambda d: d.status.available_replicas == 3)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import Event, Namespace, Node, Pod, PodCondition, ServiceAccount
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory
from pybernetes.client.guard import GuardedTransport
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import APIServer
from pybernetes.control_plane.apiserver.server import Config as APIConfig
from pybernetes.control_plane.controllers.manager import Config, ControllerManager
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, ObjectMeta

T = TypeVar("T", bound=Object)


def wire(kind: type[T], name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> T:
    """An object in namespace `default` from its wire form."""
    body: dict[str, Any] = {"metadata": {"name": name, "namespace": "default", **metadata}}
    if spec is not None:
        body["spec"] = spec
    return codec.from_dict(kind, body)


def template(labels: dict[str, str], image: str = "i:1", **spec: Any) -> dict[str, Any]:
    """A Pod template."""
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


class World:
    """The API server, the named controllers (`*` for all) and a kubelet that makes every Pod run."""

    def __init__(self, *controllers: str, kubelet: bool = True, **config: Any) -> None:
        self.api = APIServer(APIConfig(listen=False))
        self.controllers = (*controllers, "serviceaccount-controller")  # without an account nothing can run
        self._config = config
        self._kubelet = kubelet
        self._nursery = Nursery("world")
        self.phase: Callable[[Pod], str] = lambda pod: "Running"  #: what becomes of a Pod that starts
        self.ready: Callable[[Pod], bool] = lambda pod: True

    async def __aenter__(self) -> Self:
        self._nursery.start(self.api.run(), "api")
        await self.api.ready.wait()
        self.client = Client(self.api.transport(User("admin", groups=("system:masters",))))
        self.informers = InformerFactory(self.client)
        self._guard = GuardedTransport(self.client.transport)
        config = Config(controllers=self.controllers, **self._config)
        self.manager = ControllerManager(config, Client(self._guard))
        try:
            await self.client.resource(Namespace).create(Namespace(metadata=ObjectMeta(name="default")))
        except StatusError as error:
            assert error.code == 409
        if self._kubelet:
            self._pods = self.informers.informer(Pod)
            self._pods.on(self._run_pod, lambda old, new: self._run_pod(new))
        self._nursery.start(self.informers.run(), "informers")
        self._nursery.start(self.manager.run(), "manager")
        await self.manager.ready.wait()
        await self.until(ServiceAccount, "default", lambda account: True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._nursery.close()
        if error is None:
            self._guard.check()

    # The kubelet

    def _run_pod(self, pod: Pod) -> None:
        wanted = self.phase(pod)
        if pod.metadata.deletion_timestamp is not None:
            self._nursery.start(self._end_pod(pod), f"end {pod.metadata.name}")
        elif pod.status.phase in (None, "Pending") and wanted != "Pending":
            self._nursery.start(self.set_pod(pod, wanted, self.ready(pod)), f"start {pod.metadata.name}")

    async def _end_pod(self, pod: Pod) -> None:
        try:
            await self.client.resource(Pod).delete(
                pod.metadata.name, pod.metadata.namespace, grace_period=0, uid=pod.metadata.uid
            )
        except StatusError as error:
            assert error.code in (404, 409)

    async def set_pod(self, pod: Pod, phase: str, ready: bool, ip: str = "10.0.0.1") -> None:
        """Write a Pod's status, as its kubelet would."""
        changed = codec.copy(pod)
        changed.status.phase = phase
        changed.status.pod_ip = ip
        now = clock.rfc3339()
        others = [c for c in changed.status.conditions or () if c.type != "Ready"]
        status = "True" if ready and phase == "Running" else "False"
        changed.status.conditions = [*others, PodCondition(type="Ready", status=status, last_transition_time=now)]
        try:
            await self.client.resource(Pod).update_status(changed)
        except StatusError as error:
            assert error.code in (404, 409), error

    # Words

    async def create(self, obj: T) -> T:
        return await self.client.resource(type(obj)).create(obj)

    async def get(self, kind: type[T], name: str, namespace: str = "default") -> T:
        return await self.client.resource(kind).get(name, "" if kind in (Namespace, Node) else namespace)

    async def list(self, kind: type[T], namespace: str = "default") -> list[T]:
        return [*(await self.client.resource(kind).list(namespace)).items]

    async def events(self, reason: str) -> list[str]:
        """The messages of all Events with that reason."""
        return [event.message or "" for event in await self.list(Event) if event.reason == reason]

    async def until(
        self,
        kind: type[T],
        name: str,
        condition: Callable[[T], object],
        namespace: str = "default",
        timeout: float = 120,
    ) -> T:
        """The object, once `condition` holds."""
        informer = self.informers.informer(kind)
        await informer.synced()
        space = "" if kind in (Namespace, Node) else namespace

        def holds() -> bool:
            found = informer.get(space, name)
            return found is not None and bool(condition(found))

        assert await informer.until(holds, timeout), f"{kind.__name__} {name}: {informer.get(space, name)}"
        found = informer.get(space, name)
        assert found is not None
        return found

    async def gone(self, kind: type[T], name: str, namespace: str = "default", timeout: float = 120) -> None:
        """Wait until the object is gone."""
        informer = self.informers.informer(kind)
        await informer.synced()
        space = "" if kind in (Namespace, Node) else namespace
        assert await informer.until(lambda: informer.get(space, name) is None, timeout), informer.get(space, name)

    async def settle(self, seconds: float = 1.0) -> None:
        """Let virtual time pass."""
        await clock.sleep(seconds)
        await asyncio.sleep(0)
