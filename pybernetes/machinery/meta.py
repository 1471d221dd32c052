"""meta/v1: what every object carries, and the objects that the API machinery itself exchanges.

They live below `api` because codecs, errors and selectors are made of them.
"""

from __future__ import annotations

from typing import Annotated, Any

from pybernetes.machinery.types import (
    ATOMIC,
    BY_UID,
    Int32,
    Merge,
    Struct,
    Time,
    constant,
    empty_list,
    field,
    null,
    zero_bool,
    zero_str,
)


class GroupVersionForDiscovery(Struct):
    group_version: str = field(default_factory=zero_str)
    version: str = field(default_factory=zero_str)


class ServerAddressByClientCIDR(Struct):
    client_cidr: str = field(name="clientCIDR", default_factory=zero_str)
    server_address: str = field(default_factory=zero_str)


class APIGroup(Struct):
    api_version: str | None = None
    kind: str | None = None
    name: str = field(default_factory=zero_str)
    versions: Annotated[list[GroupVersionForDiscovery], ATOMIC] = field(default_factory=empty_list)
    preferred_version: GroupVersionForDiscovery | None = None
    server_address_by_client_cidrs: Annotated[list[ServerAddressByClientCIDR], ATOMIC] | None = field(
        name="serverAddressByClientCIDRs", default=None
    )


class APIGroupList(Struct):
    api_version: str | None = None
    kind: str | None = None
    groups: Annotated[list[APIGroup], ATOMIC] = field(default_factory=empty_list)


class APIResource(Struct):
    kind: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)
    singular_name: str = field(default_factory=zero_str)
    namespaced: bool = field(default_factory=zero_bool)
    group: str | None = None
    version: str | None = None
    verbs: list[str] = field(default_factory=empty_list)
    short_names: Annotated[list[str], ATOMIC] | None = None
    categories: Annotated[list[str], ATOMIC] | None = None
    storage_version_hash: str | None = None


class APIResourceList(Struct):
    api_version: str | None = None
    kind: str | None = None
    group_version: str = field(default_factory=zero_str)
    resources: Annotated[list[APIResource], ATOMIC] = field(default_factory=empty_list)


class APIVersions(Struct):
    api_version: str | None = None
    kind: str | None = None
    versions: Annotated[list[str], ATOMIC] = field(default_factory=empty_list)
    server_address_by_client_cidrs: Annotated[list[ServerAddressByClientCIDR], ATOMIC] = field(
        name="serverAddressByClientCIDRs", default_factory=empty_list
    )


class Condition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    observed_generation: int | None = None
    last_transition_time: Time | None = field(default_factory=null)
    reason: str = field(default_factory=zero_str)
    message: str = field(default_factory=zero_str)


class Preconditions(Struct):
    uid: str | None = None
    resource_version: str | None = None


class DeleteOptions(Struct):
    api_version: str | None = None
    kind: str | None = None
    grace_period_seconds: int | None = None
    preconditions: Preconditions | None = None
    orphan_dependents: bool | None = None
    propagation_policy: str | None = None
    dry_run: Annotated[list[str], ATOMIC] | None = None
    ignore_store_read_error_with_cluster_breaking_potential: bool | None = None


class FieldSelectorRequirement(Struct):
    key: str = field(default_factory=zero_str)
    operator: str = field(default_factory=zero_str)
    values: Annotated[list[str], ATOMIC] | None = None


class LabelSelectorRequirement(Struct):
    key: str = field(default_factory=zero_str)
    operator: str = field(default_factory=zero_str)
    values: Annotated[list[str], ATOMIC] | None = None


class LabelSelector(Struct):
    match_labels: dict[str, str] | None = None
    match_expressions: Annotated[list[LabelSelectorRequirement], ATOMIC] | None = None


class ShardInfo(Struct):
    selector: str = field(default_factory=zero_str)


class ListMeta(Struct):
    self_link: str | None = None
    resource_version: str = ""
    continue_: str = field(name="continue", default="")
    remaining_item_count: int | None = None
    shard_info: ShardInfo | None = None


class ManagedFieldsEntry(Struct):
    api_version: str | None = None
    manager: str | None = None
    operation: str | None = None
    time: Time | None = None
    fields_type: str | None = None
    fields_v1: dict[str, Any] | None = None
    subresource: str | None = None


class OwnerReference(Struct):
    api_version: str = field(default_factory=zero_str)
    kind: str = field(default_factory=zero_str)
    name: str = field(default_factory=zero_str)
    uid: str = field(default_factory=zero_str)
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Struct):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    self_link: str | None = None
    uid: str = ""
    resource_version: str = ""
    generation: int | None = None
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: Annotated[list[OwnerReference], BY_UID] | None = None
    finalizers: Annotated[list[str], Merge(set_=True, patch="merge")] | None = None
    managed_fields: Annotated[list[ManagedFieldsEntry], ATOMIC] | None = None


class StatusCause(Struct):
    reason: str | None = None
    message: str | None = None
    field_: str | None = field(name="field", default=None)


class StatusDetails(Struct):
    kind: str | None = None
    name: str | None = None
    group: str | None = None
    uid: str | None = None
    causes: Annotated[list[StatusCause], ATOMIC] | None = None
    retry_after_seconds: Int32 | None = None


class Status(Struct):
    """The answer to a request that has no object to show: every error is one."""

    kind: str = field(default_factory=constant("Status"))
    api_version: str = field(default_factory=constant("v1"))
    metadata: ListMeta = field(default_factory=ListMeta)
    status: str | None = None
    message: str | None = None
    reason: str | None = None
    details: StatusDetails | None = None
    code: Int32 | None = None


class Object(Struct):
    """Base of every kind: `apiVersion`, `kind` and `metadata` come first on the wire (revisions are stamped there)."""

    api_version: str = field(default_factory=zero_str)
    kind: str = field(default_factory=zero_str)
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
