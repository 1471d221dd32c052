"""What the conformance tests ask of Jobs, StatefulSets and ReplicaSets that fake nodes cannot show: real exit codes,
probes that are broken and mended from outside, a kubelet that refuses a Pod. All Jobs are created at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import RealCluster
from tests.e2e.test_conformance_running import BUSYBOX, FOREVER, Object, probe, until

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]

NAMESPACE = "conformance-workloads"
HERE = ("-n", NAMESPACE)


def create(cluster: RealCluster, *objects: Object) -> None:
    cluster.kubectl(*HERE, "create", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))


def pods(cluster: RealCluster, selector: str) -> dict[str, Object]:
    """By name."""
    return {p["metadata"]["name"]: p for p in cluster.get(*HERE, "pods", "-l", selector)["items"]}


# --- Jobs ---

ODD_FAIL = "exit $((JOB_COMPLETION_INDEX % 2))"
ODD_STAY = f"[ $((JOB_COMPLETION_INDEX % 2)) = 0 ] && exit 0; {FOREVER}"
JOBS: dict[str, tuple[Object, dict[str, Any], tuple[str, str]]] = {}


def job(name: str, script: str, told: dict[str, Any], condition: tuple[str, str], container: Object | None = None,
        pod: Object | None = None, **spec: Any) -> None:  # fmt: skip
    """A Job, what its status says at the end, and the condition with its reason."""
    main = {"name": "c", **BUSYBOX, "command": ["sh", "-c", script], **(container or {})}
    inner = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": [main], **(pod or {})}
    whole = {"parallelism": 2, "completions": 4, "backoffLimit": 6, "template": {"spec": inner}, **spec}
    JOBS[name] = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": whole}, told, condition


INDEXED: Object = {"completionMode": "Indexed"}
PER_INDEX: Object = {**INDEXED, "backoffLimit": None, "backoffLimitPerIndex": 1}


def policy(action: str) -> Object:
    return {"podFailurePolicy": {"rules": [{"action": action, "onExitCodes": {"operator": "In", "values": [1]}}]}}


def success(rule: Object) -> Object:
    return {**INDEXED, "successPolicy": {"rules": [rule]}}


job("restarts", "[ -e /d/seen ] && exit 0; touch /d/seen; exit 1", {"succeeded": 4, "failed": None},
    ("Complete", "CompletionsReached"), container={"volumeMounts": [{"name": "d", "mountPath": "/d"}]},
    pod={"restartPolicy": "OnFailure", "volumes": [{"name": "d", "emptyDir": {}}]})  # fmt: skip
job("indexes", 'echo "$JOB_COMPLETION_INDEX $(hostname)"', {"succeeded": 4, "completedIndexes": "0-3"},
    ("Complete", "CompletionsReached"), **INDEXED)  # fmt: skip
job("exit-code", "exit 1", {"succeeded": None}, ("Failed", "PodFailurePolicy"), **policy("FailJob"))
job("per-index", ODD_FAIL, {"succeeded": 2, "failed": 4, "completedIndexes": "0,2", "failedIndexes": "1,3"},
    ("Failed", "FailedIndexes"), **PER_INDEX)  # fmt: skip
job("fail-index", ODD_FAIL, {"succeeded": 1, "failed": 1, "completedIndexes": "0", "failedIndexes": "1"},
    ("Failed", "FailedIndexes"), **{**PER_INDEX, "completions": 2}, **policy("FailIndex"))  # fmt: skip
job("too-many-indexes", "exit 1", {"succeeded": None, "completedIndexes": None, "active": None, "terminating": 0},
    ("Failed", "MaxFailedIndexesExceeded"),
    **{**PER_INDEX, "backoffLimitPerIndex": 0, "maxFailedIndexes": 0})  # fmt: skip
job("all-indexes", "true", {"succeeded": 2, "completedIndexes": "0,1"}, ("Complete", "SuccessPolicy"),
    **{**success({"succeededIndexes": "0,1"}), "completions": 2})  # fmt: skip
WITH_REST = {"succeeded": 1, "completedIndexes": "0", "active": None, "ready": 0, "terminating": 0}
job("some-indexes", ODD_STAY, WITH_REST, ("Complete", "SuccessPolicy"),
    **{**success({"succeededIndexes": "0"}), "completions": 5})  # fmt: skip
job("some-count", ODD_STAY, WITH_REST, ("Complete", "SuccessPolicy"),
    **{**success({"succeededCount": 1}), "completions": 5})  # fmt: skip


@pytest.fixture(scope="module")
def running(cluster: RealCluster) -> Iterator[RealCluster]:
    """The cluster with all Jobs created."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    until(lambda: not cluster.kubectl(*HERE, "get", "serviceaccount", "default", check=False).returncode)
    create(cluster, *(made for made, _, _ in JOBS.values()))
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def conditions(obj: Object) -> dict[str, Object]:
    return {c["type"]: c for c in obj["status"].get("conditions") or () if c["status"] == "True"}


def told_to_be(cluster: RealCluster, name: str, type_: str) -> Object:
    """The Job once it has the condition."""
    return dict(until(lambda: type_ in conditions(j := cluster.get(*HERE, "job", name)) and j, 90))


@pytest.mark.parametrize("name", JOBS)
def test_job(running: RealCluster, name: str) -> None:
    _, told, (end, reason) = JOBS[name]
    done = told_to_be(running, name, end)
    assert conditions(done)[end]["reason"] == reason
    before = conditions(done)["FailureTarget" if end == "Failed" else "SuccessCriteriaMet"]
    assert before["reason"] == reason
    assert {key: done["status"].get(key) for key in told} == told
    left = pods(running, f"batch.kubernetes.io/job-name={name}").values()
    assert not any(pod["metadata"].get("finalizers") for pod in left)
    assert not any(pod["status"]["phase"] == "Running" for pod in left)


def test_pods_of_an_indexed_job_know_their_index(running: RealCluster) -> None:
    running.wait(*HERE, "--for=condition=Complete", "job/indexes", timeout=90)
    found = pods(running, "batch.kubernetes.io/job-name=indexes")
    told = {}
    for name, pod in found.items():
        index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        assert pod["spec"]["hostname"] == f"indexes-{index}"
        told[index] = running.kubectl(*HERE, "logs", name).stdout.split()
    assert told == {str(i): [str(i), f"indexes-{i}"] for i in range(4)}


def test_an_evicted_pod_of_a_job_is_no_failure(running: RealCluster) -> None:
    """The first Pod stays until it is evicted; the next one finds what lets it end."""
    ignore = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    inner = {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", **BUSYBOX, "command": ["sh", "-c", f"[ -e /d/go ] && exit 0; {FOREVER}"],
                        "volumeMounts": [{"name": "d", "mountPath": "/d"}]}],
        "volumes": [{"name": "d", "configMap": {"name": "go", "optional": True}}],
    }  # fmt: skip
    inner["containers"][0]["command"][2] = inner["containers"][0]["command"][2].replace("exit 0' TERM", "exit 1' TERM")
    spec = {"backoffLimit": 0, "podFailurePolicy": ignore, "template": {"spec": inner}}
    create(running, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "evicted"}, "spec": spec})
    selector = "batch.kubernetes.io/job-name=evicted"
    (name,) = until(lambda: [n for n, p in pods(running, selector).items() if p["status"]["phase"] == "Running"])
    create(running, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "go"}, "data": {"go": ""}})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    running.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    running.wait(*HERE, "--for=condition=Complete", "job/evicted", timeout=90)
    status = running.get(*HERE, "job", "evicted")["status"]
    assert status["succeeded"] == 1 and "failed" not in status


def test_lifecycle_of_a_job(running: RealCluster) -> None:
    spec = {"parallelism": 2, "completions": 2, "suspend": True, "template": JOBS["all-indexes"][0]["spec"]["template"]}
    labels = {"e2e": "lifecycle"}
    create(
        running, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "life", "labels": labels}, "spec": spec}
    )
    stopped = told_to_be(running, "life", "Suspended")
    assert "startTime" not in stopped["status"]
    running.kubectl(*HERE, "patch", "job", "life", "-p", '{"metadata": {"labels": {"life": "patched"}}}')
    running.kubectl(*HERE, "annotate", "job", "life", "updated=true")
    running.kubectl(*HERE, "patch", "job", "life", "-p", '{"spec": {"suspend": false}}')
    running.wait(*HERE, "--for=condition=Complete", "job/life", timeout=90)
    (found,) = running.get("-A", "jobs", "-l", "e2e=lifecycle,life=patched")["items"]
    assert found["metadata"]["annotations"]["updated"] == "true" and found["status"]["succeeded"] == 2
    running.kubectl(*HERE, "delete", "jobs", "-l", "e2e=lifecycle")
    until(lambda: not pods(running, "batch.kubernetes.io/job-name=life"))


# --- StatefulSets ---

BROKEN = "/tmp/broken"


def stateful(
    name: str, replicas: int, container: Object | None = None, pod: Object | None = None, **spec: Any
) -> Object:
    """Its Pods are ready while nobody has broken them."""
    main = {"name": "c", **BUSYBOX, "command": ["sh", "-c", FOREVER], **(container or {})}
    main.setdefault("readinessProbe", probe(exec={"command": ["test", "!", "-e", BROKEN]}, initialDelaySeconds=0))
    inner = {"terminationGracePeriodSeconds": 1, "containers": [main], **(pod or {})}
    template = {"metadata": {"labels": {"set": name}}, "spec": inner}
    whole = {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"set": name}}, **spec}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
            "spec": {**whole, "template": template}}  # fmt: skip


class Set:
    """A StatefulSet and what is done to it from outside."""

    def __init__(self, cluster: RealCluster, name: str, replicas: int, **more: Any) -> None:
        self.cluster, self.name = cluster, name
        create(cluster, stateful(name, replicas, **more))

    def pods(self) -> dict[str, Object]:
        return pods(self.cluster, f"set={self.name}")

    def status(self) -> Object:
        return dict(self.cluster.get(*HERE, "statefulset", self.name)["status"])

    def ready(self, count: int) -> dict[str, Object]:
        """Its Pods once there are so many, all ready, and its status says so."""

        def question() -> Any:
            found, status = self.pods(), self.status()
            good = all("Ready" in conditions(p) and not p["metadata"].get("deletionTimestamp") for p in found.values())
            return found if good and len(found) == status.get("readyReplicas", 0) == count else None

        return dict(until(question, 90)) if count else {}

    def broken(self, index: int) -> None:
        self.cluster.kubectl(*HERE, "exec", f"{self.name}-{index}", "--", "touch", BROKEN)
        until(lambda: "Ready" not in conditions(self.pods()[f"{self.name}-{index}"]))

    def mended(self, index: int) -> None:
        self.cluster.kubectl(*HERE, "exec", f"{self.name}-{index}", "--", "rm", BROKEN)

    def scaled(self, replicas: int) -> None:
        self.cluster.kubectl(*HERE, "scale", "statefulset", self.name, f"--replicas={replicas}")
        until(lambda: self.cluster.get(*HERE, "statefulset", self.name)["status"]["observedGeneration"] > 1)

    def stays(self, count: int, seconds: float = 3) -> None:
        """No Pod more or less for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [n for n, p in self.pods().items() if not p["metadata"].get("deletionTimestamp")]
            assert len(found) == count, found
            time.sleep(0.5)


def test_a_stateful_set_scales_in_order_and_halts(running: RealCluster) -> None:
    found = Set(running, "ordered", 1)
    found.ready(1)
    found.broken(0)
    found.scaled(3)
    found.stays(1)
    found.mended(0)
    made = found.ready(3)
    assert sorted(made, key=lambda n: (made[n]["metadata"]["creationTimestamp"], n)) == [
        f"ordered-{i}" for i in range(3)
    ]
    started = [conditions(made[f"ordered-{i}"])["Ready"]["lastTransitionTime"] for i in range(3)]
    assert all(made[f"ordered-{i + 1}"]["metadata"]["creationTimestamp"] >= started[i] for i in range(2))
    for i in range(3):
        found.broken(i)
    found.scaled(0)
    found.stays(3)
    for i in range(3):
        found.mended(i)
    seen: list[int] = []

    def fewer() -> bool:
        left = [n for n, p in found.pods().items() if not p["metadata"].get("deletionTimestamp")]
        seen.append(len(left))
        assert set(left) == {f"ordered-{i}" for i in range(len(left))}
        return not left

    until(fewer, 60)
    assert seen == sorted(seen, reverse=True)


def test_a_parallel_stateful_set_does_not_halt(running: RealCluster) -> None:
    found = Set(running, "burst", 1, podManagementPolicy="Parallel")
    found.ready(1)
    found.broken(0)
    found.scaled(3)
    until(lambda: found.status().get("readyReplicas") == 2 and len(found.pods()) == 3)
    found.mended(0)
    found.ready(3)
    found.broken(0)
    found.scaled(0)
    until(lambda: not found.pods())
    until(lambda: found.status()["replicas"] == 0)


def test_a_stateful_set_whose_pod_is_refused_makes_another(running: RealCluster) -> None:
    """Its host port is taken on the node that it names: the kubelet refuses it until the port is free."""
    port = {"ports": [{"containerPort": 21017, "hostPort": 21017}]}
    (node,) = running.nodes
    main = {"name": "c", **BUSYBOX, "command": ["sh", "-c", FOREVER], **port}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [main], "nodeName": node}
    create(running, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "taken"}, "spec": spec})
    running.wait(*HERE, "--for=condition=Ready", "pod/taken")
    found = Set(running, "refused", 1, container=port, pod={"nodeName": node})
    seen: set[str] = set()

    def uids() -> bool:
        for one in found.pods().values():
            if one["status"]["phase"] == "Failed":
                assert one["status"]["reason"] == "NodePorts"
                seen.add(one["metadata"]["uid"])
        return len(seen) >= 2

    until(uids, 60)
    running.kubectl(*HERE, "delete", "pod", "taken")
    assert found.ready(1)["refused-0"]["metadata"]["uid"] not in seen


def test_a_stateful_set_is_updated_and_rolled_back(running: RealCluster) -> None:
    """From the last Pod to the first; one that is not ready holds up all of it."""
    revisions = []
    found = Set(running, "rolls", 3)
    found.ready(3)
    revisions.append(found.status()["currentRevision"])
    for version in ("new", None):
        found.broken(1)
        env = [{"name": "VERSION", "value": version}] if version else None
        change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": env}]}}}}
        running.kubectl(*HERE, "patch", "statefulset", "rolls", "-p", json.dumps(change))
        target = until(lambda: (s := found.status())["updateRevision"] != revisions[-1] and s["updateRevision"])
        made = found.pods()
        assert {p["metadata"]["labels"]["controller-revision-hash"] for p in made.values()} == {revisions[-1]}
        found.mended(1)
        status = until(lambda t=target: (s := found.status())["currentRevision"] == t and s, 90)
        assert status["updatedReplicas"] == 3
        made = found.ready(3)
        assert {p["metadata"]["labels"]["controller-revision-hash"] for p in made.values()} == {target}
        assert {(p["spec"]["containers"][0].get("env") or [{}])[0].get("value") for p in made.values()} == {version}
        at = [made[f"rolls-{i}"]["metadata"]["creationTimestamp"] for i in (2, 1, 0)]
        assert at == sorted(at)
        revisions.append(target)
    assert revisions[0] == revisions[2]


# --- ReplicaSets and ReplicationControllers ---


@pytest.mark.parametrize(("kind", "version"), [("ReplicaSet", "apps/v1"), ("ReplicationController", "v1")])
def test_every_replica_serves(running: RealCluster, kind: str, version: str) -> None:
    app = {"app": kind.lower()}
    script = "mkdir /w && hostname > /w/index.html; trap 'exit 0' TERM; httpd -f -p 8080 -h /w & wait"
    ready = probe(httpGet={"path": "/", "port": 8080})
    main = {"name": "c", **BUSYBOX, "command": ["sh", "-c", script], "readinessProbe": ready}
    template = {"metadata": {"labels": app}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [main]}}
    selector: Object = app if kind == "ReplicationController" else {"matchLabels": app}
    spec = {"replicas": 2, "selector": selector, "template": template}
    create(running, {"apiVersion": version, "kind": kind, "metadata": {"name": "serves"}, "spec": spec})
    running.wait(*HERE, "--for=jsonpath={.status.readyReplicas}=2", f"{kind.lower()}/serves", timeout=90)
    for name in pods(running, f"app={kind.lower()}"):
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:8080/proxy/"
        assert running.kubectl("get", "--raw", path).stdout == f"{name}\n"
