"""Warnings about the other kinds of the core group; see `pod_warnings` for what a warning is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from pybernetes.api.core_v1.node import Node
from pybernetes.api.core_v1.objects import ServiceAccount
from pybernetes.api.core_v1.persistent_volume import PersistentVolume
from pybernetes.api.core_v1.persistent_volume_claim import PersistentVolumeClaim, PersistentVolumeClaimSpec
from pybernetes.api.core_v1.pod_warnings import (
    DEPRECATED_VOLUMES,
    fractional,
    name_in_pods,
    node_selector_term,
    template_warnings,
)
from pybernetes.api.core_v1.service import Service
from pybernetes.api.core_v1.template import ReplicationController
from pybernetes.machinery.field import Path

__all__ = [
    "claim_spec",
    "warn_node",
    "warn_persistent_volume",
    "warn_persistent_volume_claim",
    "warn_replication_controller",
    "warn_service",
    "warn_service_account",
]

SPEC = Path("spec")
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_OLD_CLASS, _OLD_OPTIONS = "volume.beta.kubernetes.io/storage-class", "volume.beta.kubernetes.io/mount-options"


def warn_service(new: Service, old: Service | None) -> list[str]:
    return list(_service(new))


def _service(service: Service) -> Iterator[str]:
    spec = service.spec
    if _HINTS in (service.metadata.annotations or {}):
        yield f"annotation {_HINTS} is deprecated, please use {_MODE} instead"
    headless = spec.type == "ClusterIP" and spec.cluster_ip == "None"
    external = spec.type == "ExternalName"
    if headless:
        if spec.load_balancer_ip:
            yield "spec.loadBalancerIP is ignored for headless services"
        if spec.external_ips:
            yield "spec.externalIPs is ignored for headless services"
        if spec.session_affinity != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    else:
        yield from _addresses(spec.cluster_ips, "clusterIPs")
    yield from _addresses(spec.external_ips, "externalIPs")
    if spec.external_ips and not headless and not external:
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.load_balancer_ip:
        yield from _address(spec.load_balancer_ip, SPEC.child("loadBalancerIP"))
    if external and spec.external_ips:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if not external and spec.external_name:
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.traffic_distribution == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _addresses(values: list[str] | None, name: str) -> Iterator[str]:
    for i, value in enumerate(values or ()):
        yield from _address(value, SPEC.child(name).index(i))


def _address(value: str, path: Path) -> Iterator[str]:
    """Ways to write an address that not everybody reads alike."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        parts = value.split(".")
        if len(parts) == 4 and all(part.isdecimal() for part in parts):
            yield _not_standard(path, value, ".".join(str(int(part)) for part in parts))
        return
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            yield _not_standard(path, value, str(address.ipv4_mapped))
        elif str(address) != value:
            yield f'{path}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{address}")'


def _not_standard(path: Path, value: str, better: str) -> str:
    text = "will be considered invalid in a future Kubernetes release"
    return f'{path}: non-standard IP address "{value}" {text}: use "{better}"'


def claim_spec(spec: PersistentVolumeClaimSpec, path: Path) -> Iterator[str]:
    """The spec of a claim or of a claim's template."""
    if spec.resources is not None:
        yield from fractional(spec.resources.requests, path.child("resources", "requests"))
        yield from fractional(spec.resources.limits, path.child("resources", "limits"))


def warn_persistent_volume_claim(new: PersistentVolumeClaim, old: PersistentVolumeClaim | None) -> list[str]:
    return [*_old_class(new.metadata.annotations or {}), *claim_spec(new.spec, SPEC)]


def _old_class(annotations: Mapping[str, str]) -> Iterator[str]:
    if _OLD_CLASS in annotations:
        yield f'metadata.annotations[{_OLD_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'


def warn_persistent_volume(new: PersistentVolume, old: PersistentVolume | None) -> list[str]:
    return list(_volume(new))


def _volume(volume: PersistentVolume) -> Iterator[str]:
    annotations, spec = volume.metadata.annotations or {}, volume.spec
    yield from _old_class(annotations)
    if _OLD_OPTIONS in annotations:
        yield f'metadata.annotations[{_OLD_OPTIONS}]: deprecated since v1.31; use "mountOptions" attribute instead'
    if spec.persistent_volume_reclaim_policy == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )
    if spec.node_affinity is not None and spec.node_affinity.required is not None:
        for i, term in enumerate(spec.node_affinity.required.node_selector_terms):
            at = SPEC.child("nodeAffinity", "required", "nodeSelectorTerms").index(i)
            yield from node_selector_term(term, at, values=True)
    for (attribute, wire), text in DEPRECATED_VOLUMES.items():
        if getattr(spec, attribute, None) is not None:
            yield f"{SPEC.child(wire)}: {text}"
    yield from fractional(spec.capacity, SPEC.child("capacity"))


def warn_node(new: Node, old: Node | None) -> list[str]:
    found = []
    if new.spec.config_source is not None:
        found.append("spec.configSource: the feature is removed")
    if new.spec.external_id:
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    return found


def warn_service_account(new: ServiceAccount, old: ServiceAccount | None) -> list[str]:
    before = old.metadata.annotations if old is not None else None
    if _MOUNTABLE not in (new.metadata.annotations or {}) or _MOUNTABLE in (before or {}):
        return []
    text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    return [f"metadata.annotations[{_MOUNTABLE}]: {text}"]


def warn_replication_controller(new: ReplicationController, old: ReplicationController | None) -> list[str]:
    if old is None:
        return [*name_in_pods(new.metadata.name), *template_warnings(new.spec.template, SPEC.child("template"))]
    if new.metadata.generation == old.metadata.generation:
        return []
    return list(template_warnings(new.spec.template, SPEC.child("template")))
