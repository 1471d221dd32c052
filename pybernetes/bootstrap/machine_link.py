"""The cluster's own address on this machine.

The cluster has an address of its own on this machine, on an empty bridge (`ClusterState.machine_address`): the node's
InternalIP, and the second address of the API server. Pods reach both there, and nothing outside the machine does:
binding to the loopback address alone would shut Pods out, and the machine's own address would let the world in.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess

from pybernetes.bootstrap.cluster import Cluster


def name(cluster: Cluster) -> str:
    """The link's name, at most 15 bytes."""
    return f"pbm{hashlib.sha256(str(cluster.directory).encode()).hexdigest()[:10]}"


def add(cluster: Cluster) -> None:
    """Make the link before anything binds to its address. Safe to repeat."""
    link, address = name(cluster), cluster.state.machine_address
    if subprocess.run(["ip", "link", "show", link], capture_output=True, check=False).returncode == 0:
        return
    commands = f"link add {link} type bridge\naddr add {address}/32 dev {link}\nlink set {link} up\n"
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True, capture_output=True)


def remove(cluster: Cluster) -> None:
    """Take the link away again."""
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(["ip", "link", "del", name(cluster)], capture_output=True, check=False)
