"""The downward API: fields of a pod and resources of its containers as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pybernetes.api.core_v1 import Pod
from pybernetes.machinery import quantity
from pybernetes.machinery.text import quote
from pybernetes.node.kubelet.qos import limits, requests
from pybernetes.node.kubelet.restarts import AnyContainer

_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


def field_value(pod: Pod, path: str, host_ips: Sequence[str] = (), pod_ips: Sequence[str] = ()) -> str:
    """The text of a field path. Raises ValueError for one that is not offered."""
    metadata, spec = pod.metadata, pod.spec
    if match := _KEYED.fullmatch(path):
        table = metadata.labels if match[1] == "labels" else metadata.annotations
        return (table or {}).get(match[2], "")
    ips = list(pod_ips) or [p.ip for p in pod.status.pod_ips or ()]
    hosts = list(host_ips) or [p.ip for p in pod.status.host_ips or ()]
    values = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "spec.nodeName": spec.node_name or "",
        "spec.serviceAccountName": spec.service_account_name or "",
        "status.hostIP": hosts[0] if hosts else "",
        "status.hostIPs": ",".join(hosts),
        "status.podIP": ips[0] if ips else "",
        "status.podIPs": ",".join(ips),
    }
    if path in values:
        return values[path]
    if path == "metadata.labels":
        return _map_text(metadata.labels)
    if path == "metadata.annotations":
        return _map_text(metadata.annotations)
    raise ValueError(f"unsupported fieldPath: {path}")


def _map_text(table: Mapping[str, str] | None) -> str:
    """`key="value"` lines, sorted, the value quoted as Go's %q does."""
    return "\n".join(f"{key}={quote(value)}" for key, value in sorted((table or {}).items()))


def resource_value(container: AnyContainer, resource: str, divisor: str | None, allocatable: Mapping[str, str]) -> str:
    """`limits.cpu` and the like, in units of the divisor, rounded up; an unset limit is the node's allocatable.

    Raises ValueError for a resource that is not offered.
    """
    kind, _, name = resource.partition(".")
    known = ("cpu", "memory", "ephemeral-storage")
    if kind not in ("limits", "requests") or not (name in known or name.startswith("hugepages-")):
        raise ValueError(f"Unsupported container resource : {resource}")
    if kind == "limits":
        text = limits(container).get(name) or allocatable.get(name, "0")
    else:
        text = requests(container).get(name, "0")
    unit = quantity.parse(divisor) if divisor else quantity.ZERO
    unit_nano = unit.nano or quantity.NANO
    return str(-(-quantity.parse(text).nano // unit_nano))
