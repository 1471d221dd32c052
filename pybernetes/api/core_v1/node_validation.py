"""Validation of Nodes."""

from __future__ import annotations

import msgspec

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.node import Node, Taint
from pybernetes.api.core_v1.pod_validation import EFFECTS
from pybernetes.api.core_v1.resource_validation import amount
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")


def validate_node(node: Node) -> list[FieldError]:
    errors = meta.object_meta(node.metadata, False)
    _spec(node, errors)
    _amounts(node, errors)
    return errors


def _spec(node: Node, errors: list[FieldError]) -> None:
    taints(node.spec.taints or [], SPEC.child("taints"), errors)
    blocks = node.spec.pod_cidrs or []
    for i, block in enumerate(blocks):
        for text in names.cidr(block):
            errors.append(field.invalid(SPEC.child("podCIDRs").index(i), block, text))
    if len(blocks) > 2 or (len(blocks) == 2 and (":" in blocks[0]) == (":" in blocks[1])):
        text = "may specify no more than one CIDR for each IP family"
        errors.append(field.invalid(SPEC.child("podCIDRs"), blocks, text))
    if node.spec.config_source is not None:
        text = "configSource may not be set anymore"
        errors.append(field.forbidden(SPEC.child("configSource"), text))


def _amounts(node: Node, errors: list[FieldError]) -> None:
    for name, listed in (("capacity", node.status.capacity), ("allocatable", node.status.allocatable)):
        for resource, text in (listed or {}).items():
            amount(resource, text, Path("status", name).key(resource), errors)


def taints(listed: list[Taint], path: Path, errors: list[FieldError]) -> None:
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(listed):
        at = path.index(i)
        for text in names.qualified_name(taint.key):
            errors.append(field.invalid(at.child("key"), taint.key, text))
        if messages := names.label_value(taint.value or ""):
            errors.append(field.invalid(at.child("value"), taint.value, ";".join(messages)))
        if not taint.effect:
            errors.append(field.required(at.child("effect")))
        elif taint.effect not in EFFECTS:
            errors.append(field.not_supported(at.child("effect"), taint.effect, EFFECTS))
        if (taint.effect, taint.key) in seen:
            error = field.duplicate(at, taint)
            error.detail = "taints must be unique by key and effect pair"
            errors.append(error)
        seen.add((taint.effect, taint.key))


def validate_node_update(new: Node, old: Node) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _spec(new, errors)
    spec, before = new.spec, old.spec
    if before.pod_cidrs and (spec.pod_cidrs or []) != before.pod_cidrs:
        text = 'node updates may not change podCIDR except from "" to valid'
        errors.append(field.forbidden(SPEC.child("podCIDRs"), text))
    if before.provider_id and spec.provider_id != before.provider_id:
        text = 'node updates may not change providerID except from "" to valid'
        errors.append(field.forbidden(SPEC.child("providerID"), text))
    plain = msgspec.structs.replace(
        spec,
        pod_cidr=before.pod_cidr,
        pod_cidrs=before.pod_cidrs,
        provider_id=before.provider_id,
        unschedulable=before.unschedulable,
        taints=before.taints,
        config_source=before.config_source,
    )
    if plain != before:
        text = (
            "node updates may only change labels, taints, or capacity "
            "(or configSource, if the DynamicKubeletConfig feature gate is enabled)"
        )
        errors.append(field.forbidden("", text))
    return errors


def validate_node_status_update(new: Node, old: Node) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _amounts(new, errors)
    seen: set[tuple[str, str]] = set()
    for i, address in enumerate(new.status.addresses or ()):
        if (address.type, address.address) in seen:
            errors.append(field.duplicate(Path("status", "addresses").index(i), address))
        seen.add((address.type, address.address))
    return errors
