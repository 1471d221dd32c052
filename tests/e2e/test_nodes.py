"""Several real nodes: placement, what each of them serves, and the commands that stop, start and delete one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import dns.message
import dns.rdatatype
import dns.rrset
import pytest

from pybernetes.bootstrap import images
from tests.e2e.conftest import RealCluster, brought_up, free_port

NAMESPACE = "several-nodes"


def manifest(name: str, spec: str, kind: str = "DaemonSet") -> str:
    return f"""
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
{spec}
"""


SLEEPERS = manifest(
    "sleeper",
    """
      containers:
      - name: c
        image: busybox:latest
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "echo on $NODE; sleep 3600"]
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
      - {name: web, image: "hello:latest", imagePullPolicy: IfNotPresent}
""",
)

HOSTS = manifest(
    "host",
    """
      hostNetwork: true
      containers:
      - {name: c, image: "busybox:latest", imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}
""",
)


@pytest.fixture(scope="module")
def several(three_nodes: RealCluster) -> Iterator[RealCluster]:
    three_nodes.kubectl("create", "namespace", NAMESPACE)
    three_nodes.apply(SLEEPERS)
    three_nodes.apply(HOSTS)
    for name in ("sleeper", "host"):
        three_nodes.kubectl("-n", NAMESPACE, "rollout", "status", f"daemonset/{name}", "--timeout=90s", timeout=100)
    yield three_nodes
    three_nodes.kubectl("delete", "namespace", NAMESPACE, timeout=90)


def pods(cluster: RealCluster, app: str) -> dict[str, dict[str, str]]:
    """The Pods of a set by node: name, address, uid."""
    items = cluster.get("-n", NAMESPACE, "pods", "-l", f"app={app}")["items"]
    return {
        pod["spec"]["nodeName"]: {
            "name": pod["metadata"]["name"],
            "address": pod["status"].get("podIP", ""),
            "uid": pod["metadata"]["uid"],
            "restarts": str(sum(c["restartCount"] for c in pod["status"].get("containerStatuses", []))),
        }
        for pod in items
        if not pod["metadata"].get("deletionTimestamp")
    }


def test_at_least_two_untainted_nodes(three_nodes: RealCluster) -> None:
    nodes = three_nodes.get("nodes")["items"]
    untainted = [
        node
        for node in nodes
        if not any(taint["effect"] in ("NoSchedule", "NoExecute") for taint in node["spec"].get("taints", []))
    ]
    assert len(untainted) >= 2
    assert sorted(node["metadata"]["name"] for node in nodes) == sorted(three_nodes.nodes)
    for one, other in ((one, other) for one in nodes for other in nodes if one is not other):
        assert one["spec"]["podCIDR"] != other["spec"]["podCIDR"]
        assert one["status"]["addresses"] != other["status"]["addresses"]


def test_a_daemon_set_has_a_pod_on_every_node_with_an_address_of_its_range(several: RealCluster) -> None:
    found, state = pods(several, "sleeper"), several.found.state
    assert sorted(found) == sorted(several.nodes)
    for node, pod in found.items():
        assert pod["address"].rpartition(".")[0] == state.node_pod_cidr(node).rpartition(".")[0]


def test_pods_in_the_nodes_network_see_that_node(several: RealCluster) -> None:
    for node, pod in pods(several, "host").items():
        assert pod["address"] == several.found.state.node_address(node)
        run = ("-n", NAMESPACE, "exec", pod["name"], "--")
        assert pod["address"] in several.kubectl(*run, "ip", "addr").stdout
        assert several.kubectl(*run, "hostname").stdout.strip() == node
        for other, target in pods(several, "sleeper").items():
            done = several.kubectl(*run, "ping", "-c", "1", "-W", "3", target["address"], check=False)
            assert done.returncode == 0, f"host network of {node} to a Pod on {other}: {done.stdout}"


def test_every_node_resolves_names(several: RealCluster) -> None:
    for pod in pods(several, "sleeper").values():
        run = ("-n", NAMESPACE, "exec", pod["name"], "-c", "c", "--")
        assert "Address: " in several.kubectl(*run, "nslookup", "kubernetes.default.svc.cluster.local").stdout
        assert several.found.state.dns_address in several.kubectl(*run, "cat", "/etc/resolv.conf").stdout


UPSTREAM = "127.0.0.77"


@pytest.fixture
def upstream(several: RealCluster) -> Iterator[None]:
    """A name server on the machine's loopback interface that knows one name, and is in the machine's resolv.conf."""
    resolv_conf = several.directory / "resolv.conf"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((UPSTREAM, 53))
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        resolv_conf.write_text(f"nameserver {UPSTREAM}\n")
        try:
            yield
        finally:
            resolv_conf.unlink()
            server.sendto(b"end", (UPSTREAM, 53))
            thread.join(10)


def answer(server: socket.socket) -> None:
    while (packet := server.recvfrom(2048))[0] != b"end":
        query = dns.message.from_wire(packet[0])
        response = dns.message.make_response(query)
        name, kind = query.question[0].name, query.question[0].rdtype
        if kind == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.77"))
        server.sendto(response.to_wire(), packet[1])


def test_other_names_are_asked_of_the_machines_name_server(several: RealCluster, upstream: None) -> None:
    for node, pod in pods(several, "sleeper").items():
        run = ("-n", NAMESPACE, "exec", pod["name"], "-c", "c", "--", "nslookup", "-type=a")
        deadline = time.monotonic() + 60  # the file is looked at again after some seconds
        number = 0
        while "192.0.2.77" not in several.kubectl(*run, f"n{number}.outside.example.", check=False).stdout:
            assert time.monotonic() < deadline, f"no answer on {node}"
            number += 1  # failures are remembered for a while


def test_exec_logs_and_port_forward_on_every_node(several: RealCluster) -> None:
    for node, pod in pods(several, "sleeper").items():
        run = ("-n", NAMESPACE, "exec", pod["name"], "-c", "c", "--")
        assert several.kubectl(*run, "echo", "here").stdout == "here\n"
        assert several.kubectl("-n", NAMESPACE, "logs", pod["name"], "-c", "c").stdout == f"on {node}\n"
        port = free_port()
        with forwarded(several, pod["name"], port):
            assert f"Hello from {pod['name']}" in fetch_until(f"http://127.0.0.1:{port}/")


@contextlib.contextmanager
def forwarded(cluster: RealCluster, pod: str, port: int) -> Iterator[None]:
    from tests.e2e.conftest import KUBECTL

    command = [str(KUBECTL), "--kubeconfig", str(cluster.kubeconfig), "-n", NAMESPACE, "port-forward", pod]
    process = subprocess.Popen([*command, f"{port}:8080"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "Forwarding from" in process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


def fetch_until(url: str, seconds: float = 30) -> str:
    """What curl gets, tried until it gets something."""
    command = ["curl", "-s", "--noproxy", "*", "--max-time", "5", url]
    deadline = time.monotonic() + seconds
    while not (text := subprocess.run(command, capture_output=True, text=True, check=False).stdout):
        assert time.monotonic() < deadline, url
    return text


def test_a_rollback_leaves_pods_alone_that_were_not_updated(several: RealCluster) -> None:
    before = pods(several, "sleeper")
    ask = ("-n", NAMESPACE)
    several.kubectl(*ask, "set", "image", "daemonset/sleeper", "c=foo.invalid/none:latest")
    # One Pod at a time: the first cannot start, so the others stay as they are.
    several.kubectl(*ask, "wait", "--for=jsonpath={.status.updatedNumberScheduled}=1", "daemonset/sleeper")
    several.kubectl(*ask, "wait", "--for=jsonpath={.status.numberUnavailable}=1", "daemonset/sleeper")
    during = pods(several, "sleeper")
    kept = {node for node, pod in during.items() if before[node]["uid"] == pod["uid"]}
    assert len(kept) >= len(before) - 1
    several.kubectl(*ask, "rollout", "undo", "daemonset/sleeper")
    several.kubectl(*ask, "rollout", "status", "daemonset/sleeper", "--timeout=60s", timeout=70)
    after = pods(several, "sleeper")
    assert sorted(after) == sorted(before)
    for node in kept:
        assert after[node] == before[node], "no restart, no other Pod"
    (image, _) = (
        c["image"] for c in several.get(*ask, "daemonset", "sleeper")["spec"]["template"]["spec"]["containers"]
    )
    assert image == "busybox:latest"


def test_status_and_list_name_every_node(three_nodes: RealCluster) -> None:
    for text in (three_nodes.pybernetes("status").stdout, three_nodes.pybernetes("node", "list").stdout):
        assert all(node in text for node in three_nodes.nodes)
    assert three_nodes.pybernetes("node", "list").stdout.count("Running") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("node", "stop", "no-such-node"), 'no node "no-such-node"'),
        (("up", "--nodes", "2", "--no-merge"), "the cluster has 3 nodes; 'pybernetes node delete NODE' removes one"),
        (("up", "--network", "vxlan", "--no-merge"), "made with --network routes"),
    ],
)
def test_what_cannot_be_is_refused(three_nodes: RealCluster, arguments: tuple[str, ...], message: str) -> None:
    done = three_nodes.pybernetes(*arguments, check=False)
    assert done.returncode == 1 and message in done.stderr


def test_the_first_node_cannot_be_deleted(three_nodes: RealCluster) -> None:
    done = three_nodes.pybernetes("node", "delete", three_nodes.nodes[0], check=False)
    assert done.returncode == 1 and "is the machine itself" in done.stderr


def test_a_deleted_node_is_forgotten_and_a_new_one_takes_its_place(several: RealCluster) -> None:
    victim = several.nodes[2]
    netns, cidr = several.found.node_netns(victim), several.found.state.node_pod_cidr(victim)
    several.pybernetes("node", "delete", victim)
    assert several.kubectl("get", "node", victim, check=False).returncode != 0
    assert netns is not None and not netns.exists()
    deadline = time.monotonic() + 30
    for node in several.nodes:
        command = several.on(node, "ip", "-json", "route", "show", cidr)
        while json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout or "[]"):
            assert time.monotonic() < deadline, f"{node} still has a route"
    several.pybernetes("up", "--no-merge", "--nodes", "3")
    assert several.nodes[2] == victim
    several.image("import", *map(str, images.assemble(several.home / "images", ("hello", "busybox"))))
    several.kubectl("-n", NAMESPACE, "delete", "pod", "--field-selector", f"spec.nodeName={victim}", timeout=90)
    several.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/host", "--timeout=90s", timeout=100)


def test_another_cni_plugin_is_waited_for_and_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What its manifest would put into the directory is put there by hand: a bridge of its own."""
    name = f"e2en-{os.getpid()}"
    with brought_up(tmp_path_factory, name, "--nodes", "1", "--network", "none") as cluster:
        (node,) = cluster.nodes

        def ready() -> dict[str, str]:
            (found,) = (c for c in cluster.get("node", node)["status"]["conditions"] if c["type"] == "Ready")
            return found  # type: ignore[no-any-return]

        assert ready()["status"] == "False"
        assert ready()["message"] == (
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
            "message:Network plugin returns error: cni plugin not initialized"
        )
        cluster.kubectl("wait", "--for=jsonpath={.spec.podCIDR}", f"node/{node}", "--timeout=30s")
        assert {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}.items() <= cluster.get("node", node)[
            "spec"
        ]["taints"][0].items()
        link = f"pbx{os.getpid()}"
        ranges = [[{"subnet": cluster.get("node", node)["spec"]["podCIDR"]}]]
        plugin = {"type": "bridge", "bridge": link, "isGateway": True, "ipMasq": False}
        plugin["ipam"] = {"type": "host-local", "ranges": ranges, "dataDir": str(tmp_path_factory.mktemp("ipam"))}
        document = {"cniVersion": "0.4.0", "name": "somebody-elses", "plugins": [plugin]}
        (cluster.directory / "nodes" / node / "cni" / "10-other.conflist").write_text(json.dumps(document))
        try:
            cluster.wait("--for=condition=Ready", f"node/{node}")
            cluster.kubectl("run", "p", "--image=hello:latest", "--image-pull-policy=Never")
            cluster.wait("--for=condition=Ready", "pod/p")
            address = cluster.get("pod", "p")["status"]["podIP"]
            assert "Hello from p" in fetch_until(f"http://{address}:8080/")
            assert f" dev {link} " in subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
            cluster.kubectl("delete", "pod", "p", "--now")
        finally:
            subprocess.run(["ip", "link", "del", link], check=False)
