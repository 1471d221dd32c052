"""What a kubelet says to a container runtime, and what it hears: plain structs in the CRI's words.

Class and field names are those of the CRI v1 messages, because that is what the documentation of every runtime
speaks of; `wire.py` finds the field numbers by these names. Times are Unix nanoseconds and 0 where something has
not happened yet; sizes are bytes. Nested messages that the caller may leave out are None. Windows has no place here.
"""

from __future__ import annotations

import enum

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all that crosses the CRI: immutable, constructed by keyword."""


class Protocol(enum.IntEnum):
    TCP = 0
    UDP = 1
    SCTP = 2


class MountPropagation(enum.IntEnum):
    PRIVATE = 0
    HOST_TO_CONTAINER = 1
    BIDIRECTIONAL = 2


class NamespaceMode(enum.IntEnum):
    """Whose namespace: the pod's, the container's own, the node's, or that of `target_id`."""

    POD = 0
    CONTAINER = 1
    NODE = 2
    TARGET = 3


class SupplementalGroupsPolicy(enum.IntEnum):
    MERGE = 0
    STRICT = 1


class ProfileType(enum.IntEnum):
    """Kind of a seccomp or AppArmor profile."""

    RUNTIME_DEFAULT = 0
    UNCONFINED = 1
    LOCALHOST = 2


class PodSandboxState(enum.IntEnum):
    READY = 0
    NOTREADY = 1


class ContainerState(enum.IntEnum):
    CREATED = 0
    RUNNING = 1
    EXITED = 2
    UNKNOWN = 3


class CgroupDriver(enum.IntEnum):
    SYSTEMD = 0
    CGROUPFS = 1


# --- sandboxes --------------------------------------------------------------------------------------------------


class PodSandboxMetadata(Message, frozen=True):
    name: str = ""
    uid: str = ""
    namespace: str = ""
    attempt: int = 0


class DNSConfig(Message, frozen=True):
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []


class PortMapping(Message, frozen=True):
    protocol: Protocol = Protocol.TCP
    container_port: int = 0
    host_port: int = 0
    host_ip: str = ""


class IDMapping(Message, frozen=True):
    host_id: int = 0
    container_id: int = 0
    length: int = 0


class UserNamespace(Message, frozen=True):
    mode: NamespaceMode = NamespaceMode.POD
    uids: list[IDMapping] = []
    gids: list[IDMapping] = []


class NamespaceOption(Message, frozen=True):
    network: NamespaceMode = NamespaceMode.POD
    pid: NamespaceMode = NamespaceMode.POD
    ipc: NamespaceMode = NamespaceMode.POD
    target_id: str = ""
    userns_options: UserNamespace | None = None


class SELinuxOption(Message, frozen=True):
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SecurityProfile(Message, frozen=True):
    """`localhost_ref` is an absolute path (seccomp) or a profile name (AppArmor)."""

    profile_type: ProfileType = ProfileType.RUNTIME_DEFAULT
    localhost_ref: str = ""


class LinuxSandboxSecurityContext(Message, frozen=True):
    namespace_options: NamespaceOption | None = None
    selinux_options: SELinuxOption | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    readonly_rootfs: bool = False
    supplemental_groups: list[int] = []
    supplemental_groups_policy: SupplementalGroupsPolicy = SupplementalGroupsPolicy.MERGE
    privileged: bool = False
    seccomp: SecurityProfile | None = None
    apparmor: SecurityProfile | None = None


class HugepageLimit(Message, frozen=True):
    page_size: str = ""
    limit: int = 0


class LinuxContainerResources(Message, frozen=True):
    """Zero means "not set". CPU period and quota in microseconds, `unified` are raw cgroup v2 files."""

    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_shares: int = 0
    memory_limit_in_bytes: int = 0
    oom_score_adj: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    hugepage_limits: list[HugepageLimit] = []
    unified: dict[str, str] = {}
    memory_swap_limit_in_bytes: int = 0


class LinuxPodSandboxConfig(Message, frozen=True):
    cgroup_parent: str = ""
    security_context: LinuxSandboxSecurityContext | None = None
    sysctls: dict[str, str] = {}
    overhead: LinuxContainerResources | None = None
    resources: LinuxContainerResources | None = None


class PodSandboxConfig(Message, frozen=True):
    metadata: PodSandboxMetadata = PodSandboxMetadata()
    hostname: str = ""
    log_directory: str = ""
    dns_config: DNSConfig | None = None
    port_mappings: list[PortMapping] = []
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    linux: LinuxPodSandboxConfig | None = None


class PodIP(Message, frozen=True):
    ip: str = ""


class PodSandboxNetworkStatus(Message, frozen=True):
    ip: str = ""
    additional_ips: list[PodIP] = []


class Namespace(Message, frozen=True):
    options: NamespaceOption | None = None


class LinuxPodSandboxStatus(Message, frozen=True):
    namespaces: Namespace | None = None


class PodSandbox(Message, frozen=True):
    """An entry of list_pod_sandboxes."""

    id: str = ""
    metadata: PodSandboxMetadata = PodSandboxMetadata()
    state: PodSandboxState = PodSandboxState.READY
    created_at: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    runtime_handler: str = ""


class PodSandboxStatus(Message, frozen=True):
    id: str = ""
    metadata: PodSandboxMetadata = PodSandboxMetadata()
    state: PodSandboxState = PodSandboxState.READY
    created_at: int = 0
    network: PodSandboxNetworkStatus | None = None
    linux: LinuxPodSandboxStatus | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    runtime_handler: str = ""

    @property
    def ips(self) -> list[str]:
        """The pod's addresses, primary first; none in the node's network."""
        if self.network is None or not self.network.ip:
            return []
        return [self.network.ip, *(item.ip for item in self.network.additional_ips)]


# --- containers -------------------------------------------------------------------------------------------------


class ImageSpec(Message, frozen=True):
    """`image` is what the runtime shall use (after a pull: the id); `user_specified_image` what the pod said."""

    image: str = ""
    annotations: dict[str, str] = {}
    user_specified_image: str = ""
    runtime_handler: str = ""
    image_ref: str = ""


class SnapshotMount(Message, frozen=True):
    """An argument list of mount(8): `-t type -o options source`."""

    type: str = ""
    source: str = ""
    target: str = ""
    options: list[str] = []


class KeyValue(Message, frozen=True):
    """An environment variable; the value is bytes on the wire and needs not be UTF-8."""

    key: str = ""
    value: bytes = b""


class Mount(Message, frozen=True):
    container_path: str = ""
    host_path: str = ""
    readonly: bool = False
    selinux_relabel: bool = False
    propagation: MountPropagation = MountPropagation.PRIVATE
    uid_mappings: list[IDMapping] = []
    gid_mappings: list[IDMapping] = []
    recursive_read_only: bool = False
    image: ImageSpec | None = None
    image_sub_path: str = ""


class Device(Message, frozen=True):
    container_path: str = ""
    host_path: str = ""
    permissions: str = ""


class CDIDevice(Message, frozen=True):
    name: str = ""


class Capability(Message, frozen=True):
    add_capabilities: list[str] = []
    drop_capabilities: list[str] = []
    add_ambient_capabilities: list[str] = []


class LinuxContainerSecurityContext(Message, frozen=True):
    capabilities: Capability | None = None
    privileged: bool = False
    namespace_options: NamespaceOption | None = None
    selinux_options: SELinuxOption | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_username: str = ""
    readonly_rootfs: bool = False
    supplemental_groups: list[int] = []
    supplemental_groups_policy: SupplementalGroupsPolicy = SupplementalGroupsPolicy.MERGE
    no_new_privs: bool = False
    masked_paths: list[str] = []
    readonly_paths: list[str] = []
    seccomp: SecurityProfile | None = None
    apparmor: SecurityProfile | None = None
    #: The two fields that runtimes before 2021 read; containerd 1.6 still looks at them when the new are absent.
    apparmor_profile: str = ""
    seccomp_profile_path: str = ""


class LinuxContainerConfig(Message, frozen=True):
    resources: LinuxContainerResources | None = None
    security_context: LinuxContainerSecurityContext | None = None


class ContainerMetadata(Message, frozen=True):
    name: str = ""
    attempt: int = 0


class ContainerConfig(Message, frozen=True):
    """`log_path` is relative to the sandbox's `log_directory`; `stop_signal` a number of the CRI's Signal enum."""

    metadata: ContainerMetadata = ContainerMetadata()
    image: ImageSpec = ImageSpec()
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    envs: list[KeyValue] = []
    mounts: list[Mount] = []
    devices: list[Device] = []
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    linux: LinuxContainerConfig | None = None
    cdi_devices: list[CDIDevice] = []
    stop_signal: int = 0


class Container(Message, frozen=True):
    """An entry of list_containers."""

    id: str = ""
    pod_sandbox_id: str = ""
    metadata: ContainerMetadata = ContainerMetadata()
    image: ImageSpec = ImageSpec()
    image_ref: str = ""
    state: ContainerState = ContainerState.CREATED
    created_at: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    image_id: str = ""


class LinuxContainerUser(Message, frozen=True):
    uid: int = 0
    gid: int = 0
    supplemental_groups: list[int] = []


class ContainerUser(Message, frozen=True):
    linux: LinuxContainerUser | None = None


class ContainerResources(Message, frozen=True):
    linux: LinuxContainerResources | None = None


class ContainerStatus(Message, frozen=True):
    """`reason` is "Completed", "Error", "OOMKilled", "StartError" ...; `log_path` absolute."""

    id: str = ""
    metadata: ContainerMetadata = ContainerMetadata()
    state: ContainerState = ContainerState.CREATED
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    image: ImageSpec = ImageSpec()
    image_ref: str = ""
    reason: str = ""
    message: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    mounts: list[Mount] = []
    log_path: str = ""
    resources: ContainerResources | None = None
    image_id: str = ""
    user: ContainerUser | None = None
    stop_signal: int = 0


class ExecResult(Message, frozen=True):
    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0


class EventKind(enum.StrEnum):
    SUBSCRIBED = "subscribed"
    STARTED = "started"
    EXITED = "exited"
    OOM = "oom"


class ContainerEvent(Message, frozen=True):
    """Something happened to a container, or to a sandbox (then `container_id` is the sandbox's id).

    SUBSCRIBED comes first on every stream and has no id: what happens from here on will be told.
    `exit_code` and `at` (Unix nanoseconds) are those of the exit; `at` of other kinds is when the event was made.
    """

    container_id: str
    kind: EventKind
    exit_code: int = 0
    at: int = 0


# --- images -----------------------------------------------------------------------------------------------------


class Image(Message, frozen=True):
    id: str = ""
    repo_tags: list[str] = []
    repo_digests: list[str] = []
    size: int = 0
    uid: int | None = None
    username: str = ""
    spec: ImageSpec | None = None
    pinned: bool = False


class AuthConfig(Message, frozen=True):
    username: str = ""
    password: str = ""
    auth: str = ""
    server_address: str = ""
    identity_token: str = ""
    registry_token: str = ""


class FilesystemIdentifier(Message, frozen=True):
    mountpoint: str = ""


class FilesystemUsage(Message, frozen=True):
    timestamp: int = 0
    fs_id: FilesystemIdentifier | None = None
    used_bytes: int | None = None
    inodes_used: int | None = None


class ImageFsInfo(Message, frozen=True):
    image_filesystems: list[FilesystemUsage] = []
    container_filesystems: list[FilesystemUsage] = []


# --- the runtime itself, and figures ----------------------------------------------------------------------------


class Version(Message, frozen=True):
    version: str = ""
    runtime_name: str = ""
    runtime_version: str = ""
    runtime_api_version: str = ""


class RuntimeCondition(Message, frozen=True):
    """`type` is RuntimeReady or NetworkReady."""

    type: str = ""
    status: bool = False
    reason: str = ""
    message: str = ""


class RuntimeHandlerFeatures(Message, frozen=True):
    recursive_read_only_mounts: bool = False
    user_namespaces: bool = False


class RuntimeHandler(Message, frozen=True):
    name: str = ""
    features: RuntimeHandlerFeatures | None = None


class RuntimeFeatures(Message, frozen=True):
    supplemental_groups_policy: bool = False
    user_namespaces_host_network: bool = False


class RuntimeStatus(Message, frozen=True):
    """What the runtime says of itself; `info` is its verbose output, only when asked for."""

    conditions: list[RuntimeCondition] = []
    handlers: list[RuntimeHandler] = []
    features: RuntimeFeatures | None = None
    info: dict[str, str] = {}

    def condition(self, kind: str) -> RuntimeCondition:
        """The condition of this type; a false one when the runtime does not report it."""
        for condition in self.conditions:
            if condition.type == kind:
                return condition
        return RuntimeCondition(type=kind, reason="NotReported", message=f"the runtime does not report {kind}")


class PsiData(Message, frozen=True):
    total: int = 0
    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0


class PsiStats(Message, frozen=True):
    full: PsiData | None = None
    some: PsiData | None = None


class CpuUsage(Message, frozen=True):
    timestamp: int = 0
    usage_core_nano_seconds: int | None = None
    usage_nano_cores: int | None = None
    psi: PsiStats | None = None


class MemoryUsage(Message, frozen=True):
    timestamp: int = 0
    working_set_bytes: int | None = None
    available_bytes: int | None = None
    usage_bytes: int | None = None
    rss_bytes: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None
    psi: PsiStats | None = None


class SwapUsage(Message, frozen=True):
    timestamp: int = 0
    swap_available_bytes: int | None = None
    swap_usage_bytes: int | None = None


class IoUsage(Message, frozen=True):
    timestamp: int = 0
    psi: PsiStats | None = None


class NetworkInterfaceUsage(Message, frozen=True):
    name: str = ""
    rx_bytes: int | None = None
    rx_errors: int | None = None
    tx_bytes: int | None = None
    tx_errors: int | None = None


class NetworkUsage(Message, frozen=True):
    timestamp: int = 0
    default_interface: NetworkInterfaceUsage | None = None
    interfaces: list[NetworkInterfaceUsage] = []


class ProcessUsage(Message, frozen=True):
    timestamp: int = 0
    process_count: int | None = None


class ContainerAttributes(Message, frozen=True):
    id: str = ""
    metadata: ContainerMetadata = ContainerMetadata()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class ContainerStats(Message, frozen=True):
    attributes: ContainerAttributes = ContainerAttributes()
    cpu: CpuUsage | None = None
    memory: MemoryUsage | None = None
    writable_layer: FilesystemUsage | None = None
    swap: SwapUsage | None = None
    io: IoUsage | None = None


class PodSandboxAttributes(Message, frozen=True):
    id: str = ""
    metadata: PodSandboxMetadata = PodSandboxMetadata()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class LinuxPodSandboxStats(Message, frozen=True):
    cpu: CpuUsage | None = None
    memory: MemoryUsage | None = None
    network: NetworkUsage | None = None
    process: ProcessUsage | None = None
    containers: list[ContainerStats] = []
    io: IoUsage | None = None


class PodSandboxStats(Message, frozen=True):
    attributes: PodSandboxAttributes = PodSandboxAttributes()
    linux: LinuxPodSandboxStats | None = None
