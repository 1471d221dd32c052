"""Services and slices to rules: readiness, policies, hints, families."""

from __future__ import annotations

from typing import Any

from pybernetes.api.core_v1 import Service, ServicePort, ServiceSpec
from pybernetes.api.discovery_v1 import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
)
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network.proxy import conntrack, health
from pybernetes.network.proxy.metrics import Metrics
from pybernetes.network.proxy.rules import NOTHING, NodeView, PortRules, ServiceRules, service_rules

HERE = NodeView("n1", "z1")


def service(**spec: Any) -> Service:
    defaults: dict[str, Any] = {
        "type": "ClusterIP",
        "cluster_ip": "10.0.0.1",
        "cluster_ips": ["10.0.0.1"],
        "ports": [ServicePort(name="http", port=80, protocol="TCP")],
    }
    return Service(metadata=ObjectMeta(name="s", namespace="ns"), spec=ServiceSpec(**{**defaults, **spec}))


def endpoint(last: int, node: str = "n1", *, hints: EndpointHints | None = None, **conditions: bool) -> Endpoint:
    return Endpoint(
        addresses=[f"10.1.0.{last}"],
        node_name=node,
        conditions=EndpointConditions(**{"ready": True, **conditions}),
        hints=hints,
    )


def slice_of(*endpoints: Endpoint, port: int = 8080, family: str = "IPv4", **labels: str) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name="x", namespace="ns", labels=labels),
        address_type=family,
        endpoints=[*endpoints],
        ports=[EndpointPort(name="http", port=port, protocol="TCP")],
    )


def only(made: ServiceRules) -> PortRules:
    assert len(made.ports) == 1
    return made.ports[0]


def lasts(targets: tuple[tuple[str, int], ...]) -> list[int]:
    return [int(address.rpartition(".")[2]) for address, _ in targets]


def test_ready_endpoints_of_all_slices() -> None:
    slices = [slice_of(endpoint(1), endpoint(2, ready=False)), slice_of(endpoint(3, "n2"), port=9090)]
    port = only(service_rules(service(), slices, HERE))
    assert port.inside == (("10.1.0.1", 8080), ("10.1.0.3", 9090)) == port.outside == port.cluster


def test_terminating_endpoints_serve_when_nothing_else_does() -> None:
    leaving = endpoint(1, ready=False, serving=True, terminating=True)
    gone = endpoint(2, ready=False, serving=False, terminating=True)
    assert lasts(only(service_rules(service(), [slice_of(leaving, gone)], HERE)).inside) == [1]
    assert lasts(only(service_rules(service(), [slice_of(leaving, endpoint(3))], HERE)).inside) == [3]


def test_who_may_call_itself_here() -> None:
    """Endpoints of this node, and those whose node nobody names, as in slices made by hand."""
    slices = [slice_of(endpoint(1), endpoint(2, "n2"), endpoint(3, ""))]
    assert service_rules(service(), slices, HERE).local == {"10.1.0.1", "10.1.0.3"}


def test_local_policies() -> None:
    slices = [slice_of(endpoint(1), endpoint(2, "n2"))]
    inner = only(service_rules(service(internal_traffic_policy="Local"), slices, HERE))
    assert (lasts(inner.inside), lasts(inner.cluster)) == ([1], [1, 2])
    outer = service(
        type="LoadBalancer", external_traffic_policy="Local", health_check_node_port=31000, external_ips=["5.5.5.5"]
    )
    made = service_rules(outer, slices, HERE)
    assert (lasts(only(made).inside), lasts(only(made).outside), made.health_check_port) == ([1, 2], [1], 31000)
    away = service_rules(outer, slices, NodeView("n3"))
    assert (only(away).outside, only(away).elsewhere, away.local_count) == ((), True, 0)


def test_hints_count_only_if_all_have_them_and_one_is_for_us() -> None:
    ours, theirs = EndpointHints(for_zones=[ForZone(name="z1")]), EndpointHints(for_zones=[ForZone(name="z2")])
    near, far = endpoint(1, hints=ours), endpoint(2, hints=theirs)
    assert lasts(only(service_rules(service(), [slice_of(near, far)], HERE)).inside) == [1]
    assert lasts(only(service_rules(service(), [slice_of(near, far, endpoint(3))], HERE)).inside) == [1, 2, 3]
    assert lasts(only(service_rules(service(), [slice_of(far)], HERE)).inside) == [2]
    node = endpoint(4, hints=EndpointHints(for_nodes=[ForNode(name="n1")], for_zones=[ForZone(name="z9")]))
    other = endpoint(5, hints=EndpointHints(for_nodes=[ForNode(name="n2")], for_zones=[ForZone(name="z1")]))
    assert lasts(only(service_rules(service(), [slice_of(node, other)], HERE)).inside) == [4]


def test_what_is_not_for_this_proxy() -> None:
    assert service_rules(service(cluster_ip="None", cluster_ips=["None"]), [], HERE) is NOTHING
    assert service_rules(service(type="ExternalName"), [], HERE) is NOTHING
    assert service_rules(None, [], HERE) is NOTHING
    for label in ("service-proxy-name", "headless"):
        other = service()
        other.metadata.labels = {f"service.kubernetes.io/{label}": ""}
        assert service_rules(other, [], HERE) is NOTHING
        left = slice_of(endpoint(1))
        left.metadata.labels = other.metadata.labels
        assert only(service_rules(service(), [left], HERE)).inside == ()


def test_families_are_kept_apart() -> None:
    both = service(cluster_ips=["10.0.0.1", "fd00::1"], external_ips=["5.5.5.5", "fd00::5"])
    six = Endpoint(addresses=["fd01::1"], conditions=EndpointConditions(ready=True))
    slices = [slice_of(endpoint(1)), slice_of(six, family="IPv6")]
    port = only(service_rules(both, slices, HERE, "IPv6"))
    assert (port.cluster_ip, port.external_ips, port.inside) == ("fd00::1", ("fd00::5",), (("fd01::1", 8080),))


def test_stale_flows_are_udp_ones_that_lost_an_endpoint_or_got_their_first() -> None:
    def made(protocol: str, *endpoints: Endpoint) -> dict[str, ServiceRules]:
        spec = service(ports=[ServicePort(name="http", port=53, protocol=protocol, node_port=30053)])
        slices = slice_of(*endpoints)
        assert slices.ports
        slices.ports[0].protocol = protocol
        return {"ns/s": service_rules(spec, [slices], HERE)}

    one, two = made("UDP", endpoint(1)), made("UDP", endpoint(1), endpoint(2))
    assert conntrack.stale(one, two, ("9.9.9.9",)) == []
    lost = conntrack.stale(two, one, ("9.9.9.9", "fd09::9"))  # the other family's flows are right as they are
    assert [item.place for item in lost] == [("10.0.0.1", 53), ("9.9.9.9", 30053)]
    assert lost[0].targets == {("10.1.0.1", 8080)}
    assert [item.place for item in conntrack.stale(made("UDP"), one, ())] == [("10.0.0.1", 53)]
    assert [item.place for item in conntrack.stale({}, one, ())] == [("10.0.0.1", 53)]
    assert conntrack.stale(made("TCP", endpoint(1)), made("TCP"), ()) == []


def test_health_check_answers() -> None:
    assert health.response("ns/s", 2).startswith(b"HTTP/1.1 200 OK\r\n")
    refused = health.response("ns/s", 0)
    assert refused.startswith(b"HTTP/1.1 503 ") and b'"localEndpoints": 0' in refused


def test_the_proxys_own_health() -> None:
    numbers = Metrics("nftables", ["IPv4"])
    status = health.Status("nftables", numbers, lambda: "kubeproxy_x 1\n", ((), 0), ((), 0))
    assert status._healthz("/healthz").startswith(b"HTTP/1.1 503 ")  # no rules yet
    status.updated = "2026-01-01T00:00:00Z"
    assert b'"nodeEligible": true' in status._healthz("/healthz")
    status.eligible = False
    assert [status._healthz(path)[9:12] for path in ("/healthz", "/livez", "/x")] == [b"503", b"200", b"404"]
    assert status._status("/proxyMode").endswith(b"\r\n\r\nnftables")
    assert status._status("/metrics").endswith(b"\r\n\r\nkubeproxy_x 1\n")
    assert numbers.healthz == {503: 2, 200: 1} and numbers.livez == {200: 1}
