"""cgroups of pods: one for each pod below one for each QoS class, on hierarchies of version 1 and 2.

    ROOT/podUID (Guaranteed)    ROOT/burstable/podUID    ROOT/besteffort/podUID

The runtime puts containers below the pod's (`cgroup_parent`). With version 1 each controller has its own hierarchy and
the same path is made in every one; with version 2 there is one, where controllers are switched on downwards first.
Figures of a pod: CPU shares of what it requests, quota and memory limit only when all its containers have limits. The
classes are weighed as well, or the many without requests would share as much as one class may: `besteffort` has the
least there is, `burstable` what its pods request together, and the root what the machine has.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path, PurePath

from pybernetes.api.core_v1 import Pod
from pybernetes.node.kubelet import qos
from pybernetes.node.kubelet.restarts import init_containers, is_sidecar

ROOT = Path("/sys/fs/cgroup")
_V1 = ("cpu", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb", "net_cls", "perf_event", "cpuacct")
_V2 = "+cpu +memory +pids +cpuset +io +hugetlb"


class Cgroups:
    """The pod cgroups of a node. `parent` is the configured root ("" or None: the runtime's own business)."""

    def __init__(self, parent: str | None, root: Path = ROOT) -> None:
        self.parent = parent.strip("/") if parent else None
        self.root = root
        self.v2 = (root / "cgroup.controllers").exists()
        #: Requested CPU of the burstable pods, in thousandths: uid -> sum over its containers.
        self._burstable: dict[str, int] = {}
        self._weighed: dict[str, int] = {}

    def path(self, pod: Pod) -> str:
        """The cgroup of a pod as an absolute path in the hierarchy; "" when cgroups are not managed."""
        if self.parent is None:
            return ""
        kind = pod.status.qos_class or qos.qos_class(pod)
        middle = "" if kind == qos.GUARANTEED else f"/{kind.lower()}"
        return f"/{self.parent}{middle}/pod{pod.metadata.uid}"

    def ensure(self, pod: Pod) -> str:
        """Make the pod's cgroup with its limits; its path. Raises OSError."""
        path = self.path(pod)
        if not path:
            return ""
        if self.v2:
            self._enable_v2(path)
        else:
            for hierarchy in self._hierarchies():
                directory = hierarchy / path[1:]
                directory.mkdir(parents=True, exist_ok=True)
                if hierarchy.name == "cpuset":
                    self._inherit_cpuset(hierarchy, path)
        self._limit(path, pod)
        self.weigh(pod)
        return path

    def weigh(self, pod: Pod) -> None:
        """Let the pod count in the weight of its class; again when its requests change."""
        if self.parent is None:
            return
        if (pod.status.qos_class or qos.qos_class(pod)) == qos.BURSTABLE:
            self._burstable[pod.metadata.uid] = qos.pod_total(pod, "cpu").milli
        self._weigh()

    def _weigh(self) -> None:
        own = f"/{self.parent}"
        wanted = {str(parent): (os.cpu_count() or 1) * 1024 for parent in (PurePath(own), *PurePath(own).parents[:-1])}
        wanted[f"{own}/besteffort"] = qos.MIN_SHARES
        wanted[f"{own}/burstable"] = qos.cpu_shares(sum([*self._burstable.values()]))
        for path, shares in wanted.items():
            if self._weighed.get(path) != shares and self._share(path, shares):
                self._weighed[path] = shares

    def update(self, pod: Pod) -> None:
        """Bring the limits in line with the pod after a resize."""
        if path := self.path(pod):
            self._limit(path, pod)
            self.weigh(pod)

    def remove(self, uid: str) -> None:
        """Remove a pod's cgroups, in every QoS class. What still runs there is killed."""
        if self.parent is None:
            return
        if self._burstable.pop(uid, None) is not None:
            self._weigh()
        for base in self._everywhere():
            for middle in ("", "burstable", "besteffort"):
                directory = base / self.parent / middle / f"pod{uid}"
                if directory.exists():
                    _remove_tree(directory)

    def remove_all(self) -> None:
        """Remove everything below the configured parent, and the parent: the node is taken apart."""
        if self.parent:
            for base in self._everywhere():
                if (base / self.parent).exists():
                    _remove_tree(base / self.parent)

    def _everywhere(self) -> list[Path]:
        """All hierarchies: runtimes make groups also where there is nothing for us to limit."""
        return [self.root] if self.v2 else [entry for entry in self.root.iterdir() if entry.is_dir()]

    def pods(self) -> set[str]:
        """Uids of the pods that have a cgroup."""
        if self.parent is None:
            return set()
        base = self.root if self.v2 else self.root / "memory"
        found: set[str] = set()
        for middle in ("", "burstable", "besteffort"):
            directory = base / self.parent / middle
            if directory.is_dir():
                found.update(n[3:] for n in os.listdir(directory) if n.startswith("pod") and (directory / n).is_dir())
        return found

    def _hierarchies(self) -> list[Path]:
        seen: dict[Path, Path] = {}
        for name in _V1:
            directory = self.root / name
            if directory.is_dir():
                seen.setdefault(directory.resolve(), directory)
        return list(seen.values())

    def _enable_v2(self, path: str) -> None:
        current = self.root
        for part in path[1:].split("/"):
            for controller in _V2.split():
                with contextlib.suppress(OSError):
                    (current / "cgroup.subtree_control").write_text(controller)
            current = current / part
            current.mkdir(exist_ok=True)
        for controller in _V2.split():
            with contextlib.suppress(OSError):
                (current / "cgroup.subtree_control").write_text(controller)

    @staticmethod
    def _inherit_cpuset(hierarchy: Path, path: str) -> None:
        """A new cpuset is empty and takes no process until it has CPUs and memory nodes."""
        current = hierarchy
        for part in path[1:].split("/"):
            child = current / part
            for name in ("cpuset.cpus", "cpuset.mems"):
                with contextlib.suppress(OSError):
                    if not (child / name).read_text().strip():
                        (child / name).write_text((current / name).read_text())
            current = child

    def _limit(self, path: str, pod: Pod) -> None:
        shares, quota, memory = pod_limits(pod)
        self._share(path, shares)
        if self.v2:
            base = self.root / path[1:]
            _write(base / "cpu.max", f"{quota or 'max'} {qos.CPU_PERIOD}")
            _write(base / "memory.max", str(memory) if memory else "max")
        else:
            cpu, mem = self.root / "cpu" / path[1:], self.root / "memory" / path[1:]
            _write(cpu / "cpu.cfs_period_us", str(qos.CPU_PERIOD))
            _write(cpu / "cpu.cfs_quota_us", str(quota or -1))
            _write(mem / "memory.limit_in_bytes", str(memory or -1))

    def _share(self, path: str, shares: int) -> bool:
        if self.v2:
            return _write(self.root / path[1:] / "cpu.weight", str(qos.cpu_weight(shares)))
        return _write(self.root / "cpu" / path[1:] / "cpu.shares", str(shares))


def pod_limits(pod: Pod) -> tuple[int, int, int]:
    """CPU shares, CPU quota in microseconds and memory limit in bytes of a whole pod; 0 for no limit. Pure."""
    shares = qos.cpu_shares(qos.pod_total(pod, "cpu").milli)
    containers = (*pod.spec.containers, *(c for c in init_containers(pod) if is_sidecar(c)))
    own = pod.spec.resources.limits if pod.spec.resources else None
    quota = memory = 0
    if (own and "cpu" in own) or all("cpu" in qos.limits(c) for c in containers):
        quota = qos.cpu_quota(qos.pod_total(pod, "cpu", limit=True).milli)
    if (own and "memory" in own) or all("memory" in qos.limits(c) for c in containers):
        memory = qos.pod_total(pod, "memory", limit=True).value
    return shares, quota, memory


def _write(path: Path, text: str) -> bool:
    with contextlib.suppress(OSError):  # a controller that is not there cannot limit anything
        path.write_text(text)
        return True
    return False


def _remove_tree(directory: Path) -> None:
    for folder, _, _ in os.walk(directory, topdown=False):
        with contextlib.suppress(OSError):
            for pid in (Path(folder) / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.rmdir(folder)


__all__ = ["Cgroups", "pod_limits"]
