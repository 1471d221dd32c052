"""What the conformance tests ask of Pods that run to their end: all are created at once, then judged one by one.

Each case is named after a bucket of the conformance suite and says what its description says: a Pod, what it prints,
and what its status is in the end.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.conftest import RealCluster

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]

NAMESPACE = "conformance-finished"
DEADLINE = 120.0
Object = dict[str, Any]


@dataclass
class Done:
    """A finished Pod and the log of each of its containers."""

    pod: Object
    logs: dict[str, str]

    @property
    def log(self) -> str:
        return self.logs.get("main", "")

    @property
    def phase(self) -> str:
        return str(self.pod["status"]["phase"])

    @property
    def ended(self) -> Object:
        return dict(self.pod["status"]["containerStatuses"][0]["state"]["terminated"])


Check = Callable[[Done], None]
CASES: dict[str, tuple[Object, Check]] = {}


def case(name: str, script: str | None, check: Check, *, container: Object | None = None, **spec: Any) -> None:
    """A Pod of one busybox container `main`; `container` and `spec` add to it."""
    main: Object = {"name": "main", "image": "busybox:latest", "imagePullPolicy": "IfNotPresent"}
    if script is not None:
        main["command"] = ["sh", "-c", script]
    main.update(container or {})
    metadata = {"name": name, **spec.pop("metadata", {})}
    whole = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [main], **spec}
    CASES[name] = ({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}, check)


def prints(*texts: str, phase: str = "Succeeded") -> Check:
    def check(done: Done) -> None:
        assert done.phase == phase, (done.pod["status"], done.logs)
        for text in texts:
            assert text in done.log, done.log

    return check


def mode(path: str) -> str:
    """A script that prints `<octal mode>:<uid>` of a file and its content."""
    return f"stat -Lc mode=%a:%u:%g {path}; cat {path}; echo"


# --- commands and exit status ---

case("command-defaults", None, prints("BusyBox"), container={"args": ["busybox"]})
case("command-override", None, prints("one two"), container={"command": ["echo"], "args": ["one", "two"]})
case("command-only", None, prints("three"), container={"command": ["echo", "three"]})


def _message(text: str, reason: str = "Completed", code: int = 0) -> Check:
    def check(done: Done) -> None:
        assert (done.ended.get("message", ""), done.ended["reason"], done.ended["exitCode"]) == (text, reason, code)
        assert done.ended["startedAt"] and done.ended["finishedAt"]
        assert done.phase == ("Failed" if code else "Succeeded")

    return check


FALLBACK = {"terminationMessagePolicy": "FallbackToLogsOnError"}
case("message-none", "echo DONE; exit 0", _message(""), container=FALLBACK)
case("message-file", "echo -n OK > /dev/termination-log", _message("OK"), container=FALLBACK)
case("message-log", "echo -n DONE; exit 1", _message("DONE", "Error", 1), container=FALLBACK)
case(
    "message-path",
    "echo -n DONE > /dev/termination-custom-log",
    _message("DONE"),
    container={"terminationMessagePath": "/dev/termination-custom-log", "securityContext": {"runAsUser": 1000}},
)
case("reason-on-failure", "exit 7", _message("", "Error", 7))
case("cannot-start", None, lambda done: _startless(done), container={"command": ["/bin/nothing-there"]})


def _startless(done: Done) -> None:
    assert done.phase == "Failed" and done.ended["exitCode"] == 128 and done.ended["reason"] == "StartError"


def _restarted(done: Done) -> None:
    status = done.pod["status"]["containerStatuses"][0]
    assert done.phase == "Succeeded" and status["restartCount"] == 1 and status["ready"] is False
    assert status["lastState"]["terminated"]["exitCode"] == 1


case(
    "restart-on-failure",
    "test -f /d/once && exit 0; touch /d/once; exit 1",
    _restarted,
    restartPolicy="OnFailure",
    container={"volumeMounts": [{"name": "d", "mountPath": "/d"}]},
    volumes=[{"name": "d", "emptyDir": {"medium": "Memory"}}],
)


def _deadline(done: Done) -> None:
    assert done.phase == "Failed" and done.pod["status"]["reason"] == "DeadlineExceeded"


case("active-deadline", "sleep 1000", _deadline, activeDeadlineSeconds=3)

# --- environment ---

FIELDS = {
    "POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace", "POD_IP": "status.podIP",
    "POD_IPS": "status.podIPs", "HOST_IP": "status.hostIP", "HOST_IPS": "status.hostIPs", "POD_UID": "metadata.uid",
    "NODE": "spec.nodeName", "ACCOUNT": "spec.serviceAccountName", "LABEL": "metadata.labels['app']",
}  # fmt: skip


def _fields(done: Done) -> None:
    pod, status = done.pod, done.pod["status"]
    lines = dict(line.partition("=")[::2] for line in done.log.splitlines())
    assert lines["POD_NAME"] == "env-fields" and lines["POD_NAMESPACE"] == NAMESPACE and lines["LABEL"] == "yes"
    assert lines["POD_IP"] == lines["POD_IPS"] == status["podIP"] == status["podIPs"][0]["ip"]
    assert lines["HOST_IP"] == lines["HOST_IPS"] == status["hostIP"] == status["hostIPs"][0]["ip"]
    assert lines["POD_UID"] == pod["metadata"]["uid"] and lines["NODE"] == pod["spec"]["nodeName"]
    assert lines["ACCOUNT"] == "default"


case(
    "env-fields",
    "env",
    _fields,
    metadata={"labels": {"app": "yes"}},
    container={"env": [{"name": k, "valueFrom": {"fieldRef": {"fieldPath": v}}} for k, v in FIELDS.items()]},
)
RESOURCES = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
REFERENCES = [
    {"name": f"{kind.upper()}_{what.upper()}", "valueFrom": {"resourceFieldRef": {"resource": f"{kind}.{what}"}}}
    for kind in ("limits", "requests")
    for what in ("cpu", "memory")
]
case(
    "env-resources",
    "env",
    prints("LIMITS_CPU=2\n", "REQUESTS_CPU=1\n", "LIMITS_MEMORY=67108864\n", "REQUESTS_MEMORY=33554432\n"),
    container={"env": REFERENCES, "resources": RESOURCES},
)


def _allocatable(done: Done) -> None:
    lines = dict(line.partition("=")[::2] for line in done.log.splitlines())
    assert int(lines["LIMITS_CPU"]) >= 1 and int(lines["LIMITS_MEMORY"]) > 2**28 and lines["REQUESTS_CPU"] == "0"


case("env-allocatable", "env", _allocatable, container={"env": REFERENCES})
case(
    "env-configuration",
    None,
    prints("CM=value-1\n", "SEC=value-1\n", "p_data-1=value-1\n", "s_data-2=value-2\n", "data-3=value-3\n"),
    container={
        "command": ["env"],  # a shell would drop the names with a dash
        "env": [
            {"name": "CM", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "data-1"}}},
            {"name": "SEC", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "data-1"}}},
            {"name": "NO", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "no", "optional": True}}},
        ],
        "envFrom": [
            {"configMapRef": {"name": "cm"}},
            {"configMapRef": {"name": "cm"}, "prefix": "p_"},
            {"secretRef": {"name": "sec"}, "prefix": "s_"},
        ],
    },
)
case(
    "env-expansion",
    None,
    prints("test-value;;$(FOO) test-value $(NONE)"),
    container={
        "env": [{"name": "FOO", "value": "test-value"}, {"name": "BAR", "value": "$(FOO);;$$(FOO)"}],
        "command": ["sh", "-c", 'echo "$BAR" "$0" "$1"'],
        "args": ["$(FOO)", "$(NONE)"],
    },
)
case(
    "env-services",
    "env",
    prints("FOOSERVICE_SERVICE_HOST=", "FOOSERVICE_SERVICE_PORT=8765", "FOOSERVICE_PORT_8765_TCP_PROTO=tcp",
           "FOOSERVICE_PORT=tcp://", "KUBERNETES_SERVICE_HOST=10.96.0.1"),
)  # fmt: skip

# --- init containers ---

BUSYBOX = {"image": "busybox:latest", "imagePullPolicy": "IfNotPresent"}


def _conditions(done: Done) -> dict[str, Object]:
    return {c["type"]: c for c in done.pod["status"]["conditions"]}


def _initialised(done: Done) -> None:
    assert done.phase == "Succeeded" and _conditions(done)["Initialized"]["status"] == "True"
    for status in done.pod["status"]["initContainerStatuses"]:
        assert status["ready"] and status["state"]["terminated"]["exitCode"] == 0
    assert done.log == "ab"


MOUNT_D = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
EMPTY_D = [{"name": "d", "emptyDir": {}}]
case(
    "init-never",
    "cat /d/f",
    _initialised,
    container=MOUNT_D,
    volumes=EMPTY_D,
    initContainers=[
        {"name": "one", **BUSYBOX, "command": ["sh", "-c", "printf a >> /d/f"], **MOUNT_D},
        {"name": "two", **BUSYBOX, "command": ["sh", "-c", "printf b >> /d/f"], **MOUNT_D},
    ],
)


def _not_initialised(done: Done) -> None:
    assert done.phase == "Failed"
    first, second = done.pod["status"]["initContainerStatuses"]
    assert first["state"]["terminated"]["exitCode"] == 0 and second["state"]["terminated"]["exitCode"] == 1
    waiting = done.pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "PodInitializing"
    condition = _conditions(done)["Initialized"]
    assert condition["status"] == "False" and condition["reason"] == "ContainersNotInitialized"
    assert condition["message"] == "containers with incomplete status: [two]"


case(
    "init-failed",
    "true",
    _not_initialised,
    initContainers=[
        {"name": "one", **BUSYBOX, "command": ["true"]},
        {"name": "two", **BUSYBOX, "command": ["false"]},
    ],
)

# --- security ---


def secure(name: str, script: str, check: Check, own: Object | None = None, pod: Object | None = None) -> None:
    container = {"securityContext": own} if own else {}
    case(name, script, check, container=container, **({"securityContext": pod} if pod else {}))


secure("secure-user", "id -u", prints("65534\n"), own={"runAsUser": 65534})
secure("secure-group", "id", prints("uid=1001 gid=2002"), own={"runAsUser": 1001, "runAsGroup": 2002})
secure("secure-pod-group", "id", prints("uid=1001 gid=2002"), pod={"runAsUser": 1001, "runAsGroup": 2002})
READ_ONLY = "can't create /file: Read-only file system"
secure("secure-read-only", "echo x > /file; cat /file", prints(READ_ONLY, phase="Failed"),
       own={"readOnlyRootFilesystem": True})  # fmt: skip
secure("secure-writable", "echo x > /file; cat /file", prints("x\n"), own={"readOnlyRootFilesystem": False})
secure("secure-unprivileged", "ip link set lo down || true", prints("not permitted"), own={"privileged": False})
secure("secure-privileged", "ip link set lo down && echo made", prints("made"), own={"privileged": True})
secure("secure-no-escalation", "grep NoNewPrivs /proc/self/status; id -u", prints("NoNewPrivs:\t1", "1000\n"),
       own={"runAsUser": 1000, "allowPrivilegeEscalation": False})  # fmt: skip
secure("secure-seccomp", "grep Seccomp: /proc/self/status", prints("Seccomp:\t2"),
       pod={"seccompProfile": {"type": "RuntimeDefault"}})  # fmt: skip
secure("sysctl", "cat /proc/sys/kernel/shm_rmid_forced", prints("1\n"),
       pod={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]})  # fmt: skip

# --- volumes of configuration ---

NOT_ROOT = {"runAsUser": 1000}
KINDS: dict[str, Callable[[Object], Object]] = {
    "configmap": lambda more: {"configMap": {"name": "cm", **more}},
    "secret": lambda more: {"secret": {"secretName": "sec", **more}},
    "proj-configmap": lambda more: _projected({"configMap": {"name": "cm"}}, more),
    "proj-secret": lambda more: _projected({"secret": {"name": "sec"}}, more),
}


def _projected(source: Object, more: Object) -> Object:
    more = dict(more)
    if "items" in more:
        next(iter(source.values()))["items"] = more.pop("items")
    return {"projected": {"sources": [source], **more}}


for _kind, _volume in KINDS.items():
    _mapped = {"items": [{"key": "data-2", "path": "path/to/data-2"}]}
    _item_mode = {"items": [{"key": "data-2", "path": "path/to/data-2", "mode": 0o400}]}

    def _reads(name: str, more: Object, path: str, check: Check, volume: Any = _volume, **spec: Any) -> None:
        container = {"volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True}]}
        case(name, mode(f"/v/{path}"), check, container=container, volumes=[{"name": "v", **volume(more)}], **spec)

    _reads(f"{_kind}-plain", {}, "data-1", prints("mode=644:0:0", "value-1"))
    _reads(f"{_kind}-default-mode", {"defaultMode": 0o400}, "data-1", prints("mode=400:0:0", "value-1"))
    _reads(f"{_kind}-mapped", _mapped, "path/to/data-2", prints("mode=644:0:0", "value-2"))
    _reads(f"{_kind}-item-mode", _item_mode, "path/to/data-2", prints("mode=400:0:0", "value-2"))
    _reads(f"{_kind}-not-root", {}, "data-1", prints("value-1"), securityContext=NOT_ROOT)
    _reads(f"{_kind}-fsgroup", {"defaultMode": 0o440}, "data-1", prints("mode=440:0:1001", "value-1"),
           securityContext={**NOT_ROOT, "fsGroup": 1001})  # fmt: skip
    case(
        f"{_kind}-twice",
        "cat /v1/data-1 /v2/data-1",
        prints("value-1value-1"),
        container={"volumeMounts": [{"name": "v1", "mountPath": "/v1"}, {"name": "v2", "mountPath": "/v2"}]},
        volumes=[{"name": "v1", **_volume({})}, {"name": "v2", **_volume({})}],
    )
case(
    "configmap-binary",
    "cat /v/data-1; od -An -tx1 /v/dump.bin",
    prints("value-1", "de ca fe"),
    container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
    volumes=[{"name": "v", "configMap": {"name": "bin"}}],
)
case(
    "projected-combined",
    "cat /v/podname /v/secret-data /v/configmap-data; wc -c < /v/token",
    prints("projected-combinedvalue-1value-1"),
    container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
    volumes=[
        {
            "name": "v",
            "projected": {
                "sources": [
                    {"downwardAPI": {"items": [{"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                    {"secret": {"name": "sec", "items": [{"key": "data-1", "path": "secret-data"}]}},
                    {"configMap": {"name": "cm", "items": [{"key": "data-1", "path": "configmap-data"}]}},
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                ]
            },
        }
    ],
)
case(
    "service-account-files",
    "cd /var/run/secrets/kubernetes.io/serviceaccount; ls; cat namespace; head -1 ca.crt",
    prints("ca.crt\nnamespace\ntoken\n", NAMESPACE, "BEGIN CERTIFICATE"),
)

# --- the downward API's files ---

ITEMS = [
    {"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}},
    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
    {"path": "one", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o400},
    *[
        {"path": f"{k}-{w}", "resourceFieldRef": {"containerName": "main", "resource": f"{k}.{w}", "divisor": d}}
        for k in ("limits", "requests")
        for w, d in (("cpu", "1m"), ("memory", "1Mi"))
    ],
]
DOWNWARD = "cd /v; for f in podname labels limits-cpu limits-memory requests-cpu requests-memory; do " \
    "echo $f=$(cat $f); done; stat -Lc m=%a podname one"  # fmt: skip


def _downward_default(done: Done) -> None:
    lines = dict(line.partition("=")[::2] for line in done.log.splitlines())
    assert done.phase == "Succeeded" and int(lines["limits-cpu"]) >= 1000 and int(lines["limits-memory"]) > 256
    assert lines["requests-cpu"] == "0"


for _plain in (True, False):
    _source = {"downwardAPI": {"items": ITEMS, "defaultMode": 0o440}} if _plain else {
        "projected": {"sources": [{"downwardAPI": {"items": ITEMS}}], "defaultMode": 0o440}
    }  # fmt: skip
    _name = "downward" if _plain else "proj-downward"
    _mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    _told = [f"podname={_name}\n", 'labels=app="yes"', "limits-cpu=1250\n", "limits-memory=64\n", "requests-cpu=250\n",
             "requests-memory=32\n", "m=440\nm=400\n"]  # fmt: skip
    _about = {"volumes": [{"name": "v", **_source}], "metadata": {"labels": {"app": "yes"}}}
    case(_name, DOWNWARD, prints(*_told), container={**_mount, "resources": RESOURCES}, **_about)
    _about = {"volumes": [{"name": "v", **_source}], "metadata": {"labels": {"app": "yes"}}}
    case(f"{_name}-default", DOWNWARD, _downward_default, container=_mount, **_about)

# --- empty directories ---

for _medium in ("", "Memory"):
    for _user in (0, 1001):
        for _mode in ("644", "666", "777"):
            _kind = "tmpfs" if _medium else "disk"
            _root = "mode=1777" if _medium else "mode=777"  # as the kernel makes a tmpfs
            _kind_line = "/d tmpfs" if _medium else "mode=777"
            case(
                f"empty-{_kind}-{_mode}-{_user}",
                f"stat -c mode=%a /d; grep ' /d ' /proc/mounts; umask 0; echo content > /d/f; chmod {_mode} /d/f; "
                "stat -c file=%a:%u /d/f; cat /d/f",
                prints(_root, _kind_line, f"file={_mode}:{_user}", "content"),
                container=MOUNT_D,
                volumes=[{"name": "d", "emptyDir": {"medium": _medium}}],
                securityContext={"runAsUser": _user},
            )
case(
    "empty-shared",
    "while ! test -f /d/f; do sleep 0.1; done; cat /d/f",
    prints("from-other"),
    volumes=EMPTY_D,
    containers=[
        {"name": "main", **BUSYBOX, "command": ["sh", "-c", "while ! test -f /d/f; do sleep 0.1; done; cat /d/f"],
         **MOUNT_D},
        {"name": "other", **BUSYBOX, "command": ["sh", "-c", "echo from-other > /d/t; mv /d/t /d/f"], **MOUNT_D},
    ],
)  # fmt: skip

# --- sub-paths ---

for _kind, _volume in KINDS.items():
    case(
        f"subpath-{_kind}",
        "cat /one /etc/resolv.conf",
        prints("value-1value-2"),
        container={
            "volumeMounts": [
                {"name": "v", "mountPath": "/one", "subPath": "data-1"},
                {"name": "v", "mountPath": "/etc/resolv.conf", "subPath": "data-2"},
            ]
        },
        volumes=[{"name": "v", **_volume({})}],
    )
case(
    "subpath-downward",
    "cat /one",
    prints("subpath-downward"),
    container={"volumeMounts": [{"name": "v", "mountPath": "/one", "subPath": "deep/podname"}]},
    volumes=[{"name": "v", "downwardAPI": {"items": [
        {"path": "deep/podname", "fieldRef": {"fieldPath": "metadata.name"}}]}}],
)  # fmt: skip
case(
    "subpath-expansion",
    "test -d /all/subpath-expansion && touch /own/f && test -f /all/subpath-expansion/f && echo found",
    prints("found"),
    container={
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "volumeMounts": [
            {"name": "d", "mountPath": "/own", "subPathExpr": "$(POD_NAME)"},
            {"name": "d", "mountPath": "/all"},
        ],
    },
    volumes=EMPTY_D,
)

# --- /etc/hosts and names ---

case(
    "hosts-aliases",
    "cat /etc/hosts; hostname; hostname -f; cat /etc/resolv.conf",
    prints("# Kubernetes-managed hosts file.", "123.45.67.89\tfoo\tbar\n", "hosts-aliases\n",
           f"search {NAMESPACE}.svc.cluster.local svc.cluster.local cluster.local", "options ndots:5"),
    hostAliases=[{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}],
)  # fmt: skip
case("hosts-subdomain", "hostname -f", prints(f"querier.sub.{NAMESPACE}.svc.cluster.local"),
     hostname="querier", subdomain="sub")  # fmt: skip


def _hosts_of_the_host(done: Done) -> None:
    assert done.phase == "Succeeded" and "127.0.0.1" in done.log, done.log
    assert done.log.startswith("# Kubernetes-managed hosts file (host network)") or "Kubernetes" not in done.log
    assert done.pod["status"]["podIP"] == done.pod["status"]["hostIP"]


case("hosts-host-network", "cat /etc/hosts", _hosts_of_the_host, hostNetwork=True)


def _own_hosts(done: Done) -> None:
    assert done.phase == "Succeeded" and "Kubernetes-managed" not in done.log, done.log


case(
    "hosts-mounted",
    "cat /etc/hosts",
    _own_hosts,
    container={"volumeMounts": [{"name": "h", "mountPath": "/etc/hosts"}]},
    volumes=[{"name": "h", "hostPath": {"path": "/etc/hosts", "type": "File"}}],
)
case("dns-config", "cat /etc/resolv.conf", prints("nameserver 1.1.1.1", "search resolv.conf.local\n"),
     dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]})  # fmt: skip
case("logs-both", "echo out; echo err >&2", prints("out\n", "err\n"))


# --- running them ---


def _setting() -> list[Object]:
    def obj(kind: str, name: str, **fields: Any) -> Object:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **fields}

    data = {f"data-{n}": f"value-{n}" for n in (1, 2, 3)}
    service = {"ports": [{"port": 8765, "targetPort": 8080}], "selector": {"none": "at-all"}}
    return [
        obj("ConfigMap", "cm", data=data),
        obj("ConfigMap", "bin", data={"data-1": "value-1"},
            binaryData={"dump.bin": base64.b64encode(b"\xde\xca\xfe").decode()}),
        obj("Secret", "sec", stringData=data),
        obj("Service", "fooservice", spec=service),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(cluster: RealCluster) -> Iterator[dict[str, Done]]:
    """All Pods, run."""
    here = ("-n", NAMESPACE)
    cluster.kubectl("create", "namespace", NAMESPACE)
    end = time.monotonic() + 10
    while cluster.kubectl(*here, "get", "serviceaccount", "default", check=False).returncode:
        assert time.monotonic() < end
    every = _setting() + [pod for pod, _ in CASES.values()]
    cluster.kubectl(*here, "create", "-f", "-", stdin="\n---\n".join(map(json.dumps, every)), timeout=120)
    end = time.monotonic() + DEADLINE
    while True:
        found = {pod["metadata"]["name"]: pod for pod in cluster.get(*here, "pods")["items"]}
        late = [name for name, pod in found.items() if pod["status"]["phase"] in ("Pending", "Running")]
        if not late or time.monotonic() > end:
            break
        time.sleep(0.5)

    def logs(name: str) -> tuple[str, Done]:
        texts = {}
        for container in found[name]["spec"]["containers"]:
            given = cluster.kubectl(*here, "logs", name, "-c", container["name"], check=False)
            texts[container["name"]] = given.stdout
        return name, Done(found[name], texts)

    with ThreadPoolExecutor(4) as pool:
        done = dict(pool.map(logs, found))
    yield done
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.parametrize("name", CASES)
def test_pod(finished: dict[str, Done], name: str) -> None:
    CASES[name][1](finished[name])
