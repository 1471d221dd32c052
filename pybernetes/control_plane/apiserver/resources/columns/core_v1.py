"""How the kinds of the core group print."""

from __future__ import annotations

from typing import Any

from pybernetes.control_plane.apiserver.resource import Column, Table
from pybernetes.control_plane.apiserver.resources.columns import pods
from pybernetes.control_plane.apiserver.resources.columns.cells import (
    NONE,
    UNKNOWN,
    UNSET,
    age,
    columns,
    containers,
    joined,
    pairs,
    since,
    text,
)

_ROLE, _ROLE_KEY = "node-role.kubernetes.io/", "kubernetes.io/role"
_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_MAX_ENDPOINTS = 3


def _node(node: Any) -> list[Any]:
    status = UNKNOWN
    for condition in node.status.conditions or ():
        if condition.type == "Ready":
            status = {"True": "Ready", "False": "NotReady"}.get(condition.status, "NotReady")
    if status == UNKNOWN:
        status = "Unknown"
    if node.spec.unschedulable:
        status += ",SchedulingDisabled"
    found = {
        key[len(_ROLE) :] if key.startswith(_ROLE) else value
        for key, value in (node.metadata.labels or {}).items()
        if (key.startswith(_ROLE) and key != _ROLE) or (key == _ROLE_KEY and value)
    }
    addresses = {address.type: address.address for address in reversed(node.status.addresses or ())}
    info = node.status.node_info
    return [
        node.metadata.name,
        status,
        joined(sorted(found)),
        age(node),
        (info.kubelet_version if info else "") or "",
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        (info.os_image if info else "") or UNKNOWN,
        (info.kernel_version if info else "") or UNKNOWN,
        (info.container_runtime_version if info else "") or UNKNOWN,
    ]


def _service(service: Any) -> list[Any]:
    spec = service.spec
    internal = (spec.cluster_ips[0] if spec.cluster_ips else spec.cluster_ip) or NONE
    ingress = service.status.load_balancer.ingress if service.status.load_balancer else None
    if spec.type == "LoadBalancer":
        found = [i.ip or i.hostname or "" for i in ingress or ()] + list(spec.external_ips or ())
        external = ",".join(found) or "<pending>"
    elif spec.type == "ExternalName":
        external = spec.external_name or NONE
        internal = spec.cluster_ip or NONE
    else:
        external = joined(spec.external_ips)
    ports = [
        f"{port.port}:{port.node_port}/{port.protocol}" if port.node_port else f"{port.port}/{port.protocol}"
        for port in spec.ports or ()
    ]
    return [
        service.metadata.name,
        spec.type or "",
        internal,
        external,
        joined(ports),
        age(service),
        pairs(spec.selector),
    ]


def _endpoints(endpoints: Any) -> list[Any]:
    found: list[str] = []
    for subset in endpoints.subsets or ():
        ports = [port.port for port in subset.ports or ()]
        for address in subset.addresses or ():
            host = f"[{address.ip}]" if ":" in address.ip else address.ip
            found.extend(f"{host}:{port}" for port in ports) if ports else found.append(host)
    shown = ",".join(found[:_MAX_ENDPOINTS]) or NONE
    if len(found) > _MAX_ENDPOINTS:
        shown += f" + {len(found) - _MAX_ENDPOINTS} more..."
    return [endpoints.metadata.name, shown, age(endpoints)]


def _event(event: Any) -> list[Any]:
    first = since(event.first_timestamp) if event.first_timestamp else since(event.event_time)
    last = since(event.last_timestamp) if event.last_timestamp else first
    count = event.count
    if event.series is not None:
        last = since(event.series.last_observed_time)
        count = event.series.count
    elif not count:
        count = 1
    ref = event.involved_object
    target = f"{(ref.kind or '').lower()}/{ref.name}" if ref.name else (ref.kind or "").lower()
    component = (event.source.component if event.source else None) or event.reporting_component or ""
    host = (event.source.host if event.source else None) or event.reporting_instance or ""
    return [
        last,
        event.type or "",
        event.reason or "",
        target,
        ref.field_path or "",
        f"{component}, {host}" if host else component,
        (event.message or "").strip(),
        first,
        count,
        event.metadata.name,
    ]


def _modes(modes: Any) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in dict.fromkeys(modes or ()))


def _volume(volume: Any) -> list[Any]:
    spec = volume.spec
    claim = f"{spec.claim_ref.namespace}/{spec.claim_ref.name}" if spec.claim_ref is not None else ""
    phase = volume.status.phase or ""
    if volume.metadata.deletion_timestamp is not None:
        phase = "Terminating"
    return [
        volume.metadata.name,
        (spec.capacity or {}).get("storage", "0"),
        _modes(spec.access_modes),
        spec.persistent_volume_reclaim_policy or "",
        phase,
        claim,
        (volume.metadata.annotations or {}).get(_BETA_CLASS) or spec.storage_class_name or "",
        spec.volume_attributes_class_name or UNSET,
        volume.status.reason or "",
        age(volume),
        spec.volume_mode or UNSET,
    ]


def _claim(claim: Any) -> list[Any]:
    spec, status = claim.spec, claim.status
    phase = status.phase or ""
    if claim.metadata.deletion_timestamp is not None:
        phase = "Terminating"
    capacity = modes = ""
    if spec.volume_name:
        modes = _modes(status.access_modes)
        capacity = (status.capacity or {}).get("storage", "0")
    return [
        claim.metadata.name,
        phase,
        spec.volume_name or "",
        capacity,
        modes,
        (claim.metadata.annotations or {}).get(_BETA_CLASS) or spec.storage_class_name or "",
        spec.volume_attributes_class_name or UNSET,
        age(claim),
        spec.volume_mode or UNSET,
    ]


def _controller(controller: Any) -> list[Any]:
    spec, status = controller.spec, controller.status
    return [
        controller.metadata.name,
        spec.replicas or 0,
        status.replicas or 0,
        status.ready_replicas or 0,
        age(controller),
        *containers(spec.template),
        pairs(spec.selector),
    ]


def _quota(quota: Any) -> list[Any]:
    hard, used = quota.status.hard or {}, quota.status.used or {}
    limits = {name for name in hard if name in ("limits.cpu", "limits.memory", "limits.ephemeral-storage")}

    def shown(names: list[str]) -> str:
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)

    return [
        quota.metadata.name,
        shown(sorted(set(hard) - limits)),
        shown(sorted(limits)),
        age(quota),
    ]


def _template(template: Any) -> list[Any]:
    inner = template.template
    labels = inner.metadata.labels if inner is not None and inner.metadata is not None else None
    return [template.metadata.name, *containers(inner), pairs(labels)]


def _component(component: Any) -> list[Any]:
    status, message, error = "Unknown", "", ""
    for condition in component.conditions or ():
        if condition.type == "Healthy":
            status = "Healthy" if condition.status == "True" else "Unhealthy"
            message, error = condition.message or "", condition.error or ""
    return [component.metadata.name, status, message, error]


def _phase(namespace: Any) -> list[Any]:
    return [namespace.metadata.name, text(namespace.status.phase), age(namespace)]


_EVENT_COLUMNS = (
    *columns("Last Seen|Type|Reason|Object|*Subobject|*Source|Message|*First Seen|*#Count"),
    Column("Name", format="name", priority=1),
)

TABLES: dict[str, Table] = {
    "Pod": pods.TABLE,
    "Node": Table(
        columns("Name|Status|Roles|Age|Version|*Internal-IP|*External-IP|*OS-Image|*Kernel-Version|*Container-Runtime"),
        _node,
    ),
    "Service": Table(columns("Name|Type|Cluster-IP|External-IP|Port(s)|Age|*Selector"), _service),
    "Endpoints": Table(columns("Name|Endpoints|Age"), _endpoints),
    "Event": Table(_EVENT_COLUMNS, _event),
    "Namespace": Table(columns("Name|Status|Age"), _phase),
    "Secret": Table(
        columns("Name|Type|#Data|Age"), lambda s: [s.metadata.name, s.type or "", len(s.data or ()), age(s)]
    ),
    "ConfigMap": Table(
        columns("Name|#Data|Age"), lambda c: [c.metadata.name, len(c.data or ()) + len(c.binary_data or ()), age(c)]
    ),
    "ServiceAccount": Table(columns("Name|#Secrets|Age"), lambda s: [s.metadata.name, len(s.secrets or ()), age(s)]),
    "PersistentVolume": Table(
        columns(
            "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age"
            "|*VolumeMode"
        ),
        _volume,
    ),
    "PersistentVolumeClaim": Table(
        columns("Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|*VolumeMode"), _claim
    ),
    "ReplicationController": Table(
        columns("Name|#Desired|#Current|#Ready|Age|*Containers|*Images|*Selector"), _controller
    ),
    "ResourceQuota": Table(columns("Name|Request|Limit|Age"), _quota),
    "PodTemplate": Table(columns("Name|Containers|Images|Pod Labels"), _template),
    "ComponentStatus": Table(columns("Name|Status|Message|Error"), _component),
}
