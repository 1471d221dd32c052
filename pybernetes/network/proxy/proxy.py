"""The component: follows Services and EndpointSlices, and keeps one node's rules equal to them.

A change names its Service; what changed within a moment is programmed together, the first change at once. The pure
part (`rules.py`) is asked again for the Services named and for nothing else; the backend finds the difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Ready
from pybernetes.api.core_v1 import Node, Service
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory
from pybernetes.client.informer import Informer
from pybernetes.network import sysctls
from pybernetes.network.links import Namespace, NetworkError
from pybernetes.network.proxy import conntrack
from pybernetes.network.proxy.health import HealthPorts, Status
from pybernetes.network.proxy.iptables import Iptables
from pybernetes.network.proxy.metrics import Metrics
from pybernetes.network.proxy.nftables import Nftables
from pybernetes.network.proxy.rules import NOTHING, SERVICE_LABEL, NodeView, ServiceRules, answered_here, service_rules

log = logging.getLogger(__name__)

BY_SERVICE = "service"
#: On slices: when what they tell of happened.
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
ZONE_LABEL = "topology.kubernetes.io/zone"
#: The node gets no new traffic: the autoscaler takes it away.
LEAVING_TAINT = "ToBeDeletedByClusterAutoscaler"
#: The packet filters, by the name of `--proxy-mode`.
BACKENDS: dict[str, type[Nftables] | type[Iptables]] = {"nftables": Nftables, "iptables": Iptables}


class Backend(Protocol):
    """One family's rules in the kernel. Calls block; they raise OSError."""

    #: Whether an update of a few Services is cheaper than a change of threads.
    instant: bool

    def replace(self, rules: Mapping[str, ServiceRules]) -> None:
        """Everything anew: these Services and nothing else."""

    def update(self, changed: Mapping[str, ServiceRules]) -> None:
        """Changed Services, by namespace/name; one without ports is gone."""

    def settle(self) -> None:
        """A moment after an update: what packets on their way through the rules might still have needed goes."""

    def intact(self) -> bool:
        """Whether what was programmed is still there."""

    def remove(self) -> None:
        """Nothing of ours is left."""

    def close(self) -> None:
        """Let go of resources; the rules stay."""


@dataclass(frozen=True)
class Config:
    """One node's proxy."""

    #: Names of cluster and node; the table's name derives from them.
    cluster: str
    node: str
    #: Addresses of the node on which node ports are served: no others, so that clusters can share a machine.
    node_addresses: tuple[str, ...] = ()
    #: Ranges of the Pods of all nodes: their packets keep their source, others' are masqueraded.
    pod_cidrs: tuple[str, ...] = ()
    #: The packet filter: "nftables" or "iptables".
    backend: str = "nftables"
    #: With iptables: node ports answer on 127.0.0.1 too, as upstream's do unless they are told not to.
    localhost_node_ports: bool = True
    #: Families with Service addresses.
    families: tuple[str, ...] = ("IPv4",)
    #: The node's network namespace; None: this process's.
    netns: Path | None = None
    #: Services (namespace/name) without a selector that every node answers itself: the address that does so here.
    #: It takes the place of whatever the EndpointSlices say, so that each node asks its own cluster DNS.
    local: Mapping[str, str] = field(default_factory=dict)
    #: Ports of its own health, on the node's addresses and loopback, and of its mode and metrics, on loopback; 0: none.
    #: Upstream's are 10256 and 10249.
    healthz_port: int = 0
    status_port: int = 0
    #: Seconds between two transactions at least: a burst of changes is one.
    interval: float = 0.02
    #: Seconds between looks whether somebody else removed our rules.
    check_interval: float = 30.0

    @property
    def table(self) -> str:
        digest = hashlib.sha256(f"{self.cluster}/{self.node}".encode()).hexdigest()[:10]
        return f"pybernetes-proxy-{digest}"

    @property
    def sysctls(self) -> dict[str, str]:
        """Settings of the kernel that the rules need."""
        loopback = self.backend == "iptables" and self.localhost_node_ports and "IPv4" in self.families
        return {"net.ipv4.conf.all.route_localnet": "1"} if loopback else {}

    @property
    def owner(self) -> str:
        """In whose name they are changed."""
        return f"proxy/{self.cluster}/{self.node}"


def backend(config: Config, family: str) -> Backend:
    """The configured backend for one family."""
    if config.backend not in BACKENDS:
        raise ValueError(f"proxy backend {config.backend!r} is not supported: {', '.join(BACKENDS)}")
    place = config.table, family, config.pod_cidrs, config.node_addresses, config.netns
    if config.backend == "iptables":
        return Iptables(*place, loopback=bool(config.sysctls))
    return BACKENDS[config.backend](*place)


async def teardown(config: Config) -> None:
    """Remove the rules of a node's proxy that runs no more. Safe to repeat."""
    if config.netns is not None and not config.netns.exists():
        return
    for family in config.families:
        await asyncio.to_thread(backend(config, family).remove)
    if config.netns is None:  # those of another namespace end with it
        await sysctls.release(Namespace(), config.owner)


@dataclass
class _State:
    """What is programmed in one family."""

    family: str
    backend: Backend
    rules: dict[str, ServiceRules] = field(default_factory=dict)


class Proxy:
    """`run()` until cancelled; `ready` once the first rules are there. The rules stay when it ends: see `teardown`."""

    def __init__(self, config: Config, client: Client, informers: InformerFactory | None = None) -> None:
        self.config = config
        self.ready: Ready[str] = Ready()
        self._own = informers is None
        self._informers = informers or InformerFactory(client)
        self._services: Informer[Service] = self._informers.informer(Service)
        self._slices: Informer[EndpointSlice] = self._informers.informer(EndpointSlice)
        self._nodes: Informer[Node] = self._informers.informer(Node, field_selector=f"metadata.name={config.node}")
        self._slices.add_index(BY_SERVICE, _service_of)
        self._states = [_State(family, backend(config, family)) for family in config.families]
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._view = NodeView(config.node)
        self._health = HealthPorts(config.node_addresses)
        places = ((*config.node_addresses, "127.0.0.1"), config.healthz_port), (("127.0.0.1",), config.status_port)
        self.metrics = Metrics(config.backend, config.families)
        #: When the changes of endpoints that are to be programmed happened, by Service.
        self._triggers: dict[str, list[float]] = {}
        self._born = clock.timestamp()
        self._status = Status(config.backend, self.metrics, self._page, *places)

    async def run(self) -> None:
        """See the class."""
        services = self._services.on(self._service, lambda _, new: self._service(new), self._service)
        slices = self._slices.on(lambda new: self._slice_changed(None, new), self._slice_changed, self._slice_gone)
        nodes = self._nodes.on(self._node, lambda _, new: self._node(new))
        try:
            async with asyncio.TaskGroup() as group:
                if self._own:
                    group.create_task(self._informers.run(), name="proxy/informers")
                group.create_task(self._health.run(), name="proxy/health")
                group.create_task(self._status.run(), name="proxy/status")
                await self._synced()
                await self._prepare()
                await self._follow()
        finally:
            self._services.off(services)
            self._slices.off(slices)
            self._nodes.off(nodes)
            for state in self._states:
                state.backend.close()

    async def _synced(self) -> None:
        for informer in (self._services, self._slices, self._nodes):
            await informer.synced()

    async def _prepare(self) -> None:
        """Let the kernel's settings be what the rules need."""
        place = Namespace(self.config.netns)
        try:
            if self.config.netns is None and self.config.sysctls:
                await sysctls.claim(place, self.config.owner, self.config.sysctls)
            elif self.config.netns is not None:
                for name, value in self.config.sysctls.items():
                    await place.write_sysctl(name, value)
        except (NetworkError, OSError) as error:
            log.error("node ports will not answer on 127.0.0.1: %s", error)

    async def _follow(self) -> None:
        backoff = Backoff(0.1, 10.0)
        everything = True
        while True:
            dirty, self._dirty = self._dirty, set()
            triggers, self._triggers = self._triggers, {}
            pending = self.metrics.services_pending, self.metrics.endpoints_pending
            self._wake.clear()
            try:
                if everything:
                    await self._replace()
                    everything = False
                    self.ready.set(self.config.node)
                elif dirty:
                    await self._update(dirty)
                elif not await asyncio.to_thread(self._intact):
                    log.warning("somebody removed the rules; programming them anew")
                    await self._replace()
                backoff.reset()
                self._status.updated = clock.rfc3339()
                self._programmed(triggers, *pending)
                await clock.sleep(self.config.interval)
                for state in self._states:
                    state.backend.settle()
            except OSError as error:
                log.error("programming the rules failed: %s", error)
                everything = True
                self._triggers = {**triggers, **self._triggers}
                await backoff.wait()
                continue
            try:
                async with asyncio.timeout(self.config.check_interval):
                    await self._wake.wait()
            except TimeoutError:
                pass

    @contextlib.contextmanager
    def _round(self, family: str, *, full: bool) -> Iterator[None]:
        """Measure a transaction."""
        numbers, start = self.metrics.families[family], clock.monotonic()
        try:
            yield
        except OSError:
            numbers.failures += 1
            raise
        numbers.round(clock.monotonic() - start, clock.timestamp(), full=full)

    def _programmed(self, triggers: Mapping[str, list[float]], services: int, endpoints: int) -> None:
        """So many changes, that happened at these times, are in the kernel."""
        self.metrics.services_pending -= services
        self.metrics.endpoints_pending -= endpoints
        now = clock.timestamp()
        for times in triggers.values():
            for numbers in self.metrics.families.values():
                for time in times:
                    numbers.programming.observe(max(now - time, 0.0))

    def _page(self) -> str:
        return self.metrics.text(
            {state.family: [port for item in state.rules.values() for port in item.ports] for state in self._states}
        )

    def _intact(self) -> bool:
        return all(state.backend.intact() for state in self._states)

    async def _replace(self) -> None:
        keys = {_key(service) for service in self._services.list()}
        for state in self._states:
            fresh = {key: rules for key in keys if (rules := self._rules(key, state.family)) is not NOTHING}
            with self._round(state.family, full=True):
                await asyncio.to_thread(state.backend.replace, fresh)
            await self._clean(state.rules, fresh)
            state.rules = fresh
        self._publish_health()

    async def _update(self, dirty: set[str]) -> None:
        for state in self._states:
            old = {key: state.rules.get(key, NOTHING) for key in dirty}
            new = {key: self._rules(key, state.family) for key in dirty}
            changed = {key: rules for key, rules in new.items() if rules != old[key]}
            if not changed:
                continue
            with self._round(state.family, full=False):
                if state.backend.instant and len(changed) <= 50:
                    state.backend.update(changed)
                else:
                    await asyncio.to_thread(state.backend.update, changed)
            for key, rules in changed.items():
                if rules.ports:
                    state.rules[key] = rules
                else:
                    state.rules.pop(key, None)
            await self._clean({key: old[key] for key in changed}, changed)
        self._publish_health()

    async def _clean(self, old: Mapping[str, ServiceRules], new: Mapping[str, ServiceRules]) -> None:
        """Delete the connections that the change made wrong."""
        loopback = ("127.0.0.1",) if self.config.sysctls else ()
        wrong = conntrack.stale(old, new, (*self.config.node_addresses, *loopback))
        if not wrong:
            return
        try:
            count = await asyncio.to_thread(conntrack.clean, wrong, self.config.netns)
            if count:
                log.info("%d stale UDP flows removed", count)
        except OSError as error:
            log.warning("stale UDP flows could not be removed: %s", error)

    def _rules(self, key: str, family: str) -> ServiceRules:
        namespace, _, name = key.partition("/")
        service = self._services.get(namespace, name)
        slices = self._slices.by_index(BY_SERVICE, key)
        if (here := self.config.local.get(key)) and service is not None and not service.spec.selector:
            slices = [answered_here(found, here, self.config.node) for found in slices]
        return service_rules(service, slices, self._view, family)

    def _publish_health(self) -> None:
        ports: dict[int, tuple[str, int]] = {}
        for state in self._states:
            for key, rules in state.rules.items():
                if port := rules.health_check_port:  # one for both families: there are endpoints if one has any
                    ports[port] = key, max(rules.local_count, ports.get(port, ("", 0))[1])
        self._health.publish(ports)

    # -- events --------------------------------------------------------------------------------------------------------

    def _mark(self, key: str) -> None:
        self._dirty.add(key)
        self._wake.set()

    def _service(self, service: Service) -> None:
        self.metrics.changed(clock.timestamp(), endpoints=False)
        self._mark(_key(service))

    def _slice(self, slice_: EndpointSlice) -> None:
        for key in _service_of(slice_):
            self.metrics.changed(clock.timestamp(), endpoints=True)
            self._mark(key)

    def _slice_gone(self, slice_: EndpointSlice) -> None:
        for key in _service_of(slice_):
            self._triggers.pop(key, None)
        self._slice(slice_)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice) -> None:
        self._slice(new)
        for key in _service_of(new):
            with contextlib.suppress(KeyError, ValueError):
                time = clock.parse_rfc3339((new.metadata.annotations or {})[TRIGGER])
                if time > self._born:
                    self._triggers.setdefault(key, []).append(time)
        if old is not None and _service_of(old) != _service_of(new):
            self._slice(old)

    def _node(self, node: Node) -> None:
        if node.metadata.name != self.config.node:
            return
        leaving = any(taint.key == LEAVING_TAINT for taint in node.spec.taints or ())
        self._status.eligible = node.metadata.deletion_timestamp is None and not leaving
        zone = (node.metadata.labels or {}).get(ZONE_LABEL, "")
        if zone != self._view.zone:
            self._view = NodeView(self.config.node, zone)
            for service in self._services.list():
                self._mark(_key(service))


def _key(service: Service) -> str:
    return f"{service.metadata.namespace}/{service.metadata.name}"


def _service_of(slice_: EndpointSlice) -> tuple[str, ...]:
    name = (slice_.metadata.labels or {}).get(SERVICE_LABEL)
    return (f"{slice_.metadata.namespace}/{name}",) if name else ()
