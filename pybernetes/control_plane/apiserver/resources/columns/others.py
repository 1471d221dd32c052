"""How the smaller groups print."""

from __future__ import annotations

from typing import Any

from pybernetes.control_plane.apiserver.resource import Column, Table
from pybernetes.control_plane.apiserver.resources.columns.cells import (
    NONE,
    UNSET,
    age,
    columns,
    joined,
    selector,
    text,
)
from pybernetes.control_plane.apiserver.tables import NAME
from pybernetes.machinery.table import duration

_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_CREATED = (NAME, Column("Created At", "date"))


def _created(obj: Any) -> list[Any]:
    return [obj.metadata.name, obj.metadata.creation_timestamp]


def _ingress(obj: Any) -> list[Any]:
    hosts = [rule.host for rule in obj.spec.rules or () if rule.host]
    shown = ",".join(hosts[:3]) or "*"
    if len(hosts) > 3:
        shown += f" + {len(hosts) - 3} more..."
    balancer = obj.status.load_balancer
    addresses = [i.ip or i.hostname or "" for i in (balancer.ingress if balancer else None) or ()]
    ports = "80, 443" if obj.spec.tls else "80"
    return [obj.metadata.name, obj.spec.ingress_class_name or NONE, shown, ",".join(addresses), ports, age(obj)]


def _ingress_class(obj: Any) -> list[Any]:
    params = obj.spec.parameters
    shown = NONE
    if params is not None:
        group = f".{params.api_group}" if params.api_group else ""
        shown = f"{params.kind}{group}/{params.name}"
    return [obj.metadata.name, obj.spec.controller or "", shown, age(obj)]


def _policy(obj: Any) -> list[Any]:
    return [obj.metadata.name, selector(obj.spec.pod_selector), age(obj)]


def _slice(obj: Any) -> list[Any]:
    ports = [str(p.port) if p.port is not None else "*" for p in obj.ports or ()]
    shown = ",".join(ports[:3]) if ports else UNSET
    if len(ports) > 3:
        shown += f" + {len(ports) - 3} more..."
    addresses = [address for endpoint in obj.endpoints or () for address in endpoint.addresses]
    found = ",".join(addresses[:3]) if addresses else UNSET
    if len(addresses) > 3:
        found += f" + {len(addresses) - 3} more..."
    return [obj.metadata.name, obj.address_type, shown, found, age(obj)]


def _budget(obj: Any) -> list[Any]:
    least = "N/A" if obj.spec.min_available is None else str(obj.spec.min_available)
    most = "N/A" if obj.spec.max_unavailable is None else str(obj.spec.max_unavailable)
    return [obj.metadata.name, least, most, obj.status.disruptions_allowed or 0, age(obj)]


def _binding(obj: Any) -> list[Any]:
    kinds: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.subjects or ():
        name = f"{subject.namespace}/{subject.name}" if subject.kind == "ServiceAccount" else subject.name
        kinds.setdefault(subject.kind, []).append(name)
    shown = [", ".join(kinds[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [obj.metadata.name, f"{obj.role_ref.kind}/{obj.role_ref.name}", age(obj), *shown]


def _csr(obj: Any) -> list[Any]:
    conditions = {c.type for c in obj.status.conditions or ()}
    state = "Denied" if "Denied" in conditions else "Approved" if "Approved" in conditions else "Pending"
    if "Failed" in conditions:
        state += ",Failed"
    if obj.status.certificate:
        state += ",Issued"
    seconds = obj.spec.expiration_seconds
    return [
        obj.metadata.name,
        age(obj),
        obj.spec.signer_name or NONE,
        obj.spec.username or "",
        duration(seconds) if seconds else NONE,
        state,
    ]


def _storage_class(obj: Any) -> list[Any]:
    notes = obj.metadata.annotations or {}
    name = obj.metadata.name + (" (default)" if any(notes.get(key) == "true" for key in _DEFAULT_CLASS) else "")
    return [
        name,
        obj.provisioner,
        obj.reclaim_policy or "Delete",
        obj.volume_binding_mode or "Immediate",
        bool(obj.allow_volume_expansion),
        age(obj),
    ]


def _attachment(obj: Any) -> list[Any]:
    spec = obj.spec
    volume = spec.source.persistent_volume_name or ""
    return [obj.metadata.name, spec.attacher, volume, spec.node_name, bool(obj.status.attached), age(obj)]


def _csi_driver(obj: Any) -> list[Any]:
    spec = obj.spec
    audiences = [request.audience for request in spec.token_requests or ()]
    return [
        obj.metadata.name,
        spec.attach_required is not False,
        bool(spec.pod_info_on_mount),
        bool(spec.storage_capacity),
        joined(audiences, UNSET),
        bool(spec.requires_republish),
        joined(spec.volume_lifecycle_modes),
        age(obj),
    ]


def _flow_schema(obj: Any) -> list[Any]:
    method = obj.spec.distinguisher_method
    missing = next((c.status for c in obj.status.conditions or () if c.type == "Dangling"), "?")
    return [
        obj.metadata.name,
        obj.spec.priority_level_configuration.name,
        obj.spec.matching_precedence or 0,
        method.type if method is not None else NONE,
        age(obj),
        missing or "?",
    ]


def _priority_level(obj: Any) -> list[Any]:
    limited, exempt = obj.spec.limited, obj.spec.exempt
    shares: Any = NONE
    queuing = None
    if limited is not None:
        shares = limited.nominal_concurrency_shares
        queuing = limited.limit_response.queuing if limited.limit_response is not None else None
    elif exempt is not None and exempt.nominal_concurrency_shares is not None:
        shares = exempt.nominal_concurrency_shares
    queues = [NONE] * 3
    if queuing is not None:
        queues = [text(queuing.queues), text(queuing.hand_size), text(queuing.queue_length_limit)]
    return [obj.metadata.name, obj.spec.type, text(shares), *queues, age(obj)]


def _api_service(obj: Any) -> list[Any]:
    service = obj.spec.service
    available = "False (MissingCondition)"
    for condition in obj.status.conditions or ():
        if condition.type == "Available":
            available = condition.status if condition.status == "True" else f"{condition.status} ({condition.reason})"
    where = f"{service.namespace}/{service.name}" if service is not None else "Local"
    return [obj.metadata.name, where, available, age(obj)]


def _param_kind(kind: Any) -> str:
    return f"{kind.api_version}/{kind.kind}" if kind is not None else UNSET


def _param_ref(ref: Any) -> str:
    if ref is None:
        return UNSET
    if ref.name:
        return f"{ref.namespace}/{ref.name}" if ref.namespace else f"*/{ref.name}"
    return selector(ref.selector)


def _policy_binding(obj: Any) -> list[Any]:
    return [obj.metadata.name, obj.spec.policy_name or "", _param_ref(obj.spec.param_ref), age(obj)]


def _ip_address(obj: Any) -> list[Any]:
    ref = obj.spec.parent_ref
    parts = [p for p in (ref.group, ref.resource) if p]
    name = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    return [obj.metadata.name, f"{'.'.join(reversed(parts))}/{name}"]


def _claim_state(obj: Any) -> list[Any]:
    status = obj.status
    states = []
    if obj.metadata.deletion_timestamp is not None:
        states.append("deleted")
    if status is None or status.allocation is None:
        if obj.metadata.deletion_timestamp is None:
            states.append("pending")
    else:
        states.append("allocated")
        states.append("reserved" if status.reserved_for else "")
    return [obj.metadata.name, ",".join(s for s in states if s), age(obj)]


def _resource_slice(obj: Any) -> list[Any]:
    spec = obj.spec
    return [obj.metadata.name, spec.node_name or "", spec.driver, spec.pool.name if spec.pool else "", age(obj)]


_BINDING = Table(columns("Name|Role|Age|*Users|*Groups|*ServiceAccounts"), _binding)
_WEBHOOKS = Table(columns("Name|#Webhooks|Age"), lambda o: [o.metadata.name, len(o.webhooks or ()), age(o)])
_POLICY_BINDING = Table(columns("Name|PolicyName|ParamRef|Age"), _policy_binding)
_NAME_AGE = Table(columns("Name|Age"), lambda o: [o.metadata.name, age(o)])

#: By module of the kinds table.
BY_MODULE: dict[str, dict[str, Table]] = {
    "networking_v1": {
        "Ingress": Table(columns("Name|Class|Hosts|Address|Ports|Age"), _ingress),
        "IngressClass": Table(columns("Name|Controller|Parameters|Age"), _ingress_class),
        "NetworkPolicy": Table(columns("Name|Pod-Selector|Age"), _policy),
        "IPAddress": Table(columns("Name|ParentRef"), _ip_address),
        "ServiceCIDR": Table(columns("Name|CIDRs|Age"), lambda o: [o.metadata.name, joined(o.spec.cidrs, ""), age(o)]),
    },
    "discovery_v1": {"EndpointSlice": Table(columns("Name|AddressType|Ports|Endpoints|Age"), _slice)},
    "policy_v1": {
        "PodDisruptionBudget": Table(columns("Name|Min Available|Max Unavailable|#Allowed Disruptions|Age"), _budget)
    },
    "rbac_v1": {
        "Role": Table(_CREATED, _created),
        "ClusterRole": Table(_CREATED, _created),
        "RoleBinding": _BINDING,
        "ClusterRoleBinding": _BINDING,
    },
    "scheduling_v1": {
        "PriorityClass": Table(
            columns("Name|#Value|!Global-Default|PreemptionPolicy|Age"),
            lambda o: [o.metadata.name, o.value or 0, bool(o.global_default), text(o.preemption_policy), age(o)],
        )
    },
    "node_v1": {"RuntimeClass": Table(columns("Name|Handler|Age"), lambda o: [o.metadata.name, o.handler, age(o)])},
    "coordination_v1": {
        "Lease": Table(columns("Name|Holder|Age"), lambda o: [o.metadata.name, o.spec.holder_identity or "", age(o)])
    },
    "certificates_v1": {
        "CertificateSigningRequest": Table(columns("Name|Age|SignerName|Requestor|RequestedDuration|Condition"), _csr)
    },
    "storage_v1": {
        "StorageClass": Table(
            columns("Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age"), _storage_class
        ),
        "VolumeAttachment": Table(columns("Name|Attacher|PV|Node|!Attached|Age"), _attachment),
        "CSINode": Table(columns("Name|#Drivers|Age"), lambda o: [o.metadata.name, len(o.spec.drivers), age(o)]),
        "CSIDriver": Table(
            columns("Name|!AttachRequired|!PodInfoOnMount|!StorageCapacity|TokenRequests|!RequiresRepublish|Modes|Age"),
            _csi_driver,
        ),
        "CSIStorageCapacity": Table(
            columns("Name|StorageClassName|Capacity|Age"),
            lambda o: [o.metadata.name, o.storage_class_name, o.capacity or UNSET, age(o)],
        ),
        "VolumeAttributesClass": Table(
            columns("Name|DriverName|Age"), lambda o: [o.metadata.name, o.driver_name, age(o)]
        ),
    },
    "flowcontrol_v1": {
        "FlowSchema": Table(
            columns("Name|PriorityLevel|#MatchingPrecedence|DistinguisherMethod|Age|MissingPL"), _flow_schema
        ),
        "PriorityLevelConfiguration": Table(
            columns("Name|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age"), _priority_level
        ),
    },
    "apiregistration_v1": {"APIService": Table(columns("Name|Service|Available|Age"), _api_service)},
    "apiextensions_v1": {"CustomResourceDefinition": Table(_CREATED, _created)},
    "admissionregistration_v1": {
        "MutatingWebhookConfiguration": _WEBHOOKS,
        "ValidatingWebhookConfiguration": _WEBHOOKS,
        "ValidatingAdmissionPolicy": Table(
            columns("Name|#Validations|ParamKind|Age"),
            lambda o: [o.metadata.name, len(o.spec.validations or ()), _param_kind(o.spec.param_kind), age(o)],
        ),
        "MutatingAdmissionPolicy": Table(
            columns("Name|#Mutations|ParamKind|Age"),
            lambda o: [o.metadata.name, len(o.spec.mutations or ()), _param_kind(o.spec.param_kind), age(o)],
        ),
        "ValidatingAdmissionPolicyBinding": _POLICY_BINDING,
        "MutatingAdmissionPolicyBinding": _POLICY_BINDING,
    },
    "resource_v1": {
        "DeviceClass": _NAME_AGE,
        "ResourceClaim": Table(columns("Name|State|Age"), _claim_state),
        "ResourceClaimTemplate": _NAME_AGE,
        "ResourceSlice": Table(columns("Name|Node|Driver|Pool|Age"), _resource_slice),
    },
}
