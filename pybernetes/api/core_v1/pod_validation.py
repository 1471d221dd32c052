"""Validation of Pods and Pod templates: everything in the spec that is not inside a container or a volume.

On the path of every Pod that is created; see `container_validation` for how a good object stays cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1 import label_keys
from pybernetes.api.core_v1.container_context import Context
from pybernetes.api.core_v1.container_validation import containers, init_containers
from pybernetes.api.core_v1.pod import (
    Affinity,
    Pod,
    PodAffinityTerm,
    PodDNSConfig,
    PodSecurityContext,
    PodSpec,
    Toleration,
    TopologySpreadConstraint,
)
from pybernetes.api.core_v1.references import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from pybernetes.api.core_v1.resource_validation import amounts, is_huge_page, requirements
from pybernetes.api.core_v1.security_validation import seccomp, user_id, windows
from pybernetes.api.core_v1.template import PodTemplate, PodTemplateSpec
from pybernetes.api.core_v1.volume_validation import volumes
from pybernetes.machinery import field, names, quantity
from pybernetes.machinery.field import FieldError, Path
from pybernetes.machinery.meta import LabelSelector

__all__ = ["node_selector", "pod_spec", "pod_template_spec", "tolerations", "validate_pod", "validate_pod_template"]

SPEC = Path("spec")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
SYSCTL = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_SYSCTL = re.compile(SYSCTL)
MAX_INT32 = 2**31 - 1
NOT_POSITIVE = "must be greater than zero"

#: Specs that were found without fault, encoded: a workload makes many equal ones.
_good: set[bytes] = set()
_MAX_GOOD, _MAX_GOOD_SIZE = 512, 8192
_pack = msgspec.msgpack.Encoder().encode


def validate_pod(pod: Pod) -> list[FieldError]:
    """What is wrong with a new Pod."""
    errors = meta.object_meta(pod.metadata, True)
    spec = pod.spec
    packed = _pack(spec)
    if packed not in _good:
        before = len(errors)
        pod_spec(spec, SPEC, errors)
        if len(errors) == before and len(packed) <= _MAX_GOOD_SIZE:
            if len(_good) >= _MAX_GOOD:
                _good.clear()
            _good.add(packed)
    if spec.ephemeral_containers:
        errors.append(field.forbidden(SPEC.child("ephemeralContainers"), "cannot be set on create"))
    if spec.scheduling_gates and spec.node_name:
        text = "cannot be set until all schedulingGates have been cleared"
        errors.append(field.forbidden(SPEC.child("nodeName"), text))
    return errors


def validate_pod_template(template: PodTemplate) -> list[FieldError]:
    errors = meta.object_meta(template.metadata, True)
    if template.template is not None:
        pod_template_spec(template.template, Path("template"), errors)
    return errors


def pod_template_spec(template: PodTemplateSpec, path: Path, errors: list[FieldError]) -> None:
    """The template in a workload: labels, annotations, the spec."""
    if template.metadata is not None:
        if template.metadata.labels:
            meta.labels(template.metadata.labels, path.child("labels"), errors)
        if template.metadata.annotations:
            meta.annotation_map(template.metadata.annotations, path.child("annotations"), errors)
    if template.spec is None:
        errors.append(field.required(path.child("spec", "containers")))
        return
    pod_spec(template.spec, path.child("spec"), errors)
    if template.spec.ephemeral_containers:
        text = "ephemeral containers not allowed in pod template"
        errors.append(field.forbidden(path.child("spec", "ephemeralContainers"), text))


def pod_spec(spec: PodSpec, path: Path, errors: list[FieldError]) -> None:
    """Append all that is wrong with a spec whose defaults are set."""
    grace = spec.termination_grace_period_seconds
    context = Context(
        host_network=bool(spec.host_network),
        host_users=spec.host_users is not False,
        grace=30 if grace is None else grace,
        restart_policy=spec.restart_policy or "",
    )
    if spec.volumes:
        context.volumes = volumes(spec.volumes, path.child("volumes"), errors)
    if spec.resource_claims:
        context.claims = _resource_claims(spec, path.child("resourceClaims"), errors)
    regular = containers(spec.containers, context, path.child("containers"), errors)
    if spec.init_containers:
        init_containers(spec.init_containers, regular, context, path.child("initContainers"), errors)
    if spec.restart_policy not in RESTART_POLICIES:
        at = path.child("restartPolicy")
        supported = ("Always", "OnFailure", "Never")
        errors.append(
            field.not_supported(at, spec.restart_policy, supported) if spec.restart_policy else field.required(at)
        )
    if spec.dns_policy not in DNS_POLICIES:
        at = path.child("dnsPolicy")
        wrong = field.not_supported(at, spec.dns_policy, DNS_POLICIES) if spec.dns_policy else field.required(at)
        errors.append(wrong)
    if grace is not None and grace < 0:
        errors.append(field.invalid(path.child("terminationGracePeriodSeconds"), grace, meta.NOT_NEGATIVE))
    deadline = spec.active_deadline_seconds
    if deadline is not None and not 1 <= deadline <= MAX_INT32:
        at = path.child("activeDeadlineSeconds")
        errors.append(field.invalid(at, deadline, names.range_text(1, MAX_INT32)))
    if spec.node_selector:
        meta.labels(spec.node_selector, path.child("nodeSelector"), errors)
    if spec.security_context is not None:
        security_context(spec.security_context, spec, path.child("securityContext"), errors)
    if spec.affinity is not None:
        affinity(spec.affinity, path.child("affinity"), errors)
    if spec.tolerations:
        tolerations(spec.tolerations, path.child("tolerations"), errors)
    _names(spec, path, errors)
    if spec.dns_config is not None or spec.dns_policy == "None":
        _dns(spec.dns_config, spec.dns_policy, path.child("dnsConfig"), errors)
    if spec.topology_spread_constraints:
        spread(spec.topology_spread_constraints, path.child("topologySpreadConstraints"), errors)
    if spec.host_users is False:
        for name, value in (
            ("hostNetwork", spec.host_network),
            ("hostPID", spec.host_pid),
            ("hostIPC", spec.host_ipc),
        ):
            if value:
                errors.append(field.forbidden(path.child(name), "when `hostUsers` is false"))
    if spec.share_process_namespace and spec.host_pid:
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(field.invalid(path.child("shareProcessNamespace"), True, text))
    if spec.overhead:
        amounts(spec.overhead, path.child("overhead"), errors)
    if spec.resources is not None:
        _pod_resources(spec, path.child("resources"), errors)
    if spec.os is not None:
        _os(spec, path, errors)


def _check(value: str | None, check: meta.NameCheck, path: Path, name: str, errors: list[FieldError]) -> None:
    if value:
        for text in check(value):
            errors.append(field.invalid(path.child(name), value, text))


def _names(spec: PodSpec, path: Path, errors: list[FieldError]) -> None:
    """All that is a name, or a list of them."""
    _check(spec.service_account_name, names.dns1123_subdomain, path, "serviceAccountName", errors)
    _check(spec.node_name, names.dns1123_subdomain, path, "nodeName", errors)
    _check(spec.hostname, names.dns1123_label, path, "hostname", errors)
    _check(spec.subdomain, names.dns1123_label, path, "subdomain", errors)
    _check(spec.priority_class_name, names.dns1123_subdomain, path, "priorityClassName", errors)
    _check(spec.runtime_class_name, names.dns1123_subdomain, path, "runtimeClassName", errors)
    _check(spec.scheduler_name, names.qualified_name, path, "schedulerName", errors)
    if spec.hostname_override is not None:
        if len(spec.hostname_override) > 64:
            errors.append(field.too_long(path.child("hostnameOverride"), spec.hostname_override, 64))
        _check(spec.hostname_override, names.dns1123_subdomain, path, "hostnameOverride", errors)
        if spec.set_hostname_as_fqdn:
            text = "must be nil when `setHostnameAsFQDN` is true"
            errors.append(field.forbidden(path.child("hostnameOverride"), text))
    if spec.preemption_policy is not None and spec.preemption_policy not in ("Never", "PreemptLowerPriority"):
        supported = ("Never", "PreemptLowerPriority")
        errors.append(field.not_supported(path.child("preemptionPolicy"), spec.preemption_policy, supported))
    for i, secret in enumerate(spec.image_pull_secrets or ()):
        if not secret.name:
            errors.append(field.required(path.child("imagePullSecrets").index(i).child("name")))
    for i, alias in enumerate(spec.host_aliases or ()):
        at = path.child("hostAliases").index(i)
        for text in names.ip(alias.ip):
            errors.append(field.invalid(at.child("ip"), alias.ip, text))
        for j, hostname in enumerate(alias.hostnames or ()):
            for text in names.dns1123_subdomain(hostname):
                errors.append(field.invalid(at.child("hostnames").index(j), hostname, text))
    for i, gate in enumerate(spec.readiness_gates or ()):
        for text in names.qualified_name(gate.condition_type):
            at = path.child("readinessGates").index(i).child("conditionType")
            errors.append(field.invalid(at, gate.condition_type, text))
    seen: set[str] = set()
    for i, scheduling_gate in enumerate(spec.scheduling_gates or ()):
        at = path.child("schedulingGates").index(i)
        for text in names.qualified_name(scheduling_gate.name):
            errors.append(field.invalid(at, scheduling_gate.name, text))
        if scheduling_gate.name in seen:
            errors.append(field.duplicate(at, scheduling_gate.name))
        seen.add(scheduling_gate.name)


def _resource_claims(spec: PodSpec, path: Path, errors: list[FieldError]) -> frozenset[str]:
    found: set[str] = set()
    for i, claim in enumerate(spec.resource_claims or ()):
        at = path.index(i)
        if not claim.name:
            errors.append(field.required(at.child("name")))
        elif claim.name in found:
            errors.append(field.duplicate(at.child("name"), claim.name))
        else:
            for text in names.dns1123_label(claim.name):
                errors.append(field.invalid(at.child("name"), claim.name, text))
        found.add(claim.name)
        both = (claim.resource_claim_name, claim.resource_claim_template_name)
        if all(both):
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(field.invalid(at, claim, text))
        elif not any(both):
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(field.invalid(at, claim, text))
        _check(claim.resource_claim_name, names.dns1123_subdomain, at, "resourceClaimName", errors)
        _check(claim.resource_claim_template_name, names.dns1123_subdomain, at, "resourceClaimTemplateName", errors)
    return frozenset(found)


def _pod_resources(spec: PodSpec, path: Path, errors: list[FieldError]) -> None:
    resources = spec.resources
    if resources is None:
        return
    if resources.claims:
        errors.append(field.forbidden(path.child("claims"), "claims cannot be set for Resources at pod-level"))
    for what in ("limits", "requests"):
        for name in getattr(resources, what) or {}:
            if name not in ("cpu", "memory") and not is_huge_page(name):
                supported = ("cpu", "hugepages-", "memory")
                errors.append(field.not_supported(path.child(what).key(name), name, supported))
    requirements(resources, frozenset(), path, errors)
    from pybernetes.api.core_v1.pod_defaults import effective

    try:
        needed = effective(spec.containers, spec.init_containers or (), "requests")
        for name, text in (resources.requests or {}).items():
            if name in needed and quantity.parse(needed[name]) > quantity.parse(text):
                said = f"must be greater than or equal to aggregate container requests of {needed[name]}"
                errors.append(field.invalid(path.child("requests").key(name), text, said))
        for i, container in enumerate(spec.containers):
            limits = (container.resources.limits if container.resources else None) or {}
            for name, text in (resources.limits or {}).items():
                if name in limits and quantity.parse(limits[name]) > quantity.parse(text):
                    at = path.child("containers").index(i).child("resources", "limits")
                    said = f"must be less than or equal to pod limits of {text}"
                    errors.append(field.invalid(at.key(name), limits[name], said))
    except ValueError:
        return  # an amount that is no amount was reported above


def _os(spec: PodSpec, path: Path, errors: list[FieldError]) -> None:
    assert spec.os is not None
    if not spec.os.name:
        errors.append(field.required(path.child("os", "name")))
    elif spec.os.name not in ("linux", "windows"):
        errors.append(field.not_supported(path.child("os", "name"), spec.os.name, ("linux", "windows")))
    text = f"cannot be set for a {spec.os.name} pod"
    context = spec.security_context
    if spec.os.name == "linux":
        if context is not None and context.windows_options is not None:
            errors.append(field.forbidden(path.child("securityContext", "windowsOptions"), text))
        for i, container in enumerate(spec.containers):
            if container.security_context is not None and container.security_context.windows_options is not None:
                at = path.child("containers").index(i).child("securityContext", "windowsOptions")
                errors.append(field.forbidden(at, text))
    elif spec.os.name == "windows":
        for name, value in (("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc), ("hostUsers", spec.host_users)):
            if value:
                errors.append(field.forbidden(path.child(name), text))
        if context is not None:
            for attribute, name in (
                ("app_armor_profile", "appArmorProfile"),
                ("se_linux_options", "seLinuxOptions"),
                ("seccomp_profile", "seccompProfile"),
                ("fs_group", "fsGroup"),
                ("fs_group_change_policy", "fsGroupChangePolicy"),
                ("sysctls", "sysctls"),
                ("run_as_user", "runAsUser"),
                ("run_as_group", "runAsGroup"),
                ("supplemental_groups", "supplementalGroups"),
            ):
                if getattr(context, attribute) is not None:
                    errors.append(field.forbidden(path.child("securityContext", name), text))


def security_context(context: PodSecurityContext, spec: PodSpec, path: Path, errors: list[FieldError]) -> None:
    user_id(context.fs_group, path.child("fsGroup"), errors)
    user_id(context.run_as_user, path.child("runAsUser"), errors)
    user_id(context.run_as_group, path.child("runAsGroup"), errors)
    for i, group in enumerate(context.supplemental_groups or ()):
        user_id(group, path.child("supplementalGroups").index(i), errors)
    for name, value, supported in (
        ("fsGroupChangePolicy", context.fs_group_change_policy, ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", context.supplemental_groups_policy, ("Merge", "Strict")),
        ("seLinuxChangePolicy", context.se_linux_change_policy, ("MountOption", "Recursive")),
    ):
        if value is not None and value not in supported:
            errors.append(field.not_supported(path.child(name), value, supported))
    if context.windows_options is not None:
        windows(context.windows_options, path.child("windowsOptions"), errors)
    if context.seccomp_profile is not None:
        seccomp(context.seccomp_profile, path.child("seccompProfile"), errors)
    seen: set[str] = set()
    for i, sysctl in enumerate(context.sysctls or ()):
        at = path.child("sysctls").index(i).child("name")
        if not sysctl.name:
            errors.append(field.required(at))
        elif len(sysctl.name) > 253 or not _SYSCTL.match(sysctl.name):
            text = f"must have at most 253 characters and match regex {SYSCTL}"
            errors.append(field.invalid(at, sysctl.name, text))
        elif sysctl.name.replace("/", ".") in seen:
            errors.append(field.duplicate(at, sysctl.name))
        seen.add(sysctl.name.replace("/", "."))
        dotted = sysctl.name.replace("/", ".")
        if spec.host_network and dotted.startswith("net."):
            errors.append(field.invalid(at, sysctl.name, "may not be specified when 'hostNetwork' is set to true"))
        ipc = dotted.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")) or dotted == "kernel.sem"
        if spec.host_ipc and ipc:
            errors.append(field.invalid(at, sysctl.name, "may not be specified when 'hostIPC' is set to true"))


EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def tolerations(listed: Iterable[Toleration], path: Path, errors: list[FieldError]) -> None:
    for i, toleration in enumerate(listed):
        at = path.index(i)
        operator = toleration.operator
        if toleration.key:
            for text in names.qualified_name(toleration.key):
                errors.append(field.invalid(at.child("key"), toleration.key, text))
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(field.invalid(at.child("operator"), operator or "", text))
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(field.invalid(at.child("effect"), toleration.effect or "", text))
        if not operator or operator == "Equal":
            if messages := names.label_value(toleration.value or ""):
                errors.append(field.invalid(at.child("operator"), toleration.value, ";".join(messages)))
        elif operator == "Exists":
            if toleration.value:
                text = "value must be empty when `operator` is 'Exists'"
                errors.append(field.invalid(at.child("operator"), toleration, text))
        else:
            errors.append(field.not_supported(at.child("operator"), operator, ("Equal", "Exists")))
        if toleration.effect and toleration.effect not in EFFECTS:
            errors.append(field.not_supported(at.child("effect"), toleration.effect, EFFECTS))


def spread(listed: Iterable[TopologySpreadConstraint], path: Path, errors: list[FieldError]) -> None:
    seen: set[tuple[str, str]] = set()
    for i, constraint in enumerate(listed):
        at = path.index(i)
        if constraint.max_skew <= 0:
            errors.append(field.invalid(at.child("maxSkew"), constraint.max_skew, NOT_POSITIVE))
        topology_key(constraint.topology_key, at, errors)
        when = constraint.when_unsatisfiable
        if when not in ("DoNotSchedule", "ScheduleAnyway"):
            errors.append(field.not_supported(at.child("whenUnsatisfiable"), when, ("DoNotSchedule", "ScheduleAnyway")))
        if (constraint.topology_key, when) in seen:
            errors.append(
                field.duplicate(at.child("{topologyKey, whenUnsatisfiable}"), f"{{{constraint.topology_key}, {when}}}")
            )
        seen.add((constraint.topology_key, when))
        if constraint.min_domains is not None:
            if constraint.min_domains <= 0:
                errors.append(field.invalid(at.child("minDomains"), constraint.min_domains, NOT_POSITIVE))
            if when != "DoNotSchedule":
                text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
                errors.append(field.invalid(at.child("minDomains"), constraint.min_domains, text))
        for name, value in (
            ("nodeAffinityPolicy", constraint.node_affinity_policy),
            ("nodeTaintsPolicy", constraint.node_taints_policy),
        ):
            if value is not None and value not in ("Honor", "Ignore"):
                errors.append(field.not_supported(at.child(name), value, ("Honor", "Ignore")))
        meta.label_selector(constraint.label_selector, at.child("labelSelector"), errors)
        if constraint.match_label_keys:
            has_selector = constraint.label_selector is not None
            _label_keys(constraint.match_label_keys, has_selector, at, "matchLabelKeys", errors)
            _keys_twice(constraint.match_label_keys, None, constraint.label_selector, at, errors)


def _label_keys(keys: list[str], has_selector: bool, path: Path, name: str, errors: list[FieldError]) -> None:
    if not has_selector:
        errors.append(field.forbidden(path.child(name), "must not be specified when labelSelector is not set"))
        return
    for i, key in enumerate(keys):
        for text in names.qualified_name(key):
            errors.append(field.invalid(path.child(name).index(i), key, text))


def _keys_twice(
    keys: list[str], others: list[str] | None, selector: LabelSelector | None, path: Path, errors: list[FieldError]
) -> None:
    for i, key in label_keys.twice(keys, selector) if selector is not None else ():
        errors.append(field.invalid(path.index(i), key, "exists in both matchLabelKeys and labelSelector"))
    for i, key in enumerate(keys):
        if key in (others or ()):
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(field.invalid(path.child("matchLabelKeys").index(i), key, text))


def topology_key(key: str, path: Path, errors: list[FieldError]) -> None:
    if not key:
        errors.append(field.required(path.child("topologyKey"), "can not be empty"))
    else:
        for text in names.qualified_name(key):
            errors.append(field.invalid(path.child("topologyKey"), key, text))


def affinity(judged: Affinity, path: Path, errors: list[FieldError]) -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    if (node := judged.node_affinity) is not None:
        at = path.child("nodeAffinity")
        if node.required_during_scheduling_ignored_during_execution is not None:
            node_selector(node.required_during_scheduling_ignored_during_execution, at.child(required), errors)
        for i, term in enumerate(node.preferred_during_scheduling_ignored_during_execution or ()):
            where = at.child(preferred).index(i)
            if not 1 <= term.weight <= 100:
                errors.append(field.invalid(where.child("weight"), term.weight, "must be in the range 1-100"))
            node_selector_term(term.preference, where.child("preference"), errors)
    for name, pods in (("podAffinity", judged.pod_affinity), ("podAntiAffinity", judged.pod_anti_affinity)):
        if pods is None:
            continue
        at = path.child(name)
        for i, pod_term in enumerate(pods.required_during_scheduling_ignored_during_execution or ()):
            _pod_term(pod_term, at.child(required).index(i), errors)
        for i, weighted in enumerate(pods.preferred_during_scheduling_ignored_during_execution or ()):
            where = at.child(preferred).index(i)
            if not 1 <= weighted.weight <= 100:
                errors.append(field.invalid(where.child("weight"), weighted.weight, "must be in the range 1-100"))
            _pod_term(weighted.pod_affinity_term, where.child("podAffinityTerm"), errors)


def _pod_term(term: PodAffinityTerm, path: Path, errors: list[FieldError]) -> None:
    meta.label_selector(term.label_selector, path.child("labelSelector"), errors)
    meta.label_selector(term.namespace_selector, path.child("namespaceSelector"), errors)
    for name in term.namespaces or ():
        for text in names.dns1123_label(name):
            errors.append(field.invalid(path.child("namespace"), name, text))
    has_selector = term.label_selector is not None
    if term.match_label_keys:
        _label_keys(term.match_label_keys, has_selector, path, "matchLabelKeys", errors)
    if term.mismatch_label_keys:
        _label_keys(term.mismatch_label_keys, has_selector, path, "mismatchLabelKeys", errors)
    if term.match_label_keys:
        _keys_twice(term.match_label_keys, term.mismatch_label_keys, term.label_selector, path, errors)
    topology_key(term.topology_key, path, errors)


def node_selector(selector: NodeSelector, path: Path, errors: list[FieldError]) -> None:
    if not selector.node_selector_terms:
        text = "must have at least one node selector term"
        errors.append(field.required(path.child("nodeSelectorTerms"), text))
    for i, term in enumerate(selector.node_selector_terms):
        node_selector_term(term, path.child("nodeSelectorTerms").index(i), errors)


def node_selector_term(term: NodeSelectorTerm, path: Path, errors: list[FieldError]) -> None:
    for i, requirement in enumerate(term.match_expressions or ()):
        _node_requirement(requirement, path.child("matchExpressions").index(i), errors)
    for i, requirement in enumerate(term.match_fields or ()):
        at = path.child("matchFields").index(i)
        if requirement.operator in ("In", "NotIn"):
            if len(requirement.values or ()) != 1:
                text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
                errors.append(field.required(at.child("values"), text))
        else:
            text = "not a valid selector operator"
            errors.append(field.invalid(at.child("operator"), requirement.operator, text))
        if requirement.key != "metadata.name":
            errors.append(field.invalid(at.child("key"), requirement.key, "not a valid field selector key"))
            continue
        for j, value in enumerate(requirement.values or ()):
            for text in names.dns1123_subdomain(value):
                errors.append(field.invalid(at.child("values").index(j), value, text))


def _node_requirement(requirement: NodeSelectorRequirement, path: Path, errors: list[FieldError]) -> None:
    operator = requirement.operator
    if operator in ("In", "NotIn"):
        if not requirement.values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(field.required(path.child("values"), text))
    elif operator in ("Exists", "DoesNotExist"):
        if requirement.values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(field.forbidden(path.child("values"), text))
    elif operator in ("Gt", "Lt"):
        if len(requirement.values or ()) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(field.required(path.child("values"), text))
    else:
        errors.append(field.invalid(path.child("operator"), operator, "not a valid selector operator"))
    for text in names.qualified_name(requirement.key):
        errors.append(field.invalid(path.child("key"), requirement.key, text))


def _dns(config: PodDNSConfig | None, policy: str | None, path: Path, errors: list[FieldError]) -> None:
    if policy == "None":
        if config is None:
            errors.append(field.required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.nameservers:
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.append(field.required(path.child("nameservers"), text))
    if config is None:
        return
    if len(config.nameservers or ()) > 3:
        text = "must not have more than 3 nameservers"
        errors.append(field.invalid(path.child("nameservers"), config.nameservers, text))
    for i, server in enumerate(config.nameservers or ()):
        for text in names.ip(server):
            errors.append(field.invalid(path.child("nameservers").index(i), server, text))
    searches = config.searches or []
    if len(searches) > 32:
        text = "must not have more than 32 search paths"
        errors.append(field.invalid(path.child("searches"), searches, text))
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(field.invalid(path.child("searches"), searches, text))
    for i, search in enumerate(searches):
        if search != ".":
            for text in names.dns1123_subdomain(search.removesuffix(".").replace("_", "-")):
                errors.append(field.invalid(path.child("searches").index(i), search, text))
    for i, option in enumerate(config.options or ()):
        if not option.name:
            errors.append(field.required(path.child("options").index(i), "must not be empty"))
