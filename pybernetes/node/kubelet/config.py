"""The kubelet's configuration, and where it keeps its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

KUBELET_VERSION = "v1.36.2"


@dataclass(frozen=True)
class Config:
    """One node's kubelet."""

    #: Name of the node object; lower-case, usually the host's name.
    node_name: str
    #: Addresses of the node, primary first. Empty: no InternalIP is announced and pods have no hostIP.
    node_ips: tuple[str, ...] = ()
    #: Pod directories (volumes, /etc/hosts, termination messages), below `pods/UID`.
    data_dir: Path = Path("/var/lib/pybernetes/kubelet")
    #: Container logs, as `NAMESPACE_NAME_UID/CONTAINER/N.log`.
    log_dir: Path = Path("/var/log/pods")
    #: What the kubelet's API shows as `/logs/`.
    system_log_dir: Path = Path("/var/log")
    #: Directory of static pod manifests; None: no static pods.
    manifest_dir: Path | None = None
    #: Where volumes of the built-in StorageClass are made when the provisioner asks; None: it may not.
    volume_dir: Path | None = None
    #: Labels and taints (`key=value:Effect`) given to the node when it registers.
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    #: Create the Node object and keep its status. False: only run pods.
    register: bool = True
    #: What the node offers; None: what the machine has.
    capacity: dict[str, str] | None = None
    #: Kept back from pods: allocatable is capacity less this.
    reserved: dict[str, str] = field(default_factory=dict)
    max_pods: int = 110
    #: Address of the cluster DNS; empty: pods get the node's resolv.conf.
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    #: The node's own resolver configuration, for dnsPolicy Default and as source of further search domains.
    resolv_conf: Path = Path("/etc/resolv.conf")
    #: The kubelet's HTTPS API: address and port (0: none).
    address: str = "127.0.0.1"
    port: int = 10250
    #: The certificate and key of that API, and the CA whose client certificates it accepts.
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    #: cgroup parent of all pods; None: cgroups are left to the runtime.
    cgroup_root: str | None = None
    #: Seconds between renewals of the node's lease, and how long it is good.
    lease_interval: float = 10.0
    lease_duration: int = 40
    #: Seconds between node statuses when nothing changes, and between looks at what may have changed.
    status_interval: float = 300.0
    pressure_interval: float = 30.0
    #: Seconds between full looks at the runtime, in case an event was lost.
    relist_interval: float = 60.0
    #: Pulls at a time.
    parallel_pulls: int = 4
    #: Enforce allocatable at admission; off for simulations.
    enforce_resources: bool = True
    #: Blocking file work in threads. Off under virtual time.
    offload_io: bool = True
    #: Mounts (tmpfs for memory-backed volumes) are real. Off without root: such volumes are directories then.
    real_mounts: bool = True
    #: Sysctls allowed beyond the safe ones, `kernel.msg*` form.
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    #: Eviction thresholds: signal -> quantity or percentage.
    eviction_hard: dict[str, str] = field(
        default_factory=lambda: {"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"}
    )
    #: Disk use in percent at which unused images are removed, and down to which.
    image_gc_high: int = 85
    image_gc_low: int = 80
    #: Size in bytes at which a container's log is rotated, and how many files are kept.
    log_max_size: int = 10 * 1024 * 1024
    log_max_files: int = 5


class Paths:
    """Where a pod's files are."""

    def __init__(self, config: Config) -> None:
        self.pods = config.data_dir / "pods"
        self.image_volumes = config.data_dir / "image-volumes"
        self.logs = config.log_dir

    def pod(self, uid: str) -> Path:
        return self.pods / uid

    def volume(self, uid: str, plugin: str, name: str) -> Path:
        """As upstream lays it out: `pods/UID/volumes/kubernetes.io~PLUGIN/NAME`."""
        return self.pods / uid / "volumes" / f"kubernetes.io~{plugin}" / name

    def subpaths(self, uid: str) -> Path:
        return self.pods / uid / "volume-subpaths"

    def hosts_file(self, uid: str) -> Path:
        return self.pods / uid / "etc-hosts"

    def termination_file(self, uid: str, container: str, count: int) -> Path:
        return self.pods / uid / "containers" / container / str(count)

    def pod_logs(self, namespace: str, name: str, uid: str) -> Path:
        return self.logs / f"{namespace}_{name}_{uid}"

    def log_file(self, namespace: str, name: str, uid: str, container: str, count: int) -> Path:
        return self.pod_logs(namespace, name, uid) / container / f"{count}.log"
