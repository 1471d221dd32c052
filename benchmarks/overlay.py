"""Pod to Pod across nodes: bytes a second and round trips, in both modes, against a bare veth pair.

Sender and receiver are the same two small programs everywhere (1 MiB buffers, one connection), so that the ratio says
what routing, the bridge, the rules of the packet filter and the encapsulation cost. Each is the best of three runs,
and the bare link is measured anew beside each mode, since other work on the machine disturbs both alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.__main__ import PYBERNETES, ROOT, row, served
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import images

ROUNDS = 5

SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], 7777))
print("listening", flush=True)
buffer = bytearray(1 << 20)
while True:
    connection, _ = server.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if connection.recv(1) == b"b":
        while connection.recv_into(buffer):
            pass
    else:
        while data := connection.recv(1):
            connection.sendall(data)
    connection.close()
"""
CLIENT = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 7777))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
connection.sendall(sys.argv[2].encode())
block, best = bytes(1 << 20), 0
end = time.perf_counter() + float(sys.argv[3])
while (began := time.perf_counter()) < end:
    count = 0
    while (now := time.perf_counter()) < began + 0.2:
        if sys.argv[2] == "b":
            connection.sendall(block)
            count += len(block)
        else:
            connection.sendall(b"x")
            connection.recv(1)
            count += 1
    best = max(best, count / (now - began))
print(best)
"""


@dataclass
class Way:
    """A way from one network to another: what enters each, the address there, and the best that was seen."""

    what: str
    source: list[str]
    target: list[str]
    address: str
    rate: float = 0.0  #: Gbit/s
    trips: float = 0.0  #: round trips a second

    def measure(self, kind: str, seconds: float = 1.5) -> float:
        """One run: bytes ("b") or round trips ("r") a second, in its best moment."""
        command = [*self.target, sys.executable, "-S", "-c", SERVER, self.address]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            server.stdout.readline()
            command = [*self.source, sys.executable, "-S", "-c", CLIENT, self.address, kind, str(seconds)]
            return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        finally:
            server.kill()
            server.communicate()


@contextlib.contextmanager
def bare() -> Iterator[tuple[list[str], list[str], str]]:
    """Two namespaces with a veth pair between them and nothing else."""
    one, other = f"pbb-{os.getpid()}-1", f"pbb-{os.getpid()}-2"
    try:
        for name in (one, other):
            subprocess.run(["ip", "netns", "add", name], check=True)
        lines = [
            f"-n {one} link add veth0 type veth peer name veth0 netns {other}",
            f"-n {one} addr add 192.0.2.1/24 dev veth0",
            f"-n {other} addr add 192.0.2.2/24 dev veth0",
            f"-n {one} link set veth0 up",
            f"-n {other} link set veth0 up",
        ]
        for line in lines:
            subprocess.run(["ip", *line.split()], check=True)
        enter = [["nsenter", f"--net=/run/netns/{name}", "--"] for name in (one, other)]
        yield enter[0], enter[1], "192.0.2.2"
    finally:
        for name in (one, other):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def namespace_of(address: str) -> str:
    """The network namespace of a process that has this address."""
    seen = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            if (name := os.readlink(path)) in seen:
                continue
            seen.add(name)
            command = ["nsenter", f"--net={path}", "--", "ip", "-br", "addr"]
            if f" {address}/" in subprocess.run(command, capture_output=True, text=True, check=False).stdout:
                return str(path)
    raise SystemExit(f"no Pod has the address {address}")


def mode(name: str) -> None:
    """A cluster of three nodes in one mode: Pods and nodes of the second and third."""
    flags = ("--network", name)
    with served(nodes=3, flags=flags) as cluster:
        found = clusters.find("", str(cluster.directory))
        assert found is not None
        archives = images.assemble(cluster.directory / "images", ("busybox",))
        importing = [*PYBERNETES, "image", "--name", "bench", "import", *map(str, archives)]
        subprocess.run(importing, env=cluster.environment, cwd=ROOT, check=True, capture_output=True)
        nodes = [node.name for node in found.state.nodes[1:]]
        addresses = []
        for number, node in enumerate(nodes):
            overrides = json.dumps({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 0}})
            run = ("run", f"p{number}", "--image=busybox:latest", "--image-pull-policy=Never", "--overrides", overrides)
            cluster.kubectl(*run, "--", "sleep", "3600")
            cluster.kubectl("wait", "--for=condition=Ready", f"pod/p{number}", "--timeout=60s")
            addresses.append(cluster.kubectl("get", "pod", f"p{number}", "-o", "jsonpath={.status.podIP}"))
        pods = [["nsenter", f"--net={namespace_of(address)}", "--"] for address in addresses]
        hosts = [["nsenter", f"--net={found.node_netns(node)}", "--"] for node in nodes]
        with bare() as link:
            ways = [
                Way(f"a bare veth pair, beside {name}", *link),
                Way(f"node to node, {name}", *hosts, found.state.node_address(nodes[1])),
                Way(f"Pod to Pod across nodes, {name}", *pods, addresses[1]),
            ]
            for _ in range(ROUNDS):
                for way in ways:
                    way.rate = max(way.rate, way.measure("b") * 8 / 1e9)
                    way.trips = max(way.trips, way.measure("r"))
        for way in ways:
            share = f" ({way.rate / ways[0].rate:.0%})" if way is not ways[0] else ""
            row(way.what, "", f"{way.rate:.1f} Gbit/s{share}, round trip {1e6 / way.trips:.0f} us")


def main() -> None:
    """Both modes, one after the other."""
    if os.geteuid() != 0:
        row("Pods across nodes", "", "not run: needs root")
        return
    for name in ("routes", "vxlan"):
        mode(name)


if __name__ == "__main__":
    main()
