"""Validation of dynamic resource allocation: DeviceClasses, ResourceClaims, their templates, ResourceSlices."""

from __future__ import annotations

from collections.abc import Iterable

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.pod_validation import node_selector
from pybernetes.api.resource_v1 import (
    DeviceClass,
    DeviceSelector,
    DeviceSubRequest,
    ExactDeviceRequest,
    ResourceClaim,
    ResourceClaimSpec,
    ResourceClaimTemplate,
    ResourceSlice,
)
from pybernetes.api.resource_v1_device_validation import device as check_device
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
MAX_SELECTORS, MAX_REQUESTS, MAX_CONSTRAINTS, MAX_DEVICES, MAX_ALTERNATIVES = 32, 32, 32, 128, 8


def _driver(name: str, path: Path, errors: list[FieldError]) -> None:
    if not name:
        errors.append(field.required(path))
        return
    if len(name) > 63:
        errors.append(field.too_long(path, name, 63))
    for text in names.dns1123_subdomain(name.lower()):
        errors.append(field.invalid(path, name, text))


def _selectors(listed: Iterable[DeviceSelector] | None, path: Path, errors: list[FieldError]) -> None:
    selectors = list(listed or ())
    if len(selectors) > MAX_SELECTORS:
        errors.append(field.too_many(path, len(selectors), MAX_SELECTORS))
    for i, selector in enumerate(selectors):
        at = path.index(i).child("cel")
        if selector.cel is None:
            errors.append(field.required(at))
        elif not selector.cel.expression:
            errors.append(field.required(at.child("expression")))
        else:
            from pybernetes.machinery import cel

            try:
                cel.compile(selector.cel.expression, {"device": cel.DYN}, "bool")
            except cel.CelError as error:
                errors.append(field.invalid(at.child("expression"), selector.cel.expression, str(error)))


def validate_device_class(device_class: DeviceClass) -> list[FieldError]:
    errors = meta.object_meta(device_class.metadata, False)
    _selectors(device_class.spec.selectors, SPEC.child("selectors"), errors)
    for i, config in enumerate(device_class.spec.config or ()):
        at = SPEC.child("config").index(i).child("opaque")
        if config.opaque is None:
            errors.append(field.required(at))
        else:
            _driver(config.opaque.driver, at.child("driver"), errors)
    return errors


def _exact(request: ExactDeviceRequest | DeviceSubRequest, path: Path, errors: list[FieldError]) -> None:
    if not request.device_class_name:
        errors.append(field.required(path.child("deviceClassName")))
    else:
        for text in names.dns1123_subdomain(request.device_class_name):
            errors.append(field.invalid(path.child("deviceClassName"), request.device_class_name, text))
    _selectors(request.selectors, path.child("selectors"), errors)
    mode, count = request.allocation_mode, request.count or 0
    if mode == "All":
        if count:
            text = "must not be specified when allocationMode is 'All'"
            errors.append(field.invalid(path.child("count"), count, text))
    elif mode == "ExactCount":
        if count <= 0:
            errors.append(field.invalid(path.child("count"), count, "must be greater than zero"))
    else:
        errors.append(field.not_supported(path.child("allocationMode"), mode or "", ("All", "ExactCount")))


def claim_spec(spec: ResourceClaimSpec, path: Path, errors: list[FieldError]) -> None:
    devices = spec.devices
    if devices is None:
        return
    at = path.child("devices")
    requests = devices.requests or []
    if len(requests) > MAX_REQUESTS:
        errors.append(field.too_many(at.child("requests"), len(requests), MAX_REQUESTS))
    known: set[str] = set()
    for i, request in enumerate(requests):
        where = at.child("requests").index(i)
        for text in names.dns1123_label(request.name):
            errors.append(field.invalid(where.child("name"), request.name, text))
        if request.name in known:
            errors.append(field.duplicate(where.child("name"), request.name))
        known.add(request.name)
        if (request.exactly is None) == (not request.first_available):
            text = "exactly one of `exactly` or `firstAvailable` is required"
            wrong = field.required(where, text) if request.exactly is None else field.invalid(where, request, text)
            errors.append(wrong)
        if request.exactly is not None:
            _exact(request.exactly, where.child("exactly"), errors)
        for j, part in enumerate(request.first_available or ()):
            known.add(f"{request.name}/{part.name}")
            spot = where.child("firstAvailable").index(j)
            for text in names.dns1123_label(part.name):
                errors.append(field.invalid(spot.child("name"), part.name, text))
            _exact(part, spot, errors)
        if len(request.first_available or ()) > MAX_ALTERNATIVES:
            count = len(request.first_available or ())
            errors.append(field.too_many(where.child("firstAvailable"), count, MAX_ALTERNATIVES))
    if len(devices.constraints or ()) > MAX_CONSTRAINTS:
        errors.append(field.too_many(at.child("constraints"), len(devices.constraints or ()), MAX_CONSTRAINTS))
    text = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
    constraints = [("constraints", i, c.requests) for i, c in enumerate(devices.constraints or ())]
    configs = [("config", i, c.requests) for i, c in enumerate(devices.config or ())]
    for wire, i, asked in (*constraints, *configs):
        for j, name in enumerate(asked or ()):
            if name not in known:
                errors.append(field.invalid(at.child(wire).index(i).child("requests").index(j), name, text))
    for i, constraint in enumerate(devices.constraints or ()):
        if not constraint.match_attribute and not constraint.distinct_attribute:
            errors.append(field.required(at.child("constraints").index(i).child("matchAttribute")))


def validate_resource_claim(claim: ResourceClaim) -> list[FieldError]:
    errors = meta.object_meta(claim.metadata, True)
    claim_spec(claim.spec, SPEC, errors)
    return errors


def validate_resource_claim_update(new: ResourceClaim, old: ResourceClaim) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.spec, old.spec, SPEC, errors)
    return errors


def validate_resource_claim_status_update(new: ResourceClaim, old: ResourceClaim) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    status, before = new.status, old.status
    at = Path("status")
    reserved = status.reserved_for or []
    if len(reserved) > 256:
        errors.append(field.too_many(at.child("reservedFor"), len(reserved), 256))
    if reserved and status.allocation is None:
        text = "may not be specified when `allocated` is not set"
        errors.append(field.forbidden(at.child("reservedFor"), text))
    if old.metadata.deletion_timestamp is not None and before.allocation is None and status.allocation is not None:
        text = "new allocation may not be added while deleting"
        errors.append(field.forbidden(at.child("allocation"), text))
    if before.allocation is not None and status.allocation is not None and status.allocation != before.allocation:
        errors.append(field.invalid(at.child("allocation"), status.allocation, meta.IMMUTABLE))
    requests = (new.spec.devices.requests if new.spec.devices else None) or []
    known = {r.name for r in requests} | {f"{r.name}/{p.name}" for r in requests for p in r.first_available or ()}
    results = (status.allocation.devices.results if status.allocation and status.allocation.devices else None) or []
    for i, result in enumerate(results):
        if result.request not in known:
            where = at.child("allocation", "devices", "results").index(i).child("request")
            text = (
                "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
            )
            errors.append(field.invalid(where, result.request, text))
    return errors


def validate_resource_claim_template(template: ResourceClaimTemplate) -> list[FieldError]:
    errors = meta.object_meta(template.metadata, True)
    claim_spec(template.spec.spec, SPEC.child("spec"), errors)
    return errors


def validate_resource_claim_template_update(new: ResourceClaimTemplate, old: ResourceClaimTemplate) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.spec, old.spec, SPEC, errors)
    return errors


def _slice(resource_slice: ResourceSlice, errors: list[FieldError]) -> None:
    spec = resource_slice.spec
    _driver(spec.driver, SPEC.child("driver"), errors)
    if not spec.pool.name:
        errors.append(field.required(SPEC.child("pool", "name")))
    if spec.pool.resource_slice_count <= 0:
        at = SPEC.child("pool", "resourceSliceCount")
        errors.append(field.invalid(at, spec.pool.resource_slice_count, "must be greater than zero"))
    if spec.pool.generation < 0:
        errors.append(field.invalid(SPEC.child("pool", "generation"), spec.pool.generation, meta.NOT_NEGATIVE))
    given = [
        name
        for name, value in (
            ("nodeName", spec.node_name),
            ("nodeSelector", spec.node_selector),
            ("allNodes", spec.all_nodes),
            ("perDeviceNodeSelection", spec.per_device_node_selection),
        )
        if value
    ]
    names_of = "`nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection`"
    if len(given) > 1:
        text = f"exactly one of {names_of} is required, but multiple fields are set"
        errors.append(field.invalid(SPEC, "{" + ", ".join(given) + "}", text))
    elif not given and not spec.shared_counters:
        errors.append(field.required(SPEC, f"exactly one of {names_of} is required"))
    if spec.node_selector is not None:
        node_selector(spec.node_selector, SPEC.child("nodeSelector"), errors)
        if len(spec.node_selector.node_selector_terms) != 1:
            text = "must have exactly one node selector term"
            at = SPEC.child("nodeSelector", "nodeSelectorTerms")
            errors.append(field.invalid(at, spec.node_selector.node_selector_terms, text))
    devices = spec.devices or []
    if len(devices) > MAX_DEVICES:
        errors.append(field.too_many(SPEC.child("devices"), len(devices), MAX_DEVICES))
    seen: set[str] = set()
    for i, device in enumerate(devices):
        at = SPEC.child("devices").index(i)
        for text in names.dns1123_label(device.name):
            errors.append(field.invalid(at.child("name"), device.name, text))
        if device.name in seen:
            errors.append(field.duplicate(at.child("name"), device.name))
        seen.add(device.name)
        check_device(device, at, errors)


def validate_resource_slice(resource_slice: ResourceSlice) -> list[FieldError]:
    errors = meta.object_meta(resource_slice.metadata, False)
    _slice(resource_slice, errors)
    return errors


def validate_resource_slice_update(new: ResourceSlice, old: ResourceSlice) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.spec.driver, old.spec.driver, SPEC.child("driver"), errors)
    meta.immutable(new.spec.pool.name, old.spec.pool.name, SPEC.child("pool", "name"), errors)
    meta.immutable(new.spec.node_name, old.spec.node_name, SPEC.child("nodeName"), errors)
    _slice(new, errors)
    return errors
