"""Services as classic load balancers of EC2: a port of the balancer goes to the Service's node port on all machines.

Everything here blocks; `libcloud.py` calls it in a thread. A balancer's name is derived from the Service's uid, as
upstream's AWS provider has it, so it is found again without being remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from pybernetes.api.core_v1 import LoadBalancerIngress, LoadBalancerStatus, Service
from pybernetes.control_plane.cloud.provider import CloudError

_SPACE = "{http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/}"
#: Port of the balancer -> port of the machines.
Listeners = dict[int, int]


class ElasticBalancers:
    """driver: libcloud's ELB driver. subnets: where balancers are; none: in the machines' zones."""

    def __init__(self, driver: Any, subnets: tuple[str, ...]) -> None:
        self._driver = driver
        self._subnets = subnets

    def find(self, service: Service) -> LoadBalancerStatus | None:
        """What there is for the Service."""
        found = self._describe(service)
        return _status(found) if found is not None else None

    def ensure(self, service: Service, machines: Sequence[str], zones: Sequence[str]) -> LoadBalancerStatus:
        """Make it as the Service wants it, over these machines (instance ids)."""
        wanted, name = listeners(service), name_of(service)
        found = self._describe(service)
        if found is None:
            places = ("Subnets", self._subnets) if self._subnets else ("AvailabilityZones", zones)
            self._ask("CreateLoadBalancer", name, {**_listed(wanted), **_members(*places)})
            found = self._describe(service)
            assert found is not None
        present = _listeners_of(found)
        wrong = [port for port, target in present.items() if wanted.get(port) != target]
        missing = {port: target for port, target in wanted.items() if port in wrong or port not in present}
        if wrong:
            self._ask("DeleteLoadBalancerListeners", name, _members("LoadBalancerPorts", [*map(str, wrong)]))
        if missing:
            self._ask("CreateLoadBalancerListeners", name, _listed(missing))
        self._ask("ConfigureHealthCheck", name, health_check(service, wanted))
        behind = [_text(one, "InstanceId") for one in found.iter(f"{_SPACE}Instances") for one in one]
        for action, ids in (
            ("RegisterInstancesWithLoadBalancer", [one for one in machines if one not in behind]),
            ("DeregisterInstancesFromLoadBalancer", [one for one in behind if one not in machines]),
        ):
            if ids:
                self._ask(action, name, {f"Instances.member.{i}.InstanceId": one for i, one in enumerate(ids, 1)})
        return _status(found)

    def delete(self, service: Service) -> None:
        """Nothing is left of it."""
        self._ask("DeleteLoadBalancer", name_of(service), {})

    def _describe(self, service: Service) -> Element | None:
        try:
            answer = self._request("DescribeLoadBalancers", {"LoadBalancerNames.member.1": name_of(service)})
        except Exception as error:
            if "LoadBalancerNotFound" in str(error) or "no ACTIVE Load Balancer" in str(error):
                return None
            raise
        return answer.find(f".//{_SPACE}LoadBalancerDescriptions/{_SPACE}member")

    def _ask(self, action: str, name: str, parameters: dict[str, str]) -> None:
        self._request(action, {"LoadBalancerName": name, **parameters})

    def _request(self, action: str, parameters: dict[str, str]) -> Element:
        answer: Element = self._driver.connection.request("/", params={"Action": action, **parameters}).object
        return answer


def name_of(service: Service) -> str:
    """At most 32 letters and digits."""
    return ("a" + service.metadata.uid.replace("-", ""))[:32]


def listeners(service: Service) -> Listeners:
    """What the balancer listens on. Raises CloudError for what classic load balancers cannot do."""
    spec = service.spec
    if spec.session_affinity == "ClientIP":
        raise CloudError("spec.sessionAffinity ClientIP is not supported by classic load balancers")
    if set(spec.load_balancer_source_ranges or ()) - {"0.0.0.0/0"}:
        raise CloudError("spec.loadBalancerSourceRanges is not supported: it needs security groups")
    if spec.load_balancer_ip:
        raise CloudError("spec.loadBalancerIP is not supported by classic load balancers")
    found: Listeners = {}
    for i, port in enumerate(spec.ports or ()):
        if (port.protocol or "TCP") != "TCP":
            raise CloudError(f"spec.ports[{i}].protocol {port.protocol} is not supported by classic load balancers")
        if not port.node_port:
            raise CloudError(f"spec.ports[{i}] has no node port, and classic load balancers need one")
        found[port.port] = port.node_port
    return found


def health_check(service: Service, wanted: Listeners) -> dict[str, str]:
    """How the balancer learns which machines can serve: by the node port, or with policy Local by the health port."""
    port = service.spec.health_check_node_port
    target = f"HTTP:{port}/healthz" if port else f"TCP:{next(iter(wanted.values()))}"
    return {
        "HealthCheck.Target": target,
        "HealthCheck.Interval": "10",
        "HealthCheck.Timeout": "5",
        "HealthCheck.HealthyThreshold": "2",
        "HealthCheck.UnhealthyThreshold": "6",
    }


def _listed(wanted: Listeners) -> dict[str, str]:
    found: dict[str, str] = {}
    for i, (port, target) in enumerate(wanted.items(), 1):
        start = f"Listeners.member.{i}"
        found |= {
            f"{start}.Protocol": "TCP",
            f"{start}.LoadBalancerPort": str(port),
            f"{start}.InstanceProtocol": "TCP",
            f"{start}.InstancePort": str(target),
        }
    return found


def _members(name: str, values: Sequence[str]) -> dict[str, str]:
    return {f"{name}.member.{i}": value for i, value in enumerate(values, 1)}


def _listeners_of(found: Element) -> Listeners:
    return {
        int(_text(one, "LoadBalancerPort")): int(_text(one, "InstancePort")) for one in found.iter(f"{_SPACE}Listener")
    }


def _status(found: Element) -> LoadBalancerStatus:
    return LoadBalancerStatus(ingress=[LoadBalancerIngress(hostname=_text(found, "DNSName"))])


def _text(element: Element, name: str) -> str:
    return element.findtext(f"{_SPACE}{name}") or ""
