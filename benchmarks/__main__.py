"""`make bench`: the rows of the project's goals that exist, each with the goal beside what was measured here.

Absolute figures depend on the machine; the goals are multiples of what Kubernetes 1.36 reached on a 2-core machine.
Loopback only; each row takes a few seconds. `python -m benchmarks [WORD...]` runs those whose name contains a word.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYBERNETES = [sys.executable, "-m", "pybernetes"]


def row(name: str, goal: str, measured: str) -> None:
    """One line of the report."""
    print(f"{name:58} {goal:>22}   {measured}", flush=True)


class Served:
    """A cluster brought up by the command, with an administrator's token."""

    def __init__(self, directory: Path, nodes: int, fake_nodes: int = 0, flags: tuple[str, ...] = ()) -> None:
        self.directory = directory / "bench"
        self.environment = {**os.environ, "PYBERNETES_HOME": str(directory)}
        began = time.perf_counter()
        self.run("up", "--no-merge", "--nodes", str(nodes), "--fake-nodes", str(fake_nodes), *flags)
        self.up_seconds = time.perf_counter() - began
        self.server = json.loads((self.directory / "cluster.json").read_text())
        self.url = f"https://{self.server['api_host']}:{self.server['api_port']}"
        self.kubectl("create", "serviceaccount", "bench")
        self.kubectl(
            "create", "clusterrolebinding", "bench", "--clusterrole=cluster-admin", "--serviceaccount=default:bench"
        )
        self.token = self.kubectl("create", "token", "bench", "--duration=2h").strip()

    def run(self, command: str, *arguments: str) -> str:
        done = subprocess.run(
            [*PYBERNETES, command, "--name", "bench", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return done.stdout

    def kubectl(self, *arguments: str) -> str:
        program = Path(sys.executable).parent / "kubectl"
        command = [str(program), "--kubeconfig", str(self.directory / "kubeconfig"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def processes(self) -> dict[str, int]:
        """Name -> pid."""
        found = {}
        for path in (self.directory / "run").glob("*.pid"):
            found[path.stem] = json.loads(path.read_text())["pid"]
        return found

    def memory(self, name: str) -> float:
        """Resident memory of a process, MB."""
        status = Path(f"/proc/{self.processes()[name]}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu(self) -> float:
        """CPU seconds of all processes so far."""
        ticks = 0
        for pid in self.processes().values():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def wrk(self, connections: int, path: str, *arguments: str, seconds: int = 5) -> tuple[float, float, int, float]:
        """(requests/s, p50 in ms, answers that were no 2xx, MB/s)."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["-s", str(ROOT / "benchmarks" / "load.lua"), self.url + path, "--", self.token, *arguments]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        words = next(line for line in printed.splitlines() if line.startswith("RESULT")).split()
        requests, duration, p50, bad, size = (float(word) for word in words[1:])
        return requests / duration, p50 / 1000, int(bad), size / duration / 1e6


@contextmanager
def served(nodes: int = 0, fake_nodes: int = 0, flags: tuple[str, ...] = ()) -> Iterator[Served]:
    """A cluster for one row or a few."""
    with tempfile.TemporaryDirectory(prefix="pybernetes-bench-") as directory:
        cluster = Served(Path(directory), nodes, fake_nodes, flags)
        try:
            yield cluster
        finally:
            cluster.run("down")


def local_cluster() -> None:
    """A cluster inside a process."""
    program = (
        "import asyncio, time\n"
        "from pybernetes.testing import LocalCluster\n"
        "async def main():\n"
        "    began = time.perf_counter()\n"
        "    async with LocalCluster(nodes=3):\n"
        "        print(time.perf_counter() - began)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program]
    times = [float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout) for _ in "123"]
    row("LocalCluster with 3 nodes, ready", "0.3 s", f"{min(times):.2f} s")


def api() -> None:
    """Start, requests and memory of the API server with TLS, RBAC and SQLite."""
    if shutil.which("wrk") is None:
        row("API rows", "", "not run: apt-get install wrk")
        return
    with served() as cluster:
        row("control plane only: command -> ready", "0.5 s", f"{cluster.up_seconds:.2f} s")
        row("control plane, memory when empty", "", f"{cluster.memory('control-plane'):.0f} MB")
        for kind, goal in (("configmaps", "3,650-4,300 /s"), ("pods", "1,900-2,800 /s")):
            for connections in (1, 16):
                rate, p50, bad, _ = cluster.wrk(connections, "/", kind, f"{kind[0]}{connections}")
                name = f"create {kind[:-1]}, {connections} connections"
                row(name, goal if connections == 16 else "", f"{rate:,.0f} /s, p50 {p50:.1f} ms, {bad} failed")
        pods = json.loads(cluster.kubectl("get", "--raw", "/api/v1/namespaces/default/pods?limit=1"))
        name = pods["items"][0]["metadata"]["name"]
        count = 1 + pods["metadata"].get("remainingItemCount", 0)
        row(
            "control plane, memory with that many Pods",
            "150 MB at 5,000",
            f"{cluster.memory('control-plane'):.0f} MB at {count:,}",
        )
        path = "/api/v1/namespaces/default/pods"
        rate, p50, bad, _ = cluster.wrk(16, f"{path}/{name}")
        row("get Pod, 16 connections", "9,500-12,000 /s", f"{rate:,.0f} /s, p50 {p50:.1f} ms, {bad} failed")
        rate, _, bad, size = cluster.wrk(4, f"{path}?limit=500")
        row("list 500 Pods, 4 connections", "150-185 /s", f"{rate:,.0f} /s, {size:,.0f} MB/s, {bad} failed")
        rate, _, bad, size = cluster.wrk(2, f"{path}?resourceVersion=0")
        row("list all Pods, 2 connections", "335-385 MB/s", f"{size:,.0f} MB/s, {bad} failed")


def idle() -> None:
    """A node that has nothing to do."""
    if os.geteuid() != 0:
        row("real node rows", "", "not run: needs root")
        return
    with served(nodes=1) as cluster:
        row("up -> node Ready", "2 s", f"{cluster.up_seconds:.2f} s")
        time.sleep(10)
        before = cluster.cpu()
        time.sleep(30)
        row("idle single-node cluster, CPU", "0.5 % of a core", f"{(cluster.cpu() - before) / 30 * 100:.2f} %")
        memory = sum(cluster.memory(name) for name in cluster.processes())
        row("idle single-node cluster, memory (containerd not counted)", "120 MB", f"{memory:.0f} MB")


def pod_start() -> None:
    """POST to Ready against the raw CRI calls, in the same run."""
    if os.geteuid() != 0:
        return
    from benchmarks import podstart
    from pybernetes.bootstrap import images

    with served(nodes=1) as cluster:
        archives = images.assemble(cluster.directory / "images", ("busybox",))
        subprocess.run(
            [*PYBERNETES, "image", "--name", "bench", "import", *map(str, archives)],
            env=cluster.environment,
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        for concurrency in (1, 8):
            raw, ready = asyncio.run(podstart.measure(cluster.directory, concurrency))
            text = f"{ready:.2f} s; the raw CRI calls alone {raw:.2f} s; ratio {ready / raw:.2f}"
            row(f"Pod start, {concurrency} at a time, p50", "1.2x the raw CRI calls", text)


def module(name: str) -> Callable[[], None]:
    """A component's own benchmark, in a process of its own."""

    def run() -> None:
        if not (ROOT / "benchmarks" / f"{name}.py").exists():
            return
        print(f"--- {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False)

    return run


ROWS: dict[str, Callable[[], None]] = {
    "local-cluster": local_cluster,
    "api": api,
    "idle": idle,
    "pod-start": pod_start,
    "scheduler": module("scheduler"),
    "fleet": module("fleet"),
    "store": module("store"),
    "proxy": module("proxy"),
    "traffic": module("traffic"),
    "overlay": module("overlay"),
    "dns": module("dns"),
    "join": module("join"),
}


def main() -> None:
    """Run the rows asked for."""
    words = sys.argv[1:]
    print(f"{'what':58} {'goal':>22}   measured here")
    for name, measure in ROWS.items():
        if not words or any(word in name for word in words):
            measure()


if __name__ == "__main__":
    main()
