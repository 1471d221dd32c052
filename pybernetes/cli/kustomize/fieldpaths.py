"""Fields as kustomize names them: `spec/template/metadata/labels`, lists walked through without being written.

The tables tell where labels, annotations and names of other resources stand in the built-in kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

#: Sets a value: what stands there now (None for nothing) to what shall.
Change = Callable[[Any], Any]

_TEMPLATES = ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "Job", "ReplicationController")


def change(value: Any, path: str, create: bool, how: Change) -> None:
    """Apply `how` to every place of a path. Missing maps on the way are made only when `create`."""
    head, _, rest = path.partition("/")
    head = head.removesuffix("[]")
    if isinstance(value, list):
        for item in value:
            change(item, path, create, how)
        return
    if not isinstance(value, dict):
        return
    if not rest:
        if head in value or create:
            value[head] = how(value.get(head))
        return
    if value.get(head) is None:
        if not create or "[]" in path.partition("/")[0]:
            return
        value[head] = {}
    change(value[head], rest, create, how)


def pod_specs(kind: str) -> str:
    """The path of the Pod spec in a kind; empty where there is none."""
    if kind == "Pod":
        return "spec"
    if kind == "CronJob":
        return "spec/jobTemplate/spec/template/spec"
    return "spec/template/spec" if kind in _TEMPLATES else ""


def metadata_of_templates(kind: str) -> list[str]:
    """The paths of the metadata of all templates in a kind."""
    if kind == "CronJob":
        return ["spec/jobTemplate/metadata", "spec/jobTemplate/spec/template/metadata"]
    return ["spec/template/metadata"] if kind in _TEMPLATES else []


_AFFINITY = [
    f"affinity/{which}/{when}labelSelector/matchLabels"
    for which in ("podAffinity", "podAntiAffinity")
    for when in (
        "preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/",
        "requiredDuringSchedulingIgnoredDuringExecution/",
    )
] + ["topologySpreadConstraints/labelSelector/matchLabels"]


def selectors(group: str, kind: str) -> Iterator[tuple[str, bool]]:
    """The label selectors of a kind, and whether they are made where they are missing."""
    if kind in ("Service", "ReplicationController") and not group:
        yield "spec/selector", True
    elif kind in ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"):
        yield "spec/selector/matchLabels", True
        if kind in ("Deployment", "StatefulSet"):
            for path in _AFFINITY:
                yield f"spec/template/spec/{path}", False
    elif kind in ("Job", "PodDisruptionBudget"):
        yield "spec/selector/matchLabels", False
    elif kind == "CronJob":
        yield "spec/jobTemplate/spec/selector/matchLabels", False
    elif kind == "NetworkPolicy":
        for path in ("podSelector", "ingress/from/podSelector", "egress/to/podSelector"):
            yield f"spec/{path}/matchLabels", False


_IN_POD: dict[str, tuple[str, ...]] = {
    "ConfigMap": (
        "volumes/configMap/name",
        "volumes/projected/sources/configMap/name",
        *(f"{c}/env/valueFrom/configMapKeyRef/name" for c in ("containers", "initContainers")),
        *(f"{c}/envFrom/configMapRef/name" for c in ("containers", "initContainers")),
    ),
    "Secret": (
        "volumes/secret/secretName",
        "volumes/projected/sources/secret/name",
        *(f"{c}/env/valueFrom/secretKeyRef/name" for c in ("containers", "initContainers")),
        *(f"{c}/envFrom/secretRef/name" for c in ("containers", "initContainers")),
        "imagePullSecrets/name",
        *(f"volumes/{v}/secretRef/name" for v in ("cephfs", "rbd", "scaleIO", "storageos")),
        "volumes/azureFile/secretName",
    ),
    "ServiceAccount": ("serviceAccountName",),
    "PersistentVolumeClaim": ("volumes/persistentVolumeClaim/claimName",),
    "PriorityClass": ("priorityClassName",),
}
_ELSEWHERE: dict[str, dict[str, tuple[str, ...]]] = {
    "ConfigMap": {"Role": ("rules/resourceNames",), "ClusterRole": ("rules/resourceNames",)},
    "Secret": {
        "Role": ("rules/resourceNames",),
        "ClusterRole": ("rules/resourceNames",),
        "ServiceAccount": ("secrets/name", "imagePullSecrets/name"),
        "Ingress": ("spec/tls/secretName",),
        "PersistentVolume": (
            "spec/azureFile/secretName",
            *(
                f"spec/csi/{s}SecretRef/name"
                for s in ("controllerPublish", "nodeStage", "nodePublish", "controllerExpand")
            ),
        ),
    },
    "Service": {
        "StatefulSet": ("spec/serviceName",),
        "Ingress": (
            "spec/rules/http/paths/backend/serviceName",
            "spec/backend/serviceName",
            "spec/rules/http/paths/backend/service/name",
            "spec/defaultBackend/service/name",
        ),
        "APIService": ("spec/service/name",),
        "ValidatingWebhookConfiguration": ("webhooks/clientConfig/service",),
        "MutatingWebhookConfiguration": ("webhooks/clientConfig/service",),
        "CustomResourceDefinition": ("spec/conversion/webhook/clientConfig/service",),
    },
    "ServiceAccount": {"RoleBinding": ("subjects",), "ClusterRoleBinding": ("subjects",)},
    "Role": {"RoleBinding": ("roleRef/name",)},
    "ClusterRole": {"RoleBinding": ("roleRef/name",), "ClusterRoleBinding": ("roleRef/name",)},
    "PersistentVolume": {"PersistentVolumeClaim": ("spec/volumeName",)},
    "StorageClass": {
        "PersistentVolume": ("spec/storageClassName",),
        "PersistentVolumeClaim": ("spec/storageClassName",),
        "StatefulSet": ("spec/volumeClaimTemplates/spec/storageClassName",),
    },
    "IngressClass": {"Ingress": ("spec/ingressClassName",)},
    "ValidatingAdmissionPolicy": {"ValidatingAdmissionPolicyBinding": ("spec/policyName",)},
    **{
        kind: {"HorizontalPodAutoscaler": ("spec/scaleTargetRef/name",)}
        for kind in ("Deployment", "ReplicaSet", "StatefulSet", "ReplicationController")
    },
}


def references(kind: str) -> Iterator[tuple[str, str]]:
    """(kind referred to, path) of all references in a kind."""
    if prefix := pod_specs(kind):
        for target, paths in _IN_POD.items():
            for path in paths:
                yield target, f"{prefix}/{path}"
    for target, holders in _ELSEWHERE.items():
        for path in holders.get(kind, ()):
            yield target, path
