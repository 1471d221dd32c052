"""`upgrade plan`: which versions run where, and what is to be done to bring all to the one of this program.

An upgrade is: install the new version on a machine, `pybernetes up` there; control planes first, one by one, then the
nodes. Containers go on meanwhile. The store's format and the API do not change within 1.36.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from pybernetes import KUBERNETES_VERSION
from pybernetes.api.core_v1 import Node
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import membership
from pybernetes.bootstrap.cluster import DEFAULT_NAME, ClusterError
from pybernetes.bootstrap.phases.run import connection_of, with_client
from pybernetes.client.client import Client
from pybernetes.client.transport import Request


def main(arguments: list[str]) -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(prog="pybernetes upgrade", description="Upgrades.", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    plan = verbs.add_parser("plan", help="what runs, and what an upgrade would do")
    plan.add_argument("--name", default=DEFAULT_NAME, help="name of the cluster (default: %(default)s)")
    plan.add_argument("--data-dir", metavar="DIR", help="the cluster's directory")
    options = parser.parse_args(arguments[1:])
    try:
        cluster = clusters.find(options.name, options.data_dir)
        if cluster is None:
            raise ClusterError(f'no cluster "{options.name}" on this machine')
        admin = next((p for p in (cluster.directory / "admin.conf", cluster.kubeconfig) if p.exists()), None)
        if admin is None:
            raise ClusterError("this machine is a worker; ask on a control plane")
        server, kubelets = with_client(connection_of(admin), versions)
        print(render(server, kubelets, KUBERNETES_VERSION), end="")
    except membership.ERRORS as error:
        print(f"pybernetes upgrade {options.verb}: {error}", file=sys.stderr)
        return 1
    return 0


async def versions(client: Client) -> tuple[str, Counter[str]]:
    """The API server's version, and how many nodes have which."""
    import msgspec

    body = (await client.transport.request(Request("GET", "/version"))).body
    nodes = await client.resource(Node).list()
    found = Counter(node.status.node_info.kubelet_version for node in nodes.items if node.status.node_info)
    return str(msgspec.json.decode(body)["gitVersion"]), found


def render(server: str, kubelets: Counter[str], target: str) -> str:
    """The plan as text."""
    rows = [("COMPONENT", "COUNT", "CURRENT", "TARGET"), ("kube-apiserver", "", server, target)]
    rows += [("kubelet", f"{count} x", version, target) for version, count in sorted(kubelets.items())]
    widths = [max(len(row[column]) for row in rows) + 3 for column in range(3)]
    text = "".join("".join(map(str.ljust, row, widths)) + row[3] + "\n" for row in rows)
    if {server, *kubelets} == {target}:
        return text + "\nEverything runs this version; there is nothing to upgrade.\n"
    return text + (
        "\nOn each machine, control planes first: install the new version, then 'pybernetes up'.\n"
        "Pods go on meanwhile.\n"
    )
