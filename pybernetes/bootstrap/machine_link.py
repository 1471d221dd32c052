"""The nodes' own network on this machine: a link with an address, and a switch with a cable to each further node.

The cluster has addresses of its own here (`ClusterState.node_cidr`). The first, on the machine's link, is the first
node's InternalIP and the second address of the API server. Pods reach both there, and nothing outside the machine does:
binding to the loopback address alone would shut Pods out, and the machine's own address would let the world in.

A further node is a network namespace whose `eth0` has a cable to the switch: to its kubelet, its containerd and its
Pods it is a machine of its own, whose way to the world leads over the first node. A machine that is switched off has
no cable either: `remove_node` takes namespace and port away, `add_node` brings them back the same.

The switch is a bridge in a namespace of its own, and the machine's link a cable to it. Were the bridge in the
machine's namespace, the packet filter would see its frames where bridge-nf-call-iptables is on (Docker and others need
that), and a packet that a NodePort sends back to the node it came from would be bridged, not routed, and lost. A
cluster of one node has no switch: an empty bridge carries the address.
"""

from __future__ import annotations

import hashlib
import ipaddress
import subprocess
from pathlib import Path

from pybernetes.bootstrap.cluster import Cluster, ClusterError


def name(cluster: Cluster) -> str:
    """The name of the machine's link, at most 15 bytes."""
    return f"pbm{_digest(str(cluster.directory))}"


def switch(cluster: Cluster) -> Path:
    """The switch's namespace, which is there when there are several nodes."""
    return Path("/run/netns") / f"pybernetes-{_digest(str(cluster.directory))[:6]}-switch"


def port_name(cluster: Cluster, node: str) -> str:
    """The name of a node's port on the switch."""
    return f"pbn{_digest(f'{cluster.directory}/{node}')}"


def add(cluster: Cluster) -> None:
    """Make the link before anything binds to its address, and the switch if there are several nodes. Safe to repeat."""
    link, state, box = name(cluster), cluster.state, switch(cluster)
    up = [f"addr add {state.machine_address}/24 dev {link}", *_second(cluster, 0, link), f"link set {link} up"]
    if len(state.nodes) < 2:
        if not _exists(link):
            _ip([f"link add {link} type bridge", *up])
        return
    if box.exists() and _exists(link) and _exists("machine", box):
        return
    remove(cluster)  # the bridge of a single node; what is bound to its address finds it again
    _run(["ip", "netns", "add", box.name])
    unfiltered = 'f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e "$f" ] || echo 0 > "$f"'
    _run(["nsenter", f"--net={box}", "--", "sh", "-c", unfiltered])
    _ip(["link add switch type bridge", "link set switch up"], box)
    _ip([f"link add {link} type veth peer name machine netns {box.name}", *up])
    _ip(["link set machine master switch", "link set machine up"], box)


def remove(cluster: Cluster) -> None:
    """Take link and switch away again."""
    if _exists(name(cluster)):
        _ip([f"link del {name(cluster)}"])
    if switch(cluster).exists():
        _run(["ip", "netns", "del", switch(cluster).name])


def plug(cluster: Cluster, node: str, state: str) -> None:
    """Put the cable of a further node into the switch ("up"), or pull it out ("down")."""
    _ip([f"link set {port_name(cluster, node)} {state}"], switch(cluster))


def add_node(cluster: Cluster, node: str) -> bool:
    """Make the namespace of a node, if it is not the first; whether it was made anew. Safe to repeat."""
    netns, state, port = cluster.node_netns(node), cluster.state, port_name(cluster, node)
    if netns is None:
        return False
    box = switch(cluster)
    made = not (netns.exists() and _exists("eth0", netns) and _exists(port, box))
    if made:
        remove_node(cluster, node)
        _run(["ip", "netns", "add", netns.name])
        # The address decides the MAC address: neighbours remember it, and a node that comes back is the same to them.
        mac = ":".join(f"{byte:02x}" for byte in b"\x0a\x58" + ipaddress.IPv4Address(state.node_address(node)).packed)
        _ip([f"link add {port} type veth peer name eth0 address {mac} netns {netns.name}"], box)
        inside = [
            "link set lo up",
            f"addr add {state.node_address(node)}/24 dev eth0",
            *_second(cluster, state.node(node).index, "eth0"),
            "link set eth0 up",
            f"route add default via {state.machine_address}",
            *([f"route add default via {state.six.node_address(0)}"] if state.six else []),
        ]
        _ip(inside, netns)
        _ip([f"link set {port} master switch"], box)
    plug(cluster, node, "up")
    return made


def _second(cluster: Cluster, index: int, link: str) -> list[str]:
    """The `ip` command for a node's IPv6 address, if it is to have one. Nobody else has it: it is good at once.

    A member has its own elsewhere.
    """
    six = cluster.state.six if cluster.state.member is None else None
    return [f"addr add {six.node_address(index)}/64 dev {link} nodad"] if six is not None else []


def remove_node(cluster: Cluster, node: str) -> None:
    """Take the namespace of a node away; its port and all links in it go along."""
    netns, port = cluster.node_netns(node), port_name(cluster, node)
    if netns is None:
        return
    box = switch(cluster)
    if box.exists() and _exists(port, box):  # the namespace lives on while a process of it does, the cable need not
        _ip([f"link del {port}"], box)
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
