"""Security contexts in the CRI's words: what pod and container say together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pybernetes.api.core_v1 import AppArmorProfile, Pod, PodSecurityContext, SeccompProfile, SecurityContext
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet.environment import ConfigError
from pybernetes.node.kubelet.restarts import AnyContainer

MASKED_PATHS = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
)


def namespaces(pod: Pod, target: str = "") -> t.NamespaceOption:
    """Namespaces of a pod. `target` is the container id whose processes an ephemeral container joins."""
    spec = pod.spec
    if target:
        pid = t.NamespaceMode.TARGET
    elif spec.host_pid:
        pid = t.NamespaceMode.NODE
    elif spec.share_process_namespace:
        pid = t.NamespaceMode.POD
    else:
        pid = t.NamespaceMode.CONTAINER
    return t.NamespaceOption(
        network=t.NamespaceMode.NODE if spec.host_network else t.NamespaceMode.POD,
        pid=pid,
        ipc=t.NamespaceMode.NODE if spec.host_ipc else t.NamespaceMode.POD,
        target_id=target,
    )


def privileged(container: AnyContainer) -> bool:
    return bool(container.security_context and container.security_context.privileged)


def sandbox_context(pod: Pod, seccomp_root: Path) -> t.LinuxSandboxSecurityContext:
    """The sandbox's: it is privileged when one of its containers is."""
    context = pod.spec.security_context or PodSecurityContext()
    containers = (*pod.spec.containers, *(pod.spec.init_containers or ()))
    return t.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        run_as_user=context.run_as_user,
        run_as_group=context.run_as_group,
        supplemental_groups=_groups(context),
        privileged=any(privileged(c) for c in containers),
        seccomp=seccomp(context.seccomp_profile, None, seccomp_root) or t.SecurityProfile(),
        selinux_options=_selinux(context, None),
    )


def _groups(context: PodSecurityContext, extra: Sequence[int] = ()) -> list[int]:
    groups = [*(context.supplemental_groups or ()), *extra]
    if context.fs_group is not None:
        groups.append(context.fs_group)
    return list(dict.fromkeys(groups))


def seccomp(pod: SeccompProfile | None, own: SeccompProfile | None, root: Path) -> t.SecurityProfile | None:
    """The container's profile or else the pod's; None: unconfined."""
    profile = own or pod
    if profile is None or profile.type == "Unconfined":
        return t.SecurityProfile(profile_type=t.ProfileType.UNCONFINED)
    if profile.type == "RuntimeDefault":
        return t.SecurityProfile(profile_type=t.ProfileType.RUNTIME_DEFAULT)
    path = str(root / (profile.localhost_profile or ""))
    return t.SecurityProfile(profile_type=t.ProfileType.LOCALHOST, localhost_ref=path)


def _apparmor(pod: Pod, container: AnyContainer) -> t.SecurityProfile | None:
    own = container.security_context.app_armor_profile if container.security_context else None
    context = pod.spec.security_context
    profile: AppArmorProfile | None = own or (context.app_armor_profile if context else None)
    if profile is None:
        return None
    if profile.type == "Unconfined":
        return t.SecurityProfile(profile_type=t.ProfileType.UNCONFINED)
    if profile.type == "RuntimeDefault":
        return t.SecurityProfile(profile_type=t.ProfileType.RUNTIME_DEFAULT)
    return t.SecurityProfile(profile_type=t.ProfileType.LOCALHOST, localhost_ref=profile.localhost_profile or "")


def _selinux(pod: PodSecurityContext, own: SecurityContext | None) -> t.SELinuxOption | None:
    options = (own.se_linux_options if own else None) or pod.se_linux_options
    if options is None:
        return None
    return t.SELinuxOption(
        user=options.user or "", role=options.role or "", type=options.type or "", level=options.level or ""
    )


def container_context(
    pod: Pod,
    container: AnyContainer,
    image: t.Image,
    seccomp_root: Path,
    target: str = "",
    *,
    fs_groups: Sequence[int] = (),
) -> t.LinuxContainerSecurityContext:
    """One container's. Raises ConfigError when it must not run as root and the image's user is (or may be) root."""
    of_pod = pod.spec.security_context or PodSecurityContext()
    own = container.security_context or SecurityContext()
    user = own.run_as_user if own.run_as_user is not None else of_pod.run_as_user
    group = own.run_as_group if own.run_as_group is not None else of_pod.run_as_group
    non_root = own.run_as_non_root if own.run_as_non_root is not None else of_pod.run_as_non_root
    name = ""
    if user is None:
        user, name = image.uid, image.username
        if user is None and not name:
            user = 0
    if non_root:
        _verify_non_root(pod, container, user, name, own.run_as_user is not None or of_pod.run_as_user is not None)
    unmasked = own.proc_mount == "Unmasked" or bool(own.privileged)
    capabilities = own.capabilities
    return t.LinuxContainerSecurityContext(
        capabilities=t.Capability(
            add_capabilities=list(capabilities.add or ()), drop_capabilities=list(capabilities.drop or ())
        )
        if capabilities
        else None,
        privileged=bool(own.privileged),
        namespace_options=namespaces(pod, target),
        selinux_options=_selinux(of_pod, container.security_context),
        run_as_user=user,
        run_as_group=group,
        run_as_username=name if user is None else "",
        readonly_rootfs=bool(own.read_only_root_filesystem),
        supplemental_groups=_groups(of_pod, fs_groups),
        supplemental_groups_policy=t.SupplementalGroupsPolicy.STRICT
        if of_pod.supplemental_groups_policy == "Strict"
        else t.SupplementalGroupsPolicy.MERGE,
        no_new_privs=own.allow_privilege_escalation is False,
        masked_paths=[] if unmasked else MASKED_PATHS,
        readonly_paths=[] if unmasked else READONLY_PATHS,
        seccomp=None if own.privileged else seccomp(of_pod.seccomp_profile, own.seccomp_profile, seccomp_root),
        apparmor=_apparmor(pod, container),
    )


def _verify_non_root(pod: Pod, container: AnyContainer, user: int | None, name: str, explicit: bool) -> None:
    who = f'pod: "{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})", container: {container.name}'
    if user == 0:
        if explicit:
            raise ConfigError(f"container's runAsUser breaks non-root policy ({who})")
        raise ConfigError(f"container has runAsNonRoot and image will run as root ({who})")
    if user is None and name:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root ({who})"
        )


def forbidden_sysctl(pod: Pod, allowed: Sequence[str]) -> str:
    """The text of why the pod's sysctls are refused; "" when they are fine."""
    context = pod.spec.security_context
    for sysctl in (context.sysctls if context else None) or ():
        name = sysctl.name.replace("/", ".")
        if name not in SAFE_SYSCTLS and not any(
            name == rule or (rule.endswith("*") and name.startswith(rule[:-1])) for rule in allowed
        ):
            return f'forbidden sysctl: "{sysctl.name}" not allowlisted'
        if pod.spec.host_network and name.startswith("net."):
            return f'forbidden sysctl: "{sysctl.name}" not allowed with host net enabled'
        if pod.spec.host_ipc and (name.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")) or name == "kernel.sem"):
            return f'forbidden sysctl: "{sysctl.name}" not allowed with host ipc enabled'
    return ""
