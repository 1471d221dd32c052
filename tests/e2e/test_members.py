"""init on one machine, join with the printed line on others, over real TLS; the ways it can go wrong; reset."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.bootstrap import images
from pybernetes.bootstrap.ingress import binary
from tests.suites.hosts import Host, hosts, join_line, web_everywhere

KEEPER = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: keeper}
spec:
  serviceName: keeper
  selector: {matchLabels: {app: keeper}}
  template:
    metadata: {labels: {app: keeper}}
    spec:
      terminationGracePeriodSeconds: 0
      nodeSelector: {kubernetes.io/hostname: w1}
      securityContext: {runAsUser: 1000}
      containers:
      - name: keeper
        image: busybox:latest
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "echo written by $(id -u) >> /data/kept; exec sleep 3600"]
        readinessProbe: {exec: {command: [test, -s, /data/kept]}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""


DOORS = """
apiVersion: v1
kind: Service
metadata: {name: everywhere}
spec:
  type: LoadBalancer
  selector: {app: everywhere}
  ports: [{port: 8000, targetPort: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: everywhere}
spec:
  defaultBackend: {service: {name: everywhere, port: {number: 8000}}}
"""


class Members:
    """A control plane and machines that have not joined yet."""

    def __init__(self, found: list[Host]) -> None:
        self.control_plane, *self.others = found
        self.before = {host.name: host.state() for host in found}
        self.output = self.control_plane.pybernetes("init").stdout
        self.line = join_line(self.output)

    def fresh_line(self, *arguments: str) -> list[str]:
        made = self.control_plane.pybernetes("token", "create", "--print-join-command", *arguments)
        return join_line(made.stdout)


@pytest.fixture(scope="module")
def members() -> Iterator[Members]:
    with hosts("cp1", "w1", "w2") as found:
        yield Members(found)


def changed(host: Host, before: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is there now and was not, or the other way round. (cgroups are of all hosts, and of runs before this.)"""
    after = host.state()
    before = {**before, "cgroups": before["cgroups"] & after["cgroups"]}
    return {what: after[what] ^ before[what] for what in after if after[what] != before[what]}


def refused(host: Host, *line: str, before: dict[str, set[str]]) -> str:
    """The words of a join that fails, which must leave the machine as it was."""
    done = host.pybernetes(*line, check=False)
    assert done.returncode == 1, done.stdout
    assert changed(host, before) == {}
    return done.stderr


def test_a_join_that_goes_wrong_says_why_and_leaves_nothing(members: Members) -> None:
    host = members.others[0]
    before, line = members.before[host.name], members.line
    token, pin = line[line.index("--token") + 1], line[-1]

    wrong = [word if word != pin else "sha256:" + "0" * 64 for word in line]
    assert f"has the CA certificate {pin}, not sha256:000" in refused(host, *wrong, before=before)

    unknown = [word if word != token else "abcdef.0123456789abcdef" for word in line]
    assert "no token with the id 'abcdef'" in refused(host, *unknown, before=before)

    false = [word if word != token else f"{token[:7]}{'0' * 16}" for word in line]
    assert "was not made with this token" in refused(host, *false, before=before)

    nowhere = [word if ":6443" not in word else f"{members.control_plane.address}:6999" for word in line]
    assert "connection refused" in refused(host, *nowhere, before=before)

    unpinned = line[:-2]
    assert "--discovery-token-ca-cert-hash is missing" in refused(host, *unpinned, before=before)


def test_an_expired_token(members: Members) -> None:
    host = members.others[0]
    short = members.fresh_line("--ttl", "1s")
    token_id = short[short.index("--token") + 1][:6]
    members.control_plane.kubectl(
        "wait", "-n", "kube-system", "--for=delete", f"secret/bootstrap-token-{token_id}", "--timeout=30s"
    )
    assert f"no token with the id '{token_id}'" in refused(host, *short, before=members.before[host.name])


@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")
@pytest.mark.parametrize(("shift", "words"), [("+1d", "ahead of"), ("-1d", "behind")])
def test_a_clock_off_by_a_day(members: Members, shift: str, words: str) -> None:
    host = members.others[0]
    command = ["faketime", "-f", shift, sys.executable, "-m", "pybernetes", *members.line]
    done = host.run(*command, check=False)
    assert done.returncode == 1, done.stdout
    assert f"the clock of this machine is 24.0 hours {words} that of the API server" in done.stderr
    assert changed(host, members.before[host.name]) == {}


def test_a_taken_port(members: Members) -> None:
    host = members.others[0]
    script = (
        "import socket, sys; s = socket.create_server(('0.0.0.0', 10250)); print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        ["nsenter", "-t", str(host.inside), "-n", "--", sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as squatter:
        assert squatter.stdout is not None and squatter.stdout.readline() == b"up\n"
        done = host.pybernetes(*members.line, check=False)
        assert done.returncode == 1
        assert "[ERROR Port-10250]: port 10250 is in use" in done.stderr
        assert "ss -ltnp" in done.stderr
        assert squatter.stdin is not None
        squatter.stdin.close()
    assert changed(host, members.before[host.name]) == {}


def test_a_second_init_is_refused(members: Members) -> None:
    done = members.control_plane.pybernetes("init", check=False)
    assert done.returncode == 1
    assert "[ERROR DirAvailable]" in done.stderr and "[ERROR Port-6443]" in done.stderr
    assert members.control_plane.kubectl("get", "--raw", "/readyz") == "ok"


def test_join_and_pods_on_every_machine(members: Members, tmp_path: Path) -> None:
    control_plane = members.control_plane
    assert "cp -i /etc/kubernetes/admin.conf $HOME/.kube/config" in members.output
    for host in members.others:
        joined = host.pybernetes(*members.line)
        assert re.search(rf"\[node\] {host.name} is Ready", joined.stdout)
        told = host.pybernetes("status").stdout
        assert f"node {host.name}:" in told and "control plane:" not in told
    nodes = {node["metadata"]["name"]: node for node in control_plane.get("nodes")["items"]}
    assert nodes.keys() == {"cp1", "w1", "w2"}
    assert nodes["cp1"]["spec"]["taints"] == [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    assert len({node["spec"]["podCIDR"] for node in nodes.values()}) == 3
    (archive,) = images.assemble(tmp_path, ("busybox",))
    for host in (control_plane, *members.others):
        host.pybernetes("image", "import", str(archive))
    control_plane.kubectl("apply", "-f", "-", stdin=web_everywhere("everywhere", "8080"))
    control_plane.kubectl("rollout", "status", "ds/everywhere", "--timeout=90s")
    pods = control_plane.get("pods", "-l", "app=everywhere")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == nodes.keys()
    for pod in pods:  # logs and exec go over the kubelets' own serving certificates
        for other in pods:
            url = f"http://{other['status']['podIP']}:8080/"
            seen = control_plane.kubectl("exec", pod["metadata"]["name"], "--", "wget", "-qO-", url)
            assert seen.strip() == other["metadata"]["name"]
        looked = control_plane.kubectl(
            "exec", pod["metadata"]["name"], "--", "nslookup", "kubernetes.default.svc.cluster.local"
        )
        assert "10.96.0.1" in looked


def test_a_volume_of_the_standard_class_is_on_the_member_where_its_pod_runs(members: Members) -> None:
    control_plane, worker = members.control_plane, members.others[0]
    control_plane.kubectl("apply", "-f", "-", stdin=KEEPER)
    control_plane.kubectl("rollout", "status", "statefulset/keeper", "--timeout=90s")
    (volume,) = control_plane.get("pv")["items"]
    path = volume["spec"]["hostPath"]["path"]
    terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert terms[0]["matchExpressions"][0]["values"] == ["w1"]
    assert worker.run("cat", f"{path}/kept").stdout == "written by 1000\n"
    assert control_plane.run("test", "-e", path, check=False).returncode == 1
    control_plane.kubectl("delete", "pod", "keeper-0")  # the next one finds what it wrote
    control_plane.kubectl("rollout", "status", "statefulset/keeper", "--timeout=90s")
    assert worker.run("cat", f"{path}/kept").stdout == "written by 1000\n" * 2
    control_plane.kubectl("delete", "statefulset/keeper", "pvc/data-keeper-0")
    control_plane.kubectl("wait", "--for=delete", f"pv/{volume['metadata']['name']}", "--timeout=60s")
    assert worker.run("test", "-e", path, check=False).returncode == 1


@pytest.mark.skipif(binary() is None, reason="haproxy is not installed")
def test_the_doors_are_the_workers_for_services_and_the_control_plane_for_ingresses(members: Members) -> None:
    control_plane = members.control_plane
    control_plane.kubectl("apply", "-f", "-", stdin=DOORS)
    nodes = control_plane.get("nodes")["items"]
    where = {node["metadata"]["name"]: node["status"]["addresses"][0]["address"] for node in nodes}
    address = "{.status.loadBalancer.ingress[0].ip}"
    pod = control_plane.get("pods", "-l", "app=everywhere")["items"][0]["metadata"]["name"]
    # kubeadm's label leaves control planes out of load balancers.
    for what, name, port in (("service", "w1", 8000), ("ingress", "cp1", 80)):
        waiting = f"--for=jsonpath={address}={where[name]}"
        control_plane.kubectl("wait", waiting, f"{what}/everywhere", "--timeout=60s")
        fetch = f"for i in $(seq 30); do wget -q -O- http://{where[name]}:{port}/ && break; sleep 1; done"
        assert control_plane.kubectl("exec", pod, "--", "sh", "-c", fetch).startswith("everywhere-")
    control_plane.kubectl("delete", "-f", "-", stdin=DOORS)


def test_every_certificate_of_the_nodes_came_through_the_api(members: Members) -> None:
    requests = members.control_plane.get("csr")["items"]
    asked = {(r["spec"]["signerName"].partition("/")[2], r["spec"]["username"]) for r in requests}
    for host in members.others:
        assert {
            ("kube-apiserver-client", f"system:node:{host.name}"),
            ("kubelet-serving", f"system:node:{host.name}"),
        } <= asked
    bootstrapped = [name for signer, name in asked if signer == "kube-apiserver-client-kubelet"]
    assert bootstrapped and all(name.startswith("system:bootstrap:") for name in bootstrapped)
    assert all(any(c["type"] == "Approved" for c in r["status"]["conditions"]) for r in requests)


def test_a_node_that_is_registered_anew_with_another_range_moves_there(members: Members) -> None:
    control_plane = members.control_plane
    node = control_plane.get("node", "w2")
    for unwanted in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        node["metadata"].pop(unwanted, None)
    node["spec"] = {"podCIDR": "10.244.77.0/24", "podCIDRs": ["10.244.77.0/24"]}

    def replaced() -> bool:  # its kubelet may be sooner
        control_plane.kubectl("delete", "node", "w2")
        control_plane.kubectl("create", "-f", "-", stdin=json.dumps(node), check=False)
        return bool(control_plane.get("node", "w2")["spec"]["podCIDR"] == "10.244.77.0/24")

    assert any(replaced() for _ in range(10))
    control_plane.kubectl("wait", "--for=condition=Ready", "node/w2", "--timeout=60s")
    where = "--field-selector=spec.nodeName=w2"

    def moved() -> bool:
        pods = control_plane.get("pods", "-l", "app=everywhere", where)["items"]
        addresses = [pod["status"].get("podIP", "") for pod in pods]
        return len(addresses) == 1 and addresses[0].startswith("10.244.77.")

    deadline = time.monotonic() + 120
    while not moved():
        assert time.monotonic() < deadline, control_plane.get("pods", "-l", "app=everywhere", where)
    control_plane.kubectl("rollout", "status", "ds/everywhere", "--timeout=90s")
    pods = {pod["spec"]["nodeName"]: pod for pod in control_plane.get("pods", "-l", "app=everywhere")["items"]}
    for one, other in (("w1", "w2"), ("w2", "w1")):
        url = f"http://{pods[other]['status']['podIP']}:8080/"
        name = pods[one]["metadata"]["name"]
        fetch = f"for i in $(seq 30); do wget -qO- {url} && break; sleep 1; done"
        assert control_plane.kubectl("exec", name, "--", "sh", "-c", fetch).startswith("everywhere-")


def test_a_ready_node_of_the_same_name_is_not_replaced(members: Members) -> None:
    members.others[1].pybernetes("reset", "--force")
    line = [*members.line, "--node-name", "w1"]
    words = refused(members.others[1], *line, before=members.before["w2"])
    assert "has a Ready node of the name 'w1' already" in words


def test_reset_leaves_the_machine_as_it_was(members: Members) -> None:
    host = members.others[0]
    host.pybernetes("reset", "--force")
    assert changed(host, members.before[host.name]) == {}
    members.control_plane.pybernetes("reset", "--force")
    assert changed(members.control_plane, members.before["cp1"]) == {}
