"""What is left of the conformance tests: resizes of Pods with several containers, probes that leave a Pod alone, many
volumes at once, and the applications of kubectl's tests. All plain Pods are created at once."""

from __future__ import annotations

import json
import re
import sysconfig
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pybernetes.aio import clock
from tests.e2e import netexec
from tests.e2e.conftest import RealCluster
from tests.e2e.test_conformance_running import BUSYBOX, FOREVER, WEB, Object, pod, probe, until

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]

NAMESPACE, OTHER = "conformance-rest", "conformance-rest-other"
HERE = ("-n", NAMESPACE)

# --- resizes: (requests for CPU and memory, limits) of each container ---

Sizes = tuple[str, str, str, str]


def resources(cpu: str, memory: str, cpu_limit: str, memory_limit: str) -> Object:
    both = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu_limit, "memory": memory_limit}}
    kept = {what: {name: amount for name, amount in amounts.items() if amount} for what, amounts in both.items()}
    return {what: amounts for what, amounts in kept.items() if amounts}


def guaranteed(*sizes: tuple[int, int]) -> list[Sizes]:
    """Container by container a bit more, so that none is taken for another."""
    both = [(f"{cpu + 2 * i}m", f"{memory + 2 * i}Mi") for i, (cpu, memory) in enumerate(sizes)]
    return [(cpu, memory, cpu, memory) for cpu, memory in both]


OLD, LESS, MORE = (20, 35), (15, 30), (25, 40)
THREE = guaranteed(OLD, OLD, OLD)
#: Name -> before, after, and whether it can be taken back (what was added cannot be removed).
RESIZES: dict[str, tuple[list[Sizes], list[Sizes], bool]] = {
    "net-increase": (THREE, guaranteed(MORE, MORE, LESS), True),
    "net-decrease": (THREE, guaranteed(MORE, LESS, LESS), True),
    "mixed": (THREE, guaranteed((MORE[0], OLD[1]), (LESS[0], MORE[1]), MORE), True),
    "equivalents": ([("2m", "", "10m", "")], [("1m", "", "5m", "")], True),
    "additions": (
        [("20m", "", "", ""), ("", "35Mi", "", ""), ("20m", "35Mi", "", ""), ("20m", "", "", ""), ("", "35Mi", "", "")],
        [("25m", "", "35m", ""), ("", "30Mi", "", "50Mi"), ("20m", "30Mi", "", ""), ("15m", "35Mi", "", ""),
         ("20m", "40Mi", "", "")],
        False,
    ),
}  # fmt: skip


def containers(sizes: list[Sizes]) -> list[Object]:
    return [
        {"name": f"c{i}", **BUSYBOX, "command": ["sh", "-c", FOREVER], "resources": resources(*one)}
        for i, one in enumerate(sizes, 1)
    ]


# --- the Pods ---

SOON_SICK = "touch /tmp/health; sleep 1; rm /tmp/health; " + FOREVER
HEALTH = {"exec": {"command": ["cat", "/tmp/health"]}}
INIT = [{"name": f"init{i}", **BUSYBOX, "command": ["true"]} for i in (1, 2)]
READ_SECRET = "cat /v/data-1; stat -c ' %A' -L /v/data-1"
PODS = [
    *(pod(f"resize-{name}", "", containers=containers(before)) for name, (before, _, _) in RESIZES.items()),
    pod("replaced", FOREVER, container={"resources": resources("20m", "20Mi", "30m", "30Mi")}),
    pod("healthy", f"touch /tmp/health; {FOREVER}", container={"livenessProbe": probe(**HEALTH)}),
    pod("again-and-again", SOON_SICK, container={"livenessProbe": probe(**HEALTH)}),
    pod("late", WEB, container={"readinessProbe": probe(httpGet={"path": "/", "port": 8080}, initialDelaySeconds=6)}),
    pod("always-fails", "false"),
    pod("initialised", FOREVER, initContainers=INIT),
    pod("reads-secret", READ_SECRET, restartPolicy="Never",
        container={"volumeMounts": [{"name": "s", "mountPath": "/v"}]},
        volumes=[{"name": "s", "secret": {"secretName": "twice"}}]),
    pod("wrapped", FOREVER, container={"volumeMounts": [{"name": n, "mountPath": f"/{n}"} for n in ("sec", "cm")]},
        volumes=[{"name": "sec", "secret": {"secretName": "twice"}}, {"name": "cm", "configMap": {"name": "beside"}}]),
]  # fmt: skip


@pytest.fixture(scope="module")
def running(cluster: RealCluster) -> Iterator[RealCluster]:
    """The cluster with all Pods created."""
    for namespace, value in ((NAMESPACE, "value-1"), (OTHER, "value-2")):
        cluster.kubectl("create", "namespace", namespace)
        until(lambda n=namespace: not cluster.kubectl("-n", n, "get", "sa", "default", check=False).returncode)
        cluster.kubectl("-n", namespace, "create", "secret", "generic", "twice", f"--from-literal=data-1={value}")
    cluster.kubectl(*HERE, "create", "configmap", "beside", "--from-literal=data-1=value-1")
    create(cluster, *PODS)
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, OTHER, "--wait=false")


def create(cluster: RealCluster, *objects: Object) -> None:
    cluster.kubectl(*HERE, "create", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))


def template(script: str, labels: Object, **fields: Any) -> Object:
    """Of Pods that a controller makes."""
    made = pod("", script, **fields)
    return {"metadata": {"labels": labels}, "spec": made["spec"]}


def get(cluster: RealCluster, name: str) -> Object:
    return dict(cluster.get(*HERE, "pod", name))


def statuses(cluster: RealCluster, name: str) -> list[Object]:
    return list(get(cluster, name)["status"].get("containerStatuses") or [])


# --- resizes ---


def has_been_resized(cluster: RealCluster, name: str, wanted: list[Object]) -> None:
    """The spec, the status and the cgroups of all containers; none was restarted."""

    def done() -> Object | None:
        found = get(cluster, name)
        at_work = {c["type"] for c in found["status"]["conditions"]} & {"PodResizePending", "PodResizeInProgress"}
        shown = [one.get("resources") for one in found["status"]["containerStatuses"]]
        return found if shown == wanted and not at_work else None

    found = until(done)
    assert [one["resources"] for one in found["spec"]["containers"]] == wanted
    for status, sizes in zip(found["status"]["containerStatuses"], wanted, strict=True):
        assert status["restartCount"] == 0 and status["allocatedResources"] == sizes["requests"]
        limits = sizes.get("limits", {})
        cpu, memory = (cgroup(cluster, name, status["name"], *files) for files in QUOTA_AND_LIMIT)
        if "cpu" in limits:
            assert int(cpu.split()[0]) == max(int(limits["cpu"][:-1]) * 100, 1000)
        else:
            assert cpu.split()[0] in ("max", "-1")
        if "memory" in limits:
            assert int(memory) == int(limits["memory"][:-2]) * 2**20
        else:
            assert memory == "max" or int(memory) > 2**60


QUOTA_AND_LIMIT = (
    ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def cgroup(cluster: RealCluster, name: str, container: str, new: str, old: str) -> str:
    script = f"cat {new} 2>/dev/null || cat {old}"
    return cluster.kubectl(*HERE, "exec", name, "-c", container, "--", "sh", "-c", script).stdout.strip()


@pytest.mark.parametrize("case", RESIZES)
def test_resize_of_several_containers(running: RealCluster, case: str) -> None:
    before, after, back = RESIZES[case]
    name = f"resize-{case}"
    running.wait(*HERE, "--for=condition=Ready", f"pod/{name}")
    for sizes in (after, before) if back else (after,):
        wanted = [resources(*one) for one in sizes]
        changes = [{"name": f"c{i}", "resources": one} for i, one in enumerate(wanted, 1)]
        body = json.dumps({"spec": {"containers": changes}})
        running.kubectl(*HERE, "patch", "pod", name, "--subresource=resize", "-p", body)
        has_been_resized(running, name, wanted)
    running.kubectl(*HERE, "delete", "pod", name, "--wait=false")


def test_resize_by_replacing(running: RealCluster) -> None:
    running.wait(*HERE, "--for=condition=Ready", "pod/replaced")
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/replaced/resize"
    wanted = resources("25m", "25Mi", "35m", "35Mi")

    def replaced() -> bool:
        """Unless its status was written meanwhile."""
        whole = json.loads(running.kubectl("get", "--raw", path).stdout)
        whole["spec"]["containers"][0]["resources"] = wanted
        return not running.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(whole), check=False).returncode

    until(replaced)
    has_been_resized(running, "replaced", [wanted])
    whole = json.loads(running.kubectl("get", "--raw", path).stdout)
    assert whole == json.loads(running.kubectl("get", "--raw", path.removesuffix("/resize")).stdout)


# --- probes, exits, init containers ---


def test_never_ready_before_its_initial_delay_and_never_restarted(running: RealCluster) -> None:
    running.wait(*HERE, "--for=condition=Ready", "pod/late")
    found = get(running, "late")
    (status,) = found["status"]["containerStatuses"]
    ready = next(c["lastTransitionTime"] for c in found["status"]["conditions"] if c["type"] == "Ready")
    began, ended = (datetime.fromisoformat(t) for t in (status["state"]["running"]["startedAt"], ready))
    assert 6 <= (ended - began).total_seconds() <= 20
    assert status["restartCount"] == 0 and status["ready"]


def test_a_pod_that_always_fails_can_be_deleted(running: RealCluster) -> None:
    until(lambda: (s := statuses(running, "always-fails")) and s[0]["restartCount"] >= 1)
    running.kubectl(*HERE, "delete", "pod", "always-fails", "--timeout=30s")
    assert running.kubectl(*HERE, "get", "pod", "always-fails", check=False).returncode


def test_init_containers_before_one_that_is_always_restarted(running: RealCluster) -> None:
    running.wait(*HERE, "--for=condition=Ready", "pod/initialised")
    status = get(running, "initialised")["status"]
    assert status["phase"] == "Running" and status["containerStatuses"][0]["state"]["running"]
    assert [c["status"] for c in status["conditions"] if c["type"] == "Initialized"] == ["True"]
    for one in status["initContainerStatuses"]:
        assert one["ready"] and one["state"]["terminated"]["exitCode"] == 0
        assert one["state"]["terminated"]["reason"] == "Completed"


def test_sysctls_of_which_some_are_no_names(running: RealCluster) -> None:
    names = ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")
    spec = {"sysctls": [{"name": name, "value": "1"} for name in names]}
    refused = running.kubectl(*HERE, "create", "-f", "-", check=False,
                              stdin=json.dumps(pod("sysctls", FOREVER, securityContext=spec)))  # fmt: skip
    assert refused.returncode
    for name, wrong in zip(names, (True, False, False, True), strict=True):
        assert (f'Invalid value: "{name}"' in refused.stderr) == wrong


# --- volumes ---


def test_a_secret_of_the_same_name_elsewhere(running: RealCluster) -> None:
    until(lambda: get(running, "reads-secret")["status"]["phase"] == "Succeeded")
    assert running.kubectl(*HERE, "logs", "reads-secret").stdout == "value-1 -rw-r--r--\n"


def test_volumes_that_are_wrapped_do_not_conflict(running: RealCluster) -> None:
    running.wait(*HERE, "--for=condition=Ready", "pod/wrapped")
    for volume in ("sec", "cm"):
        assert running.kubectl(*HERE, "exec", "wrapped", "--", "cat", f"/{volume}/data-1").stdout == "value-1"


@pytest.mark.slow
@pytest.mark.parametrize("turns", [1, 3])
def test_many_volumes_in_several_pods_at_once(running: RealCluster, turns: int) -> None:
    """50 ConfigMaps, each a volume of each of 5 Pods on one node."""
    names = [f"racey-{i}" for i in range(50)]
    create(running, *({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"data-1": name}}
                      for name in names))  # fmt: skip
    here = {"kubernetes.io/hostname": running.nodes[0]}
    mounts = [{"name": name, "mountPath": f"/etc/{name}"} for name in names]
    racers = template(FOREVER, {"name": "racey"}, nodeSelector=here, container={"volumeMounts": mounts},
                      volumes=[{"name": name, "configMap": {"name": name}} for name in names])  # fmt: skip
    for turn in range(turns):
        controller = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": f"racey-{turn}"},
                      "spec": {"replicas": 5, "selector": {"name": "racey"}, "template": racers}}  # fmt: skip
        create(running, controller)
        until(lambda turn=turn: running.get(*HERE, "rc", f"racey-{turn}")["status"].get("readyReplicas") == 5, 60)
        one = running.get(*HERE, "pods", "-l", "name=racey")["items"][0]["metadata"]["name"]
        said = running.kubectl(*HERE, "exec", one, "--", "sh", "-c", "cat /etc/racey-*/data-1").stdout
        assert said == "".join(sorted(names))
        running.kubectl(*HERE, "delete", "rc", f"racey-{turn}")
        until(lambda: not running.get(*HERE, "pods", "-l", "name=racey")["items"])
    running.kubectl(*HERE, "delete", "configmap", *names)


# --- kubectl's applications ---


def test_logs_are_filtered(running: RealCluster) -> None:
    script = 'i=0; while [ $i -lt 100 ]; do echo "$i GET /api/v1/pods/$i"; i=$((i+1)); sleep 0.2; done'
    create(running, pod("generator", script, restartPolicy="Never", container={"name": "logs-generator"}))

    def logs(*options: str) -> str:
        return running.kubectl(*HERE, "logs", "generator", "logs-generator", *options).stdout

    until(lambda: "/api/v1/pods/5\n" in running.kubectl(*HERE, "logs", "generator", check=False).stdout)
    assert re.fullmatch(r"\d+ GET /api/v1/pods/\d+\n", logs("--tail=1"))
    assert len(logs("--limit-bytes=1")) == 1
    lines = logs("--tail=1", "--timestamps").splitlines()
    assert len(lines) == 1
    stamp = lines[0].split()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", stamp)

    def fewer_lately() -> bool:
        recent, older = (len(logs(f"--since={since}").splitlines()) for since in ("1s", "24h"))
        return 0 < recent < older

    until(fewer_lately)


DEMO_LABELS = {"name": "update-demo", "version": "nautilus"}
DEMO_POD = template("mkdir /w; echo nautilus > /w/data.json; trap 'exit 0' TERM; httpd -f -p 80 -h /w & wait",
                    DEMO_LABELS, container={"name": "update-demo", "ports": [{"containerPort": 80}]})  # fmt: skip
DEMO = {
    "apiVersion": "v1",
    "kind": "ReplicationController",
    "metadata": {"name": "update-demo-nautilus"},
    "spec": {"replicas": 2, "selector": DEMO_LABELS, "template": DEMO_POD},
}
RUNNING = (
    '{{if (exists . "status" "containerStatuses")}}{{range .status.containerStatuses}}'
    '{{if (and (eq .name "update-demo") (exists . "state" "running"))}}true{{end}}{{end}}{{end}}'
)
IMAGE = (
    '{{if (exists . "spec" "containers")}}{{range .spec.containers}}{{if eq .name "update-demo"}}{{.image}}{{end}}'
    "{{end}}{{end}}"
)


def test_the_update_demo(running: RealCluster) -> None:
    def shown(text: str, *what: str) -> str:
        return running.kubectl(*HERE, "get", *what, "-o", "template", f"--template={text}").stdout

    def valid(number: int) -> bool:
        names = shown("{{range.items}}{{.metadata.name}} {{end}}", "pods", "-l", "name=update-demo").split()
        if len(names) != number or any(shown(RUNNING, "pods", name) != "true" for name in names):
            return False
        assert all(shown(IMAGE, "pods", name) == BUSYBOX["image"] for name in names)
        base = f"/api/v1/namespaces/{NAMESPACE}/pods/{{}}/proxy/data.json".format
        read = [running.kubectl("get", "--raw", base(name), check=False).stdout for name in names]
        return all(text == "nautilus\n" for text in read)

    create(running, DEMO)
    until(lambda: valid(2))
    for number in (1, 2):
        scale = ("scale", "rc", "update-demo-nautilus", f"--replicas={number}", "--timeout=5m")
        assert "scaled" in running.kubectl(*HERE, *scale).stdout
        until(lambda number=number: valid(number))
    running.kubectl(*HERE, "delete", "--grace-period=0", "--force", "-f", "-", stdin=json.dumps(DEMO))
    selector = ("-l", "name=update-demo")
    assert not running.kubectl(*HERE, "get", "rc,svc", *selector, "--no-headers").stdout
    living = (
        '{{ range .items }}{{ if not .metadata.deletionTimestamp }}{{ .metadata.name }}{{ "\\n" }}{{ end }}{{ end }}'
    )
    until(lambda: not shown(living, "pods", *selector))


HEAD = "#!/bin/sh\nPATH=/bin\nprintf 'Content-Type: application/json\\r\\n\\r\\n'\n"
GUESTBOOK = {
    "frontend": """case "$QUERY_STRING" in
cmd=set*) wget -qO- "http://agnhost-primary:6379/cgi-bin/primary?${QUERY_STRING##*value=}";;
*) echo "{\\"data\\": \\"$(wget -qO- http://agnhost-replica:6379/cgi-bin/replica)\\"}";;
esac""",
    "primary": """case "$QUERY_STRING" in
get) cat /tmp/entry 2>/dev/null;;
*) printf %s "$QUERY_STRING" > /tmp/entry; echo '{"message": "Updated"}';;
esac""",
    "replica": 'wget -qO- "http://agnhost-primary:6379/cgi-bin/primary?get"',
}
PARTS = (
    ("frontend", "frontend", 80, 3),
    ("agnhost-primary", "primary", 6379, 1),
    ("agnhost-replica", "replica", 6379, 2),
)


def guestbook() -> list[Object]:
    scripts = {name: f"{HEAD}{script}\n" for name, script in GUESTBOOK.items()}
    made: list[Object] = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "guestbook"}, "data": scripts}]
    for name, script, port, replicas in PARTS:
        labels = {"app": "guestbook", "part": name}
        serve = f"mkdir -p /w/cgi-bin; cp /s/{script} /w/cgi-bin; trap 'exit 0' TERM; httpd -f -p {port} -h /w & wait"
        mount = {"volumeMounts": [{"name": "s", "mountPath": "/s"}], "ports": [{"containerPort": port}]}
        scripts_volume = {"name": "s", "configMap": {"name": "guestbook", "defaultMode": 0o755}}
        pods = template(serve, labels, container=mount, volumes=[scripts_volume])
        metadata = {"name": name, "labels": labels}
        made.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
                     "spec": {"selector": labels, "ports": [{"port": port}]}})  # fmt: skip
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pods}
        made.append({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    return made


def test_the_guestbook(running: RealCluster) -> None:
    create(running, *guestbook())
    path = f"/api/v1/namespaces/{NAMESPACE}/services/frontend:80/proxy/cgi-bin/frontend?cmd={{}}&key=messages".format

    def ask(command: str) -> Any:
        said = running.kubectl("get", "--raw", path(command), check=False)
        return None if said.returncode else json.loads(said.stdout or "null")

    running.wait(*HERE, "--for=condition=Available", *(f"deployment/{name}" for name, *_ in PARTS), timeout=90)
    until(lambda: ask("get") == {"data": ""})
    until(lambda: ask("set&value=TestEntry") == {"message": "Updated"})
    until(lambda: ask("get") == {"data": "TestEntry"})
    running.kubectl(*HERE, "delete", "--grace-period=0", "--force", "-f", "-", stdin="\n---\n".join(
        map(json.dumps, guestbook())))  # fmt: skip
    until(lambda: not running.get(*HERE, "deployments,services,replicasets,pods", "-l", "app=guestbook")["items"])


# --- a Pod that verifies its own token ---


def test_a_pod_verifies_its_token(running: RealCluster, tmp_path: Path) -> None:
    image = "docker.io/library/discovery:latest"
    program = Path(netexec.__file__).with_name("discovery.py")
    archive = netexec.build(tmp_path / "discovery.tar", program, image, (sysconfig.get_path("platlib"),))
    running.image("import", str(archive))
    container = {"name": "main", "image": image, "imagePullPolicy": "Never"}
    create(running, pod("verifies", "", containers=[container], restartPolicy="Never"))
    phase = until(lambda: (p := get(running, "verifies")["status"]["phase"]) in ("Succeeded", "Failed") and p)
    said = running.kubectl(*HERE, "logs", "verifies").stdout
    assert (phase, said) == ("Succeeded", f"verified system:serviceaccount:{NAMESPACE}:default\n"), said


# --- last: what has had time meanwhile ---


def test_a_command_that_stays_healthy_is_left_alone(running: RealCluster) -> None:
    (status,) = until(lambda: (s := statuses(running, "healthy")) and "running" in s[0]["state"] and s)
    began = datetime.fromisoformat(status["state"]["running"]["startedAt"]).timestamp()
    # Nothing is to happen: ten probes pass (mostly while other tests ran), and nobody tells of one that succeeded.
    time.sleep(max(0.0, began + 10 - clock.now().timestamp()))
    (status,) = statuses(running, "healthy")
    assert status["restartCount"] == 0 and status["ready"]


@pytest.mark.parametrize("times", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_restarts_are_counted_one_by_one(running: RealCluster, times: int) -> None:
    seen = [0]
    until(lambda: seen.append(statuses(running, "again-and-again")[0]["restartCount"]) or seen[-1] >= times, 300)
    assert seen == sorted(seen)
