"""What a Service costs its packets: throughput and new connections through one against the Pod itself. Needs root.

A node and two Pods are network namespaces, as CNI wires them. `python -m benchmarks.traffic [SERVICES...]`.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmarks.proxy import NODE, service, slice_of
from pybernetes.network.proxy.proxy import BACKENDS
from pybernetes.network.proxy.rules import PortRules, ServiceRules, service_rules

T = TypeVar("T")
PREFIX = "pbtraffic"
PODS = {"a": "10.200.255.1", "b": "10.200.255.2"}
VIP = "10.111.0.1"
SECONDS = 3.0
CONNECTIONS = 3000


def inside(name: str, work: Callable[[], T]) -> T:
    """Run `work` in a network namespace, on a thread of its own."""
    found: list[T] = []

    def enter() -> None:
        with open(f"/run/netns/{PREFIX}-{name}") as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), name)
        found.append(work())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return found[0]


def ip(*lines: str) -> None:
    for line in lines:
        subprocess.run(["ip", *line.split()], check=True, capture_output=True)


def wire() -> None:
    for name in ("node", *PODS):
        ip(f"netns add {PREFIX}-{name}")
    ip(f"-n {PREFIX}-node link set lo up", f"-n {PREFIX}-node link add services type bridge")
    ip(f"-n {PREFIX}-node link set services up", f"-n {PREFIX}-node route add 10.96.0.0/12 dev services")
    for name, address in PODS.items():
        node, pod = f"-n {PREFIX}-node", f"-n {PREFIX}-{name}"
        ip(
            f"{node} link add v-{name} type veth peer name eth0 netns {PREFIX}-{name}",
            f"{node} addr add 10.200.255.254/32 dev v-{name}",
            f"{node} link set v-{name} up",
            f"{node} route add {address}/32 dev v-{name}",
            f"{pod} addr add {address}/32 dev eth0",
            f"{pod} link set eth0 up",
            f"{pod} route add 10.200.255.254/32 dev eth0",
            f"{pod} route add default via 10.200.255.254",
        )
    subprocess.run(["ip", "netns", "exec", f"{PREFIX}-node", "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)


def serve() -> int:
    """A process that answers: a connection that begins with `s` is read to its end, another gets its byte back."""
    listener = inside("b", lambda: socket.create_server(("0.0.0.0", 8080), backlog=1024))
    child = os.fork()
    if child:
        listener.close()
        return child
    while True:
        peer, _ = listener.accept()
        with peer:
            if peer.recv(1) == b"s":
                while peer.recv(1 << 20):
                    pass
            else:
                peer.send(b"x")


def throughput(address: tuple[str, int]) -> float:
    """Gbit/s of one connection."""

    def work() -> float:
        block = bytes(1 << 20)
        with socket.create_connection(address) as s:
            s.send(b"s")
            began = time.perf_counter()
            sent = 0
            while time.perf_counter() - began < SECONDS:
                sent += s.send(block)
            return sent * 8 / (time.perf_counter() - began) / 1e9

    return inside("a", work)


def latency(address: tuple[str, int]) -> float:
    """Median microseconds of connect, one byte there and back, close."""

    def work() -> float:
        times = []
        for _ in range(CONNECTIONS):
            began = time.perf_counter()
            with socket.create_connection(address) as s:
                s.send(b"x")
                s.recv(1)
            times.append(time.perf_counter() - began)
        return sorted(times)[len(times) // 2] * 1e6

    return inside("a", work)


def own() -> ServiceRules:
    """The Service that is measured; among all it is the last."""
    target = ((PODS["b"], 8080),)
    port = PortRules(
        namespace="default", service="zz", port_name="", protocol="TCP", port=80, cluster_ip=VIP, external_ips=(),
        node_port=0, inside=target, outside=target, cluster=target, outside_local=False, elsewhere=True,
        affinity_seconds=0, source_ranges=(), guarded_ips=(),
    )  # fmt: skip
    return ServiceRules((port,), frozenset({PODS["b"]}))


def measure(counts: list[int]) -> None:
    pod = (PODS["b"], 8080)
    print(f"{'':34} {'Gbit/s':>8} {'new connection, p50':>22}")
    print(f"{'the Pod itself, no rules':34} {throughput(pod):8.1f} {latency(pod):19.0f} us", flush=True)
    for name, kind in BACKENDS.items():
        for count in counts:
            backend = kind(
                "pybernetes-bench", "IPv4", ("10.200.0.0/13",), ("192.0.2.1",), Path(f"/run/netns/{PREFIX}-node")
            )
            rules = {f"default/s{i}": service_rules(service(i), [slice_of(i)], NODE) for i in range(count - 1)}
            backend.replace({**rules, "default/zz": own()})
            title = f"{name}, {count:,} Services"
            print(f"{title:34} {throughput((VIP, 80)):8.1f} {latency((VIP, 80)):19.0f} us", flush=True)
            backend.remove()


def main() -> None:
    counts = [int(text) for text in sys.argv[1:]] or [10, 1_000, 10_000]
    child = 0
    try:
        wire()
        child = serve()
        measure(counts)
    finally:
        if child:
            os.kill(child, 9)
            os.waitpid(child, 0)
        for name in ("node", *PODS):
            subprocess.run(["ip", "netns", "del", f"{PREFIX}-{name}"], capture_output=True, check=False)


if __name__ == "__main__":
    main()
