"""What the tutorial promises of Pods and Deployments, on real containers, through both kubectls."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import RealCluster, programs

Kubectl = Callable[..., str]


@pytest.fixture(params=["official", pytest.param("pk", marks=pytest.mark.slow)])
def which(request: pytest.FixtureRequest) -> str:
    """A name of its own: were `cluster` itself given parameters, each would bring up another cluster."""
    return str(request.param)


@pytest.fixture
def cluster(cluster: RealCluster, which: str) -> RealCluster:
    """All of this file holds for both kubectls."""
    return programs(cluster, which)


TWO_CONTAINERS = """
apiVersion: v1
kind: Pod
metadata: {name: two}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: hello:latest
    imagePullPolicy: IfNotPresent
    resources: {limits: {memory: 32Mi, cpu: 100m}}
  - name: beside
    image: busybox:latest
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "sleep 2; touch /tmp/ready; sleep 3600"]
    readinessProbe: {exec: {command: [cat, /tmp/ready]}, periodSeconds: 1}
    resources: {limits: {memory: 64Mi, cpu: 200m}}
"""


def limit_of(cluster: RealCluster, pod: dict[str, object], container: str, v1: str, v2: str) -> str:
    """A limit file of a container's cgroup, read on the machine: file names for cgroups version 1 and 2."""
    statuses = pod["status"]["containerStatuses"]  # type: ignore[index]
    identifier = next(s["containerID"] for s in statuses if s["name"] == container).removeprefix("containerd://")
    for directory in Path("/sys/fs/cgroup").rglob(identifier):
        for name in (v1, v2):
            if (directory / name).exists():
                return (directory / name).read_text().strip()
    raise AssertionError(f"no cgroup of {container} has {v1} or {v2}")


def test_two_containers_share_what_a_pod_shares(cluster: RealCluster, kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=TWO_CONTAINERS)
    kubectl("wait", "--for=jsonpath={.status.containerStatuses[?(@.name=='web')].ready}=true", "pod/two")
    conditions = json.loads(kubectl("get", "pod", "two", "-o", "json"))["status"]["conditions"]
    ready = next(c for c in conditions if c["type"] == "Ready")
    assert (ready["status"], ready.get("reason")) in (("False", "ContainersNotReady"), ("True", None))
    kubectl("wait", "--for=condition=Ready", "pod/two", "--timeout=30s")
    request = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 127.0.0.1 8080"
    assert "Hello from two" in kubectl("exec", "two", "-c", "beside", "--", "sh", "-c", request)
    ipc = [kubectl("exec", "two", "-c", name, "--", "readlink", "/proc/self/ns/ipc") for name in ("web", "beside")]
    pid = [kubectl("exec", "two", "-c", name, "--", "readlink", "/proc/self/ns/pid") for name in ("web", "beside")]
    assert ipc[0] == ipc[1]
    assert pid[0] != pid[1]
    pod = json.loads(kubectl("get", "pod", "two", "-o", "json"))
    memory = [limit_of(cluster, pod, name, "memory.limit_in_bytes", "memory.max") for name in ("web", "beside")]
    assert memory == [str(32 << 20), str(64 << 20)]
    quota = [limit_of(cluster, pod, name, "cpu.cfs_quota_us", "cpu.max").split()[0] for name in ("web", "beside")]
    assert quota == ["10000", "20000"]


def test_too_much_memory_is_oom_killed_and_backs_off(kubectl: Kubectl) -> None:
    kubectl(
        "apply",
        "-f",
        "-",
        stdin="""
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox:latest
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "x=a; while true; do x=$x$x; done"]
    resources: {limits: {memory: 16Mi}}
""",
    )
    status = ".status.containerStatuses[0]"
    kubectl("wait", f"--for=jsonpath={{{status}.lastState.terminated.reason}}=OOMKilled", "pod/greedy", "--timeout=60s")
    kubectl("wait", f"--for=jsonpath={{{status}.state.waiting.reason}}=CrashLoopBackOff", "pod/greedy", "--timeout=60s")
    line = kubectl("get", "pod", "greedy").splitlines()[1]
    assert "CrashLoopBackOff" in line or "OOMKilled" in line
    assert int(kubectl("get", "pod", "greedy", "-o", f"jsonpath={{{status}.restartCount}}")) >= 1


def deployment(name: str, replicas: int, marker: str, image: str = "hello:latest") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 2}}}}
  template:
    metadata: {{labels: {{app: {name}}}, annotations: {{marker: "{marker}"}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: {image}
        imagePullPolicy: IfNotPresent
        ports: [{{containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
        lifecycle: {{preStop: {{sleep: {{seconds: 1}}}}}}
"""


def test_scale_break_and_roll_back(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment("web", 2, "one"))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("scale", "deployment/web", "--replicas=20")
    kubectl("rollout", "status", "deployment/web", "--timeout=90s", timeout=100)
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}") == "20"
    kubectl("scale", "deployment/web", "--replicas=3")
    kubectl("wait", "--for=jsonpath={.status.replicas}=3", "deployment/web", "--timeout=60s")
    kubectl("set", "image", "deployment/web", "web=registry.invalid/nothing:v9")
    kubectl("wait", "--for=jsonpath={.status.unavailableReplicas}=2", "deployment/web", "--timeout=60s")
    reason = "{range .items[*]}{.status.containerStatuses[0].state.waiting.reason} {end}"
    kubectl("wait", "--for=jsonpath={.status.updatedReplicas}=2", "deployment/web", "--timeout=60s")
    waiting = kubectl("get", "pods", "-l", "app=web", "-o", f"jsonpath={reason}")
    assert "Err" in waiting or "ImagePullBackOff" in waiting or "ContainerCreating" in waiting
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}") == "3"
    assert "rolled back" in kubectl("rollout", "undo", "deployment/web")
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert "REVISION" in kubectl("rollout", "history", "deployment/web")


def test_killed_container_and_deleted_pod_come_back(cluster: RealCluster, kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment("heal", 1, "one"))
    kubectl("rollout", "status", "deployment/heal", "--timeout=60s")
    pod = json.loads(kubectl("get", "pods", "-l", "app=heal", "-o", "json"))["items"][0]
    name = pod["metadata"]["name"]
    # Only after the exec has ended: else it may be killed by the end of the container, and tell so.
    kubectl("exec", name, "--", "sh", "-c", "(sleep 0.3; kill -9 -1; kill -TERM 1) > /dev/null 2>&1 &")
    kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", f"pod/{name}", "--timeout=60s")
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    kubectl("delete", "pod", name)
    kubectl("rollout", "status", "deployment/heal", "--timeout=60s")
    after = json.loads(kubectl("get", "pods", "-l", "app=heal", "-o", "json"))["items"]
    assert [item["metadata"]["name"] for item in after] != [name]


def test_rolling_update_under_requests(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment("roll", 3, "one"))
    kubectl("expose", "deployment", "roll", "--port=80", "--target-port=8080")
    kubectl("rollout", "status", "deployment/roll", "--timeout=60s")
    address = kubectl("get", "service", "roll", "-o", "jsonpath={.spec.clusterIP}")
    loop = (
        "while [ ! -e /tmp/stop ]; do "
        f"if printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} 80 | grep -q Hello; "
        "then echo ok; else echo failed; fi; done"
    )
    image = ("--image=busybox:latest", "--image-pull-policy=IfNotPresent", "--restart=Never")
    kubectl("run", "asker", *image, "--", "sh", "-c", loop)
    kubectl("wait", "--for=condition=Ready", "pod/asker", "--timeout=30s")
    kubectl("apply", "-f", "-", stdin=deployment("roll", 3, "two"))
    kubectl("rollout", "status", "deployment/roll", "--timeout=90s", timeout=100)
    kubectl("exec", "asker", "--", "touch", "/tmp/stop")
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/asker", "--timeout=30s")
    answers = kubectl("logs", "asker").split()
    assert answers.count("ok") > 20
    assert answers.count("failed") == 0


def test_terminal(cluster: RealCluster, kubectl: Kubectl, namespace: str) -> None:
    """`exec -it ... -- sh` with a real terminal, as tmux gives one."""
    kubectl("run", "shell", "--image=busybox:latest", "--image-pull-policy=IfNotPresent", "--", "sleep", "600")
    kubectl("wait", "--for=condition=Ready", "pod/shell", "--timeout=30s")
    command = f"{' '.join(cluster.program)} --kubeconfig {cluster.kubeconfig} -n {namespace} exec -it shell -- sh"
    tmux = ["tmux", "-L", f"pybernetes-{namespace}"]
    subprocess.run([*tmux, "new-session", "-d", "-x", "100", "-y", "30", command], check=True)
    try:
        # The size of the terminal arrives a moment after the shell has started.
        typed = "echo $((6*7)) $(tty); until stty size; do usleep 50000; done; touch /tmp/typed"
        subprocess.run([*tmux, "send-keys", typed, "Enter"], check=True)
        kubectl("exec", "shell", "--", "sh", "-c", "while [ ! -e /tmp/typed ]; do usleep 50000; done")
        screen = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True).stdout
        assert "42 /dev/pts/0" in screen
        assert "30 100" in screen or "29 100" in screen
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
