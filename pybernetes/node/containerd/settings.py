"""containerd's configuration file, from what the node is given and what the machine is able to.

Pure but for `probe()`. What is not needed is switched off: snapshotters that probe for disks, tracing, metrics.

cgroups are the kubelet's and runc's own on every machine (the "cgroupfs driver"), also where systemd runs: its driver
wants Pods in slices that systemd makes, by D-Bus, and a path like ours is refused by runc when `SystemdCgroup` is set.
The tree is one that systemd does not know, below the root; it leaves such trees alone, and cannot take a controller
from them that they have switched on.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

_CAP_SYS_RESOURCE = 24
_CNI_PLACES = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
#: Plugins that a kubelet's node has no use for. Each costs start-up time or a goroutine; some log errors where their
#: kernel module is missing. An unknown name is ignored by containerd.
DISABLED = (
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.monitor.v1.cgroups",
    "io.containerd.nri.v1.nri",
)


@dataclass(frozen=True)
class Config:
    """One node's containerd."""

    #: Images, snapshots and metadata; below it also the configuration and the log.
    data_dir: Path
    #: Where the node's CNI configuration is (`network.cni` writes it).
    cni_conf_dir: Path
    #: Image of the sandbox container; it must be imported before the first pod.
    sandbox_image: str
    #: Sockets, bundles of running containers, network namespaces. None: a directory below /run that belongs to
    #: `data_dir`, since socket paths may have 107 bytes only and a reboot must empty it.
    state_dir: Path | None = None
    #: CNI plugins; None: the first of the usual places that exists.
    cni_bin_dir: Path | None = None
    #: Path of a network namespace to run in (`/run/netns/NAME`); None: this process's own.
    netns: Path | None = None
    #: Program; found in PATH when it is no path.
    binary: str = "containerd"
    #: "overlayfs" or "native"; "": what the machine can.
    snapshotter: str = ""
    #: Layers fetched at a time, for one image.
    max_concurrent_downloads: int = 3
    #: Seconds from start to the first answer.
    start_timeout: float = 30.0

    @property
    def state(self) -> Path:
        """`state_dir`, or the place below /run that belongs to the data directory."""
        if self.state_dir is not None:
            return self.state_dir
        name = hashlib.sha256(os.fsencode(self.data_dir.absolute())).hexdigest()[:12]
        return Path("/run/pybernetes") / name

    @property
    def socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def root(self) -> Path:
        return self.data_dir / "root"

    @property
    def config_file(self) -> Path:
        return self.data_dir / "config.toml"

    @property
    def pid_file(self) -> Path:
        return self.state / "containerd.pid"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "containerd.log"


@dataclass(frozen=True)
class Machine:
    """What the configuration depends on beside the node's wishes."""

    #: Whether oom_score_adj may be lowered (containers, user namespaces often may not).
    can_lower_oom_score: bool
    overlayfs: bool
    cni_bin_dir: Path


def probe() -> Machine:
    """Look at this machine."""
    status = Path("/proc/self/status").read_text()
    capabilities = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))
    return Machine(
        can_lower_oom_score=bool(capabilities >> _CAP_SYS_RESOURCE & 1),
        overlayfs="\toverlay\n" in Path("/proc/filesystems").read_text(),
        cni_bin_dir=next((Path(p) for p in _CNI_PLACES if Path(p).is_dir()), Path(_CNI_PLACES[0])),
    )


def render(config: Config, machine: Machine) -> str:
    """The text of config.toml (version 2)."""
    snapshotter = config.snapshotter or ("overlayfs" if machine.overlayfs else "native")
    text = json.dumps  # TOML's basic strings and arrays of them are JSON's

    def flag(value: bool) -> str:
        return "true" if value else "false"

    return f"""# Written at every start; changes are lost.
version = 2
root = {text(str(config.root))}
state = {text(str(config.state / "state"))}
disabled_plugins = {text(list(DISABLED))}

[grpc]
  address = {text(str(config.socket))}
[debug]
  level = "warn"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {text(config.sandbox_image)}
  restrict_oom_score_adj = {flag(not machine.can_lower_oom_score)}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  max_concurrent_downloads = {config.max_concurrent_downloads}
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = {text(snapshotter)}
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = {text(str(config.state / "runc"))}
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = {text(str(config.cni_conf_dir))}
    bin_dir = {text(str(config.cni_bin_dir or machine.cni_bin_dir))}
    max_conf_num = 1
"""
