"""What the conformance tests of Pods' network demand, on real containers: Pods and nodes among themselves, host ports,
names, and the API server's proxy. One test for a description, or for a group that differs in one word."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import RealCluster
from tests.e2e.netexec.world import World, until, world

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]


@pytest.fixture(scope="module")
def net(cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two servers, a client, and one in the node's network."""
    (cluster.directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # other names are asked of nobody
    with world(cluster, "network-pods", tmp_path_factory.mktemp("netexec")) as found:
        for name in ("a", "b", "client"):
            found.pod(name, {"name": name})
        found.host_pod("host")
        found.ready("a", "b", "client", "host")
        yield found


@pytest.mark.parametrize("protocol", ["http", "udp"])
@pytest.mark.parametrize("source", ["client", "host"])
def test_pods_are_reached(net: World, source: str, protocol: str) -> None:
    """From Pods and from the node, over HTTP and UDP; from Pods with the Pod's own address."""
    for name in ("a", "b"):
        net.reaches(source, net.address(name), 8080 if protocol == "http" else 8081, {name}, protocol)
    if source == "client":
        seen, _ = net.dial("client", net.address("a"), 8080, request="clientip")
        assert seen[0].split(":")[0] == net.address("client")


def test_the_node_is_reached_from_pods(net: World) -> None:
    for protocol, port in (("http", 18080), ("udp", 18081)):
        assert net.dial("client", net.node_address, port, protocol)[1] == []


def test_host_ports(net: World) -> None:
    """One port of the node three times: on loopback, on the node's address, and there with UDP."""
    port = 54323
    pods = {
        "loop": ("127.0.0.1", "TCP", 8080),
        "tcp": (net.node_address, "TCP", 8080),
        "udp": (net.node_address, "UDP", 8081),
    }
    for name, (address, protocol, inner) in pods.items():
        ports = [{"hostPort": port, "hostIP": address, "containerPort": inner, "protocol": protocol}]
        net.pod(f"hp-{name}", ports=ports)
    net.ready(*(f"hp-{name}" for name in pods))
    for _ in range(5):
        net.reaches("host", "127.0.0.1", port, {"hp-loop"})
        net.reaches("host", net.node_address, port, {"hp-tcp"})
        net.reaches("host", net.node_address, port, {"hp-udp"}, "udp")
        net.reaches("client", net.node_address, port, {"hp-tcp"})
        seen, errors = net.dial("host", "127.0.0.1", port, sourceaddress=net.node_address)
        assert (seen, errors) == (["hp-loop"], [])
    for name in pods:
        net.delete("pods", f"hp-{name}", 0)
    net.fails("host", net.node_address, port, "ConnectionRefusedError")


# -- policies ----------------------------------------------------------------------------------------------------------


def test_policies_between_tiers(net: World) -> None:
    """Everything closed, then one way opened, by labels and a port's name; probes, DNS and the node go on."""
    web = [{"name": "web", "containerPort": 8080}]
    for name in ("tier-1", "tier-2"):
        net.pod(name, {"tier": name}, ports=web)
    net.service("tier-2", {"tier": "tier-2"}, {"port": 80, "targetPort": "web"})
    net.ready("tier-1", "tier-2")
    one, two = net.address("tier-1"), net.address("tier-2")
    net.reaches("tier-1", "tier-2", 80, {"tier-2"})
    closed = {
        "podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
        "policyTypes": ["Ingress", "Egress"],
    }
    net.create("networkpolicies", {"metadata": {"name": "closed"}, "spec": closed})
    until(lambda: net.dial("tier-1", two, 8080, timeout=1) == ([], ["TimeoutError"]))
    assert net.dial("client", two, 8080, timeout=1) == ([], ["TimeoutError"])
    assert net.dial("tier-1", net.address("a"), 8080, timeout=1) == ([], ["TimeoutError"])
    assert net.dial("host", two, 8080)[0] == ["tier-2"]
    address = net.get("services", "tier-2")["spec"]["clusterIP"]
    assert net.ask("tier-1", "lookup?name=tier-2") == address
    first, second = ({"podSelector": {"matchLabels": {"tier": f"tier-{i}"}}} for i in (1, 2))
    out = {**first, "policyTypes": ["Egress"], "egress": [{"to": [second]}]}
    into = {**second, "policyTypes": ["Ingress"], "ingress": [{"from": [first], "ports": [{"port": "web"}]}]}
    for name, spec in (("out", out), ("in", into)):
        net.create("networkpolicies", {"metadata": {"name": name}, "spec": spec})
    net.reaches("tier-1", "tier-2", 80, {"tier-2"})
    assert net.dial("tier-1", two, 8081, "udp", timeout=1) == ([], ["TimeoutError"])
    assert net.dial("tier-2", one, 8080, timeout=1) == ([], ["TimeoutError"])
    assert net.dial("client", two, 8080, timeout=1) == ([], ["TimeoutError"])
    net.ready("tier-1", "tier-2")
    text = net.cluster.kubectl("-n", net.namespace, "describe", "netpol", "in").stdout
    assert "PodSelector:     tier=tier-2" in text and "To Port: web/TCP" in text
    for name in ("closed", "out", "in"):
        net.delete("networkpolicies", name)
    net.reaches("client", "tier-2", 80, {"tier-2"})


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_of_services(net: World) -> None:
    """Whole names and parts of them, of a Service and of a headless one."""
    with net.temporary("services", "plain"), net.temporary("services", "bare"):
        address = net.service("plain", {"name": "a"})["spec"]["clusterIP"]
        net.service("bare", {"name": "b"}, clusterIP="None")
        for service, wanted in (("plain", address), ("bare", net.address("b"))):
            for tail in ("", f".{net.namespace}", f".{net.namespace}.svc", f".{net.namespace}.svc.cluster.local"):
                until(lambda name=service + tail, wanted=wanted: net.ask("client", f"lookup?name={name}") == wanted)
        kubernetes = net.cluster.get("service", "kubernetes")["spec"]["clusterIP"]
        for name in ("kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"):
            assert net.ask("client", f"lookup?name={name}") == kubernetes
        assert net.ask("client", "lookup?name=nothing.default.svc.cluster.local") == ""


def test_names_of_pods(net: World) -> None:
    """A Pod with hostname and subdomain has its name from DNS and from /etc/hosts, short and whole."""
    with net.temporary("services", "sub"), net.temporary("pods", "querier"):
        net.service("sub", {"name": "querier"}, clusterIP="None")
        net.pod("querier", {"name": "querier"}, hostname="first", subdomain="sub")
        net.ready("querier")
        address = net.address("querier")
        whole = f"first.sub.{net.namespace}.svc.cluster.local"
        for name in ("first.sub", f"first.sub.{net.namespace}", whole):
            until(lambda name=name: net.ask("client", f"lookup?name={name}") == address)
        hosts = net.cluster.kubectl("-n", net.namespace, "exec", "querier", "--", "cat", "/etc/hosts").stdout
        assert hosts.startswith("# Kubernetes-managed hosts file.\n") and f"{address}\t{whole}\tfirst\n" in hosts
        assert net.ask("querier", "hostname") == "first"
        for name in ("first", whole):
            assert net.ask("querier", f"lookup?name={name}") == address


def test_names_that_are_elsewhere(net: World) -> None:
    """An ExternalName follows its target, and becomes a Service of its own."""
    with net.temporary("services", "elsewhere"), net.temporary("services", "one"), net.temporary("services", "two"):
        addresses = {name: net.service(name, {"name": "a"})["spec"]["clusterIP"] for name in ("one", "two")}
        domain = f"{net.namespace}.svc.cluster.local"
        spec = {"type": "ExternalName", "externalName": f"one.{domain}"}
        net.create("services", {"metadata": {"name": "elsewhere"}, "spec": spec})
        until(lambda: net.ask("client", "lookup?name=elsewhere") == addresses["one"])
        net.patch("services", "elsewhere", {"spec": {"externalName": f"two.{domain}"}})
        until(lambda: net.ask("client", "lookup?name=elsewhere") == addresses["two"])
        own = {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80}]}
        address = net.patch("services", "elsewhere", {"spec": own})["spec"]["clusterIP"]
        until(lambda: net.ask("client", "lookup?name=elsewhere") == address)


def test_name_servers_of_a_pods_own(net: World) -> None:
    """dnsPolicy None: what dnsConfig says and nothing else."""
    own = {
        "nameservers": ["192.0.2.53"],
        "searches": ["resolv.conf.local"],
        "options": [{"name": "ndots", "value": "2"}],
    }
    net.pod("own-dns", dnsPolicy="None", dnsConfig=own)
    net.ready("own-dns")
    found = net.cluster.kubectl("-n", net.namespace, "exec", "own-dns", "--", "cat", "/etc/resolv.conf").stdout
    assert found.splitlines() == ["search resolv.conf.local", "nameserver 192.0.2.53", "options ndots:2"]
    default = net.cluster.kubectl("-n", net.namespace, "exec", "a", "--", "cat", "/etc/resolv.conf").stdout
    tenth = net.cluster.get("service", "kube-dns", "-n", "kube-system")["spec"]["clusterIP"]
    searches = f"search {net.namespace}.svc.cluster.local svc.cluster.local cluster.local"
    assert default.splitlines() == [f"search {searches[7:]}", f"nameserver {tenth}", "options ndots:5"]


# -- the API server's proxy --------------------------------------------------------------------------------------------

PORTER = {
    "SERVE_PORT_80": '<a href="/rewriteme">test</a>',
    "SERVE_PORT_1080": '<a href="/rewriteme">test</a>',
    "SERVE_PORT_160": "foo",
    "SERVE_PORT_162": "bar",
    "SERVE_TLS_PORT_443": '<a href="/tlsrewriteme">test</a>',
    "SERVE_TLS_PORT_460": "tls baz",
    "SERVE_TLS_PORT_462": "tls qux",
}


def test_proxy_of_services_and_pods(net: World) -> None:
    """Every way to write scheme, name and port, twenty times side by side; links in pages lead through the proxy."""
    ports = [{"containerPort": 80}, {"name": "dest1", "containerPort": 160}, {"name": "dest2", "containerPort": 162},
             {"name": "tlsdest1", "containerPort": 460}, {"name": "tlsdest2", "containerPort": 462}]  # fmt: skip
    net.pod("porter", {"name": "porter"}, PORTER, ports=ports)
    served = [
        ("portname1", 80, "dest1"),
        ("portname2", 81, 162),
        ("tlsportname1", 443, "tlsdest1"),
        ("tlsportname2", 444, 462),
    ]
    net.service("porter", {"name": "porter"}, *({"name": n, "port": p, "targetPort": t} for n, p, t in served))
    net.ready("porter")
    until(lambda: net.endpoints("porter"))

    def place(kind: str, scheme: str, port: str) -> str:
        return net.path(kind, ":".join(part for part in (scheme, "porter", port) if part)) + "/proxy"

    expected = {
        **{place("services", scheme, "portname1"): "foo" for scheme in ("", "http")},
        **{place("services", scheme, "portname2"): "bar" for scheme in ("", "http")},
        place("services", "https", "tlsportname1"): "tls baz",
        place("services", "https", "tlsportname2"): "tls qux",
        **{place("pods", scheme, "160"): "foo" for scheme in ("", "http")},
        **{place("pods", scheme, "162"): "bar" for scheme in ("", "http")},
        place("pods", "https", "460"): "tls baz",
        place("pods", "https", "462"): "tls qux",
    }
    pages = [(place("pods", "", ""), ""), (place("pods", "", "1080"), ""), (place("pods", "http", "1080"), "")]
    for page, tls in [*pages, (place("pods", "https", "443"), "tls")]:
        expected[page] = f'<a href="{page}/{tls}rewriteme">test</a>'
    assert len(expected) == 16

    def fetch(path: str) -> tuple[str, int, str]:
        status, _, body = net.call("GET", f"{path}/")
        return path, status, body.decode()

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        found = list(pool.map(fetch, [*expected] * 20))
    assert [item for item in found if item != (item[0], 200, expected[item[0]])] == []
    net.delete("services", "porter")
    net.delete("pods", "porter", 0)


def test_proxy_with_every_verb(net: World) -> None:
    """With a path and without; without one GET and HEAD are redirected to the slash."""
    net.pod("verbs", {"name": "verbs"}, {"SERVE_PORT_80": "foo", "JSON_RESPONSE": "1"})
    net.service("verbs", {"name": "verbs"}, {"port": 80, "targetPort": 80})
    net.ready("verbs")
    until(lambda: net.endpoints("verbs"))
    for kind in ("pods", "services"):
        base = f"{net.path(kind, 'verbs')}/proxy"
        for verb in ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"):
            status, _, body = net.call(verb, f"{base}/some/path/with/{verb}")
            assert status == 200, (verb, body)
            assert verb == "HEAD" or json.loads(body) == {"Method": verb, "Body": "foo"}
            status, headers, body = net.call(verb, f"{base}?method={verb}")
            if verb in ("GET", "HEAD"):
                assert (status, headers["location"]) == (301, f"{base}/?method={verb}")
            else:
                assert (status, json.loads(body)) == (200, {"Method": verb, "Body": "foo"})


def test_proxy_of_redirects(net: World) -> None:
    """A page that leads elsewhere on the same server leads through the proxy."""
    base = f"{net.path('pods', 'a:8080')}/proxy"
    status, headers, _ = net.call("GET", f"{base}/redirect?to=/hostname")
    assert (status, headers["location"]) == (302, f"{base}/hostname")
    status, headers, _ = net.call("GET", f"{base}/redirect?to=http://elsewhere.example/x&code=301")
    assert (status, headers["location"]) == (301, "http://elsewhere.example/x")


def test_proxy_to_nowhere(net: World) -> None:
    for name, wanted in (("pods/nobody", 404), ("services/nobody", 404), ("pods/a:1", 503)):
        kind, _, rest = name.partition("/")
        status, _, body = net.call("GET", f"{net.path(kind, rest)}/proxy/")
        assert (status, json.loads(body)["kind"]) == (wanted, "Status"), body
