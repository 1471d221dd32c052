"""The public clouds: EC2 against a local simulation of its API, the others' machines as libcloud gives them."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from pybernetes.api.core_v1 import Node
from pybernetes.control_plane.cloud import elastic, libcloud
from pybernetes.control_plane.cloud.libcloud import Config, LibcloudProvider
from pybernetes.control_plane.cloud.provider import CloudError
from pybernetes.machinery import codec
from tests.suites.cloud_contract import CloudContract, Started, node, service

pytest.importorskip("libcloud", reason="Apache Libcloud is an optional dependency")
ec2 = pytest.importorskip("libcloud.compute.drivers.ec2")
moto_server = pytest.importorskip("moto.server", reason="the simulation is a development dependency")

REGION = "eu-west-1"


@pytest.fixture(scope="module", autouse=True)
def endpoint() -> Iterator[str]:
    """A simulated EC2 on the loopback address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    Simulated.endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        # The simulation's answers lack the slash at the end.
        patch.setattr(ec2, "NAMESPACE", ec2.NAMESPACE.rstrip("/"))
        yield Simulated.endpoint
    server.stop()


class Simulated:
    endpoint = ""


def config(**more: Any) -> Config:
    return Config("ec2", ("key", "secret"), REGION, endpoint=Simulated.endpoint, **more)


def machines(provider: LibcloudProvider, *names: str) -> list[Any]:
    """Start instances of these names; what was there is gone."""
    from libcloud.compute.base import NodeImage

    driver = provider._driver
    for old in driver.list_nodes():
        driver.destroy_node(old)
    image = NodeImage("ami-12c6146b", "any", driver)
    size = next(size for size in driver.list_sizes() if size.id == "t3.micro")
    return [driver.create_node(name=name, image=image, size=size) for name in names]


@pytest.mark.real_time
class TestEC2(CloudContract):
    @contextlib.asynccontextmanager
    async def cloud(self) -> Started:  # type: ignore[override]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries
            first = LibcloudProvider(config())
            driver = first._driver
            started = machines(first, "n1", "n2")
            self.known = {machine.name: machine for machine in started}
            table = driver.ex_list_route_tables()[0]
            for route in [one for one in table.routes if one.instance_id]:
                driver.ex_delete_route(table, route.cidr)
            provider = LibcloudProvider(config(route_table=table.id))
            provider.start(lambda: None)
            yield provider
            await provider.close()


@pytest.mark.real_time
async def test_an_instance_tells_where_and_what_it_is() -> None:
    provider = LibcloudProvider(config())
    first, second = machines(provider, "n1", "n2")
    found = await provider.instance(node("n1", "192.0.2.1"))
    assert found is not None and not found.shutdown
    assert found.provider_id == f"aws:///{found.zone}/{first.id}"
    assert (found.type, found.region) == ("t3.micro", REGION) and found.zone.startswith(REGION)
    # Also by its own DNS name or address, as kubelets name their nodes there.
    private = {one.type: one.address for one in found.addresses}
    for other in (node(private["InternalDNS"], "192.0.2.1"), node("x", private["InternalIP"])):
        same = await provider.instance(other)
        assert same is not None and same.provider_id == found.provider_id
    provider._driver.ex_stop_node(first)
    provider._driver.destroy_node(second)
    provider._listed_at = -100
    stopped = await provider.instance(node("n1", "192.0.2.1"))
    assert stopped is not None and stopped.shutdown
    assert await provider.instance(node("n2", "192.0.2.2")) is None


@pytest.mark.real_time
async def test_a_balancer_follows_ports_and_machines() -> None:
    provider = LibcloudProvider(config())
    machines(provider, "n1", "n2")
    nodes = [node("n1", "192.0.2.1"), node("n2", "192.0.2.2")]
    web = service()
    status = await provider.ensure_load_balancer(web, nodes)
    assert status.ingress and (status.ingress[0].hostname or "").endswith(".elb.amazonaws.com")

    def seen() -> tuple[dict[int, int], int]:
        assert provider._balancers is not None
        found = provider._balancers._describe(web)
        assert found is not None
        behind = [one for listed in found.iter(f"{elastic._SPACE}Instances") for one in listed]
        return elastic._listeners_of(found), len(behind)

    assert seen() == ({80: 31080}, 2)
    changed = codec.copy(web)
    changed.spec.ports = codec.copy(
        service(ports=[{"port": 80, "nodePort": 31081}, {"port": 443, "nodePort": 31443}])
    ).spec.ports
    await provider.ensure_load_balancer(changed, nodes[:1])
    assert seen() == ({80: 31081, 443: 31443}, 1)
    await provider.delete_load_balancer(web)
    assert await provider.load_balancer(web) is None


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"sessionAffinity": "ClientIP"}, "spec.sessionAffinity ClientIP"),
        ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, "spec.loadBalancerSourceRanges"),
        ({"loadBalancerIP": "192.0.2.1"}, "spec.loadBalancerIP"),
        ({"ports": [{"port": 53, "protocol": "UDP", "nodePort": 30053}]}, r"spec.ports\[0\].protocol UDP"),
        ({"ports": [{"port": 80}]}, r"spec.ports\[0\] has no node port"),
    ],
)
def test_what_classic_load_balancers_cannot_do_is_refused_by_name(spec: dict[str, Any], text: str) -> None:
    with pytest.raises(CloudError, match=text):
        elastic.listeners(service(**spec))


def test_health_is_asked_for_where_the_policy_is_local() -> None:
    assert elastic.health_check(service(), {80: 31080})["HealthCheck.Target"] == "TCP:31080"
    local = service(externalTrafficPolicy="Local", healthCheckNodePort=32000)
    assert elastic.health_check(local, {80: 31080})["HealthCheck.Target"] == "HTTP:32000/healthz"


@pytest.mark.real_time
async def test_what_a_cloud_lacks_is_refused_by_name() -> None:
    provider = LibcloudProvider(Config("digitalocean", ("token",), options=(("api_version", "v2"),)))
    assert provider.features == {"instances"}
    with pytest.raises(CloudError, match="libcloud has no load balancers of digitalocean"):
        await provider.ensure_load_balancer(service(), [])
    with pytest.raises(CloudError, match="no cloud 'moon': ec2, gce, azure, digitalocean, ibm"):
        LibcloudProvider(Config("moon"))


@pytest.mark.real_time
async def test_a_cloud_that_cannot_be_reached() -> None:
    closed = Config("ec2", ("key", "secret"), REGION, endpoint="http://127.0.0.1:9")
    with pytest.raises(CloudError, match="ec2: "):
        await LibcloudProvider(closed).instance(codec.from_dict(Node, {"metadata": {"name": "n1"}}))


class Machine:
    """As libcloud's Node."""

    def __init__(self, size: Any = None, **extra: Any) -> None:
        self.id, self.name, self.size, self.extra = "7", "n1", size, extra


class Zone:
    name = "europe-west1-b"


@pytest.mark.parametrize(
    ("cloud", "machine", "place", "identity"),
    [
        (
            "gce",
            Machine("n1-standard-1", zone=Zone()),
            ("n1-standard-1", Zone.name, "europe-west1"),
            f"p/{Zone.name}/n1",
        ),
        (
            "azure",
            Machine(location="westeurope", zones=["2"], properties={"hardwareProfile": {"vmSize": "Standard_B1s"}}),
            ("Standard_B1s", "westeurope-2", "westeurope"),
            "7",
        ),
        ("digitalocean", Machine(region={"slug": "ams3"}, size_slug="s-1vcpu"), ("s-1vcpu", "", "ams3"), "7"),
        ("ibm", Machine(datacenter="ams03"), ("", "ams03", "ams"), "7"),
    ],
)
def test_where_each_cloud_tells_type_and_zone(cloud: str, machine: Machine, place: Any, identity: str) -> None:
    row = libcloud.CLOUDS[cloud]
    assert row.place(machine) == place
    assert row.identity(machine, Config(cloud, options=(("project", "p"),))) == identity
