"""Types of v1: pod."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.container import (
    AppArmorProfile,
    Container,
    EphemeralContainer,
    ResourceRequirements,
    SeccompProfile,
    SELinuxOptions,
    WindowsSecurityContextOptions,
)
from pybernetes.api.core_v1.pod_status import PodStatus
from pybernetes.api.core_v1.references import LocalObjectReference, NodeSelector, NodeSelectorTerm
from pybernetes.api.core_v1.volume import Volume
from pybernetes.machinery.meta import LabelSelector, Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_NAME,
    Int32,
    Merge,
    Quantity,
    Struct,
    constant,
    empty_list,
    field,
    zero_int,
    zero_str,
)


class PreferredSchedulingTerm(Struct):
    weight: Int32 = field(default_factory=zero_int)
    preference: NodeSelectorTerm = field(default_factory=NodeSelectorTerm)


class NodeAffinity(Struct):
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredSchedulingTerm], ATOMIC] | None = None


class PodAffinityTerm(Struct):
    label_selector: LabelSelector | None = None
    namespaces: Annotated[list[str], ATOMIC] | None = None
    topology_key: str = field(default_factory=zero_str)
    namespace_selector: LabelSelector | None = None
    match_label_keys: Annotated[list[str], ATOMIC] | None = None
    mismatch_label_keys: Annotated[list[str], ATOMIC] | None = None


class WeightedPodAffinityTerm(Struct):
    weight: Int32 = field(default_factory=zero_int)
    pod_affinity_term: PodAffinityTerm = field(default_factory=PodAffinityTerm)


class PodAffinity(Struct):
    required_during_scheduling_ignored_during_execution: Annotated[list[PodAffinityTerm], ATOMIC] | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[list[WeightedPodAffinityTerm], ATOMIC] | None = None


class PodAntiAffinity(Struct):
    required_during_scheduling_ignored_during_execution: Annotated[list[PodAffinityTerm], ATOMIC] | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[list[WeightedPodAffinityTerm], ATOMIC] | None = None


class Affinity(Struct):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None


class HostAlias(Struct):
    ip: str = field(default_factory=zero_str)
    hostnames: Annotated[list[str], ATOMIC] | None = None


class PodDNSConfigOption(Struct):
    name: str | None = None
    value: str | None = None


class PodDNSConfig(Struct):
    nameservers: Annotated[list[str], ATOMIC] | None = None
    searches: Annotated[list[str], ATOMIC] | None = None
    options: Annotated[list[PodDNSConfigOption], ATOMIC] | None = None


class PodOS(Struct):
    name: str = field(default_factory=zero_str)


class PodReadinessGate(Struct):
    condition_type: str = field(default_factory=zero_str)


class PodResourceClaim(Struct):
    name: str = field(default_factory=zero_str)
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class PodSchedulingGate(Struct):
    name: str = field(default_factory=zero_str)


class PodSchedulingGroup(Struct):
    pod_group_name: str | None = None


class Sysctl(Struct):
    name: str = field(default_factory=zero_str)
    value: str = field(default_factory=zero_str)


class PodSecurityContext(Struct):
    se_linux_options: SELinuxOptions | None = None
    windows_options: WindowsSecurityContextOptions | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: Annotated[list[int], ATOMIC] | None = None
    supplemental_groups_policy: str | None = None
    fs_group: int | None = None
    sysctls: Annotated[list[Sysctl], ATOMIC] | None = None
    fs_group_change_policy: str | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    se_linux_change_policy: str | None = None


class Toleration(Struct):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


class TopologySpreadConstraint(Struct):
    max_skew: Int32 = field(default_factory=zero_int)
    topology_key: str = field(default_factory=zero_str)
    when_unsatisfiable: str = field(default_factory=zero_str)
    label_selector: LabelSelector | None = None
    min_domains: Int32 | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None
    match_label_keys: Annotated[list[str], ATOMIC] | None = None


class PodSpec(Struct):
    volumes: Annotated[list[Volume], Merge(keys=("name",), patch="merge,retainKeys", merge_key="name")] | None = None
    init_containers: Annotated[list[Container], BY_NAME] | None = None
    containers: Annotated[list[Container], BY_NAME] = field(default_factory=empty_list)
    ephemeral_containers: Annotated[list[EphemeralContainer], BY_NAME] | None = None
    restart_policy: str | None = None
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None
    dns_policy: str | None = None
    node_selector: Annotated[dict[str, str], ATOMIC] | None = None
    service_account_name: str | None = None
    service_account: str | None = None
    automount_service_account_token: bool | None = None
    node_name: str | None = None
    host_network: bool | None = None
    host_pid: bool | None = field(name="hostPID", default=None)
    host_ipc: bool | None = field(name="hostIPC", default=None)
    share_process_namespace: bool | None = None
    security_context: PodSecurityContext | None = None
    image_pull_secrets: Annotated[list[LocalObjectReference], BY_NAME] | None = None
    hostname: str | None = None
    subdomain: str | None = None
    affinity: Affinity | None = None
    scheduler_name: str | None = None
    tolerations: Annotated[list[Toleration], ATOMIC] | None = None
    host_aliases: Annotated[list[HostAlias], Merge(keys=("ip",), patch="merge", merge_key="ip")] | None = None
    priority_class_name: str | None = None
    priority: Int32 | None = None
    dns_config: PodDNSConfig | None = None
    readiness_gates: Annotated[list[PodReadinessGate], ATOMIC] | None = None
    runtime_class_name: str | None = None
    enable_service_links: bool | None = None
    preemption_policy: str | None = None
    overhead: dict[str, Quantity] | None = None
    topology_spread_constraints: (
        Annotated[
            list[TopologySpreadConstraint],
            Merge(keys=("topologyKey", "whenUnsatisfiable"), patch="merge", merge_key="topologyKey"),
        ]
        | None
    ) = None
    set_hostname_as_fqdn: bool | None = field(name="setHostnameAsFQDN", default=None)
    os: PodOS | None = None
    host_users: bool | None = None
    scheduling_gates: Annotated[list[PodSchedulingGate], BY_NAME] | None = None
    resource_claims: (
        Annotated[list[PodResourceClaim], Merge(keys=("name",), patch="merge,retainKeys", merge_key="name")] | None
    ) = None
    resources: ResourceRequirements | None = None
    hostname_override: str | None = None
    scheduling_group: PodSchedulingGroup | None = None


class Pod(Object):
    api_version: str = field(default_factory=constant("v1"))
    kind: str = field(default_factory=constant("Pod"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)
