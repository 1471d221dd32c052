"""Warnings about Pods and Pod templates: what is accepted and still hardly meant, or does nothing any more.

A warning refuses nothing; it goes to the client in a `Warning` header. Only what a person writes is looked at: a new
Pod, and a template that is new or has changed. Like validation this is on the path of every Pod that is created, so
a good object costs attribute reads and paths are built only for what is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pybernetes.api.core_v1.container import Container, ContainerPort, EnvVar, EphemeralContainer
from pybernetes.api.core_v1.pod import Affinity, Pod, PodAffinityTerm, PodSpec
from pybernetes.api.core_v1.references import NodeSelectorTerm
from pybernetes.api.core_v1.template import PodTemplate, PodTemplateSpec
from pybernetes.api.core_v1.volume import Volume
from pybernetes.machinery import names, quantity
from pybernetes.machinery.field import Path
from pybernetes.machinery.meta import ObjectMeta

__all__ = ["fractional", "name_in_pods", "node_selector_term", "template_warnings", "warn_pod", "warn_pod_template"]

SPEC = Path("spec")
METADATA = Path("metadata")
NO_MATCH = "a null labelSelector results in matching no pod"

DEPRECATED_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
# The backslashes are upstream's.
_PRIORITY = r"non-functional in v1.16+; use the \"priorityClassName\" field instead"
_SYSCTLS = r"non-functional in v1.11+; use the \"sysctls\" field instead"
_DEPRECATED_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": _PRIORITY,
    "security.alpha.kubernetes.io/sysctls": _SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _SYSCTLS,
}
_SECCOMP = r"non-functional in v1.27+; use the \"seccompProfile\" field instead"
_APPARMOR = r"deprecated since v1.30; use the \"appArmorProfile\" field instead"

#: (attribute of a volume, its name on the wire) -> what became of it.
DEPRECATED_VOLUMES = {
    ("photon_persistent_disk", "photonPersistentDisk"): "deprecated in v1.11, non-functional in v1.16+",
    ("git_repo", "gitRepo"): "deprecated in v1.11, and disabled by default in v1.33+",
    ("scale_io", "scaleIO"): "deprecated in v1.16, non-functional in v1.22+",
    ("flocker", "flocker"): "deprecated in v1.22, non-functional in v1.25+",
    ("storageos", "storageOS"): "deprecated in v1.22, non-functional in v1.25+",
    ("quobyte", "quobyte"): "deprecated in v1.22, non-functional in v1.25+",
    ("glusterfs", "glusterfs"): "deprecated in v1.25, non-functional in v1.26+",
    ("cephfs", "cephfs"): "deprecated in v1.28, non-functional in v1.31+",
    ("rbd", "rbd"): "deprecated in v1.28, non-functional in v1.31+",
}

AnyContainer = Container | EphemeralContainer


def warn_pod(new: Pod, old: Pod | None) -> list[str]:
    """A new Pod; changes of Pods are the work of machines and not looked at."""
    if old is not None:
        return []
    found = []
    if problems := names.dns1123_label(new.metadata.name):
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(problems)}]"
        )
    found.extend(_warnings(new.spec, new.metadata, SPEC, METADATA))
    return found


def warn_pod_template(new: PodTemplate, old: PodTemplate | None) -> list[str]:
    return list(template_warnings(new.template, Path("template")))


def name_in_pods(name: str) -> list[str]:
    """A workload's name that makes bad names of Pods."""
    if not (problems := names.dns1123_label(name)):
        return []
    return [
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
        f"a DNS label is recommended: [{' '.join(problems)}]"
    ]


def template_warnings(template: PodTemplateSpec | None, path: Path) -> Iterator[str]:
    """A Pod template at `path`."""
    if template is not None and template.spec is not None:
        metadata = template.metadata or ObjectMeta()
        yield from _warnings(template.spec, metadata, path.child("spec"), path.child("metadata"), is_template=True)


def _warnings(spec: PodSpec, metadata: ObjectMeta, path: Path, above: Path, is_template: bool = False) -> Iterator[str]:
    for label in spec.node_selector or ():
        if text := DEPRECATED_NODE_LABELS.get(label):
            yield f"{path.child('nodeSelector').key(label)}: {text}"
    if spec.affinity is not None:
        yield from _node_affinity(spec.affinity, path.child("affinity", "nodeAffinity"))
    for i, constraint in enumerate(spec.topology_spread_constraints or ()):
        at = path.child("topologySpreadConstraints").index(i)
        if text := DEPRECATED_NODE_LABELS.get(constraint.topology_key):
            yield f"{at.child('topologyKey')}: {constraint.topology_key} is {text}"
        if constraint.label_selector is None:
            yield f"{at.child('labelSelector')}: {NO_MATCH}"
    annotations = metadata.annotations or {}
    for key, text in _DEPRECATED_ANNOTATIONS.items() if annotations else ():
        if key in annotations:
            yield f"{above.child('annotations').key(key)}: {text}"
    if spec.volumes:
        yield from _volumes(spec.volumes, path.child("volumes"))
    yield from _repeated((a.ip for a in spec.host_aliases or ()), path, "hostAliases", "ip")
    yield from _repeated((s.name or "" for s in spec.image_pull_secrets or ()), path, "imagePullSecrets", "name")
    for i, secret in enumerate(spec.image_pull_secrets or ()):
        if not secret.name:
            yield f'{path.child("imagePullSecrets").index(i).child("name")}: invalid empty name ""'
    yield from fractional(spec.overhead, path.child("overhead"))
    context = spec.security_context
    if annotations and (context is None or context.seccomp_profile is None):
        key = "seccomp.security.alpha.kubernetes.io/pod"
        if key in annotations:
            yield f"{above.child('annotations').key(key)}: {_SECCOMP}"
    armored = not is_template or (context is not None and context.app_armor_profile is not None)
    for container, field, i in _containers(spec):
        if annotations:
            yield from _annotations_of(container, annotations, above.child("annotations"), armored)
        if container.resources is not None and (container.resources.limits or container.resources.requests):
            at = path.child(field).index(i).child("resources")
            yield from fractional(container.resources.limits, at.child("limits"))
            yield from fractional(container.resources.requests, at.child("requests"))
        if container.env and len(container.env) > 1:
            yield from _env(container.env, path.child(field).index(i).child("env"))
    yield from _ports(spec, path)
    if spec.termination_grace_period_seconds is not None and spec.termination_grace_period_seconds < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{path.child('terminationGracePeriodSeconds')}: {text}"
    if spec.affinity is not None:
        yield from _pod_affinity(spec.affinity, path.child("affinity"))


def _containers(spec: PodSpec) -> Iterator[tuple[AnyContainer, str, int]]:
    """(container, its list, its place there): init, regular and ephemeral ones."""
    for i, init in enumerate(spec.init_containers or ()):
        yield init, "initContainers", i
    for i, regular in enumerate(spec.containers):
        yield regular, "containers", i
    for i, ephemeral in enumerate(spec.ephemeral_containers or ()):
        yield ephemeral, "ephemeralContainers", i


def _annotations_of(
    container: AnyContainer, annotations: Mapping[str, str], path: Path, armored: bool
) -> Iterator[str]:
    context = container.security_context
    key = f"container.seccomp.security.alpha.kubernetes.io/{container.name}"
    if key in annotations and (context is None or context.seccomp_profile is None):
        yield f"{path.key(key)}: {_SECCOMP}"
    key = f"container.apparmor.security.beta.kubernetes.io/{container.name}"
    if key in annotations and not armored and (context is None or context.app_armor_profile is None):
        yield f"{path.key(key)}: {_APPARMOR}"


def fractional(amounts: Mapping[str, str] | None, path: Path) -> Iterator[str]:
    """Parts of a byte of memory or storage."""
    for name in ("memory", "ephemeral-storage", "storage"):
        amount = (amounts or {}).get(name)
        if amount is not None and amount[-1:] == "m" and quantity.milli(amount) % 1000:
            text = f'fractional byte value "{quantity.canonical(amount)}" is invalid, must be an integer'
            yield f"{path.key(name)}: {text}"


def _repeated(values: Iterable[str], path: Path, field: str, part: str) -> Iterator[str]:
    seen: set[str] = set()
    for i, value in enumerate(values):
        if value in seen:
            yield f'{path.child(field).index(i).child(part)}: duplicate {part} "{value}"'
        seen.add(value)


def _env(variables: list[EnvVar], path: Path) -> Iterator[str]:
    """Variables that hide earlier ones of their name without building on them."""
    seen: set[str] = set()
    for i, variable in enumerate(variables):
        if variable.name in seen:
            reference, value = f"$({variable.name})", variable.value or ""
            if variable.value_from is not None or value == reference or reference not in value:
                text = f'hides previous definition of "{variable.name}", which may be dropped when using apply'
                yield f"{path.index(i)}: {text}"
        seen.add(variable.name)


def _ports(spec: PodSpec, path: Path) -> Iterator[str]:
    known: dict[tuple[int, str], list[tuple[ContainerPort, Path]]] = {}
    for container, field, i in _containers(spec):
        for j, port in enumerate(container.ports or ()):
            at = path.child(field).index(i).child("ports").index(j)
            if port.host_ip and not port.host_port:
                yield f"{at}: hostIP set without hostPort: {_shown(port)}"
            others = known.setdefault((port.container_port, port.protocol or "TCP"), [])
            for other, where in others:
                if kind := _clash(port, other):
                    yield f"{at}: {kind} port definition with {where}"
            others.append((port, at))


def _clash(port: ContainerPort, other: ContainerPort) -> str:
    mine, theirs = port.host_port or 0, other.host_port or 0
    if mine == theirs and (port.host_ip or "") == (other.host_ip or ""):
        return "duplicate"
    if not mine or not theirs:
        return "overlapping"
    if mine == theirs and bool(port.host_ip) != bool(other.host_ip):
        return "dangerously ambiguous"
    return ""


def _shown(port: ContainerPort) -> str:
    """As Go prints the struct."""
    return (
        f"{{Name:{port.name or ''} HostPort:{port.host_port or 0} ContainerPort:{port.container_port} "
        f"Protocol:{port.protocol or ''} HostIP:{port.host_ip or ''}}}"
    )


def _node_affinity(affinity: Affinity, path: Path) -> Iterator[str]:
    node = affinity.node_affinity
    if node is None:
        return
    required = node.required_during_scheduling_ignored_during_execution
    at = path.child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    for i, term in enumerate(required.node_selector_terms if required is not None else ()):
        yield from node_selector_term(term, at.index(i))
    at = path.child("preferredDuringSchedulingIgnoredDuringExecution")
    for i, preferred in enumerate(node.preferred_during_scheduling_ignored_during_execution or ()):
        yield from node_selector_term(preferred.preference, at.index(i).child("preference"))


def node_selector_term(term: NodeSelectorTerm, path: Path, values: bool = False) -> Iterator[str]:
    """Labels of nodes that are no longer used; with `values` also values that no label can have."""
    for i, expression in enumerate(term.match_expressions or ()):
        at = path.child("matchExpressions").index(i)
        if text := DEPRECATED_NODE_LABELS.get(expression.key):
            yield f"{at.child('key')}: {expression.key} is {text}"
        for j, value in enumerate(expression.values or () if values else ()):
            for problem in names.label_value(value):
                yield f"{at.child('values').index(j)}: {value} is invalid, {problem}"


def _pod_affinity(affinity: Affinity, path: Path) -> Iterator[str]:
    for name, terms in (("podAffinity", affinity.pod_affinity), ("podAntiAffinity", affinity.pod_anti_affinity)):
        if terms is None:
            continue
        required = terms.required_during_scheduling_ignored_during_execution or ()
        preferred = terms.preferred_during_scheduling_ignored_during_execution or ()
        at = path.child(name, "requiredDuringSchedulingIgnoredDuringExecution")
        yield from _selects_nothing((term, at.index(i)) for i, term in enumerate(required))
        at = path.child(name, "preferredDuringSchedulingIgnoredDuringExecution")
        yield from _selects_nothing(
            (weighted.pod_affinity_term, at.index(i).child("podAffinityTerm")) for i, weighted in enumerate(preferred)
        )


def _selects_nothing(terms: Iterable[tuple[PodAffinityTerm, Path]]) -> Iterator[str]:
    for term, path in terms:
        if term.label_selector is None:
            yield f"{path.child('labelSelector')}: {NO_MATCH}"


def _volumes(volumes: list[Volume], path: Path) -> Iterator[str]:
    tokens: set[str] = set()
    for i, volume in enumerate(volumes):
        for (attribute, wire), text in DEPRECATED_VOLUMES.items():
            if getattr(volume, attribute) is not None:
                yield f"{path.index(i).child(wire)}: {text}"
        if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
            resources = volume.ephemeral.volume_claim_template.spec.resources
            at = path.index(i).child("ephemeral", "volumeClaimTemplate", "spec", "resources", "requests")
            yield from fractional(resources.requests if resources is not None else None, at)
        if volume.projected is not None:
            tokens.update(
                source.service_account_token.path
                for source in volume.projected.sources or ()
                if source.service_account_token is not None
            )
    if tokens:
        for i, volume in enumerate(volumes):
            yield from _hiding_tokens(volume, tokens, path.index(i).child("projected", "sources"))


def _hiding_tokens(volume: Volume, tokens: set[str], path: Path) -> Iterator[str]:
    """Files projected to where a token is."""
    for source in volume.projected.sources or () if volume.projected is not None else ():
        configs, secret, downward = source.config_map, source.secret, source.downward_api
        paths = {
            "configMap": [item.path for item in configs.items or ()] if configs is not None else [],
            "secrets": [item.path for item in secret.items or ()] if secret is not None else [],
            "downwardAPI": [item.path for item in downward.items or ()] if downward is not None else [],
        }
        for name, listed in paths.items():
            for j, file in enumerate(listed):
                if file in tokens:
                    yield f'{path.child(name).index(j)}: has duplicated path with ServiceAccountToken "{file}"'
