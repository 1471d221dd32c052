"""What a machine must be and have before anything is made on it: each check says what is wrong and what to do about it.

Checks have kubeadm's names. An error ends the command unless `--ignore-preflight-errors` names it; warnings are told.
What the agent sets itself (ip_forward) is not asked of the user. All problems are found before the first is told.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.bootstrap.etcd_member import CLIENT_PORT, PEER_PORT
from pybernetes.bootstrap.phases.run import Run
from pybernetes.bootstrap.phases.settings import advertise_address, directory_of

#: Commands, and the Debian packages that have them.
COMMANDS = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
}
_CNI = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
_PATH = "/usr/sbin:/sbin:/usr/local/sbin"
_MEMORY_MB = 1700


@dataclass(frozen=True)
class Problem:
    """What a check has found. `remedy` is a sentence that says what to do."""

    check: str
    text: str
    remedy: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"\t[{'ERROR' if self.fatal else 'WARNING'} {self.check}]: {self.text}; {self.remedy}"


Check = Callable[[argparse.Namespace, bool], Iterable[Problem]]


def run(run: Run) -> None:
    """All checks. Raises ClusterError that names everything fatal at once."""
    problems = judge(find(run.options, run.joins), run.options.ignore_preflight_errors)
    for problem in problems:
        if not problem.fatal:
            print(problem, flush=True)
    fatal = [problem for problem in problems if problem.fatal]
    if fatal:
        raise ClusterError(
            "this machine is not ready:\n"
            + "\n".join(map(str, fatal))
            + "\nTo go on in spite of a check, name it: --ignore-preflight-errors="
            + ",".join(dict.fromkeys(problem.check for problem in fatal))
        )
    run.say("preflight", f"{len(CHECKS)} checks, nothing stands in the way")


def find(options: argparse.Namespace, joins: bool) -> list[Problem]:
    """What all checks find."""
    return [problem for check in CHECKS for problem in check(options, joins)]


def judge(problems: Iterable[Problem], ignored: str) -> list[Problem]:
    """The same with those that the user ignores (names by comma, in any case, or `all`) turned into warnings."""
    names = {name.strip().lower() for name in ignored.split(",")}
    return [
        Problem(p.check, p.text, p.remedy, p.fatal and "all" not in names and p.check.lower() not in names)
        for p in problems
    ]


def _user(options: argparse.Namespace, joins: bool) -> Iterator[Problem]:
    if os.geteuid() != 0:
        yield Problem("IsPrivilegedUser", "the user is not root", "run the command with sudo")


def _existing(options: argparse.Namespace, joins: bool) -> Iterator[Problem]:
    directory = directory_of(options)
    if clusters.find("", str(directory)) is not None:
        reset = f"'pybernetes reset --data-dir {directory}'"
        yield Problem("DirAvailable", f"{directory} holds a cluster already", f"{reset} removes it")


def _has_etcd(options: argparse.Namespace, joins: bool) -> bool:
    """Whether a member of etcd is to run here. Of a joining machine its cluster decides, later."""
    return not joins and options.store == "etcd"


def _ports(options: argparse.Namespace, joins: bool) -> Iterator[Problem]:
    wanted = [10250]
    if not joins or options.control_plane:
        wanted.insert(0, options.apiserver_bind_port)
    try:
        address = advertise_address(options)
    except ClusterError as error:
        yield Problem("AdvertiseAddress", str(error), "the other machines have to reach this one")
        return
    if _has_etcd(options, joins):
        wanted += [CLIENT_PORT, PEER_PORT]
    for port in wanted:
        hosts = [address, "127.0.0.1"] if port not in (10250, PEER_PORT) else [address]
        for host in hosts:
            if reason := clusters.port_problem(host, port):
                etcd = "an etcd runs here already, and '--store etcd://...' uses it"
                known = {10250: "a kubelet runs here already", CLIENT_PORT: etcd, PEER_PORT: etcd}
                other = known.get(port, "choose another with --apiserver-bind-port")
                remedy = f"'ss -ltnp sport = :{port}' shows who has it; end it, or {other}"
                if "assign" in reason:
                    yield Problem("AdvertiseAddress", f"{host} is no address of this machine", "see 'ip address'")
                    return
                yield Problem(f"Port-{port}", f"port {port} is in use on {host}", remedy)
                break


def _commands(options: argparse.Namespace, joins: bool) -> Iterator[Problem]:
    path = os.environ.get("PATH", "") + ":" + _PATH
    etcd = {"etcd": "etcd-server"} if _has_etcd(options, joins) else {}
    for command, package in {**COMMANDS, **etcd}.items():
        if shutil.which(command, path=path) is None:
            yield Problem(f"FileExisting-{command}", f"{command} is not found", f"apt-get install {package}")
    if not any(Path(directory, "bridge").exists() for directory in _CNI):
        yield Problem("CNIPlugins", f"no CNI plugins in {_CNI[0]}", "apt-get install containernetworking-plugins")


def _cgroups(options: argparse.Namespace, joins: bool) -> Iterator[Problem]:
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    found = set(unified.read_text().split()) if unified.exists() else set()
    if not found and Path("/proc/cgroups").exists():
        rows = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
        found = {row[0] for row in rows if row[3] == "1"}
    if missing := [name for name in _CONTROLLERS if name not in found]:
        yield Problem(
            "SystemVerification",
            f"cgroup controllers missing: {', '.join(missing)}",
            "enable them on the kernel's command line (cgroup_enable=...)",
        )


def _kernel(options: argparse.Namespace, joins: bool) -> Iterator[Problem]:
    if "overlay\n" not in Path("/proc/filesystems").read_text():
        yield Problem("KernelModule-overlay", "the overlay file system is not loaded", "modprobe overlay", False)
    nft = shutil.which("nft", path=os.environ.get("PATH", "") + ":" + _PATH)
    if nft is not None and os.geteuid() == 0:
        done = subprocess.run([nft, "list", "tables"], capture_output=True, text=True, check=False, timeout=10)
        if done.returncode:
            remedy = "modprobe nf_tables, or start a kernel that has it"
            yield Problem("KernelModule-nf_tables", f"nftables does not work: {done.stderr.strip()}", remedy)


def _swap(options: argparse.Namespace, joins: bool) -> Iterator[Problem]:
    try:
        areas = [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:]]
    except OSError:
        return
    if areas:
        remedy = "'swapoff -a', and take it out of /etc/fstab, for memory limits that hold"
        yield Problem("Swap", f"swap is on ({', '.join(areas)})", remedy, fatal=False)


def _size(options: argparse.Namespace, joins: bool) -> Iterator[Problem]:
    if joins and not options.control_plane:
        return
    cpus = len(os.sched_getaffinity(0))
    if cpus < 2:
        yield Problem("NumCPU", f"a control plane wants 2 CPUs, here is {cpus}", "use a larger machine")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    if total < _MEMORY_MB:
        yield Problem("Mem", f"a control plane wants {_MEMORY_MB} MB, here are {total}", "use a larger machine")


def _hostname(options: argparse.Namespace, joins: bool) -> Iterator[Problem]:
    name = options.node_name
    plain = name.replace("-", "").replace(".", "")
    if not plain.isalnum() or name != name.lower() or not name[0].isalnum() or len(name) > 63:
        yield Problem("Hostname", f"{name!r} cannot be the name of a node", "choose one with --node-name")


#: In the order they run.
CHECKS: tuple[Check, ...] = (_user, _existing, _hostname, _ports, _commands, _cgroups, _kernel, _swap, _size)
