"""Cluster DNS on a real node: what Pods ask through their resolv.conf, and every record type asked directly."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from pybernetes.aio import clock
from pybernetes.bootstrap import images
from tests.e2e.conftest import RealCluster

Kubectl = Callable[..., str]

CLIENT = f"""
apiVersion: v1
kind: Pod
metadata: {{name: client, labels: {{app: client}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: c, image: {images.BUSYBOX}, imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}}
"""

SHOP = f"""
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: none}}, ports: [{{name: http, port: 80}}, {{name: dns, port: 53, protocol: UDP}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: out}}
spec: {{type: ExternalName, externalName: foo.example.com}}
---
apiVersion: v1
kind: Service
metadata: {{name: db}}
spec: {{clusterIP: None, selector: {{app: db}}, ports: [{{name: sql, port: 5432}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: db-a, labels: {{app: db}}}}
spec:
  hostname: first
  subdomain: db
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: c, image: {images.BUSYBOX}, imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: db-b, labels: {{app: db}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: {images.BUSYBOX}
    imagePullPolicy: IfNotPresent
    command: [sleep, "3600"]
    readinessProbe: {{exec: {{command: [test, -e, /ready]}}, periodSeconds: 1}}
"""


@pytest.fixture
def no_upstream(cluster: RealCluster) -> None:
    """Other names are asked of loopback only, where nobody answers: nothing leaves the machine."""
    (cluster.directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")


class Asker:
    """Questions to the node's DNS at its own address."""

    def __init__(self, cluster: RealCluster, namespace: str) -> None:
        state = json.loads((cluster.directory / "cluster.json").read_text())
        self.address = state["pod_cidr"].replace("0.0/16", "255.1")
        self.namespace = namespace

    def ask(self, name: str, type_: str = "A", *, tcp: bool = False, at: str = "") -> list[str]:
        """The data of the answers, sorted, or the code; `name` is completed by namespace and zone, unless absolute."""
        full = name if name.endswith(".") else f"{name}.{self.namespace}.svc.cluster.local."
        query = dns.message.make_query(full, type_)
        message = (dns.query.tcp if tcp else dns.query.udp)(query, at or self.address, timeout=5)
        found = sorted(item.to_text() for rrset in message.answer for item in rrset)
        return found or [dns.rcode.to_text(message.rcode())]

    def eventually(self, wanted: list[str], name: str, type_: str = "A") -> None:
        end = clock.monotonic() + 15
        while (found := self.ask(name, type_)) != wanted:
            assert clock.monotonic() < end, f"{name} {type_}: {found}, not {wanted}"


@pytest.fixture
def asker(cluster: RealCluster, namespace: str, no_upstream: None) -> Asker:
    return Asker(cluster, namespace)


def test_records_of_services_and_pods(kubectl: Kubectl, asker: Asker) -> None:
    kubectl("apply", "-f", "-", stdin=SHOP)
    kubectl("wait", "--for=condition=Ready", "pod/db-a", "--timeout=30s")
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    suffix = f"{asker.namespace}.svc.cluster.local."
    asker.eventually([address], "web")
    assert asker.ask("_http._tcp.web", "SRV") == [f"0 100 80 web.{suffix}"]
    assert asker.ask("_dns._udp.web", "SRV", tcp=True) == [f"0 100 53 web.{suffix}"]
    assert asker.ask(".".join(reversed(address.split("."))) + ".in-addr.arpa.", "PTR") == [f"web.{suffix}"]
    assert asker.ask("out", "CNAME") == ["foo.example.com."]

    first, second = (kubectl("get", "pod", name, "-o", "jsonpath={.status.podIP}") for name in ("db-a", "db-b"))
    asker.eventually([first], "db")  # the other is not ready
    assert asker.ask("first.db") == [first]
    assert asker.ask("_sql._tcp.db", "SRV") == [f"0 100 5432 first.db.{suffix}"]
    assert asker.ask(".".join(reversed(first.split("."))) + ".in-addr.arpa.", "PTR") == [f"first.db.{suffix}"]
    assert asker.ask(f"{first.replace('.', '-')}.{asker.namespace}.pod.cluster.local.") == [first]
    kubectl("exec", "db-b", "--", "touch", "/ready")
    asker.eventually(sorted([first, second]), "db")
    assert asker.ask(second.replace(".", "-") + ".db") == [second]
    kubectl("delete", "pod", "db-a", "--wait=false")
    asker.eventually([second], "db")
    assert asker.ask("first.db") == ["NXDOMAIN"]

    kubectl("patch", "service", "out", "-p", json.dumps({"spec": {"externalName": "bar.example.com"}}))
    asker.eventually(["bar.example.com."], "out", "CNAME")
    spec = {"type": "ClusterIP", "externalName": None, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    kubectl("patch", "service", "out", "-p", json.dumps({"spec": spec}))
    asker.eventually([kubectl("get", "service", "out", "-o", "jsonpath={.spec.clusterIP}")], "out")


class InPod:
    """glibc's resolver in a Pod's place: its network, its resolv.conf (busybox has none that follows search lists)."""

    def __init__(self, kubectl: Kubectl, pod: str, directory: Path) -> None:
        uid = kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
        self.pid = next(
            path.parent.name
            for path in Path("/proc").glob("[0-9]*/cgroup")
            if uid in path.read_text() and b"sleep" in (path.parent / "cmdline").read_bytes()
        )
        self.resolv_conf = directory / "resolv.conf"
        self.resolv_conf.write_text(kubectl("exec", pod, "--", "cat", "/etc/resolv.conf"))

    def lookup(self, name: str) -> str:
        """The addresses of a name, as `getent ahostsv4` has them; "" when there is none."""
        script = f"mount --bind {self.resolv_conf} /etc/resolv.conf && exec getent ahostsv4 {name}"
        command = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "unshare", "-m", "sh", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode in (0, 2), done.stderr
        return " ".join(dict.fromkeys(line.split()[0] for line in done.stdout.splitlines()))


def test_a_pod_finds_services_by_short_names(kubectl: Kubectl, asker: Asker, tmp_path: Path) -> None:
    """Through its resolv.conf: the Service `kube-dns`, the proxy, the search list."""
    kubectl("apply", "-f", "-", stdin=CLIENT)
    kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=30s")
    kubectl("create", "service", "clusterip", "web", "--tcp=80")
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    asker.eventually([address], "web")
    found = kubectl("exec", "client", "--", "nslookup", f"web.{asker.namespace}.svc.cluster.local")
    assert address in found
    pod = InPod(kubectl, "client", tmp_path)
    for name in (
        "web",
        f"web.{asker.namespace}",
        f"web.{asker.namespace}.svc",
        f"web.{asker.namespace}.svc.cluster.local",
    ):
        assert pod.lookup(name) == address
    kubernetes = pod.lookup("kubernetes.default")
    assert kubernetes.endswith(".1")
    assert pod.lookup("nothing.default") == ""
    reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert f"web.{asker.namespace}.svc.cluster.local" in kubectl(
        "exec", "client", "--", "nslookup", "-type=ptr", reverse
    )


def test_the_clusters_own_services(cluster: RealCluster, asker: Asker) -> None:
    service = cluster.get("service", "kube-dns", "-n", "kube-system")
    address = service["spec"]["clusterIP"]
    assert address.endswith(".10")
    for tcp in (False, True):  # from the node's own network, too, the Service leads there
        assert asker.ask("kube-dns.kube-system.svc.cluster.local.", tcp=tcp, at=address) == [address]
    assert asker.ask("ns.dns.cluster.local.") == [address]
    assert asker.ask("dns-version.cluster.local.", "TXT") == ['"1.1.0"']
    assert asker.ask("kubernetes.default.svc.cluster.local.") == [
        cluster.get("service", "kubernetes")["spec"]["clusterIP"]
    ]
    assert asker.ask("nowhere.example.") == ["SERVFAIL"]  # there is no upstream
