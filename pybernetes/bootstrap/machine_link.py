"""The nodes' own network on this machine: a bridge, and for each node after the first a namespace with a cable to it.

The cluster has addresses of its own here (`ClusterState.node_cidr`). The first, on the bridge itself, is the first
node's InternalIP and the second address of the API server. Pods reach both there, and nothing outside the machine does:
binding to the loopback address alone would shut Pods out, and the machine's own address would let the world in.

A further node is a network namespace whose `eth0` is a port of the bridge: to its kubelet, its containerd and its Pods
it is a machine of its own, whose way to the world leads over the first node. A machine that is switched off has no
cable either: `remove_node` takes namespace and port away, `add_node` brings them back the same.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from pybernetes.bootstrap.cluster import Cluster, ClusterError


def name(cluster: Cluster) -> str:
    """The bridge's name, at most 15 bytes."""
    return f"pbm{_digest(str(cluster.directory))}"


def port_name(cluster: Cluster, node: str) -> str:
    """The name of a node's port on the bridge."""
    return f"pbn{_digest(f'{cluster.directory}/{node}')}"


def add(cluster: Cluster) -> None:
    """Make the bridge before anything binds to its address. Safe to repeat."""
    link, state = name(cluster), cluster.state
    if not _exists(link):
        _ip([f"link add {link} type bridge", f"addr add {state.machine_address}/24 dev {link}", f"link set {link} up"])


def remove(cluster: Cluster) -> None:
    """Take the bridge away again."""
    if _exists(name(cluster)):
        _ip([f"link del {name(cluster)}"])


def add_node(cluster: Cluster, node: str) -> bool:
    """Make the namespace of a node, if it is not the first; whether it was made anew. Safe to repeat."""
    netns, state, port = cluster.node_netns(node), cluster.state, port_name(cluster, node)
    if netns is None:
        return False
    made = not (netns.exists() and _exists("eth0", netns))
    if made:
        remove_node(cluster, node)
        _run(["ip", "netns", "add", netns.name])
        _ip([f"link add {port} type veth peer name eth0 netns {netns.name}"])
        inside = [
            "link set lo up",
            f"addr add {state.node_address(node)}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {state.machine_address}",
        ]
        _ip(inside, netns)
    _ip([f"link set {port} master {name(cluster)}", f"link set {port} up"])
    return made


def remove_node(cluster: Cluster, node: str) -> None:
    """Take the namespace of a node away; its port and all links in it go along."""
    netns, port = cluster.node_netns(node), port_name(cluster, node)
    if netns is None:
        return
    if _exists(port):  # the namespace lives on while a process of it does, the cable need not
        _ip([f"link del {port}"])
    if netns.exists():
        _run(["ip", "netns", "del", netns.name])


def enter(cluster: Cluster, node: str) -> list[str]:
    """What goes before a command that is to run on a node: its namespace, and its name as the host's."""
    netns = cluster.node_netns(node)
    if netns is None:
        return []
    rename = 'echo "$1" > /proc/sys/kernel/hostname; shift; exec "$@"'
    return ["unshare", "--uts", "--", "sh", "-c", rename, "sh", node, "nsenter", f"--net={netns}", "--"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _exists(link: str, netns: Path | None = None) -> bool:
    try:
        command = ["ip", *(["-n", netns.name] if netns else []), "link", "show", "dev", link]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False  # without iproute2 nothing was made


def _ip(lines: list[str], netns: Path | None = None) -> None:
    _run(["ip", *(["-n", netns.name] if netns else []), "-batch", "-"], "\n".join(lines) + "\n")


def _run(command: list[str], text: str = "") -> None:
    done = subprocess.run(command, input=text, text=True, check=False, capture_output=True)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}\n{text}".strip())
