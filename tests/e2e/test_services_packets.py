"""Service rules judged by real packets: a node, Pods on it and elsewhere, and a client outside, each a namespace.

Servers answer with their name and the address they see the client at. Nothing leaves the namespaces. Everything is
written with IPv4 addresses; for IPv6 each stands for another one (`at`), and the answers are read back.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import itertools
import random
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pybernetes.network import idle_tables
from pybernetes.network.links import Namespace
from pybernetes.network.proxy import conntrack
from pybernetes.network.proxy.proxy import BACKENDS, Config, backend
from pybernetes.network.proxy.rules import NOTHING, PortRules, ServiceRules, Target

T = TypeVar("T")
FAMILIES = ("IPv4", "IPv6")
PREFIX = "pbtest"
IN_NODE = ["ip", "netns", "exec", f"{PREFIX}-node"]
PODS = {"a": "10.200.0.11", "b": "10.200.0.12", "far": "10.200.1.21"}
NODE, CLIENT, BALANCER = "198.18.0.1", "198.18.0.2", "198.18.9.9"
VIP = "10.96.0.50"
PORT = 8080


def at(address: str, family: str) -> str:
    """An address or range in a family: 10.200.0.0/16 is fd00::10:200:0:0/96 in IPv6."""
    if family == "IPv4" or "." not in address:
        return address
    number, _, length = address.partition("/")
    return f"fd00::{number.replace('.', ':')}" + (f"/{64 + 2 * int(length)}" if length else "")


def read_back(address: str) -> str:
    """The IPv4 address that stands for this one."""
    if "." in address:
        return address
    return ".".join(str(int(part)) for part in ipaddress.IPv6Address(address).exploded.split(":")[4:])


def inside(name: str, work: Callable[[], T]) -> T:
    """Run `work` in a network namespace, in a thread that ends with it."""
    result: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            with open(f"/run/netns/{PREFIX}-{name}") as handle:
                assert ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0x40000000) == 0
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(20)
    if failure:
        raise failure[0]
    return result[0]


def ip(*lines: str) -> None:
    for line in lines:
        subprocess.run(["ip", *line.split()], check=True, capture_output=True)


def in_node(*lines: str) -> None:
    for line in lines:
        subprocess.run(["ip", "-n", f"{PREFIX}-node", *line.split()], check=True, capture_output=True)


def wire(name: str, address: str, gateway: str) -> None:
    """A namespace at the end of a routed pair, as CNI's ptp makes it."""
    link, there = f"v-{name}", f"{PREFIX}-{name}"
    in_node(f"link add {link} type veth peer name eth0 netns {there}", f"link set {link} up")
    ip(f"-n {there} link set eth0 up", f"-n {there} link set lo up")
    for family, bits, more in (("IPv4", 32, ""), ("IPv6", 128, " nodad")):
        mine, theirs = at(gateway, family), at(address, family)
        in_node(f"addr add {mine}/{bits} dev {link}{more}", f"route add {theirs}/{bits} dev {link}")
        ip(
            f"-n {there} addr add {theirs}/{bits} dev eth0{more}",
            f"-n {there} route add {mine}/{bits} dev eth0",
            f"-n {there} route add default via {mine}",
        )


def serve(name: str, kind: socket.AddressFamily = socket.AF_INET) -> list[socket.socket]:
    """A server on PORT, TCP and UDP, that says who it is and whom it sees."""
    stream = socket.socket(kind, socket.SOCK_STREAM)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    datagram = socket.socket(kind, socket.SOCK_DGRAM)
    for item in (stream, datagram):
        if kind == socket.AF_INET6:
            item.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        item.bind(("::" if kind == socket.AF_INET6 else "0.0.0.0", PORT))
    stream.listen(64)

    def streams() -> None:
        while True:
            try:
                peer, address = stream.accept()
            except OSError:
                return
            peer.sendall(f"{name} {address[0]}".encode())
            peer.close()

    def datagrams() -> None:
        while True:
            try:
                _, address = datagram.recvfrom(100)
                if address is None:  # shut down
                    return
                datagram.sendto(f"{name} {address[0]}".encode(), address)
            except OSError:
                return

    for loop in (streams, datagrams):
        threading.Thread(target=loop, daemon=True).start()
    return [stream, datagram]


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    names = ["node", "client", *PODS]
    sockets: list[socket.socket] = []
    for name in names:
        subprocess.run(["ip", "netns", "del", f"{PREFIX}-{name}"], capture_output=True, check=False)
    try:
        ip(*(f"netns add {PREFIX}-{name}" for name in names))
        for name in names:  # addresses are to be good at once
            quick = ["sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"]
            subprocess.run(["ip", "netns", "exec", f"{PREFIX}-{name}", *quick], check=True)
        in_node("link set lo up", "link add services type bridge", "link set services up")
        for name, address in PODS.items():
            wire(name, address, "10.200.0.1")
        wire("client", CLIENT, NODE)
        for family in FAMILIES:
            in_node(*(f"route add {at(net, family)} dev services" for net in ("10.96.0.0/16", "198.18.9.0/24")))
        forward = [
            "sysctl",
            "-qw",
            "net.ipv4.ip_forward=1",
            "net.ipv4.icmp_ratelimit=0",
            "net.ipv4.conf.all.route_localnet=1",
        ]
        forward += ["net.ipv6.conf.all.forwarding=1", "net.ipv6.icmp.ratelimit=0"]
        subprocess.run(["ip", "netns", "exec", f"{PREFIX}-node", *forward], check=True)
        for name in PODS:
            for kind in (socket.AF_INET, socket.AF_INET6):
                sockets += inside(name, lambda name=name, kind=kind: serve(name, kind))  # type: ignore[misc]
        yield
    finally:
        for item in sockets:
            with_close(item)
        for name in names:
            subprocess.run(["ip", "netns", "del", f"{PREFIX}-{name}"], capture_output=True, check=False)


def with_close(item: socket.socket) -> None:
    try:
        item.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    item.close()


class Judged:
    """A backend under test; it takes the rules in IPv4 and keeps them in its own family."""

    def __init__(self, name: str, family: str) -> None:
        self.name, self.family = name, family
        pods, nodes = (at("10.200.0.0/16", family),), (at(NODE, family),)
        config = Config("pybernetes-test", "node", nodes, pods, name, netns=Path(f"/run/netns/{PREFIX}-node"))
        self._backend = backend(config, family)

    def translated(self, rules: ServiceRules) -> ServiceRules:
        def there(value: object) -> object:
            if isinstance(value, tuple) and value and isinstance(value[0], tuple):
                return tuple((at(address, self.family), port) for address, port in value)
            if isinstance(value, tuple):
                return tuple(at(item, self.family) for item in value)
            return at(value, self.family) if isinstance(value, str) else value

        ports = tuple(
            replace(port, **{field.name: there(getattr(port, field.name)) for field in fields(port)})
            for port in rules.ports
        )
        return replace(rules, ports=ports, local=frozenset(at(item, self.family) for item in rules.local))

    def replace(self, rules: Mapping[str, ServiceRules]) -> None:
        self._backend.replace({key: self.translated(value) for key, value in rules.items()})

    def update(self, changed: Mapping[str, ServiceRules]) -> None:
        self._backend.update({key: self.translated(value) for key, value in changed.items()})

    def settle(self) -> None:
        self._backend.settle()

    def intact(self) -> bool:
        return self._backend.intact()

    def remove(self) -> None:
        self._backend.remove()

    def close(self) -> None:
        self._backend.close()


def _way(name: str, family: str) -> Any:
    slow = (pytest.mark.slow,) if (name, family) == ("iptables", "IPv6") else ()
    return pytest.param((name, family), marks=slow, id=f"{name}-{family}")


@pytest.fixture(params=[_way(name, family) for name in BACKENDS for family in FAMILIES])
def proxy(network: None, request: pytest.FixtureRequest) -> Iterator[Judged]:
    global _family
    made = Judged(*request.param)
    _family = made.family
    made.replace({})
    yield made
    made.remove()
    _family = "IPv4"
    asyncio.run(idle_tables.remove(Namespace(Path(f"/run/netns/{PREFIX}-node"))))
    assert listing() == ""


#: Of the test that runs.
_family = "IPv4"


def listing() -> str:
    command = [*IN_NODE, "nft", "list", "ruleset"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def targets(*names: str) -> tuple[Target, ...]:
    return tuple((PODS[name], PORT) for name in names)


def rules(*names: str, **changes: object) -> ServiceRules:
    """A Service VIP:80 with these Pods behind it, a node port and the address of a load balancer."""
    found = targets(*names)
    port = PortRules(
        namespace="default", service="s", port_name="", protocol="TCP", port=80, cluster_ip=VIP, external_ips=(),
        node_port=30080, inside=found, outside=found, cluster=found, outside_local=False, elsewhere=bool(found),
        affinity_seconds=0, source_ranges=(), guarded_ips=(),
    )  # fmt: skip
    port = replace(port, **changes)  # type: ignore[arg-type]
    return ServiceRules((port,), frozenset(PODS[name] for name in names if name != "far"))


def ask(source: str, address: str, port: int, kind: str = "TCP") -> tuple[str, str]:
    """(who answered, whom it saw)."""

    place = (at(address, _family), port)

    def work() -> tuple[str, str]:
        with socket.socket(_kind(), socket.SOCK_STREAM if kind == "TCP" else socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.connect(place)
            if kind == "UDP":
                s.send(b"?")
            name, seen = s.recv(100).decode().split()
            return name, read_back(seen)

    return inside(source, work)


def _kind() -> socket.AddressFamily:
    return socket.AF_INET6 if _family == "IPv6" else socket.AF_INET


def answers(source: str, address: str, port: int, count: int = 40) -> set[str]:
    return {ask(source, address, port)[0] for _ in range(count)}


def test_pods_reach_a_cluster_ip_and_keep_their_address(proxy: Judged) -> None:
    proxy.update({"default/s": rules("a", "b", "far")})
    assert answers("a", VIP, 80) == {"a", "b", "far"}
    proxy.update({"default/s": rules("b")})
    assert ask("a", VIP, 80) == ("b", PODS["a"])


def test_a_pod_reaches_itself_through_its_service(proxy: Judged) -> None:
    proxy.update({"default/s": rules("a")})
    name, seen = ask("a", VIP, 80)
    assert name == "a" and seen != PODS["a"]


def test_the_node_and_clients_outside_reach_a_cluster_ip(proxy: Judged) -> None:
    proxy.update({"default/s": rules("a", "far")})
    assert answers("node", VIP, 80) == {"a", "far"}
    name, seen = ask("client", VIP, 80)
    assert name in ("a", "far") and seen != CLIENT


def test_node_ports(proxy: Judged) -> None:
    proxy.update({"default/s": rules("a", "far")})
    assert answers("client", NODE, 30080) == {"a", "far"}
    assert ask("client", NODE, 30080)[1] != CLIENT
    assert answers("a", NODE, 30080) == {"a", "far"}
    assert answers("node", NODE, 30080) == {"a", "far"}


def test_node_ports_on_loopback(proxy: Judged) -> None:
    """As upstream's: iptables in IPv4 alone serves them, whatever the policy is."""
    loopback = "127.0.0.1" if proxy.family == "IPv4" else "::1"
    for rule in (rules("a", "far"), rules("a", "far", outside=targets("a"), outside_local=True)):
        proxy.update({"default/s": rule})
        if (proxy.name, proxy.family) == ("iptables", "IPv4"):
            assert answers("node", loopback, 30080) == {"a", "far"}
        else:
            with pytest.raises(ConnectionRefusedError):
                ask("node", loopback, 30080)
    with pytest.raises(ConnectionRefusedError):
        ask("a", loopback, 30080)  # a Pod's own loopback is its own


def test_services_come_and_go_as_the_tree_of_addresses_grows(proxy: Judged) -> None:
    for count in (20, 80, 1200, 40):
        many = {
            f"default/s{i}": rules("a", "far", cluster_ip=f"10.96.{i // 200}.{i % 200}", service=f"s{i}", node_port=0)
            for i in range(count)
        }
        if count == 40:
            proxy.replace(many)
        else:
            proxy.update(many)
        assert answers("b", "10.96.0.7", 80, 10) <= {"a", "far"}
        assert ask("node", "10.96.0.19", 80)[0] in ("a", "far")
    proxy.update({"default/s7": NOTHING})
    with pytest.raises((ConnectionRefusedError, TimeoutError)):
        ask("b", "10.96.0.7", 80)


def test_external_policy_local_keeps_the_client_and_the_node(proxy: Judged) -> None:
    local = rules("a", "far", outside=targets("a"), outside_local=True)
    proxy.update({"default/s": local})
    assert {ask("client", NODE, 30080) for _ in range(10)} == {("a", CLIENT)}
    assert answers("b", NODE, 30080) == {"a", "far"}
    assert answers("node", NODE, 30080) == {"a", "far"}
    proxy.update({"default/s": rules("far", outside=(), outside_local=True)})
    with pytest.raises(TimeoutError):
        ask("client", NODE, 30080)
    assert answers("b", NODE, 30080) == {"far"}


def test_without_endpoints_connections_are_refused(proxy: Judged) -> None:
    empty = rules(external_ips=(BALANCER,))
    udp = replace(empty.ports[0], protocol="UDP", node_port=0, external_ips=())
    proxy.update({"default/s": ServiceRules((*empty.ports, udp), frozenset())})
    for source in ("a", "node", "client"):
        for address, port in ((VIP, 80), (NODE, 30080), (BALANCER, 80)):
            with pytest.raises(ConnectionRefusedError):
                ask(source, address, port)
    with pytest.raises(ConnectionRefusedError):
        ask("a", VIP, 80, "UDP")
    proxy.update({"default/s": rules("a")})
    assert ask("b", VIP, 80)[0] == "a"
    if proxy.name == "nftables":  # as upstream, where only nftables knows which addresses are Services'
        with pytest.raises(ConnectionRefusedError):
            ask("b", VIP, 81)  # a port that the Service does not have


def test_session_affinity(proxy: Judged) -> None:
    proxy.update({"default/s": rules("a", "b", "far", affinity_seconds=100)})
    first = answers("client", VIP, 80, 20)
    assert len(first) == 1
    others = [name for name in PODS if name not in first]
    proxy.update({"default/s": rules(*others, affinity_seconds=100)})
    second = answers("client", VIP, 80, 20)
    assert len(second) == 1 and second <= {*others}
    proxy.update({"default/s": rules("a", "b", "far", affinity_seconds=100)})
    assert answers("client", VIP, 80, 20) == second
    seen = [answers("client", NODE, 30080, 10) for _ in range(2)]
    assert seen[0] == seen[1] and len(seen[0]) == 1


def test_source_ranges(proxy: Judged) -> None:
    balanced = rules("a", external_ips=(BALANCER,), guarded_ips=(BALANCER,), source_ranges=("198.18.0.0/24",))
    proxy.update({"default/s": balanced})
    assert ask("client", BALANCER, 80)[0] == "a"
    with pytest.raises(TimeoutError):
        ask("b", BALANCER, 80)
    outside = rules("a", external_ips=(BALANCER,), guarded_ips=(BALANCER,), source_ranges=("203.0.113.0/24",))
    proxy.update({"default/s": outside})
    for source in ("client", "node"):
        with pytest.raises(TimeoutError):
            ask(source, BALANCER, 80)
    assert ask("b", VIP, 80)[0] == "a"


def test_udp_flows_follow_their_endpoints(proxy: Judged) -> None:
    netns = Path(f"/run/netns/{PREFIX}-node")
    before = ServiceRules((replace(rules("a").ports[0], protocol="UDP"),), frozenset())
    after = ServiceRules((replace(rules("b").ports[0], protocol="UDP"),), frozenset())

    def talk() -> tuple[str, str]:
        with socket.socket(_kind(), socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.connect((at(VIP, _family), 80))
            s.send(b"?")
            first = s.recv(100).decode().split()[0]
            proxy.update({"default/s": after})
            old, new = proxy.translated(before), proxy.translated(after)
            assert conntrack.clean(conntrack.stale({"s": old}, {"s": new}, (at(NODE, _family),)), netns) == 1
            s.send(b"?")
            return first, s.recv(100).decode().split()[0]

    proxy.update({"default/s": before})
    assert inside("far", talk) == ("a", "b")


def test_sctp(proxy: Judged) -> None:
    """The kernel here has no SCTP sockets, so the first packet of an association is made and caught by hand."""
    sctp = replace(rules("a").ports[0], protocol="SCTP")
    proxy.update({"default/s": ServiceRules((sctp,), frozenset())})

    def listen() -> socket.socket:
        caught = socket.socket(_kind(), socket.SOCK_RAW, 132)
        caught.settimeout(5)
        return caught

    def knock() -> None:
        with socket.socket(_kind(), socket.SOCK_RAW, 132) as s:
            s.sendto(association(VIP, 80), (at(VIP, proxy.family), 0))

    with inside("a", listen) as caught:
        inside("b", knock)
        packet, source = caught.recvfrom(200)
    header = 4 * (packet[0] & 15) if proxy.family == "IPv4" else 0  # in IPv6 a raw socket gives what follows it
    assert read_back(source[0]) == PODS["b"]
    assert int.from_bytes(packet[header + 2 : header + 4], "big") == PORT


def association(address: str, port: int) -> bytes:
    """SCTP's INIT, with the checksum that connection tracking insists on."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 1500, 1, 1, 1)
    head = struct.pack("!HHI", 40000, port, 0)
    crc = 0xFFFFFFFF
    for byte in head + bytes(4) + chunk:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return head + struct.pack("<I", crc ^ 0xFFFFFFFF) + chunk


@pytest.mark.slow
def test_clients_are_remembered_over_a_restart(proxy: Judged) -> None:
    """Of the proxy: a client keeps its endpoint for the time that is left, unless that has gone."""
    sticky = {"default/s": rules("a", "b", "far", affinity_seconds=100)}
    proxy.update(sticky)
    first = {place: answers("client", *place, 10) for place in ((VIP, 80), (NODE, 30080))}
    for _ in range(4):  # by chance it would be the same one time in 3^8
        proxy.close()
        proxy.replace(sticky)
        assert {place: answers("client", *place, 3) for place in first} == first
    if proxy.name == "nftables":
        times = [part for part in listing().split("elements = ") if "expires" in part]
        assert len(times) == 1 and times[0].count("timeout 1m40s expires 1m") == 2
    others = [name for name in PODS if name not in first[VIP, 80]]
    proxy.replace({"default/s": rules(*others, affinity_seconds=100)})
    assert answers("client", VIP, 80, 5) <= {*others}


def test_session_affinity_ends(proxy: Judged) -> None:
    """A client that was away for longer than the timeout is spread again; one that comes often stays."""
    proxy.update({"default/s": rules("a", "b", "far", affinity_seconds=1)})
    seen = set()
    for _ in range(30):
        seen.add(ask("client", VIP, 80)[0])
        if len(seen) > 1:
            return
        threading.Event().wait(1.2)  # the kernel's clock cannot be turned
    raise AssertionError(f"only {seen} answered")


def test_changes_by_difference_end_where_a_fresh_start_does(proxy: Judged) -> None:
    """Twenty Services that come, go, collide and change at random; the table must hold what a new one would."""
    chance = random.Random(4)
    state: dict[str, ServiceRules] = {}
    for _ in range(60):
        changed = {}
        for key in chance.sample(range(20), chance.randrange(1, 4)):
            names = chance.sample([*PODS], chance.randrange(4))
            new = rules(
                *names,
                service=f"s{key}",
                cluster_ip=f"10.96.1.{key}",
                node_port=30000 + chance.randrange(8),
                affinity_seconds=chance.choice((0, 0, 50)),
                outside_local=chance.random() < 0.3,
            )
            changed[f"default/s{key}"] = NOTHING if chance.random() < 0.2 else new
        proxy.update(changed)
        state.update(changed)
        if chance.random() < 0.5:
            proxy.settle()
    proxy.settle()
    listed = elements if proxy.name == "nftables" else lambda: chains(proxy.family)
    by_difference = listed()
    other = Judged(proxy.name, proxy.family)
    other.replace({key: value for key, value in state.items() if value.ports})
    other.close()
    # Who of two rivals for a node port has it depends on who came first.
    contested = [f"{at(NODE, proxy.family)} . tcp . {port}" for port in range(30000, 30008)]
    assert unlike(by_difference, contested) == unlike(listed(), contested)
    proxy.replace({})


def test_a_restart_takes_over_and_leaves_others_alone(proxy: Judged) -> None:
    """What an earlier process programmed and nobody wants any more goes; chains of another kube-proxy stay."""
    tool = [*IN_NODE, "ip6tables" if proxy.family == "IPv6" else "iptables", "-t", "nat"]
    if proxy.name == "iptables":
        for command in (["-N", "KUBE-SERVICES"], ["-A", "OUTPUT", "-j", "KUBE-SERVICES"]):
            subprocess.run([*tool, *command], check=True)
    gone = rules("b", service="gone", cluster_ip="10.96.0.51", node_port=30081, affinity_seconds=10)
    proxy.update({"default/s": rules("a", "b"), "default/gone": gone})
    proxy.close()
    successor = Judged(proxy.name, proxy.family)
    successor.replace({"default/s": rules("a", "far")})
    assert answers("client", NODE, 30080) == {"a", "far"}
    with pytest.raises((TimeoutError, ConnectionRefusedError)):
        ask("a", "10.96.0.51", 80)
    if proxy.name == "iptables":
        found = "\n".join(chains(proxy.family))
        assert "default/s " in found and "default/gone" not in found and PODS["b"] not in found
        successor.remove()
        assert ":KUBE-SERVICES -" in "\n".join(saved(proxy.family)) and "SVC" not in "\n".join(saved(proxy.family))
        for command in (["-D", "OUTPUT", "-j", "KUBE-SERVICES"], ["-X", "KUBE-SERVICES"]):
            subprocess.run([*tool, *command], check=True)
    else:
        assert "10.96.0.51" not in listing() and "10:96:0:51" not in listing()
    successor.close()


def test_it_is_seen_when_somebody_removes_the_rules(proxy: Judged) -> None:
    wanted = {"default/s": rules("a")}
    proxy.update(wanted)
    assert proxy.intact()
    subprocess.run([*IN_NODE, "nft", "flush", "ruleset"], check=True)
    assert not proxy.intact()
    proxy.replace(wanted)
    assert proxy.intact() and ask("client", VIP, 80)[0] == "a"


def chains(family: str) -> list[str]:
    """Every chain and rule of iptables, of which there are some for Services."""
    found = saved(family)
    assert any("KUBE-SVC-" in line for line in found)
    return found


def saved(family: str) -> list[str]:
    command = [*IN_NODE, "ip6tables-save" if family == "IPv6" else "iptables-save"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return sorted(line.partition(" [")[0] for line in text.splitlines() if line[:1] in "-:")


def elements() -> list[str]:
    """Every element and chain of the table, one to a line."""
    text = listing().replace("elements = {", "").replace("\t", " ")
    parts = (part.strip(" },") for line in text.splitlines() for part in line.split(", "))
    return sorted(part for part in parts if " : " in part or part[:1].isdigit() or part.startswith("chain"))


def unlike(found: list[str], excluded: list[str]) -> list[str]:
    kept = (part for part in found if not any(text in part for text in excluded))
    return [part for part, _ in itertools.groupby(kept) if not part.startswith("chain")]
