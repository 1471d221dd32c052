"""Service rules judged by real packets: a node, Pods on it and elsewhere, and a client outside, each a namespace.

Servers answer with their name and the address they see the client at. Nothing leaves the namespaces.
"""

from __future__ import annotations

import ctypes
import itertools
import random
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from pybernetes.network.proxy import conntrack
from pybernetes.network.proxy.nftables import Nftables
from pybernetes.network.proxy.proxy import BACKENDS, Backend
from pybernetes.network.proxy.rules import NOTHING, PortRules, ServiceRules, Target

T = TypeVar("T")
PREFIX = "pbtest"
PODS = {"a": "10.200.0.11", "b": "10.200.0.12", "far": "10.200.1.21"}
NODE, CLIENT, BALANCER = "198.18.0.1", "198.18.0.2", "198.18.9.9"
VIP = "10.96.0.50"
PORT = 8080


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
    in_node(
        f"link add {link} type veth peer name eth0 netns {there}",
        f"addr add {gateway}/32 dev {link}",
        f"link set {link} up",
        f"route add {address}/32 dev {link}",
    )
    ip(
        f"-n {there} addr add {address}/32 dev eth0",
        f"-n {there} link set eth0 up",
        f"-n {there} link set lo up",
        f"-n {there} route add {gateway}/32 dev eth0",
        f"-n {there} route add default via {gateway}",
    )


def serve(name: str) -> list[socket.socket]:
    """A server on PORT, TCP and UDP, that says who it is and whom it sees."""
    stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stream.bind(("0.0.0.0", PORT))
    stream.listen(64)
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.bind(("0.0.0.0", PORT))

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
        in_node("link set lo up", "link add services type bridge", "link set services up")
        for name, address in PODS.items():
            wire(name, address, "10.200.0.1")
        wire("client", CLIENT, NODE)
        in_node("route add 10.96.0.0/16 dev services", "route add 198.18.9.0/24 dev services")
        forward = ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0"]
        subprocess.run(["ip", "netns", "exec", f"{PREFIX}-node", *forward], check=True)
        for name in PODS:
            sockets += inside(name, lambda name=name: serve(name))  # type: ignore[misc]
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


@pytest.fixture(params=BACKENDS)
def proxy(network: None, request: pytest.FixtureRequest) -> Iterator[Backend]:
    made = fresh(request.param)
    made.replace({})
    yield made
    made.remove()
    assert listing() == ""


def fresh(name: str) -> Backend:
    return BACKENDS[name]("pybernetes-test", "IPv4", ("10.200.0.0/16",), (NODE,), Path(f"/run/netns/{PREFIX}-node"))


def listing() -> str:
    command = ["ip", "netns", "exec", f"{PREFIX}-node", "nft", "list", "ruleset"]
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

    def work() -> tuple[str, str]:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "TCP" else socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.connect((address, port))
            if kind == "UDP":
                s.send(b"?")
            name, seen = s.recv(100).decode().split()
            return name, seen

    return inside(source, work)


def answers(source: str, address: str, port: int, count: int = 40) -> set[str]:
    return {ask(source, address, port)[0] for _ in range(count)}


def test_pods_reach_a_cluster_ip_and_keep_their_address(proxy: Backend) -> None:
    proxy.update({"default/s": rules("a", "b", "far")})
    assert answers("a", VIP, 80) == {"a", "b", "far"}
    proxy.update({"default/s": rules("b")})
    assert ask("a", VIP, 80) == ("b", PODS["a"])


def test_a_pod_reaches_itself_through_its_service(proxy: Backend) -> None:
    proxy.update({"default/s": rules("a")})
    name, seen = ask("a", VIP, 80)
    assert name == "a" and seen != PODS["a"]


def test_the_node_and_clients_outside_reach_a_cluster_ip(proxy: Backend) -> None:
    proxy.update({"default/s": rules("a", "far")})
    assert answers("node", VIP, 80) == {"a", "far"}
    name, seen = ask("client", VIP, 80)
    assert name in ("a", "far") and seen != CLIENT


def test_node_ports(proxy: Backend) -> None:
    proxy.update({"default/s": rules("a", "far")})
    assert answers("client", NODE, 30080) == {"a", "far"}
    assert ask("client", NODE, 30080)[1] != CLIENT
    assert answers("a", NODE, 30080) == {"a", "far"}
    assert answers("node", NODE, 30080) == {"a", "far"}


def test_external_policy_local_keeps_the_client_and_the_node(proxy: Backend) -> None:
    local = rules("a", "far", outside=targets("a"), outside_local=True)
    proxy.update({"default/s": local})
    assert {ask("client", NODE, 30080) for _ in range(10)} == {("a", CLIENT)}
    assert answers("b", NODE, 30080) == {"a", "far"}
    assert answers("node", NODE, 30080) == {"a", "far"}
    proxy.update({"default/s": rules("far", outside=(), outside_local=True)})
    with pytest.raises(TimeoutError):
        ask("client", NODE, 30080)
    assert answers("b", NODE, 30080) == {"far"}


def test_without_endpoints_connections_are_refused(proxy: Backend) -> None:
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
    if isinstance(proxy, Nftables):  # as upstream, where only nftables knows which addresses are Services'
        with pytest.raises(ConnectionRefusedError):
            ask("b", VIP, 81)  # a port that the Service does not have


def test_session_affinity(proxy: Backend) -> None:
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


def test_source_ranges(proxy: Backend) -> None:
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


def test_udp_flows_follow_their_endpoints(proxy: Backend) -> None:
    netns = Path(f"/run/netns/{PREFIX}-node")
    before = ServiceRules((replace(rules("a").ports[0], protocol="UDP"),), frozenset())
    after = ServiceRules((replace(rules("b").ports[0], protocol="UDP"),), frozenset())

    def talk() -> tuple[str, str]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.connect((VIP, 80))
            s.send(b"?")
            first = s.recv(100).decode().split()[0]
            proxy.update({"default/s": after})
            assert conntrack.clean(conntrack.stale({"s": before}, {"s": after}, (NODE,)), netns) == 1
            s.send(b"?")
            return first, s.recv(100).decode().split()[0]

    proxy.update({"default/s": before})
    assert inside("far", talk) == ("a", "b")


def test_sctp(proxy: Backend) -> None:
    """The kernel here has no SCTP sockets, so the first packet of an association is made and caught by hand."""
    sctp = replace(rules("a").ports[0], protocol="SCTP")
    proxy.update({"default/s": ServiceRules((sctp,), frozenset())})

    def listen() -> socket.socket:
        caught = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
        caught.settimeout(5)
        return caught

    def knock() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, 132) as s:
            s.sendto(association(VIP, 80), (VIP, 0))

    with inside("a", listen) as caught:
        inside("b", knock)
        packet = caught.recv(200)
    header = 4 * (packet[0] & 15)
    assert socket.inet_ntoa(packet[12:16]) == PODS["b"]
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
def test_session_affinity_ends(proxy: Backend) -> None:
    """A client that was away for longer than the timeout is spread again; one that comes often stays."""
    proxy.update({"default/s": rules("a", "b", "far", affinity_seconds=1)})
    seen = set()
    for _ in range(30):
        seen.add(ask("client", VIP, 80)[0])
        if len(seen) > 1:
            return
        threading.Event().wait(1.2)  # the kernel's clock cannot be turned
    raise AssertionError(f"only {seen} answered")


def test_changes_by_difference_end_where_a_fresh_start_does(proxy: Backend) -> None:
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
    listed = elements if isinstance(proxy, Nftables) else chains
    by_difference = listed()
    other = fresh("nftables" if isinstance(proxy, Nftables) else "iptables")
    other.replace({key: value for key, value in state.items() if value.ports})
    other.close()
    # Who of two rivals for a node port has it depends on who came first.
    contested = [f"{NODE} . tcp . {port}" for port in range(30000, 30008)]
    assert unlike(by_difference, contested) == unlike(listed(), contested)
    proxy.replace({})


def chains() -> list[str]:
    """Every chain and rule of iptables."""
    command = ["ip", "netns", "exec", f"{PREFIX}-node", "iptables-save"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = sorted(line.partition(" [")[0] for line in text.splitlines() if line[:1] in "-:")
    assert any("KUBE-SVC-" in line for line in found)
    return found


def elements() -> list[str]:
    """Every element and chain of the table, one to a line."""
    text = listing().replace("elements = {", "").replace("\t", " ")
    parts = (part.strip(" },") for line in text.splitlines() for part in line.split(", "))
    return sorted(part for part in parts if " : " in part or part[:1].isdigit() or part.startswith("chain"))


def unlike(found: list[str], excluded: list[str]) -> list[str]:
    kept = (part for part in found if not any(text in part for text in excluded))
    return [part for part, _ in itertools.groupby(kept) if not part.startswith("chain")]
