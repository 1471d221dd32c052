"""The roles and bindings every cluster starts with, as text.

One line is a rule: verbs, API groups (`core` is the group ""), resources, and as a fourth word resource names; `url` in
place of the groups makes it a rule for non-resource paths. `read` and `write` stand for their verbs; `events` alone is
the rule that lets a component record events. The permissions are upstream's, which are part of its contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from pybernetes.api.rbac_v1 import (
    AggregationRule,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
    Subject,
)
from pybernetes.control_plane.apiserver.authorization.controller_policy import CONTROLLERS
from pybernetes.control_plane.apiserver.authorization.rules import break_down, compact
from pybernetes.machinery.meta import LabelSelector, ObjectMeta

GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AGGREGATE = f"{GROUP}/aggregate-to-"
#: As metrics-server's manifests have it: who may see Pods may see what they use.
METRICS_READER = "system:aggregated-metrics-reader"
_VERBS = {"read": ("get", "list", "watch"), "write": ("create", "delete", "deletecollection", "patch", "update")}

#: ClusterRoles that are the sum of others: name -> the label suffix they collect, and the one they carry themselves.
AGGREGATED = {"admin": ("admin", ""), "edit": ("edit", "admin"), "view": ("view", "edit")}

CLUSTER_ROLES = """
cluster-admin
    *                    *                      *
    *                    url                    *
system:aggregate-to-admin
    create               authorization.k8s.io   localsubjectaccessreviews
    read,write           rbac.authorization.k8s.io  rolebindings,roles
system:aggregate-to-edit
    read                 core                   pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy
    impersonate          core                   serviceaccounts
    write                core                   pods,pods/attach,pods/exec,pods/portforward,pods/proxy
    create               core                   pods/eviction
    write                core                   configmaps,events,persistentvolumeclaims,replicationcontrollers
    write                core                   replicationcontrollers/scale,secrets,serviceaccounts,services
    write                core                   services/proxy
    create               core                   serviceaccounts/token
    write                apps                   daemonsets,deployments,deployments/rollback,deployments/scale
    write                apps                   replicasets,replicasets/scale,statefulsets,statefulsets/scale
    write                autoscaling            horizontalpodautoscalers
    write                batch                  cronjobs,jobs
    write                extensions             daemonsets,deployments,deployments/rollback,deployments/scale
    write                extensions             ingresses,networkpolicies,replicasets,replicasets/scale
    write                extensions             replicationcontrollers/scale
    write                policy                 poddisruptionbudgets
    write                networking.k8s.io      ingresses,networkpolicies
    read,write           coordination.k8s.io    leases
    write                resource.k8s.io        resourceclaims,resourceclaimtemplates
system:aggregate-to-view
    read                 core                   configmaps,endpoints,persistentvolumeclaims
    read                 core                   persistentvolumeclaims/status,pods,replicationcontrollers
    read                 core                   replicationcontrollers/scale,serviceaccounts
    read                 core                   services,services/status
    read                 core                   bindings,events,limitranges,namespaces/status,pods/log,pods/status
    read                 core                   replicationcontrollers/status,resourcequotas,resourcequotas/status
    read                 core                   namespaces
    read                 discovery.k8s.io       endpointslices
    read                 apps                   controllerrevisions,daemonsets,daemonsets/status,deployments
    read                 apps                   deployments/scale,deployments/status,replicasets,replicasets/scale
    read                 apps                   replicasets/status,statefulsets,statefulsets/scale,statefulsets/status
    read                 autoscaling            horizontalpodautoscalers,horizontalpodautoscalers/status
    read                 batch                  cronjobs,cronjobs/status,jobs,jobs/status
    read                 extensions             daemonsets,daemonsets/status,deployments,deployments/scale
    read                 extensions             deployments/status,ingresses,ingresses/status,networkpolicies
    read                 extensions             replicasets,replicasets/scale,replicasets/status
    read                 extensions             replicationcontrollers/scale
    read                 policy                 poddisruptionbudgets,poddisruptionbudgets/status
    read                 networking.k8s.io      ingresses,ingresses/status,networkpolicies
    read                 resource.k8s.io        resourceclaims,resourceclaims/status,resourceclaimtemplates
system:auth-delegator
    create               authentication.k8s.io  tokenreviews
    create               authorization.k8s.io   subjectaccessreviews
system:basic-user
    create               authorization.k8s.io   selfsubjectaccessreviews,selfsubjectrulesreviews
    create               authentication.k8s.io  selfsubjectreviews
system:certificates.k8s.io:certificatesigningrequests:nodeclient
    create               certificates.k8s.io    certificatesigningrequests/nodeclient
system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
    create               certificates.k8s.io    certificatesigningrequests/selfnodeclient
system:certificates.k8s.io:kube-apiserver-client-approver
    approve              certificates.k8s.io    signers  kubernetes.io/kube-apiserver-client
system:certificates.k8s.io:kube-apiserver-client-kubelet-approver
    approve              certificates.k8s.io    signers  kubernetes.io/kube-apiserver-client-kubelet
system:certificates.k8s.io:kubelet-serving-approver
    approve              certificates.k8s.io    signers  kubernetes.io/kubelet-serving
system:certificates.k8s.io:legacy-unknown-approver
    approve              certificates.k8s.io    signers  kubernetes.io/legacy-unknown
system:cluster-trust-bundle-discovery
    read                 certificates.k8s.io    clustertrustbundles
system:coredns
    list,watch           core                   endpoints,namespaces,pods,services
    list,watch           discovery.k8s.io       endpointslices
system:discovery
    get                  url                    /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*
    get                  url                    /readyz,/version,/version/
system:kube-aggregator
    read                 core                   endpoints,services
system:kube-controller-manager
    events
    create               coordination.k8s.io    leases
    get,update           coordination.k8s.io    leases  kube-controller-manager
    create               core                   secrets,serviceaccounts
    delete               core                   secrets
    get                  core                   configmaps,namespaces,secrets,serviceaccounts
    update               core                   secrets,serviceaccounts
    create               authentication.k8s.io  tokenreviews
    create               authorization.k8s.io   subjectaccessreviews
    list,watch           *                      *
    create               core                   serviceaccounts/token
system:aggregated-metrics-reader
    read                 metrics.k8s.io         nodes,pods
system:kube-dns
    list,watch           core                   endpoints,services
    list,watch           discovery.k8s.io       endpointslices
system:kube-scheduler
    events
    create               coordination.k8s.io    leases
    get,update           coordination.k8s.io    leases  kube-scheduler
    read                 core                   nodes
    read,delete          core                   pods
    create               core                   bindings,pods/binding
    patch,update         core                   pods/status
    read                 core                   replicationcontrollers,services
    read                 apps,extensions        replicasets
    read                 apps                   statefulsets
    read                 policy                 poddisruptionbudgets
    read                 core                   persistentvolumeclaims,persistentvolumes
    create               authentication.k8s.io  tokenreviews
    create               authorization.k8s.io   subjectaccessreviews
    read                 storage.k8s.io         csinodes
    read                 core                   namespaces
    read                 storage.k8s.io         csidrivers
    read                 storage.k8s.io         csistoragecapacities
    read                 storage.k8s.io         volumeattachments
    read                 resource.k8s.io        deviceclasses
    read,patch,update    resource.k8s.io        resourceclaims
    create,delete        resource.k8s.io        resourceclaims
    patch,update         resource.k8s.io        resourceclaims/binding,resourceclaims/status
    update               core                   pods/finalizers
    read                 resource.k8s.io        resourceslices
    read                 resource.k8s.io        devicetaintrules
    read                 scheduling.k8s.io      podgroups,workloads
system:kubelet-api-admin
    read                 core                   nodes
    proxy                core                   nodes
    *                    core                   nodes/configz,nodes/healthz,nodes/log,nodes/metrics,nodes/pods
    *                    core                   nodes/proxy,nodes/stats
system:monitoring
    get                  url                    /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis
    get                  url                    /readyz,/readyz/*,/flagz,/statusz
system:node
    create               authentication.k8s.io  tokenreviews
    create               authorization.k8s.io   localsubjectaccessreviews,subjectaccessreviews
    read                 core                   services
    read,create          core                   nodes
    patch,update         core                   nodes/status
    patch,update         core                   nodes
    create,patch,update  core                   events
    read                 core                   pods
    create,delete        core                   pods
    patch,update         core                   pods/status
    create               core                   pods/eviction
    read                 core                   configmaps,secrets
    get                  core                   persistentvolumeclaims,persistentvolumes
    get                  core                   endpoints
    read,create          certificates.k8s.io    certificatesigningrequests
    get,create,update,patch,delete  coordination.k8s.io  leases
    get                  storage.k8s.io         volumeattachments
    create               core                   serviceaccounts/token
    get,patch,update     core                   persistentvolumeclaims/status
    read                 storage.k8s.io         csidrivers
    get,create,update,patch,delete  storage.k8s.io  csinodes
    read                 node.k8s.io            runtimeclasses
    get                  core                   serviceaccounts
    get                  resource.k8s.io        resourceclaims
    read,create,update,patch,delete,deletecollection  resource.k8s.io  resourceslices
    read                 certificates.k8s.io    clustertrustbundles
    read,create          certificates.k8s.io    podcertificaterequests
system:node-bootstrapper
    read,create          certificates.k8s.io    certificatesigningrequests
system:node-problem-detector
    get                  core                   nodes
    patch                core                   nodes/status
    events
system:node-proxier
    list,watch           core                   endpoints,services
    read                 core                   nodes
    events
    list,watch           discovery.k8s.io       endpointslices
    list,watch           networking.k8s.io      servicecidrs
system:persistent-volume-provisioner
    read,create,delete   core                   persistentvolumes
    read,update          core                   persistentvolumeclaims
    read                 storage.k8s.io         storageclasses
    watch                core                   events
    events
system:public-info-viewer
    get                  url                    /healthz,/livez,/readyz,/version,/version/
system:service-account-issuer-discovery
    get                  url                    /.well-known/openid-configuration,/openid/v1/jwks
system:volume-scheduler
    read,patch,update    core                   persistentvolumes
    read                 storage.k8s.io         storageclasses
    read,patch,update    core                   persistentvolumeclaims
"""

#: ClusterRoleBinding -> ClusterRole, then its subjects (`u:` user, `g:` group, `s:` service account in kube-system).
CLUSTER_BINDINGS = """
cluster-admin                            cluster-admin  g:system:masters
system:basic-user                        system:basic-user  g:system:authenticated
system:cluster-trust-bundle-discovery    system:cluster-trust-bundle-discovery  g:system:serviceaccounts
system:coredns                           system:coredns  s:coredns u:system:kube-proxy
system:discovery                         system:discovery  g:system:authenticated
system:kube-controller-manager           system:kube-controller-manager  u:system:kube-controller-manager
system:kube-dns                          system:kube-dns  s:kube-dns
system:kube-scheduler                    system:kube-scheduler  u:system:kube-scheduler
system:monitoring                        system:monitoring  g:system:monitoring
system:node                              system:node
system:node-proxier                      system:node-proxier  u:system:kube-proxy
system:public-info-viewer                system:public-info-viewer  g:system:authenticated g:system:unauthenticated
system:service-account-issuer-discovery  system:service-account-issuer-discovery  g:system:serviceaccounts
system:volume-scheduler                  system:volume-scheduler  u:system:kube-scheduler
"""

ROLES = {
    "kube-system": """
extension-apiserver-authentication-reader
    read                 core                   configmaps  extension-apiserver-authentication
system:controller:bootstrap-signer
    read                 core                   secrets
system:controller:cloud-provider
    create,get,list,watch  core                 configmaps
system:controller:token-cleaner
    read,delete          core                   secrets
    events
system::leader-locking-kube-controller-manager
    watch                core                   configmaps
    get,update           core                   configmaps  kube-controller-manager
system::leader-locking-kube-scheduler
    watch                core                   configmaps
    get,update           core                   configmaps  kube-scheduler
""",
    "kube-public": """
system:controller:bootstrap-signer
    read                 core                   configmaps
    update               core                   configmaps  cluster-info
    events
""",
}

BINDINGS = {
    "kube-system": """
system:controller:bootstrap-signer  system:controller:bootstrap-signer  s:bootstrap-signer
system:controller:cloud-provider    system:controller:cloud-provider  s:cloud-provider
system:controller:token-cleaner     system:controller:token-cleaner  s:token-cleaner
system::extension-apiserver-authentication-reader  extension-apiserver-authentication-reader \
u:system:kube-controller-manager u:system:kube-scheduler
system::leader-locking-kube-controller-manager  system::leader-locking-kube-controller-manager \
u:system:kube-controller-manager s:kube-controller-manager
system::leader-locking-kube-scheduler  system::leader-locking-kube-scheduler \
u:system:kube-scheduler s:kube-scheduler
""",
    "kube-public": """
system:controller:bootstrap-signer  system:controller:bootstrap-signer  s:bootstrap-signer
""",
}

#: What kubeadm adds to a cluster, so that its kubeconfigs and join tokens work.
KUBEADM_ROLES = """
kubeadm:get-nodes
    get                  core                   nodes
"""
#: For parts that upstream does not ship: what runs for a cloud (upstream's manifests bring these rights), and the
#: Ingress controller.
OWN_ROLES = """
pybernetes:network-client
    create               certificates.k8s.io    certificatesigningrequests/networkclient
pybernetes:ingress
    read                 networking.k8s.io      ingresses,ingressclasses
    update,patch         networking.k8s.io      ingresses/status
    read                 core                   nodes,secrets,services
    read                 discovery.k8s.io       endpointslices
    events
pybernetes:node-volumes
    update,delete        core                   nodes/proxy
system:cloud-controller-manager
    read                 core                   nodes,services
    delete,patch         core                   nodes
    patch                core                   nodes/status,services,services/status
    read                 discovery.k8s.io       endpointslices
    read                 networking.k8s.io      ingresses,ingressclasses
    create               coordination.k8s.io    leases
    get,update           coordination.k8s.io    leases  cloud-controller-manager
    events
"""
OWN_BINDINGS = """
pybernetes:ingress               pybernetes:ingress  u:pybernetes:ingress
system:cloud-controller-manager  system:cloud-controller-manager  u:system:cloud-controller-manager
pybernetes:network-client        pybernetes:network-client  g:system:nodes
pybernetes:node-volumes          pybernetes:node-volumes  u:system:kube-controller-manager
pybernetes:node-serving-approver  system:certificates.k8s.io:kubelet-serving-approver  u:system:kube-controller-manager
pybernetes:node-client-approver   system:certificates.k8s.io:kube-apiserver-client-approver \
u:system:kube-controller-manager
"""
#: Our controllers run in one process and under one name; upstream's run under forty.
CONTROLLER_MANAGER_ROLE, CONTROLLER_MANAGER = "pybernetes:controller-manager", "system:kube-controller-manager"
KUBEADM_BINDINGS = """
kubeadm:cluster-admins                        cluster-admin  g:kubeadm:cluster-admins
kubeadm:get-nodes                             kubeadm:get-nodes  g:system:bootstrappers:kubeadm:default-node-token
kubeadm:kubelet-bootstrap                     system:node-bootstrapper \
g:system:bootstrappers:kubeadm:default-node-token
kubeadm:node-autoapprove-bootstrap            system:certificates.k8s.io:certificatesigningrequests:nodeclient \
g:system:bootstrappers:kubeadm:default-node-token
kubeadm:node-autoapprove-certificate-rotation system:certificates.k8s.io:certificatesigningrequests:selfnodeclient \
g:system:nodes
"""

Policy = ClusterRole | ClusterRoleBinding | Role | RoleBinding


@cache
def cluster_roles() -> tuple[ClusterRole, ...]:
    """All default ClusterRoles. Shared: copy before changing."""
    found = []
    for name, (collects, carries) in AGGREGATED.items():
        meta = _meta(name, "")
        if carries:
            meta.labels = {**LABELS, f"{AGGREGATE}{carries}": "true"}
        selector = LabelSelector(match_labels={f"{AGGREGATE}{collects}": "true"})
        found.append(ClusterRole(metadata=meta, aggregation_rule=AggregationRule(cluster_role_selectors=[selector])))
    for name, rules in _parse(CLUSTER_ROLES):
        meta = _meta(name, "")
        if name.startswith("system:aggregate-to-"):
            meta.labels = {**LABELS, AGGREGATE + name.removeprefix("system:aggregate-to-"): "true"}
        if name == METRICS_READER:
            meta.labels = {**LABELS, **{f"{AGGREGATE}{role}": "true" for role in ("view", "edit", "admin")}}
        found.append(ClusterRole(metadata=meta, rules=rules))
    for name, rules in _parse(CONTROLLERS):
        found.append(ClusterRole(metadata=_meta(f"system:controller:{name}", ""), rules=rules))
    for name, rules in _parse(KUBEADM_ROLES):
        found.append(ClusterRole(metadata=ObjectMeta(name=name), rules=rules))
    for name, rules in _parse(OWN_ROLES):
        found.append(ClusterRole(metadata=_meta(name, ""), rules=rules))
    together = [part for _, rules in _parse(CONTROLLERS) for rule in rules for part in break_down(rule)]
    found.append(ClusterRole(metadata=_meta(CONTROLLER_MANAGER_ROLE, ""), rules=compact(together)))
    return tuple(found)


@cache
def cluster_role_bindings() -> tuple[ClusterRoleBinding, ...]:
    """All default ClusterRoleBindings."""
    found = [
        ClusterRoleBinding(metadata=_meta(name, ""), role_ref=_ref("ClusterRole", role), subjects=subjects)
        for name, role, subjects in _parse_bindings(CLUSTER_BINDINGS + OWN_BINDINGS.lstrip())
    ]
    for name, _ in _parse(CONTROLLERS):
        role = f"system:controller:{name}"
        found.append(
            ClusterRoleBinding(
                metadata=_meta(role, ""), role_ref=_ref("ClusterRole", role), subjects=[_subject(f"s:{name}")]
            )
        )
    found.append(
        ClusterRoleBinding(
            metadata=_meta(CONTROLLER_MANAGER_ROLE, ""),
            role_ref=_ref("ClusterRole", CONTROLLER_MANAGER_ROLE),
            subjects=[_subject(f"u:{CONTROLLER_MANAGER}")],
        )
    )
    for name, role, subjects in _parse_bindings(KUBEADM_BINDINGS):
        found.append(
            ClusterRoleBinding(metadata=ObjectMeta(name=name), role_ref=_ref("ClusterRole", role), subjects=subjects)
        )
    return tuple(found)


@cache
def roles() -> tuple[Role, ...]:
    """The Roles in kube-system and kube-public."""
    return tuple(
        Role(metadata=_meta(name, namespace), rules=rules)
        for namespace, text in ROLES.items()
        for name, rules in _parse(text)
    )


@cache
def role_bindings() -> tuple[RoleBinding, ...]:
    """The RoleBindings in kube-system and kube-public."""
    return tuple(
        RoleBinding(metadata=_meta(name, namespace), role_ref=_ref("Role", role), subjects=subjects)
        for namespace, text in BINDINGS.items()
        for name, role, subjects in _parse_bindings(text)
    )


def everything() -> Iterator[Policy]:
    """All default objects, roles before the bindings that refer to them."""
    yield from cluster_roles()
    yield from roles()
    yield from cluster_role_bindings()
    yield from role_bindings()


def _meta(name: str, namespace: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, labels=dict(LABELS), annotations={AUTOUPDATE: "true"})


def _ref(kind: str, name: str) -> RoleRef:
    return RoleRef(api_group=GROUP, kind=kind, name=name)


def _subject(text: str) -> Subject:
    kind, _, name = text.partition(":")
    if kind == "s":
        return Subject(kind="ServiceAccount", name=name, namespace="kube-system")
    return Subject(kind="User" if kind == "u" else "Group", api_group=GROUP, name=name)


def _parse_bindings(text: str) -> Iterator[tuple[str, str, list[Subject] | None]]:
    for line in text.strip().splitlines():
        name, role, *subjects = line.split()
        yield name, role, [_subject(subject) for subject in subjects] or None


def _parse(text: str) -> Iterator[tuple[str, list[PolicyRule]]]:
    name, rules = "", list[PolicyRule]()
    for line in text.strip().splitlines():
        if line.startswith(" "):
            rules.append(_rule(line.split()))
        else:
            if name:
                yield name, rules
            name, rules = line, []
    yield name, rules


def _rule(words: list[str]) -> PolicyRule:
    if words == ["events"]:
        words = ["create,patch,update", "core,events.k8s.io", "events"]
    verbs = sorted({verb for word in words[0].split(",") for verb in _VERBS.get(word, (word,))})
    if words[1] == "url":
        return PolicyRule(verbs=verbs, non_resource_urls=sorted(words[2].split(",")))
    return PolicyRule(
        verbs=verbs,
        api_groups=sorted("" if group == "core" else group for group in words[1].split(",")),
        resources=sorted(words[2].split(",")),
        resource_names=sorted(words[3].split(",")) if len(words) > 3 else None,
    )
