"""`init` and `join` with two ranges: machines whose Pods have an address of each family."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybernetes.bootstrap import images
from pybernetes.bootstrap.dual_stack import missing
from tests.suites.hosts import Host, hosts, join_line, web_everywhere

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real_time,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"no IPv6 on this machine: {missing()}"),
]

PODS = ipaddress.ip_network("fd00:10:244::/48")
WEB = (
    web_everywhere("web", "[::]:8080")
    + """---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""
)


@dataclass(frozen=True)
class Members:
    """The machines, the control plane first, and what the last one was like before it joined."""

    hosts: list[Host]
    before: dict[str, set[str]]


@pytest.fixture(scope="module", params=["vxlan", "routes"])
def members(request: pytest.FixtureRequest) -> Iterator[Members]:
    with hosts("cp1", "w1", "w2") as found:
        ranges = ("--pod-network-cidr", f"10.244.0.0/16,{PODS}", "--service-cidr", "10.96.0.0/12,fd00:10:96::/112")
        said = found[0].pybernetes("init", *ranges, "--network", request.param, "--no-ingress").stdout
        before = found[-1].state()
        for host in found[1:]:
            host.pybernetes(*join_line(said))
        yield Members(found, before)


def test_pods_and_services_over_machines(members: Members, tmp_path: Path) -> None:
    control_plane = members.hosts[0]
    nodes = control_plane.get("nodes")["items"]
    assert all([":" in cidr for cidr in node["spec"]["podCIDRs"]] == [False, True] for node in nodes)
    internal = {a["address"] for node in nodes for a in node["status"]["addresses"] if a["type"] == "InternalIP"}
    assert internal == {f"{start}{i}" for start in ("172.31.7.", "fd31:7::") for i in (1, 2, 3)}
    (archive,) = images.assemble(tmp_path, ("busybox",))
    for host in members.hosts:
        host.pybernetes("image", "import", str(archive))
    control_plane.kubectl("apply", "-f", "-", stdin=WEB)
    control_plane.kubectl("rollout", "status", "ds/web", "--timeout=90s")
    pods = control_plane.get("pods", "-l", "app=web")["items"]
    addresses = control_plane.get("service", "web")["spec"]["clusterIPs"]
    names = {pod["metadata"]["name"] for pod in pods}
    assert len(names) == 3 and [":" in address for address in addresses] == [False, True]

    def fetch(pod: str, address: str, port: int) -> str:
        url = f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
        return control_plane.kubectl("exec", pod, "--", "timeout", "5", "wget", "-qO-", url).strip()

    for pod in names:
        for other in pods:
            for address in other["status"]["podIPs"]:
                assert fetch(pod, address["ip"], 8080) == other["metadata"]["name"]
        for address in addresses:
            assert fetch(pod, address, 80) in names
    for host in members.hosts * 4:  # and from the machines themselves, to any of the endpoints
        assert (
            host.run("busybox", "timeout", "5", "busybox", "wget", "-qO-", f"http://[{addresses[1]}]/").stdout.strip()
            in names
        )


def test_reset_leaves_the_machine_as_it_was(members: Members) -> None:
    worker = members.hosts[2]
    worker.pybernetes("reset", "--force")
    after, before = worker.state(), members.before
    assert {what for what in after if what != "cgroups" and after[what] != before[what]} == set()
    assert worker.run("cat", "/proc/sys/net/ipv6/conf/all/forwarding").stdout.strip() == "0"


def test_a_machine_without_ipv6_is_refused(members: Members) -> None:
    control_plane, _, worker = members.hosts
    line = join_line(control_plane.pybernetes("token", "create", "--print-join-command").stdout)
    control_plane.kubectl("delete", "node", "w2")
    worker.run("ip", "addr", "del", "fd31:7::3/64", "dev", "eth0")
    done = worker.pybernetes(*line, check=False)
    assert done.returncode == 1 and "each node needs an IPv6 address; the interface with 172.31.7.3" in done.stderr
