"""The public clouds, through Apache Libcloud: machines everywhere, load balancers and routes where it has them.

Libcloud speaks to each cloud in its own way and blocks, so each driver has one thread's worth of calls at a time. Its
machines look the same but for where a cloud keeps zone and type, which is one row in a table here. A cloud's listing
of machines is kept for some seconds: clouds count calls, and the controllers ask for nodes one by one.

Classic load balancers of EC2 are made with the driver's signed requests, for its own call can only send a port to the
same port, and Services need another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pybernetes.aio import clock
from pybernetes.api.core_v1 import LoadBalancerStatus, Node, NodeAddress, Service
from pybernetes.control_plane.cloud.elastic import ElasticBalancers
from pybernetes.control_plane.cloud.provider import (
    INSTANCES,
    LOAD_BALANCERS,
    ROUTES,
    CloudError,
    Feature,
    Instance,
    Route,
)

T = TypeVar("T")

_KEEP = 5.0  # seconds that a listing of machines is good for
_OFF = ("stopped", "stopping", "suspended", "paused")
#: Of a machine whose state could not be asked for, libcloud says unknown: it is still there.
_GONE = ("terminated",)


@dataclass(frozen=True)
class Config:
    """Which cloud, and who we are there."""

    #: ec2, gce, azure, digitalocean or ibm.
    provider: str
    #: What libcloud's driver wants: for ec2 key and secret, for digitalocean a token ...
    credentials: tuple[str, ...] = ()
    region: str = ""
    #: Names of whatever else the driver wants, such as `project` of gce.
    options: tuple[tuple[str, str], ...] = ()
    #: Where the API is, if it is not the cloud's own: a simulation.
    endpoint: str = ""
    #: Subnets that ec2's load balancers are in.
    subnets: tuple[str, ...] = ()
    #: Route table of ec2 for Pod ranges; "" leaves routes alone.
    route_table: str = ""


@dataclass(frozen=True)
class Cloud:
    """What differs between the clouds: the driver, the prefix of provider ids, and where it tells type and zone."""

    driver: str
    prefix: str
    place: Callable[[Any], tuple[str, str, str]]  #: type, zone, region of a machine
    identity: Callable[[Any, Config], str]  #: what follows `prefix://`


def _ec2(machine: Any) -> tuple[str, str, str]:
    zone = machine.extra.get("availability") or ""
    return machine.extra.get("instance_type") or "", zone, zone[:-1]


def _gce(machine: Any) -> tuple[str, str, str]:
    zone = getattr(machine.extra.get("zone"), "name", "")
    return str(machine.size or ""), zone, zone.rpartition("-")[0]


def _azure(machine: Any) -> tuple[str, str, str]:
    size = (machine.extra.get("properties") or {}).get("hardwareProfile", {}).get("vmSize", "")
    region = machine.extra.get("location") or ""
    zones = machine.extra.get("zones") or []
    return size, f"{region}-{zones[0]}" if zones else "", region


def _digitalocean(machine: Any) -> tuple[str, str, str]:
    region = machine.extra.get("region") or ""
    slug = region.get("slug", "") if isinstance(region, dict) else region
    return machine.extra.get("size_slug") or "", "", slug


def _ibm(machine: Any) -> tuple[str, str, str]:
    zone = machine.extra.get("datacenter") or ""
    return "", zone, zone.rstrip("0123456789")


CLOUDS = {
    "ec2": Cloud("EC2", "aws", _ec2, lambda machine, _: f"/{_ec2(machine)[1]}/{machine.id}"),
    "gce": Cloud(
        "GCE",
        "gce",
        _gce,
        lambda machine, config: f"{dict(config.options)['project']}/{_gce(machine)[1]}/{machine.name}",
    ),
    "azure": Cloud("AZURE_ARM", "azure", _azure, lambda machine, _: machine.id),
    "digitalocean": Cloud("DIGITAL_OCEAN", "digitalocean", _digitalocean, lambda machine, _: str(machine.id)),
    "ibm": Cloud("SOFTLAYER", "ibm", _ibm, lambda machine, _: str(machine.id)),
}


class LibcloudProvider:
    """A Provider. Raises CloudError for a cloud that is not in the table, or without the library."""

    by_node = False

    def __init__(self, config: Config) -> None:
        found = CLOUDS.get(config.provider)
        if found is None:
            raise CloudError(f"no cloud {config.provider!r}: {', '.join(CLOUDS)}")
        self.name = config.provider
        self._config, self._cloud = config, found
        self._make = _driver(found.driver, config)
        self._balancers = (
            ElasticBalancers(_elastic_driver(config), config.subnets) if config.provider == "ec2" else None
        )
        features: set[Feature] = {INSTANCES}
        if self._balancers is not None:
            features.add(LOAD_BALANCERS)
            if config.route_table:
                features.add(ROUTES)
        self.features: frozenset[Feature] = frozenset(features)
        self._lock = asyncio.Lock()
        self._listed: list[Any] = []
        self._listed_at = -_KEEP

    @cached_property
    def _driver(self) -> Any:
        """Made with the first call, in its thread: some log in as they are made."""
        return self._make()

    def start(self, again: Callable[[], None]) -> None:
        """See Provider."""

    async def close(self) -> None:
        """See Provider."""

    # -- machines ------------------------------------------------------------------------------------------------------

    async def instance(self, node: Node) -> Instance | None:
        """See Provider."""
        machine = await self._machine(node)
        return self._instance(machine) if machine is not None else None

    async def _machine(self, node: Node) -> Any:
        identity = node.spec.provider_id
        for machine in await self._machines():
            if identity:
                if self._identity(machine) == identity:
                    return machine
            elif node.metadata.name in (machine.name, machine.extra.get("private_dns"), machine.id) or _same(
                machine, node
            ):
                return machine
        return None

    async def _machines(self) -> list[Any]:
        if clock.monotonic() - self._listed_at >= _KEEP:
            listed = await self._call(lambda: self._driver.list_nodes())
            self._listed = [machine for machine in listed if str(machine.state) not in _GONE]
            self._listed_at = clock.monotonic()
        return self._listed

    def _identity(self, machine: Any) -> str:
        return f"{self._cloud.prefix}://{self._cloud.identity(machine, self._config)}"

    def _instance(self, machine: Any) -> Instance:
        kind, zone, region = self._cloud.place(machine)
        found = [NodeAddress(type="InternalIP", address=address) for address in machine.private_ips or ()]
        found += [NodeAddress(type="ExternalIP", address=address) for address in machine.public_ips or ()]
        if name := machine.extra.get("private_dns"):
            found.append(NodeAddress(type="InternalDNS", address=name))
        off = str(machine.state) in _OFF
        return Instance(self._identity(machine), tuple(found), kind, zone, region or self._config.region, off)

    # -- load balancers ------------------------------------------------------------------------------------------------

    async def load_balancer(self, service: Service) -> LoadBalancerStatus | None:
        """See Provider."""
        return await self._call(partial(self._elastic.find, service))

    async def ensure_load_balancer(self, service: Service, nodes: Sequence[Node]) -> LoadBalancerStatus:
        """See Provider."""
        balancers = self._elastic
        machines = [machine.id for node in nodes if (machine := await self._machine(node)) is not None]
        zones = sorted({_ec2(machine)[1] for machine in await self._machines()} - {""})
        return await self._call(partial(balancers.ensure, service, machines, zones))

    async def update_load_balancer(self, service: Service, nodes: Sequence[Node]) -> LoadBalancerStatus:
        """See Provider."""
        return await self.ensure_load_balancer(service, nodes)

    async def delete_load_balancer(self, service: Service) -> None:
        """See Provider."""
        await self._call(partial(self._elastic.delete, service))

    @property
    def _elastic(self) -> ElasticBalancers:
        if self._balancers is None:
            raise CloudError(f"libcloud has no load balancers of {self.name} that Services could use")
        return self._balancers

    # -- routes --------------------------------------------------------------------------------------------------------

    async def routes(self) -> Sequence[Route]:
        """See Provider."""
        table = await self._table()
        names = {machine.id: machine for machine in await self._machines()}
        found = []
        for route in table.routes:
            if route.instance_id:
                machine = names.get(route.instance_id)
                owner = "" if machine is None else machine.extra.get("tags", {}).get(_NODE_TAG) or machine.name
                found.append(Route(route.cidr, owner, route.cidr))
        return found

    async def create_route(self, route: Route, node: Node) -> None:
        """See Provider."""
        machine = await self._machine(node)
        if machine is None:
            raise CloudError("instance not found")
        table = await self._table()
        if machine.name != route.node:
            await self._call(lambda: self._driver.ex_create_tags(machine, {_NODE_TAG: route.node}))
            self._listed_at = -_KEEP
        await self._call(lambda: self._driver.ex_create_route(table, route.destination, node=machine))

    async def delete_route(self, route: Route) -> None:
        """See Provider."""
        table = await self._table()
        if any(one.cidr == route.destination and one.instance_id for one in table.routes):
            await self._call(lambda: self._driver.ex_delete_route(table, route.destination))

    async def _table(self) -> Any:
        wanted = [self._config.route_table]
        (table,) = await self._call(lambda: self._driver.ex_list_route_tables(route_table_ids=wanted))
        return table

    async def _call(self, work: Callable[[], T]) -> T:
        """One call in a thread; whatever the library raises is a CloudError."""
        async with self._lock:
            try:
                return await asyncio.to_thread(work)
            except CloudError:
                raise
            except Exception as error:  # libcloud has dozens, without a common ancestor
                raise CloudError(f"{self.name}: {error}") from error


#: Tells which node a machine is whose own name differs.
_NODE_TAG = "kubernetes.io/node"


def _same(machine: Any, node: Node) -> bool:
    addresses = {one.address for one in node.status.addresses or () if one.type == "InternalIP"}
    return bool(addresses & {*(machine.private_ips or ())})


def _driver(name: str, config: Config) -> Callable[[], Any]:
    """What makes the driver. Raises CloudError without the library."""
    try:
        from libcloud.compute.providers import get_driver
        from libcloud.compute.types import Provider
    except ImportError:
        raise CloudError("public clouds need Apache Libcloud: pip install 'pybernetes[cloud]'") from None
    options: dict[str, Any] = dict(config.options)
    if name == "EC2":
        options.setdefault("signature_version", "4")  # newer regions know no older one
    if config.region:
        options["region"] = config.region
    if config.endpoint:
        url = urlsplit(config.endpoint)
        options |= {"host": url.hostname, "port": url.port, "secure": url.scheme == "https"}
    return partial(get_driver(getattr(Provider, name)), *config.credentials, **options)


def _elastic_driver(config: Config) -> Any:
    from libcloud.loadbalancer.providers import get_driver
    from libcloud.loadbalancer.types import Provider

    make: Any = get_driver
    driver = make(Provider.ELB)(*config.credentials, region=config.region)
    if config.endpoint:
        url = urlsplit(config.endpoint)
        driver.connection.host, driver.connection.port = url.hostname, url.port
        driver.connection.secure = url.scheme == "https"
        driver.connection.connect()
    return driver
