"""What the conformance tests ask of Pods that keep running: streams, resizes, hooks, probes, proxies, live volumes."""

from __future__ import annotations

import base64
import json
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websocket
import yaml

from tests.e2e.conftest import KUBECTL, RealCluster

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]

BUSYBOX = {"image": "busybox:latest", "imagePullPolicy": "IfNotPresent"}
NAMESPACE = "conformance-running"
HERE = ("-n", NAMESPACE)
Object = dict[str, Any]


def until(question: Callable[[], Any], seconds: float = 40) -> Any:
    """The first true answer; fails after some time."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, f"not in {seconds} s"
        time.sleep(0.3)
    return answer


def pod(name: str, script: str, *, container: Object | None = None, **spec: Any) -> Object:
    main = {"name": "main", **BUSYBOX, "command": ["sh", "-c", script], **(container or {})}
    metadata = {"name": name, **spec.pop("metadata", {})}
    whole = {"terminationGracePeriodSeconds": 1, "containers": [main], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}


FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.2; done"
WEB = """mkdir -p /w/cgi-bin; cd /w; echo '<a href="/rewriteme">test</a>' > index.html; echo file > plain.txt
printf '#!/bin/sh\\n'  > cgi-bin/echo
printf 'echo "$REQUEST_METHOD $QUERY_STRING" >> /w/requests\\nprintf "Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n"
echo "$REQUEST_METHOD $QUERY_STRING"; cat\\n' >> cgi-bin/echo; chmod +x cgi-bin/echo
trap 'exit 0' TERM; httpd -f -p 8080 -h /w & wait"""


def _names(name: str, mount: str = "/v") -> Object:
    return {"volumeMounts": [{"name": name, "mountPath": mount}]}


RESIZABLE = {"requests": {"cpu": "20m", "memory": "20Mi"}, "limits": {"cpu": "100m", "memory": "40Mi"}}
ANNOTATION = {"items": [{"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
                        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}  # fmt: skip
SUB_PATH = {
    "env": [{"name": "AT", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['at']"}}}],
    "volumeMounts": [{"name": "d", "mountPath": "/v", "subPathExpr": "$(AT)"}],
}
EMPTY = [{"name": "d", "emptyDir": {}}]


def probe(**fields: Any) -> Object:
    return {"initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 1, **fields}


PODS = [
    pod("web", WEB, metadata={"labels": {"app": "web"}},
        container={"ports": [{"containerPort": 8080, "name": "http"}],
                   "readinessProbe": probe(httpGet={"path": "/", "port": "http"})}),
    pod("plain", f"echo started; echo complaint >&2; {FOREVER}"),
    pod("resize", FOREVER, container={"resources": RESIZABLE}),
    pod("guaranteed", FOREVER, container={"resources": {"limits": {"cpu": "50m", "memory": "30Mi"}}}),
    pod("resize-restart", FOREVER, restartPolicy="OnFailure",
        container={"resources": RESIZABLE, "resizePolicy": [
            {"resourceName": what, "restartPolicy": "RestartContainer"} for what in ("cpu", "memory")]}),
    pod("stop-signal", "trap '' TERM; trap 'echo told; exit 0' USR1; echo began; while true; do sleep 0.2; done",
        os={"name": "linux"}, terminationGracePeriodSeconds=600, container={"lifecycle": {"stopSignal": "SIGUSR1"}}),
    pod("sysctl-unsafe", FOREVER, securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1000"}]}),
    pod("live", FOREVER, metadata={"labels": {"k": "old"}, "annotations": {"a": "old"}},
        container={"volumeMounts": [{"name": n, "mountPath": f"/{n}"} for n in ("cm", "sec", "opt", "down", "proj")]},
        volumes=[{"name": "cm", "configMap": {"name": "live"}}, {"name": "sec", "secret": {"secretName": "live"}},
                 {"name": "opt", "configMap": {"name": "later", "optional": True}},
                 {"name": "down", "downwardAPI": ANNOTATION},
                 {"name": "proj", "projected": {"sources": [{"downwardAPI": ANNOTATION},
                                                            {"configMap": {"name": "live"}}]}}]),
    pod("subpath-backticks", FOREVER, metadata={"annotations": {"at": "`hostname`/../.."}}, container=SUB_PATH,
        volumes=EMPTY),
    pod("subpath-absolute", FOREVER, metadata={"annotations": {"at": "/tmp"}}, container=SUB_PATH, volumes=EMPTY),
    *(pod(name, FOREVER, container={"volumeMounts": [{"name": "d", "mountPath": "/v"},
                                                     {"name": "d", "mountPath": "/only", "subPath": sub}]},
          volumes=[{"name": "d", "image": {"reference": "busybox:latest", "pullPolicy": "IfNotPresent"}}])
      for name, sub in (("image-volume", "etc/group"), ("image-volume-2", "etc/group"), ("image-volume-none", "none"))),
    pod("init-fails", FOREVER, initContainers=[{"name": n, **BUSYBOX, "command": [c]} for n, c in
                                               (("init1", "false"), ("init2", "true"))]),
    pod("live-exec", "touch /tmp/ok; sleep 3; rm /tmp/ok; sleep 100",
        container={"livenessProbe": probe(exec={"command": ["cat", "/tmp/ok"]})}),
    pod("live-http-bad", WEB, container={"livenessProbe": probe(httpGet={"path": "/none", "port": 8080})}),
    pod("live-http-good", WEB, container={"livenessProbe": probe(httpGet={"path": "/", "port": 8080})}),
    pod("live-tcp-good", WEB, container={"livenessProbe": probe(tcpSocket={"port": 8080})}),
    pod("live-tcp-bad", WEB, container={"livenessProbe": probe(tcpSocket={"port": 9999})}),
    pod("live-grpc-bad", WEB, container={"livenessProbe": probe(grpc={"port": 9999})}),
    pod("live-timeout", FOREVER, container={"livenessProbe": probe(exec={"command": ["sleep", "10"]})}),
    pod("never-ready", FOREVER, container={"readinessProbe": probe(exec={"command": ["false"]})}),
    pod("missing-image", "true", container={"image": "foo:non-existent", "imagePullPolicy": "IfNotPresent"}),
    pod("host-port-a", WEB, container={"ports": [{"containerPort": 8080, "hostPort": 54323, "hostIP": "127.0.0.1"}]}),
]  # fmt: skip


@pytest.fixture(scope="module")
def running(cluster: RealCluster) -> Iterator[RealCluster]:
    """The cluster with all Pods created."""
    data = {"data-1": "value-1"}
    before = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "live"}, "data": data},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "live"}, "stringData": data},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {
            "selector": {"app": "web"}, "ports": [{"name": "p1", "port": 80, "targetPort": "http"}]}},
    ]  # fmt: skip
    cluster.kubectl("create", "namespace", NAMESPACE)
    until(lambda: not cluster.kubectl(*HERE, "get", "serviceaccount", "default", check=False).returncode)
    cluster.kubectl(*HERE, "create", "-f", "-", stdin="\n---\n".join(json.dumps(one) for one in before + PODS))
    cluster.wait(*HERE, "--for=condition=Ready", "pod/web", "pod/plain", "pod/resize", "pod/guaranteed", "pod/live")
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def get(cluster: RealCluster, name: str) -> Object:
    return dict(cluster.get(*HERE, "pod", name))


def main_status(cluster: RealCluster, name: str) -> Object:
    found = get(cluster, name)["status"].get("containerStatuses") or [{}]
    return dict(found[0])


def run(cluster: RealCluster, name: str, *command: str) -> str:
    return cluster.kubectl(*HERE, "exec", name, "--", *command).stdout


def connect(cluster: RealCluster, path: str, protocol: str, tmp: Any) -> websocket.WebSocket:
    """A WebSocket to the API server."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    user, server = config["users"][0]["user"], config["clusters"][0]["cluster"]["server"]
    pem = tmp / "client.pem"
    pem.write_bytes(b"".join(base64.b64decode(user[f"client-{what}-data"]) for what in ("certificate", "key")))
    options = {"certfile": str(pem), "cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    return websocket.create_connection(
        server.replace("https", "wss") + f"/api/v1/namespaces/{NAMESPACE}/pods/{path}",
        sslopt=options, subprotocols=[protocol], timeout=15, suppress_origin=True,
    )  # fmt: skip


def frames(connection: websocket.WebSocket) -> Iterator[bytes]:
    """What comes until the other side closes; then it is closed here as well."""
    try:
        while True:
            opcode, data = connection.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return
            yield bytes(data)
    except websocket.WebSocketConnectionClosedException:
        return
    finally:
        connection.shutdown()


@pytest.mark.parametrize("protocol", ["channel.k8s.io", "v4.channel.k8s.io"])
def test_exec_by_websocket(running: RealCluster, protocol: str, tmp_path: Any) -> None:
    path = "plain/exec?container=main&command=sh&command=-c&command=echo+remote;echo+bad>%262;exit+3&stdout=1&stderr=1"
    connection = connect(running, path, protocol, tmp_path)
    assert connection.getsubprotocol() == protocol
    got: dict[int, bytes] = {}
    for frame in frames(connection):
        got[frame[0]] = got.get(frame[0], b"") + frame[1:]
    assert got[1] == b"remote\n" and got[2] == b"bad\n"
    if protocol != "channel.k8s.io":
        status = json.loads(got[3])
        assert status["reason"] == "NonZeroExitCode" and status["details"]["causes"][0]["message"] == "3"


def test_v5_closes_input(running: RealCluster, tmp_path: Any) -> None:
    path = "plain/exec?container=main&command=sh&command=-c&command=wc+-c;exit+4&stdin=1&stdout=1&stderr=1"
    connection = connect(running, path, "v5.channel.k8s.io", tmp_path)
    connection.send_binary(b"\0" + b"x" * 40_000)
    connection.send_binary(b"\xff\0")
    got = list(frames(connection))
    assert [frame for frame in got if frame[0] == 1] == [b"\x0140000\n"]
    status = json.loads(got[-1][1:])
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "4"}]


def test_kubectl_streams_by_websocket_alone(running: RealCluster) -> None:
    """The official kubectl asks for the newest protocols first, and falls back to SPDY when it is refused."""
    done = running.kubectl(*HERE, "exec", "-i", "-v=6", "plain", "--", "cat", stdin="to and fro")
    assert done.stdout == "to and fro" and "fallback" not in done.stderr.lower()
    assert "101 Switching Protocols" in done.stderr
    with subprocess.Popen(
        [str(KUBECTL), "--kubeconfig", str(running.kubeconfig), *HERE, "port-forward", "-v=6", "web", ":8080"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as forward:  # fmt: skip
        assert forward.stdout is not None and forward.stderr is not None
        port = re.search(r"127.0.0.1:(\d+)", forward.stdout.readline())
        assert port is not None
        for _ in range(2):
            with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/plain.txt", timeout=10) as answer:
                assert answer.read() == b"file\n"
        forward.terminate()
        told = forward.stderr.read().lower()
    assert "negotiated protocol: portforward.k8s.io" in told and "fallback" not in told


STREAMS = """
import sys
from kubernetes import client, config
from kubernetes.stream import portforward, stream

config.load_kube_config(sys.argv[1])
api = client.CoreV1Api()
shell = stream(
    api.connect_get_namespaced_pod_exec, "plain", sys.argv[2], container="main", command=["sh"], stdin=True,
    stdout=True, stderr=True, tty=False, _preload_content=False,
)
shell.write_stdin("echo hello\\n")
print(shell.readline_stdout(timeout=20))
shell.write_stdin("exit 4\\n")
shell.run_forever(timeout=20)
print(shell.returncode)
connection = portforward(api.connect_get_namespaced_pod_portforward, "web", sys.argv[2], ports="8080").socket(8080)
connection.setblocking(True)
connection.sendall(b"GET /plain.txt HTTP/1.0\\r\\n\\r\\n")
print(b"".join(iter(lambda: connection.recv(1000), b"")).decode().splitlines()[-1])
"""


def test_the_python_client_streams(running: RealCluster) -> None:
    """In a process of its own: this client leaves its sockets open."""
    command = [sys.executable, "-c", STREAMS, str(running.kubeconfig), NAMESPACE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["hello", "4", "file"], done.stderr


def test_log_by_websocket(running: RealCluster, tmp_path: Any) -> None:
    connection = connect(running, "plain/log?container=main", "binary.k8s.io", tmp_path)
    text = b"".join(frames(connection))
    assert b"started\n" in text and b"complaint\n" in text


def test_ephemeral_containers(running: RealCluster) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/plain/ephemeralcontainers"
    before = get(running, "plain")["metadata"]["generation"]
    for number, name in enumerate(("debugger", "debugger2"), 1):
        extra = {"name": name, **BUSYBOX, "command": ["sh", "-c", "echo polo; exec cat"], "stdin": True, "tty": True}
        body = json.dumps({"spec": {"ephemeralContainers": [extra]}})
        patch = ("patch", "pod", "plain", "--subresource=ephemeralcontainers", "--type=strategic", "-p", body)
        running.kubectl(*HERE, *patch)

        def runs(name: str = name) -> bool:
            states = get(running, "plain")["status"].get("ephemeralContainerStatuses") or []
            return any(s["name"] == name and "running" in s["state"] for s in states)

        until(runs)
        until(lambda name=name: "polo" in running.kubectl(*HERE, "logs", "plain", "-c", name).stdout)
        found = json.loads(running.kubectl("get", "--raw", path).stdout)
        assert len(found["spec"]["ephemeralContainers"]) == number
        assert found["metadata"]["generation"] == before + number
    assert running.kubectl(*HERE, "exec", "plain", "-c", "debugger", "--", "echo", "marco").stdout == "marco\n"


def resize(cluster: RealCluster, name: str, resources: Object) -> Object:
    """The container's status once it has them."""
    body = json.dumps({"spec": {"containers": [{"name": "main", "resources": resources}]}})
    cluster.kubectl(*HERE, "patch", "pod", name, "--subresource=resize", "--type=strategic", "-p", body)

    def done() -> Object | None:
        found = get(cluster, name)
        status = found["status"]["containerStatuses"][0]
        conditions = {c["type"] for c in found["status"]["conditions"]}
        want = found["spec"]["containers"][0]["resources"]
        over = status.get("resources") == want and not conditions & {"PodResizePending", "PodResizeInProgress"}
        return status if over else None

    return dict(until(done))


@pytest.mark.parametrize(("cpu", "memory"), [("200m", "60Mi"), ("60m", "30Mi"), ("2m", "30Mi"), ("1m", "30Mi")])
def test_resize(running: RealCluster, cpu: str, memory: str) -> None:
    requests = {"cpu": "1m", "memory": "20Mi"}
    status = resize(running, "resize", {"requests": requests, "limits": {"cpu": cpu, "memory": memory}})
    assert status["restartCount"] == 0 and status["resources"]["limits"] == {"cpu": cpu, "memory": memory}
    assert status["allocatedResources"] == requests
    script = "cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    quota = int(run(running, "resize", "sh", "-c", script).split()[0])
    assert quota == max(int(cpu[:-1]) * 100, 1000)
    script = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert int(run(running, "resize", "sh", "-c", script)) == int(memory[:-2]) * 2**20


def test_resize_of_guaranteed(running: RealCluster) -> None:
    wanted = {"cpu": "80m", "memory": "50Mi"}
    status = resize(running, "guaranteed", {"requests": wanted, "limits": wanted})
    assert status["restartCount"] == 0 and get(running, "guaranteed")["status"]["qosClass"] == "Guaranteed"
    whole = json.loads(running.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/guaranteed/resize").stdout)
    assert whole["spec"] == get(running, "guaranteed")["spec"]


def test_resize_with_a_restart(running: RealCluster) -> None:
    """More than the Pod's cgroup allowed before; and a container that stops well, in a Pod that ends when they do."""
    wanted = {"requests": {"cpu": "60m", "memory": "40Mi"}, "limits": {"cpu": "150m", "memory": "60Mi"}}
    status = resize(running, "resize-restart", wanted)
    assert status["restartCount"] == 1 and status["allocatedResources"] == wanted["requests"]
    running.wait(*HERE, "--for=condition=Ready", "pod/resize-restart")
    told = events(running, "resize-restart")
    assert "ResizeStarted" in told and "ResizeCompleted" in told


def test_refused_at_the_node(running: RealCluster) -> None:
    def refused() -> Any:
        status = get(running, "sysctl-unsafe")["status"]
        return status if status["phase"] == "Failed" else None

    status = until(refused)
    assert status["reason"] == "SysctlForbidden" and "containerStatuses" not in status
    assert status["message"] == 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted'


def test_volumes_follow(running: RealCluster) -> None:
    for kind, value in (("configmap", "value-2"), ("secret", base64.b64encode(b"value-2").decode())):
        body = json.dumps({"data": {"data-1": value, "new": value}})
        running.kubectl(*HERE, "patch", kind, "live", "--type=merge", "-p", body)
    running.kubectl(*HERE, "create", "configmap", "later", "--from-literal=data-1=value-2")
    running.kubectl(*HERE, "label", "pod", "live", "k=new", "--overwrite")
    running.kubectl(*HERE, "annotate", "pod", "live", "a=new", "--overwrite")
    for file in ("cm/data-1", "cm/new", "sec/data-1", "opt/data-1", "proj/data-1"):
        until(lambda file=file: run(running, "live", "sh", "-c", f"cat /{file} 2>&1; true") == "value-2", 90)
    for at in ("down", "proj"):
        until(lambda at=at: 'k="new"' in run(running, "live", "cat", f"/{at}/labels"))
        until(lambda at=at: 'a="new"' in run(running, "live", "cat", f"/{at}/annotations"))


@pytest.mark.parametrize("name", ["subpath-backticks", "subpath-absolute"])
def test_bad_sub_paths(running: RealCluster, name: str) -> None:
    def waiting() -> Any:
        return main_status(running, name).get("state", {}).get("waiting", {})

    until(lambda: waiting().get("reason") == "CreateContainerConfigError")
    assert get(running, name)["status"]["phase"] == "Pending"
    running.kubectl(*HERE, "annotate", "pod", name, "at=good", "--overwrite")
    running.wait(*HERE, "--for=condition=Ready", f"pod/{name}")


def events(cluster: RealCluster, name: str) -> str:
    selector = f"--field-selector=involvedObject.name={name}"
    return cluster.kubectl(*HERE, "get", "events", selector, "-o", "custom-columns=:.reason,:.message").stdout


def test_image_volumes(running: RealCluster) -> None:
    for name in ("image-volume", "image-volume-2"):
        running.wait(*HERE, "--for=condition=Ready", f"pod/{name}")
        assert "root:" in run(running, name, "cat", "/v/etc/passwd")
        assert run(running, name, "cat", "/only") == run(running, name, "cat", "/v/etc/group")
        refused = running.kubectl(*HERE, "exec", name, "--", "touch", "/v/new", check=False)
        assert "Read-only file system" in refused.stderr
    assert main_status(running, "image-volume-none")["state"]["waiting"]["reason"] == "CreateContainerError"
    mounts = running.directory / "nodes"
    homes = [home for home in mounts.glob("*/kubelet/image-volumes/*") if (home / "root" / "etc").is_dir()]
    assert len(homes) == 1 and len(list((homes[0] / "pods").iterdir())) == 3
    running.kubectl(*HERE, "delete", "pod", "image-volume", "image-volume-none", "--now")
    assert "root:" in run(running, "image-volume-2", "cat", "/v/etc/passwd")
    running.kubectl(*HERE, "delete", "pod", "image-volume-2", "--now")
    until(lambda: not homes[0].exists())


def test_an_image_that_is_not_there(running: RealCluster) -> None:
    def reason() -> Any:
        return main_status(running, "missing-image").get("state", {}).get("waiting", {}).get("reason")

    until(lambda: reason() in ("ErrImagePull", "ImagePullBackOff"))


def test_init_containers_that_fail(running: RealCluster) -> None:
    def status() -> Object:
        return dict(get(running, "init-fails")["status"])

    until(lambda: (status().get("initContainerStatuses") or [{}])[0].get("restartCount", 0) >= 2)
    found = status()
    assert found["phase"] == "Pending"
    condition = next(c for c in found["conditions"] if c["type"] == "Initialized")
    assert (condition["status"], condition["reason"]) == ("False", "ContainersNotInitialized")
    assert condition["message"] == "containers with incomplete status: [init1 init2]"
    assert found["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


@pytest.mark.parametrize("name", ["live-exec", "live-http-bad", "live-tcp-bad", "live-grpc-bad", "live-timeout"])
def test_liveness_restarts(running: RealCluster, name: str) -> None:
    until(lambda: main_status(running, name).get("restartCount", 0) >= 1)
    assert "Unhealthy" in events(running, name)


@pytest.mark.parametrize("name", ["live-http-good", "live-tcp-good"])
def test_liveness_leaves_alone(running: RealCluster, name: str) -> None:
    status = until(lambda: (s := main_status(running, name)).get("ready") and s)
    assert status["restartCount"] == 0


def test_readiness_that_fails(running: RealCluster) -> None:
    status = main_status(running, "never-ready")
    assert status["ready"] is False and status["restartCount"] == 0 and status["started"]


@pytest.mark.parametrize("target", ["pods/web:8080", "pods/http:web:8080", "services/web:p1", "services/http:web:p1",
                                    "services/web:80"])  # fmt: skip
def test_proxy(running: RealCluster, target: str) -> None:
    base = f"/api/v1/namespaces/{NAMESPACE}/{target}/proxy"
    page = running.kubectl("get", "--raw", f"{base}/").stdout
    assert page == f'<a href="{base}/rewriteme">test</a>\n'
    assert running.kubectl("get", "--raw", f"{base}/plain.txt").stdout == "file\n"
    assert "GET a=b" in running.kubectl("get", "--raw", f"{base}/cgi-bin/echo?a=b").stdout
    assert "POST " in running.kubectl("create", "--raw", f"{base}/cgi-bin/echo", "-f", "/dev/null").stdout


def test_host_port_on_loopback(running: RealCluster) -> None:
    running.wait(*HERE, "--for=condition=Ready", "pod/host-port-a")
    asks = pod("host-asks", "until wget -qO- http://127.0.0.1:54323/plain.txt; do sleep 0.3; done",
               hostNetwork=True, restartPolicy="Never")  # fmt: skip
    running.kubectl(*HERE, "create", "-f", "-", stdin=json.dumps(asks))
    until(lambda: get(running, "host-asks")["status"]["phase"] == "Succeeded")
    assert running.kubectl(*HERE, "logs", "host-asks").stdout == "file\n"


def test_hooks(running: RealCluster) -> None:
    ip = get(running, "web")["status"]["podIP"]

    def hook(what: str) -> Object:
        return {"exec": {"command": ["wget", "-qO-", f"http://{ip}:8080/cgi-bin/echo?exec-{what}"]}}

    def http(what: str) -> Object:
        return {"httpGet": {"host": ip, "port": 8080, "path": f"/cgi-bin/echo?http-{what}"}}

    grace = {"terminationGracePeriodSeconds": 15}
    lifecycles = {"exec": {"postStart": hook("start"), "preStop": hook("stop")},
                  "http": {"postStart": http("start"), "preStop": http("stop")}}  # fmt: skip
    pods = [pod(f"hook-{k}", FOREVER, container={"lifecycle": v}, **grace) for k, v in lifecycles.items()]
    running.kubectl(*HERE, "create", "-f", "-", stdin="\n---\n".join(map(json.dumps, pods)))
    running.wait(*HERE, "--for=condition=Ready", "pod/hook-exec", "pod/hook-http")
    running.kubectl(*HERE, "delete", "pod", "hook-exec", "hook-http")
    seen = run(running, "web", "cat", "/w/requests")
    assert all(f"GET {how}-{what}\n" in seen for how in ("exec", "http") for what in ("start", "stop")), seen


def test_stop_signal(running: RealCluster) -> None:
    """By its own signal it ends at once; by the usual one it would take its whole time."""
    running.wait(*HERE, "--for=condition=Ready", "pod/stop-signal")
    with subprocess.Popen(
        [str(KUBECTL), "--kubeconfig", str(running.kubeconfig), *HERE, "logs", "-f", "stop-signal"],
        stdout=subprocess.PIPE, text=True,
    ) as logs:  # fmt: skip
        assert logs.stdout is not None and logs.stdout.readline() == "began\n"
        running.kubectl(*HERE, "delete", "pod", "stop-signal", timeout=60)
        assert logs.stdout.readline() == "told\n"


def test_service_by_address_and_name(running: RealCluster) -> None:
    address = running.get(*HERE, "service", "web")["spec"]["clusterIP"]
    for host in (address, "web", f"web.{NAMESPACE}.svc.cluster.local"):
        until(lambda host=host: "file" in run(running, "plain", "sh", "-c",
                                              f"wget -qO- http://{host}/plain.txt; true"))  # fmt: skip
