"""Machines to try a cluster of several on: namespaces with a name, an address, and places for their own files.

A host has its own network, host name, processes and mounts. What a member keeps (below /var/lib, /run and /etc) it
keeps in memory, so that several hosts on one machine know nothing of each other, and nothing stays when they go: ending
a host's first process ends all its processes, and with them go its mounts and links.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KUBECTL = Path(sys.executable).parent / "kubectl"
_OWN = ("/run", "/var/lib/cni", "/var/lib/pybernetes", "/var/lib/kubelet")
_BOOT = """
set -e
mount --make-rprivate /
for d in $2; do [ -d $d ] || mkdir -p $d; mount -t tmpfs -o mode=755 tmpfs $d; done
mkdir -p /run/etc/upper /run/etc/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
echo $1 > /etc/hostname
hostname $1
ip link set lo up
mkdir -p /run/units /run/lock
for target in $4; do
  printf '[Unit]\\nDefaultDependencies=no\\n' > /run/units/$target.target
done
for d in $5; do mount -t tmpfs -o mode=1777 tmpfs $d; done
if [ -n "$5" ] && [ $(stat -f -c %T /sys/fs/cgroup) = tmpfs ]; then
  mkdir /run/cgroup
  mount -t tmpfs -o mode=755 tmpfs /run/cgroup
  for d in /sys/fs/cgroup/*; do
    if [ -L $d ]; then cp -P $d /run/cgroup; else mkdir /run/cgroup/${d##*/}; mount --bind $d /run/cgroup/${d##*/}; fi
  done
  mount --move /run/cgroup /sys/fs/cgroup
  rmdir /run/cgroup
fi
echo ready
exec $3
"""
SYSTEMD = Path("/lib/systemd/systemd")
#: systemd as a host's first process. Of this machine's units and generators it sees nothing, for they would tidy up and
#: set up a machine that is not theirs: the targets that every unit wants are empty, and made here. It makes the
#: folder of the cgroups read-only, so that is the host's own, too.
_UNITS = "/run/units"
_SYSTEMD = (
    f"env container=test SYSTEMD_UNIT_PATH={_UNITS}:/etc/systemd/system SYSTEMD_GENERATOR_PATH=/run/none "
    f"SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/none "
    f"{SYSTEMD} --system --unit=basic.target --show-status=no --log-target=null"
)
_TARGETS = (
    "sysinit basic network-online multi-user shutdown default rescue emergency exit local-fs timers paths sockets"
)
#: What else such a host does not share.
_SYSTEMD_OWN = ("/tmp", "/var/tmp", "/var/log", "/etc/systemd/system")


#: The kernel takes the links of a host that has ended away in its own time, so names are not used twice.
_NUMBERS = itertools.count()


class Host:
    """One machine."""

    def __init__(
        self, name: str, address: str, process: subprocess.Popen[str], inside: int, cgroup: Path | None = None
    ) -> None:
        self.name, self.address = name, address
        self.process, self.inside = process, inside
        self._cgroup = cgroup  # systemd makes its own below it

    def run(
        self, *command: str, check: bool = True, timeout: float = 120, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """A command on this host."""
        cgroups = ["-C"] if self._cgroup is not None else []
        enter = ["nsenter", "-t", str(self.inside), "-m", "-n", "-u", "-p", *cgroups, f"--wd={ROOT}", "--"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("KUBECONFIG", None)
        done = subprocess.run(
            [*enter, *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            input=stdin,
            env=environment,
        )
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def pybernetes(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A pybernetes command on this host."""
        return self.run(sys.executable, "-m", "pybernetes", *arguments, check=check, timeout=200)

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """The official kubectl with the administrator's kubeconfig of this host."""
        config = "/etc/kubernetes/admin.conf"
        return self.run(str(KUBECTL), "--kubeconfig", config, *arguments, stdin=stdin, check=check).stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def state(self) -> dict[str, set[str]]:
        """What a member could leave behind here."""
        script = "import json, tests.e2e.conftest as c; print(json.dumps(c.machine_state(), default=sorted))"
        found = {key: set(value) for key, value in json.loads(self.run(sys.executable, "-c", script).stdout).items()}
        # Mounts are inherited from the machine: other clusters of these tests may take down Pods meanwhile.
        found["mounts"] = {path for path in found["mounts"] if not path.startswith(f"{tempfile.gettempdir()}/")}
        for place in (*_OWN, "/etc/systemd", "/etc/cni"):
            listed = self.run("find", place, "-mindepth", "1", "-not", "-path", "/run/etc/*", check=False)
            found[place] = set(listed.stdout.splitlines())
        found["cgroups"] = set(
            self.run("find", "/sys/fs/cgroup", "-maxdepth", "3", "-path", f"*pybernetes/*-{self.name}").stdout.split()
        )
        found["etc"] = set(self.run("ls", "-A", "/etc").stdout.split())
        return found

    def end(self) -> None:
        """All its processes end, and all else of it goes with them."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self._cgroup is not None:
            end = time.monotonic() + 10
            while self._cgroup.exists():
                assert time.monotonic() < end, f"{self._cgroup} is in use"
                for directory, _, _ in os.walk(self._cgroup, topdown=False):
                    with suppress(OSError):
                        os.rmdir(directory)


@contextmanager
def hosts(*names: str, systemd: bool = False) -> Iterator[list[Host]]:
    """Hosts on one link, 172.31.7.1 and up, fd31:7::1 and up. They reach each other and nothing else.

    systemd: it runs them.
    """
    bridge = f"pbt{os.getpid() % 100000}-{next(_NUMBERS)}"
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["ip", "link", "del", bridge], check=False)
        subprocess.run(["ip", "link", "set", bridge, "up"], check=True)
        made = []
        for index, name in enumerate(names, 1):
            host = _boot(name, f"172.31.7.{index}", bridge, f"{bridge}{chr(ord('a') + index)}", systemd)
            stack.callback(host.end)
            made.append(host)
        for host in made if systemd else ():
            end = time.monotonic() + 60
            while (state := host.run("systemctl", "is-system-running", check=False).stdout) != "running\n":
                assert time.monotonic() < end, state
                time.sleep(0.1)
        yield made


def _boot(name: str, address: str, bridge: str, cable: str, systemd: bool) -> Host:
    unshare = ["unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    first, targets, more, cgroup = "sleep infinity", "", "", None
    if systemd:
        named = Path("/sys/fs/cgroup/systemd")
        cgroup = (named if named.is_dir() else named.parent) / cable
        cgroup.mkdir(exist_ok=True)
        unshare = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(cgroup), *unshare, "--cgroup"]
        first, targets, more = _SYSTEMD, _TARGETS, " ".join(_SYSTEMD_OWN)
    process = subprocess.Popen(
        [*unshare, "bash", "-c", _BOOT, "boot", name, " ".join(_OWN), first, targets, more],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n", f"host {name} does not start"
    inside = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    host = Host(name, address, process, inside, cgroup)
    commands = f"link add {cable} type veth peer name eth0 netns {inside}\nlink set {cable} master {bridge} up\n"
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True)
    host.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
    host.run("ip", "addr", "add", f"fd31:7::{address.rpartition('.')[2]}/64", "dev", "eth0", "nodad")
    host.run("ip", "link", "set", "eth0", "up")
    host.run("ip", "route", "add", "default", "via", "172.31.7.254")
    return host


def web_everywhere(name: str, listen: str) -> str:
    """The manifest of a DaemonSet whose Pods serve their own names at `listen`, on control planes, too."""
    return f"""
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      tolerations: [{{operator: Exists}}]
      containers:
      - name: web
        image: busybox:latest
        imagePullPolicy: Never
        command: [sh, -c, "hostname > /tmp/index.html; exec httpd -f -p '{listen}' -h /tmp"]
        readinessProbe: {{httpGet: {{port: 8080, path: /}}, periodSeconds: 1}}
"""


def join_line(output: str, *, control_plane: bool = False) -> list[str]:
    """The arguments of the line that `init` or `token create` printed."""
    joined = output.replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip().startswith("pybernetes join")]
    (line,) = [line for line in lines if ("--control-plane" in line) == control_plane]
    return re.split(r"\s+", line.strip())[1:]
