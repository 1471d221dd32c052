"""PodSecurity: the Pod Security Standards (baseline, restricted), as the namespace's labels demand them.

Each check of the standards is one function that looks at a Pod and tells what is wrong; levels are lists of them.
`enforce` refuses, `warn` and `audit` tell (for workloads too, by their template).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from pybernetes.api.core_v1.container import Container, EphemeralContainer
from pybernetes.api.core_v1.objects import Namespace
from pybernetes.api.core_v1.pod import Pod, PodSpec
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import is_core, refuse
from pybernetes.machinery.meta import ObjectMeta

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core

PREFIX = "pod-security.kubernetes.io/"
AnyContainer: TypeAlias = Container | EphemeralContainer
#: (short reason, details) of a finding.
Finding = tuple[str, str]
Check = Callable[[ObjectMeta, PodSpec], Finding | None]


def _containers(spec: PodSpec) -> Iterator[AnyContainer]:
    yield from spec.init_containers or ()
    yield from spec.containers
    yield from spec.ephemeral_containers or ()


def _q(items: Sequence[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _plural(items: Sequence[str], word: str = "container") -> str:
    return f"{word}{'s' if len(items) > 1 else ''} {_q(items)}"


# Baseline ----------------------------------------------------------------------------------------------------------


def host_process(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    bad = [
        c.name
        for c in _containers(spec)
        if c.security_context and c.security_context.windows_options and c.security_context.windows_options.host_process
    ]
    pod = bool(
        spec.security_context
        and spec.security_context.windows_options
        and spec.security_context.windows_options.host_process
    )
    if not bad and not pod:
        return None
    who = [*(["pod"] if pod else []), *([_plural(bad)] if bad else [])]
    return "hostProcess", f"{' and '.join(who)} must not set securityContext.windowsOptions.hostProcess=true"


def host_namespaces(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    used = [
        f"{name}=true"
        for name, value in (("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc))
        if value
    ]
    return ("host namespaces", ", ".join(used)) if used else None


def privileged(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    bad = [c.name for c in _containers(spec) if c.security_context and c.security_context.privileged]
    return ("privileged", f"{_plural(bad)} must not set securityContext.privileged=true") if bad else None


BASELINE_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)


def capabilities_baseline(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    bad, extra = [], set()
    for c in _containers(spec):
        added = (
            c.security_context.capabilities.add if c.security_context and c.security_context.capabilities else None
        ) or ()
        wrong = [a for a in added if a not in BASELINE_CAPABILITIES]
        if wrong:
            bad.append(c.name)
            extra.update(wrong)
    if not bad:
        return None
    text = f"{_plural(bad)} must not include {_q(sorted(extra))} in securityContext.capabilities.add"
    return "non-default capabilities", text


def host_path(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    bad = [v.name for v in spec.volumes or () if v.host_path is not None]
    return ("hostPath volumes", _plural(bad, "volume")) if bad else None


def host_ports(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    bad, ports = [], []
    for c in _containers(spec):
        used = [str(p.host_port) for p in c.ports or () if p.host_port]
        if used:
            bad.append(c.name)
            ports += used
    if not bad:
        return None
    word = "hostPort" if len(ports) == 1 else "hostPorts"
    uses = "uses" if len(bad) == 1 else "use"
    return "hostPort", f"{_plural(bad)} {uses} {word} {', '.join(sorted(set(ports), key=int))}"


def host_probes(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    bad, hosts = [], []
    for c in _containers(spec):
        used = []
        handlers: list[Any] = [c.liveness_probe, c.readiness_probe, c.startup_probe]
        if c.lifecycle is not None:
            handlers += [c.lifecycle.post_start, c.lifecycle.pre_stop]
        for handler in handlers:
            if handler is None:
                continue
            for action in (handler.http_get, handler.tcp_socket):
                if action is not None and action.host:
                    used.append(action.host)
        if used:
            bad.append(c.name)
            hosts += used
    if not bad:
        return None
    word = "host" if len(set(hosts)) == 1 else "hosts"
    uses = "uses" if len(bad) == 1 else "use"
    return "probe or lifecycle host", f"{_plural(bad)} {uses} probe or lifecycle {word} {_q(sorted(set(hosts)))}"


def app_armor(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    wrong = sorted(
        f'{key}="{value}"'
        for key, value in (metadata.annotations or {}).items()
        if key.startswith("container.apparmor.security.beta.kubernetes.io/")
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    bad = [
        c.name
        for c in _containers(spec)
        if c.security_context
        and c.security_context.app_armor_profile
        and c.security_context.app_armor_profile.type not in ("RuntimeDefault", "Localhost")
    ]
    profile = spec.security_context.app_armor_profile if spec.security_context else None
    who = []
    if profile is not None and profile.type not in ("RuntimeDefault", "Localhost"):
        who.append("pod")
    if bad:
        who.append(_plural(bad))
    if who:
        text = f'{" and ".join(who)} must not set AppArmor profile type to "Unconfined"'
        return "forbidden AppArmor profile", text
    if wrong:
        word = "annotations" if len(wrong) > 1 else "annotation"
        return (
            "forbidden AppArmor profiles" if len(wrong) > 1 else "forbidden AppArmor profile"
        ), f"{word} {', '.join(wrong)}"
    return None


SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def selinux(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    details = []
    found = [("pod", spec.security_context)] if spec.security_context else []
    listed: list[tuple[str, Any]] = [
        *found,
        *((f'container "{c.name}"', c.security_context) for c in _containers(spec)),
    ]
    types, users, roles, who = set(), False, False, []
    for name, context in listed:
        options = context.se_linux_options if context else None
        if options is None:
            continue
        wrong = False
        if (options.type or "") not in SELINUX_TYPES:
            types.add(options.type or "")
            wrong = True
        if options.user:
            users = wrong = True
        if options.role:
            roles = wrong = True
        if wrong:
            who.append(name)
    if not who:
        return None
    if types:
        details.append(f"type{'s' if len(types) > 1 else ''} {_q(sorted(types))}")
    if users:
        details.append("user may not be set")
    if roles:
        details.append("role may not be set")
    return "seLinuxOptions", f"{' and '.join(who)} set forbidden securityContext.seLinuxOptions: {'; '.join(details)}"


def proc_mount(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    bad, kinds = [], set()
    for c in _containers(spec):
        kind = c.security_context.proc_mount if c.security_context else None
        if kind not in (None, "Default"):
            bad.append(c.name)
            kinds.add(kind or "")
    if not bad:
        return None
    return "procMount", f"{_plural(bad)} must not set securityContext.procMount to {_q(sorted(kinds))}"


def seccomp_baseline(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    ok = (None, "RuntimeDefault", "Localhost")
    who, values = [], set()
    profile = spec.security_context.seccomp_profile if spec.security_context else None
    if profile is not None and profile.type not in ok:
        who.append("pod")
        values.add(profile.type)
    bad = []
    for c in _containers(spec):
        own = c.security_context.seccomp_profile if c.security_context else None
        if own is not None and own.type not in ok:
            bad.append(c.name)
            values.add(own.type)
    if bad:
        who.append(_plural(bad))
    if not who:
        return None
    return (
        "seccompProfile",
        f"{' and '.join(who)} must not set securityContext.seccompProfile.type to {_q(sorted(values))}",
    )


SAFE_SYSCTLS = frozenset(
    {
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
    }
)


def sysctls(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    listed = (spec.security_context.sysctls if spec.security_context else None) or ()
    bad = [s.name for s in listed if s.name not in SAFE_SYSCTLS]
    return ("forbidden sysctls", ", ".join(bad)) if bad else None


# Restricted --------------------------------------------------------------------------------------------------------


def volume_types(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    from pybernetes.api.core_v1.volume_validation import SOURCES

    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    bad, kinds = [], set()
    for volume in spec.volumes or ():
        kind = next((w for a, w in SOURCES.items() if getattr(volume, a) is not None), "unknown")
        if kind not in allowed:
            bad.append(volume.name)
            kinds.add(kind)
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    word = "type" if len(kinds) == 1 else "types"
    return "restricted volume types", f"{_plural(bad, 'volume')} {uses} restricted volume {word} {_q(sorted(kinds))}"


def _windows(spec: PodSpec) -> bool:
    return spec.os is not None and spec.os.name == "windows"


def privilege_escalation(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    if _windows(spec):
        return None
    bad = [
        c.name
        for c in _containers(spec)
        if c.security_context is None or c.security_context.allow_privilege_escalation is not False
    ]
    if not bad:
        return None
    return (
        "allowPrivilegeEscalation != false",
        f"{_plural(bad)} must set securityContext.allowPrivilegeEscalation=false",
    )


def run_as_non_root(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    if spec.host_users is False:
        return None
    pod = spec.security_context.run_as_non_root if spec.security_context else None
    bad, silent = [], []
    for c in _containers(spec):
        own = c.security_context.run_as_non_root if c.security_context else None
        if own is False:
            bad.append(c.name)
        elif own is None and not pod:
            silent.append(c.name)
    if bad or (pod is False and silent):
        who = [*(["pod"] if pod is False else []), *([_plural(bad)] if bad else [])]
        return "runAsNonRoot != true", f"{' and '.join(who)} must not set securityContext.runAsNonRoot=false"
    if silent:
        text = f"pod or {_plural(silent)} must set securityContext.runAsNonRoot=true"
        return "runAsNonRoot != true", text
    return None


def run_as_user(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    if spec.host_users is False:
        return None
    pod = spec.security_context is not None and spec.security_context.run_as_user == 0
    bad = [c.name for c in _containers(spec) if c.security_context and c.security_context.run_as_user == 0]
    if not pod and not bad:
        return None
    who = [*(["pod"] if pod else []), *([_plural(bad)] if bad else [])]
    return "runAsUser=0", f"{' and '.join(who)} must not set runAsUser=0"


def seccomp_restricted(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    if _windows(spec):
        return None
    ok = ("RuntimeDefault", "Localhost")
    profile = spec.security_context.seccomp_profile if spec.security_context else None
    bad, silent, values = [], [], set()
    for c in _containers(spec):
        own = c.security_context.seccomp_profile if c.security_context else None
        if own is None:
            if profile is None or profile.type not in ok:
                silent.append(c.name)
        elif own.type not in ok:
            bad.append(c.name)
            values.add(own.type)
    pod_bad = profile is not None and profile.type not in ok
    if pod_bad and profile is not None:
        values.add(profile.type)
    if bad or (pod_bad and silent):
        who = [*(["pod"] if pod_bad else []), *([_plural(bad)] if bad else [])]
        return (
            "seccompProfile",
            f"{' and '.join(who)} must not set securityContext.seccompProfile.type to {_q(sorted(values))}",
        )
    if silent:
        text = (
            f'pod or {_plural(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        )
        return "seccompProfile", text
    return None


def capabilities_restricted(metadata: ObjectMeta, spec: PodSpec) -> Finding | None:
    if _windows(spec):
        return None
    keeping, adding, extra = [], [], set()
    for c in _containers(spec):
        caps = c.security_context.capabilities if c.security_context else None
        if caps is None or "ALL" not in (caps.drop or ()):
            keeping.append(c.name)
        wrong = [a for a in (caps.add if caps else None) or () if a != "NET_BIND_SERVICE"]
        if wrong:
            adding.append(c.name)
            extra.update(wrong)
    details = []
    if keeping:
        details.append(f'{_plural(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        details.append(f"{_plural(adding)} must not include {_q(sorted(extra))} in securityContext.capabilities.add")
    return ("unrestricted capabilities", "; ".join(details)) if details else None


BASELINE: tuple[Check, ...] = (
    app_armor,
    capabilities_baseline,
    host_namespaces,
    host_path,
    host_ports,
    host_probes,
    host_process,
    privileged,
    proc_mount,
    seccomp_baseline,
    selinux,
    sysctls,
)
#: Restricted replaces baseline's capabilities and seccomp by stricter ones.
RESTRICTED: tuple[Check, ...] = (
    app_armor,
    host_namespaces,
    host_path,
    host_ports,
    host_probes,
    host_process,
    privileged,
    proc_mount,
    selinux,
    sysctls,
    privilege_escalation,
    capabilities_restricted,
    volume_types,
    run_as_non_root,
    run_as_user,
    seccomp_restricted,
)
LEVELS: dict[str, tuple[Check, ...]] = {"privileged": (), "baseline": BASELINE, "restricted": RESTRICTED}
_TEMPLATES = frozenset(
    {
        "deployments",
        "replicasets",
        "daemonsets",
        "statefulsets",
        "jobs",
        "cronjobs",
        "replicationcontrollers",
        "podtemplates",
    }
)


def evaluate(level: str, version: str, metadata: ObjectMeta, spec: PodSpec) -> str | None:
    """`violates PodSecurity "restricted:latest": ...`, or None. An unknown level is `restricted`."""
    found = []
    for check in LEVELS.get(level, RESTRICTED):
        finding = check(metadata, spec)
        if finding is not None:
            found.append(f"{finding[0]} ({finding[1]})")
    return f'violates PodSecurity "{level}:{version}": {", ".join(found)}' if found else None


class PodSecurity(Plugin):
    name = "PodSecurity"
    fixed = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: Attributes) -> bool:
        if attributes.operation not in ("CREATE", "UPDATE"):
            return False
        resource = attributes.resource.kind.resource
        if resource == "pods":
            return attributes.subresource in ("", "ephemeralcontainers") and not attributes.resource.kind.group
        if attributes.subresource:
            return False
        return resource in _TEMPLATES or is_core(attributes, "namespaces")

    async def validate(self, attributes: Attributes) -> None:
        if attributes.resource.kind.resource == "namespaces":
            self._namespace(attributes)
            return
        labels = self._labels(attributes.namespace)
        if not any(key.startswith(PREFIX) for key in labels):
            return
        obj = cast(Any, attributes.obj)
        if attributes.resource.kind.resource == "pods":
            pod = cast(Pod, obj)
            if attributes.operation == "UPDATE" and not _relevant(pod, cast(Pod, attributes.old_obj)):
                return
            text = self._evaluate(labels, "enforce", pod.metadata, pod.spec)
            if attributes.annotations is not None:
                level, version = (
                    labels.get(f"{PREFIX}enforce", "privileged"),
                    labels.get(f"{PREFIX}enforce-version", ""),
                )
                attributes.annotate(f"{PREFIX}enforce-policy", f"{level}:{version or 'latest'}")
            if text is not None:
                raise refuse(attributes, text)
            template_meta, spec = pod.metadata, pod.spec
        else:
            template = obj.template if hasattr(obj, "template") else None
            if template is None and hasattr(obj, "spec"):
                template = getattr(obj.spec, "template", None)
                if template is None and hasattr(obj.spec, "job_template"):
                    job = obj.spec.job_template.spec
                    template = job.template if job is not None else None
            if template is None or template.spec is None:
                return
            template_meta, spec = template.metadata or ObjectMeta(), template.spec
        if attributes.annotations is not None and (text := self._evaluate(labels, "audit", template_meta, spec)):
            attributes.annotate(f"{PREFIX}audit-violations", "would " + text.replace("violates", "violate", 1))
        text = self._evaluate(labels, "warn", template_meta, spec)
        if text is not None:
            attributes.warn("would " + text.replace("violates", "violate", 1))

    def _labels(self, namespace: str) -> dict[str, str]:
        item = self._core.item("", "namespaces", "", namespace)
        return (item.obj.metadata.labels if item is not None else None) or {}

    def _evaluate(self, labels: dict[str, str], mode: str, metadata: ObjectMeta, spec: PodSpec) -> str | None:
        level = labels.get(f"{PREFIX}{mode}", "privileged")
        return evaluate(level, labels.get(f"{PREFIX}{mode}-version", "latest"), metadata, spec)

    def _namespace(self, attributes: Attributes) -> None:
        from pybernetes.machinery import errors, field

        namespace = cast(Namespace, attributes.obj)
        labels = namespace.metadata.labels or {}
        found = []
        path = field.Path("metadata").child("labels")
        for mode in ("enforce", "audit", "warn"):
            level = labels.get(f"{PREFIX}{mode}")
            if level is not None and level not in LEVELS:
                text = "must be one of privileged, baseline, restricted"
                found.append(field.invalid(path.key(f"{PREFIX}{mode}"), level, text))
            version = labels.get(f"{PREFIX}{mode}-version")
            if version is not None and not _is_version(version):
                text = 'must be "latest" or "v1.x"'
                found.append(field.invalid(path.key(f"{PREFIX}{mode}-version"), version, text))
        if found:
            raise errors.invalid("", "Namespace", namespace.metadata.name, found)
        old = (attributes.old_obj.metadata.labels if attributes.old_obj is not None else None) or {}
        if labels.get(f"{PREFIX}enforce") == old.get(f"{PREFIX}enforce"):
            return
        bad: dict[str, list[str]] = {}
        for item in self._core.cache.storage("", "pods").list(namespace.metadata.name):
            pod = cast(Pod, item.obj)
            text_of = self._evaluate(labels, "enforce", pod.metadata, pod.spec)
            if text_of is not None:
                bad.setdefault(text_of.partition(": ")[2], []).append(pod.metadata.name)
        if bad:
            level = f"{labels.get(f'{PREFIX}enforce')}:{labels.get(f'{PREFIX}enforce-version', 'latest')}"
            name = namespace.metadata.name
            attributes.warn(f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{level}"')
            for reasons, pods in sorted(bad.items(), key=lambda entry: entry[1]):
                more = f" (and {len(pods) - 1} other pod{'s' if len(pods) > 2 else ''})" if len(pods) > 1 else ""
                attributes.warn(f"{pods[0]}{more}: {', '.join(_short(reasons))}")


def _short(reasons: str) -> list[str]:
    """Only the names of the checks."""
    out, depth, current = [], 0, ""
    for char in reasons:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            out.append(current)
            current = ""
        else:
            current += char
    return [text.partition(" (")[0].strip() for text in (*out, current)]


def _is_version(text: str) -> bool:
    return text == "latest" or (text.startswith("v1.") and text[3:].isdigit())


def _relevant(new: Pod, old: Pod) -> bool:
    """Whether an update could change the verdict."""
    if new.metadata.annotations != old.metadata.annotations:
        return True
    images = [c.image for c in _containers(new.spec)] != [c.image for c in _containers(old.spec)]
    return images or new.spec.ephemeral_containers != old.spec.ephemeral_containers
