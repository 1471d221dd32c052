"""The table of all kinds that are built in: who they are, and where their type lives.

One row a kind, in the order of discovery. The type itself is imported when it is first asked for, so that a process
pays only for the kinds it touches. What the API server does with a kind (strategy, columns, selectable fields) is in
`control_plane.apiserver.resources`; this table is what every client needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import NamedTuple, cast

from pybernetes.machinery.meta import Object


class GroupResource(NamedTuple):
    """A resource without its version, as errors and RBAC name it: `deployments.apps`."""

    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


@dataclass(frozen=True)
class Kind:
    """One kind in one version. `group` is empty for core; `subresources` are those beside the main resource."""

    group: str
    version: str
    kind: str
    resource: str
    namespaced: bool
    module: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    storage: str = ""  #: "group/resource" whose objects these are, when another version or group stores them

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def group_resource(self) -> GroupResource:
        return GroupResource(self.group, self.resource)

    @property
    def base_path(self) -> str:
        """`/api/v1` or `/apis/GROUP/VERSION`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, or of one object when `name` is given."""
        parts = [self.base_path]
        if namespace and self.namespaced:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.resource)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    @cached_property
    def type(self) -> type[Object]:
        """The struct class."""
        return cast("type[Object]", getattr(import_module(f"pybernetes.api.{self.module}"), self.kind))


_STANDARD = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_REVIEW = ("create",)


def _kinds(group: str, version: str, module: str, rows: str) -> list[Kind]:
    """Rows: `resource Kind ns|cluster short,names|- categories|- subresources|- [flags]`; `review` is create only."""
    found = []
    for line in rows.strip().splitlines():
        resource, kind, scope, short, categories, subresources, *flags = line.split()
        shorts, in_categories, subs = (
            tuple(x.split(",")) if x != "-" else () for x in (short, categories, subresources)
        )
        storage = next((f.removeprefix("stored=") for f in flags if f.startswith("stored=")), "")
        verbs = _REVIEW if "review" in flags else ("get", "list") if "readonly" in flags else _STANDARD
        namespaced = scope == "ns"
        found.append(
            Kind(group, version, kind, resource, namespaced, module, shorts, in_categories, subs, verbs, storage)
        )
    return found


KINDS: tuple[Kind, ...] = (
    *_kinds(
        "",
        "v1",
        "core_v1",
        """
        bindings Binding ns - - - review
        componentstatuses ComponentStatus cluster cs - - readonly
        configmaps ConfigMap ns cm - -
        endpoints Endpoints ns ep - -
        events Event ns ev - -
        limitranges LimitRange ns limits - -
        namespaces Namespace cluster ns - finalize,status
        nodes Node cluster no - proxy,status
        persistentvolumeclaims PersistentVolumeClaim ns pvc - status
        persistentvolumes PersistentVolume cluster pv - status
        pods Pod ns po all attach,binding,ephemeralcontainers,eviction,exec,log,portforward,proxy,resize,status
        podtemplates PodTemplate ns - - -
        replicationcontrollers ReplicationController ns rc all scale,status
        resourcequotas ResourceQuota ns quota - status
        secrets Secret ns - - -
        serviceaccounts ServiceAccount ns sa - token
        services Service ns svc all proxy,status
        """,
    ),
    *_kinds(
        "apiregistration.k8s.io", "v1", "apiregistration_v1", "apiservices APIService cluster - api-extensions status"
    ),
    *_kinds(
        "apps",
        "v1",
        "apps_v1",
        """
        controllerrevisions ControllerRevision ns - - -
        daemonsets DaemonSet ns ds all status
        deployments Deployment ns deploy all scale,status
        replicasets ReplicaSet ns rs all scale,status
        statefulsets StatefulSet ns sts all scale,status
        """,
    ),
    *_kinds("events.k8s.io", "v1", "events_v1", "events Event ns ev - - stored=/events"),
    *_kinds(
        "authentication.k8s.io",
        "v1",
        "authentication_v1",
        """
        selfsubjectreviews SelfSubjectReview cluster - - - review
        tokenreviews TokenReview cluster - - - review
        """,
    ),
    *_kinds(
        "authorization.k8s.io",
        "v1",
        "authorization_v1",
        """
        localsubjectaccessreviews LocalSubjectAccessReview ns - - - review
        selfsubjectaccessreviews SelfSubjectAccessReview cluster - - - review
        selfsubjectrulesreviews SelfSubjectRulesReview cluster - - - review
        subjectaccessreviews SubjectAccessReview cluster - - - review
        """,
    ),
    *_kinds(
        "autoscaling", "v2", "autoscaling_v2", "horizontalpodautoscalers HorizontalPodAutoscaler ns hpa all status"
    ),
    *_kinds(
        "autoscaling",
        "v1",
        "autoscaling_v1",
        "horizontalpodautoscalers HorizontalPodAutoscaler ns hpa all status "
        "stored=autoscaling/horizontalpodautoscalers",
    ),
    *_kinds(
        "batch",
        "v1",
        "batch_v1",
        """
        cronjobs CronJob ns cj all status
        jobs Job ns - all status
        """,
    ),
    *_kinds(
        "certificates.k8s.io",
        "v1",
        "certificates_v1",
        "certificatesigningrequests CertificateSigningRequest cluster csr - approval,status",
    ),
    *_kinds(
        "networking.k8s.io",
        "v1",
        "networking_v1",
        """
        ingressclasses IngressClass cluster - - -
        ingresses Ingress ns ing - status
        ipaddresses IPAddress cluster ip - -
        networkpolicies NetworkPolicy ns netpol - -
        servicecidrs ServiceCIDR cluster - - status
        """,
    ),
    *_kinds("policy", "v1", "policy_v1", "poddisruptionbudgets PodDisruptionBudget ns pdb - status"),
    *_kinds(
        "rbac.authorization.k8s.io",
        "v1",
        "rbac_v1",
        """
        clusterrolebindings ClusterRoleBinding cluster - - -
        clusterroles ClusterRole cluster - - -
        rolebindings RoleBinding ns - - -
        roles Role ns - - -
        """,
    ),
    *_kinds(
        "storage.k8s.io",
        "v1",
        "storage_v1",
        """
        csidrivers CSIDriver cluster - - -
        csinodes CSINode cluster - - -
        csistoragecapacities CSIStorageCapacity ns - - -
        storageclasses StorageClass cluster sc - -
        volumeattachments VolumeAttachment cluster - - status
        volumeattributesclasses VolumeAttributesClass cluster vac - -
        """,
    ),
    *_kinds(
        "admissionregistration.k8s.io",
        "v1",
        "admissionregistration_v1",
        """
        mutatingadmissionpolicies MutatingAdmissionPolicy cluster - api-extensions -
        mutatingadmissionpolicybindings MutatingAdmissionPolicyBinding cluster - api-extensions -
        mutatingwebhookconfigurations MutatingWebhookConfiguration cluster - api-extensions -
        validatingadmissionpolicies ValidatingAdmissionPolicy cluster - api-extensions status
        validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding cluster - api-extensions -
        validatingwebhookconfigurations ValidatingWebhookConfiguration cluster - api-extensions -
        """,
    ),
    *_kinds(
        "apiextensions.k8s.io",
        "v1",
        "apiextensions_v1",
        "customresourcedefinitions CustomResourceDefinition cluster crd,crds api-extensions status",
    ),
    *_kinds("scheduling.k8s.io", "v1", "scheduling_v1", "priorityclasses PriorityClass cluster pc - -"),
    *_kinds("coordination.k8s.io", "v1", "coordination_v1", "leases Lease ns - - -"),
    *_kinds("node.k8s.io", "v1", "node_v1", "runtimeclasses RuntimeClass cluster - - -"),
    *_kinds("discovery.k8s.io", "v1", "discovery_v1", "endpointslices EndpointSlice ns - - -"),
    *_kinds(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "flowcontrol_v1",
        """
        flowschemas FlowSchema cluster - - status
        prioritylevelconfigurations PriorityLevelConfiguration cluster - - status
        """,
    ),
    *_kinds(
        "resource.k8s.io",
        "v1",
        "resource_v1",
        """
        deviceclasses DeviceClass cluster - - -
        resourceclaims ResourceClaim ns - - status
        resourceclaimtemplates ResourceClaimTemplate ns - - -
        resourceslices ResourceSlice cluster - - -
        """,
    ),
)

_BY_GVK = {(k.api_version, k.kind): k for k in KINDS}
_BY_GVR = {(k.group, k.version, k.resource): k for k in KINDS}


def by_kind(api_version: str, kind: str) -> Kind | None:
    """The row of `apps/v1`, `Deployment`; None when it is not built in."""
    return _BY_GVK.get((api_version, kind))


def by_resource(group: str, version: str, resource: str) -> Kind | None:
    """The row of `apps`, `v1`, `deployments`."""
    return _BY_GVR.get((group, version, resource))


def of(type_: type[Object]) -> Kind:
    """The row of a struct class. Raises KeyError for a class that is no kind."""
    if (found := _OF_TYPE.get(type_)) is None:
        sample = type_()
        found = _OF_TYPE[type_] = _BY_GVK[sample.api_version, sample.kind]
    return found


_OF_TYPE: dict[type[Object], Kind] = {}
