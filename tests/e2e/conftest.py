"""One real cluster for all tests that need one: brought up and removed by the commands a user types.

When the last test is done the cluster is removed, and the machine must be as it was before: no process, mount,
interface, namespace, rule or cgroup more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.leaks import Watch, watched

if TYPE_CHECKING:
    from pybernetes.bootstrap.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
KUBECTL = Path(sys.executable).parent / "kubectl"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here needs root and containerd."""
    reason = ""
    if os.geteuid() != 0:
        reason = "needs root"
    elif shutil.which("containerd") is None:
        reason = "needs containerd"
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker("e2e")
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass
class RealCluster:
    """A running cluster and the official kubectl for it."""

    name: str
    directory: Path
    home: Path
    #: What `kubectl` runs.
    program: tuple[str, ...] = (str(KUBECTL),)

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def pybernetes(self, *arguments: str, check: bool = True, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """A pybernetes command on this cluster."""
        command = [sys.executable, "-m", "pybernetes", arguments[0], "--name", self.name, *arguments[1:]]
        return self._run(command, check, timeout, "")

    def image(self, *arguments: str) -> str:
        """An image command on this cluster's nodes."""
        command = [sys.executable, "-m", "pybernetes", "image", "--name", self.name, *arguments]
        return self._run(command, True, 60, "").stdout

    def kubectl(
        self, *arguments: str, check: bool = True, stdin: str = "", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """A kubectl command; the official kubectl unless a test chose ours."""
        command = [*self.program, "--kubeconfig", str(self.kubeconfig), *arguments]
        return self._run(command, check, timeout, stdin)

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... -o json`, decoded."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def apply(self, manifest: str) -> None:
        self.kubectl("apply", "-f", "-", stdin=manifest)

    def wait(self, *arguments: str, timeout: int = 60) -> None:
        """`kubectl wait`."""
        self.kubectl("wait", f"--timeout={timeout}s", *arguments, timeout=timeout + 10)

    @property
    def found(self) -> Cluster:
        """The cluster as the commands see it."""
        from pybernetes.bootstrap import cluster as clusters

        found = clusters.find("", str(self.directory))
        assert found is not None
        return found

    @property
    def nodes(self) -> list[str]:
        """The names of the real nodes, the machine first."""
        return [node.name for node in self.found.state.nodes]

    def on(self, node: str, *command: str) -> list[str]:
        """A command in the network of a node."""
        netns = self.found.node_netns(node)
        return [*(["nsenter", f"--net={netns}", "--"] if netns else []), *command]

    def marks(self) -> set[str]:
        """What names the things that this cluster made on the machine."""
        from pybernetes.bootstrap import machine_link, node_host

        found, marks = self.found, {str(self.directory), f"pybernetes/{self.name}-"}
        marks |= {
            machine_link.name(found),
            machine_link.switch(found).name,
            *found.state.pod_cidrs,
            *found.state.service_cidrs,
            found.state.node_cidr,
        }
        for node in self.nodes:
            network = node_host.network_config(found, node)
            marks |= {network.table, network.service_link, network.vxlan_link, machine_link.port_name(found, node)}
            marks |= {node_host.proxy_config(found, node).table, node_host.policy_configs(found, node)[0].table}
            marks |= {str(node_host.containerd_config(found, node).state), network.pod_cidr}
            marks |= {netns.name for netns in (found.node_netns(node),) if netns}
        return marks

    def _run(self, command: list[str], check: bool, timeout: float, stdin: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYBERNETES_HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            cwd=ROOT,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done


def free_port() -> int:
    """A port nobody uses: other clusters on this machine take the usual ones."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def machine_state() -> dict[str, set[str]]:
    """What a cluster could leave behind, as comparable sets."""

    def lines(*command: str) -> set[str]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return {line.strip() for line in done.stdout.splitlines() if line.strip()}

    processes = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if any(word in text for word in ("containerd", "-m pybernetes ", "haproxy")) and "pytest" not in text:
                processes.add(f"{entry.name} {text}")
    cgroups = {str(path) for path in Path("/sys/fs/cgroup").glob("*/pybernetes*")}
    cgroups |= {str(path) for path in Path("/sys/fs/cgroup").glob("pybernetes*")}
    return {
        "links": {line.split()[0] for line in lines("ip", "-br", "link")},
        "mounts": {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()},
        "tables": lines("nft", "list", "tables"),
        "routes": lines("ip", "route") | lines("ip", "-6", "route"),
        "namespaces": lines("ip", "netns"),
        "processes": processes,
        "cgroups": cgroups,
    }


@contextlib.contextmanager
def brought_up(tmp_path_factory: pytest.TempPathFactory, name: str, *flags: str) -> Iterator[RealCluster]:
    """A cluster from `up` to `down`: nothing is left of it, and nothing for its Pods and Services went by the uplink.

    Links and tables are named after it. The images `hello` and `busybox` are on its nodes. PYBERNETES_E2E_FLAGS gives
    further flags: with `--proxy-mode iptables` all tests run over the other packet filter.
    """
    from pybernetes.bootstrap import images

    home = tmp_path_factory.mktemp("home")
    found = RealCluster(name, home / name, home)
    more = () if "--proxy-mode" in flags else shlex.split(os.environ.get("PYBERNETES_E2E_FLAGS", ""))
    marks: set[str] = set()
    watch: Watch | None = None
    leaked = 0
    stack = contextlib.ExitStack()
    try:
        found.pybernetes("up", "--no-merge", "--api-port", str(free_port()), *flags, *more, timeout=180)
        state = json.loads((found.directory / "cluster.json").read_text())
        kept = [part[kind] for part in (state, state["six"]) if part for kind in ("pod_cidr", "service_cidr")]
        watch = stack.enter_context(watched(f"leaks-{name}", kept))
        archives = images.assemble(tmp_path_factory.mktemp("images"), ("hello", "busybox"))
        found.image("import", *map(str, archives))
        marks = found.marks()
        yield found
    finally:
        logs = {path.name: path.read_text() for path in (home / name / "logs").glob("*.log")}
        found.pybernetes("down", check=False)
        for log, text in logs.items():
            print(f"--- {log}\n{text[-4000:]}")
        leaked = watch.packets() if watch is not None else 0
        stack.close()
    assert not leaked, f"{leaked} packets of the cluster's addresses left by the uplink"
    # Other clusters run on this machine, so only what bears a name of this one counts.
    left = {what: [i for i in items if any(mark in i for mark in marks)] for what, items in machine_state().items()}
    assert not any(left.values()), f"left behind: {left}"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """The cluster. When it is removed, the machine must be as it was before."""
    before = machine_state()
    with brought_up(tmp_path_factory, f"e2e-{os.getpid()}") as found:
        yield found
        # `down` must cope with Pods that run, and with haproxy.
        image = ("--image=busybox:latest", "--image-pull-policy=IfNotPresent")
        found.kubectl("run", "left-running", *image, "--", "sleep", "3600")
        found.wait("--for=condition=Ready", "pod/left-running")
        if shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin"):
            found.kubectl("create", "ingress", "left-serving", "--default-backend=nobody:80")
            found.wait("--for=jsonpath={.status.loadBalancer.ingress[0].ip}", "ingress/left-serving")
    after = machine_state()
    left = {what: after[what] - before[what] for what in after if after[what] - before[what]}
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """A cluster of three real nodes, of which one that is silent is soon NotReady."""
    flags = ("--nodes", "3", "--node-monitor-grace-period", "20s")
    with brought_up(tmp_path_factory, f"e2e3-{os.getpid()}", *flags) as found:
        yield found


def programs(official: RealCluster, which: str) -> RealCluster:
    """The cluster with the official kubectl or with ours (`pk`)."""
    ours = (sys.executable, "-m", "pybernetes", "kubectl")
    return replace(official, program=ours) if which == "pk" else official


@pytest.fixture
def namespace(cluster: RealCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.name.lower().replace("_", "-").replace("[", "-").replace("]", "").strip("-")[:50].strip("-")
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubectl(cluster: RealCluster, namespace: str) -> Callable[..., str]:
    """kubectl in the test's namespace: `kubectl("get", "pods")` gives what it printed."""

    def run(*arguments: str, stdin: str = "", timeout: float = 60) -> str:
        return cluster.kubectl("-n", namespace, *arguments, stdin=stdin, timeout=timeout).stdout

    return run
