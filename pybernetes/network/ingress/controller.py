"""The component: follows Ingresses and what they name, keeps haproxy equal to the plan, and tells who asked.

A change of Pods only moves servers in the running haproxy; anything else is a reload, which drops no connection. Where
there is no Ingress for us there is no haproxy either, and its ports are free.

Every node may run one. All come to the same plan, and the first node that is Ready speaks for them: it alone writes the
status and records Events.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Ready
from pybernetes.api.core_v1 import Node, Secret, Service
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.api.networking_v1 import Ingress, IngressClass, IngressLoadBalancerIngress
from pybernetes.client.client import Client
from pybernetes.client.controller import key_of
from pybernetes.client.errors import Unavailable
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.informer import Informer
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.network.ingress import certificates, process, render, slots
from pybernetes.network.ingress import plan as planning
from pybernetes.network.ingress.backends import Problem
from pybernetes.network.ingress.process import Haproxy, HaproxyError

log = logging.getLogger(__name__)

CONTROLLER = "pybernetes.io/ingress"
_DEFAULT_CERTIFICATE = 3600.0  # seconds between looks whether somebody renewed it
_BY_SERVICE = "ingress-service"
_SERVICE_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Config:
    """One node's Ingress controller."""

    #: This node, and which nodes run one, told by name and labels.
    node: str
    hosts: Callable[[str, Mapping[str, str]], bool]
    #: Addresses to listen on.
    addresses: tuple[str, ...]
    #: Configuration, certificates and sockets; nobody else's.
    directory: Path
    #: PEM file with certificate and key for hosts that have none.
    default_certificate: Path
    http_port: int = 80
    https_port: int = 443
    #: haproxy's path.
    program: str = "/usr/sbin/haproxy"
    #: `spec.controller` of the IngressClasses that are ours.
    controller: str = CONTROLLER
    #: Seconds between two changes at least: a burst is one.
    interval: float = 0.05


@dataclass(frozen=True)
class _Sources:
    """What Ingresses refer to."""

    services: Informer[Service]
    slices: Informer[EndpointSlice]
    secrets: Informer[Secret]

    def slices_of(self, namespace: str, name: str) -> list[EndpointSlice]:
        return [*self.slices.by_index(_BY_SERVICE, f"{namespace}/{name}")]


class IngressController:
    """`run()` until cancelled; `ready` once what there was at the start is served."""

    def __init__(self, config: Config, client: Client) -> None:
        self.config = config
        self.ready: Ready[str] = Ready()
        self.haproxy = Haproxy(config.program, config.directory)
        self.reloads = 0
        self._client = client
        self._informers = InformerFactory(client)
        self._events = EventRecorder(client, "ingress-controller", config.node)
        self._ingresses = self._informers.informer(Ingress)
        self._classes = self._informers.informer(IngressClass)
        self._nodes = self._informers.informer(Node)
        self._sources: _Sources | None = None
        self._wake = asyncio.Event()
        self._files: dict[str, bytes] = {}
        self._seats: dict[str, slots.Slots] = {}
        self._told: dict[str, list[Problem]] = {}
        self._setting = render.Setting(
            str(config.directory),
            config.addresses,
            config.http_port,
            config.https_port,
            str(self.haproxy.paths.socket),
            process.user(),
        )

    async def run(self) -> None:
        """See the class."""
        for informer in (self._ingresses, self._classes):
            informer.on(self._changed, lambda _, new: self._changed(new), self._changed)
        self._nodes.on(self._changed, self._node_changed, self._changed)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._informers.run(), name="ingress/informers")
                group.create_task(self._events.run(), name="ingress/events")
                await self._informers.synced()
                group.create_task(self._watch_over(), name="ingress/haproxy")
                await self._follow()
        finally:
            await self.haproxy.stop()

    def _changed(self, _: object) -> None:
        self._wake.set()

    def _node_changed(self, old: Node, new: Node) -> None:
        if _face(old) != _face(new):
            self._wake.set()

    async def _follow(self) -> None:
        backoff = Backoff(0.5, 30.0)
        while True:
            self._wake.clear()
            try:
                await self._once()
                self.ready.set(self.config.node)
                backoff.reset()
                await clock.sleep(self.config.interval)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_DEFAULT_CERTIFICATE):
                        await self._wake.wait()
            except HaproxyError as error:
                log.error("%s", error)
                self._fail(str(error))
                self._files = {}
                await backoff.wait()
            except (StatusError, Unavailable) as error:
                quiet = not isinstance(error, StatusError) or error.code == 409
                (log.debug if quiet else log.warning)("status of Ingresses: %s", error)
                await backoff.wait()
            except Exception:  # the node must not go down with it
                log.exception("Ingresses could not be served")
                await backoff.wait()

    async def _watch_over(self) -> None:
        """A haproxy that ends by itself is started again."""
        while True:
            await self.haproxy.started.wait()
            code = await self.haproxy.ended()
            if self.haproxy.started.is_set():
                log.warning("haproxy has ended with %d; starting it again", code)
                self.haproxy.started.clear()
                self._files = {}
                self._wake.set()
                await clock.sleep(0.5)

    async def _once(self) -> None:
        mine = planning.mine(self._ingresses.list(), self._classes.list(), self.config.controller)
        plan = planning.Plan()
        if mine:
            sources = await self._read()
            plan = planning.plan(mine, sources.services.get, sources.slices_of, sources.secrets.get)
            await self._apply(plan)
        elif self._files or self.haproxy.running:
            await self.haproxy.stop()
            self._files, self._seats = {}, {}
        if self._speaks():
            self._tell(mine, plan)
            for one in mine:
                await self._write_status(one)
            for key in [*self._told.keys() - {key_of(one) for one in mine}]:
                await self._clear_status(key)

    async def _apply(self, plan: planning.Plan) -> None:
        seats = slots.arrange(plan.backends, self._seats)
        files = render.files(plan, seats, self._setting)
        try:
            files[render.DEFAULT_CERTIFICATE] = self.config.default_certificate.read_bytes()
        except OSError as error:
            raise HaproxyError(f"the default certificate cannot be read: {error}") from error
        same = {name: text for name, text in files.items() if name != render.CONFIGURATION}
        before = {name: text for name, text in self._files.items() if name != render.CONFIGURATION}
        if self.haproxy.running and same == before and slots.same_shape(self._seats, seats):
            # The same but for who sits where?
            as_before = render.configuration(plan, self._seats, self._setting).encode()
            if as_before == self._files[render.CONFIGURATION]:
                await self.haproxy.command(slots.commands(self._seats, seats))
                self._seats, self._files = seats, files
                return
        if self.haproxy.running and files == self._files:
            return
        await self.haproxy.apply(files)
        self.reloads += 1
        self._seats, self._files = seats, files

    async def _read(self) -> _Sources:
        """What Ingresses may name, from the first Ingress on: nobody's Secrets are read without need."""
        if self._sources is None:
            make = self._informers.informer
            secrets = make(Secret, field_selector=f"type={certificates.TYPE}")
            self._sources = _Sources(make(Service), make(EndpointSlice), secrets)
            self._sources.slices.add_index(_BY_SERVICE, _service_of)
            for informer in (self._sources.services, self._sources.slices, self._sources.secrets):
                informer.on(self._changed, lambda _, new: self._changed(new), self._changed)
        await self._informers.synced()
        return self._sources

    # -- telling -------------------------------------------------------------------------------------------------------

    def _ready_nodes(self) -> list[Node]:
        found = [
            node
            for node in self._nodes.list()
            if _face(node)[0] and self.config.hosts(node.metadata.name, node.metadata.labels or {})
        ]
        return sorted(found, key=lambda node: node.metadata.name)

    def _speaks(self) -> bool:
        ready = self._ready_nodes()
        return bool(ready) and ready[0].metadata.name == self.config.node

    def _tell(self, mine: list[Ingress], plan: planning.Plan) -> None:
        taken = self._taken()
        now: dict[str, list[Problem]] = {}
        for one in mine:
            key = key_of(one)
            now[key] = [*plan.problems.get(key, []), *taken]
            for problem in now[key]:
                if problem not in self._told.get(key, []):
                    self._events.event(one, "Warning", problem.reason, problem.message)
        self._told = {**now, **{key: [] for key in self._told if key not in now}}

    def _taken(self) -> list[Problem]:
        """Our ports that a Service of type LoadBalancer had first: packets for them never come here."""
        found = []
        for service in self._sources.services.list() if self._sources else ():
            status = service.status.load_balancer
            addresses = {one.ip for one in (status.ingress if status else None) or ()}
            for port in service.spec.ports or ():
                if port.port in (self.config.http_port, self.config.https_port) and addresses & {
                    *self.config.addresses
                }:
                    name = f"{service.metadata.namespace}/{service.metadata.name}"
                    message = f"port {port.port} of the node addresses is taken by Service {name}"
                    found.append(Problem("PortTaken", message))
        return found

    def _fail(self, text: str) -> None:
        if self._speaks():
            for one in planning.mine(self._ingresses.list(), self._classes.list(), self.config.controller):
                self._events.event(one, "Warning", "HaproxyFailed", text)

    async def _write_status(self, one: Ingress) -> None:
        addresses = [address for node in self._ready_nodes() for address in _face(node)[1]]
        wanted = [IngressLoadBalancerIngress(ip=address) for address in dict.fromkeys(addresses)]
        status = one.status.load_balancer
        if ((status.ingress if status else None) or []) != wanted:
            await self._patch_status(one, [codec.to_dict(entry) for entry in wanted])

    async def _clear_status(self, key: str) -> None:
        """It is of another class now, or gone."""
        one = self._ingresses.by_key(key)
        if one is not None and one.status.load_balancer and one.status.load_balancer.ingress:
            await self._patch_status(one, None)
        self._told.pop(key, None)

    async def _patch_status(self, one: Ingress, ingress: list[object] | None) -> None:
        body = {"metadata": {"uid": one.metadata.uid}, "status": {"loadBalancer": {"ingress": ingress}}}
        try:
            written = await self._client.resource(Ingress).patch(
                one.metadata.name, one.metadata.namespace, body, subresource="status"
            )
        except StatusError as error:
            if error.code == 404:
                return
            raise
        await self._ingresses.caught_up(written)


def _face(node: Node) -> tuple[bool, tuple[str, ...]]:
    """What of a node matters: Ready or not, and its addresses."""
    ready = any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or ())
    return ready, tuple(one.address for one in node.status.addresses or () if one.type == "InternalIP")


def _service_of(one: EndpointSlice) -> tuple[str, ...]:
    name = (one.metadata.labels or {}).get(_SERVICE_LABEL)
    return (f"{one.metadata.namespace}/{name}",) if name else ()
