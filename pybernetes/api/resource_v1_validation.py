"""Validation of dynamic resource allocation: DeviceClasses, ResourceClaims, their templates, ResourceSlices."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from pybernetes.api import meta_validation as meta
from pybernetes.api import resource_v1_rules as rules
from pybernetes.api.core_v1.pod_validation import node_selector
from pybernetes.api.core_v1.resource_validation import is_extended
from pybernetes.api.core_v1.volume_validation import csi_driver_name
from pybernetes.api.resource_v1 import (
    AllocatedDeviceStatus,
    AllocationResult,
    Device,
    DeviceAllocationConfiguration,
    DeviceClaim,
    DeviceClaimConfiguration,
    DeviceClass,
    DeviceClassConfiguration,
    DeviceClassSpec,
    DeviceConstraint,
    DeviceRequest,
    DeviceRequestAllocationResult,
    DeviceSelector,
    DeviceSubRequest,
    ExactDeviceRequest,
    NetworkDeviceData,
    OpaqueDeviceConfiguration,
    ResourceClaim,
    ResourceClaimConsumerReference,
    ResourceClaimSpec,
    ResourceClaimTemplate,
    ResourceSlice,
    ResourceSliceSpec,
)
from pybernetes.api.resource_v1_device_validation import counter_set, fully_qualified_name
from pybernetes.api.resource_v1_device_validation import device as check_device
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
MAX_SELECTORS, MAX_REQUESTS, MAX_CONSTRAINTS, MAX_CONFIG, MAX_ALTERNATIVES = 32, 32, 32, 32, 8
MAX_EXPRESSION, MAX_RESULTS, MAX_RESERVED, MAX_CONDITIONS = 10 * 1024, 32, 256, 8
MAX_DEVICES, MAX_ADVANCED_DEVICES, MAX_COUNTER_SETS = 128, 64, 8
MAX_IPS, MAX_INTERFACE, MAX_HARDWARE = 16, 256, 128


# --- classes and requests ---


def _selector(selector: DeviceSelector, path: Path, errors: list[FieldError]) -> None:
    at = path.child("cel")
    if selector.cel is None:
        errors.append(field.required(at))
        return
    expression, at = selector.cel.expression, at.child("expression")
    if not expression:
        errors.append(field.required(at))
    elif len(expression.encode()) > MAX_EXPRESSION:
        errors.append(field.too_long(at, expression, MAX_EXPRESSION))
    else:
        from pybernetes.machinery import cel

        try:
            cel.compile(expression, {"device": cel.DYN}, "bool")
        except cel.CelError as error:
            errors.append(field.invalid(at, expression, str(error)))


def _opaque(opaque: OpaqueDeviceConfiguration | None, path: Path, errors: list[FieldError]) -> None:
    if opaque is None:
        errors.append(field.required(path))
        return
    csi_driver_name(opaque.driver, path.child("driver"), errors)
    if opaque.parameters is None:
        errors.append(field.required(path.child("parameters")))
    rules.raw(opaque.parameters, path.child("parameters"), errors)


def validate_device_class(device_class: DeviceClass) -> list[FieldError]:
    errors = meta.object_meta(device_class.metadata, False)
    _class(device_class.spec, None, errors)
    return errors


def validate_device_class_update(new: DeviceClass, old: DeviceClass) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _class(new.spec, old.spec, errors)
    return errors


def _class(spec: DeviceClassSpec, before: DeviceClassSpec | None, errors: list[FieldError]) -> None:
    """Selectors and configurations that are as they were are not judged again."""

    def config(judged: DeviceClassConfiguration, path: Path, errors: list[FieldError]) -> None:
        _opaque(judged.opaque, path.child("opaque"), errors)

    if before is None or before.selectors != spec.selectors:
        rules.items(spec.selectors, MAX_SELECTORS, _selector, SPEC.child("selectors"), errors)
    if before is None or before.config != spec.config:
        rules.items(spec.config, MAX_CONFIG, config, SPEC.child("config"), errors)
    name = spec.extended_resource_name
    if name is not None and not is_extended(name):
        errors.append(field.invalid(SPEC.child("extendedResourceName"), name, "must be a valid extended resource name"))


def _wanted(request: ExactDeviceRequest | DeviceSubRequest, path: Path, errors: list[FieldError]) -> None:
    if not request.device_class_name:
        errors.append(field.required(path.child("deviceClassName")))
    else:
        for text in names.dns1123_subdomain(request.device_class_name):
            errors.append(field.invalid(path.child("deviceClassName"), request.device_class_name, text))
    rules.items(request.selectors, MAX_SELECTORS, _selector, path.child("selectors"), errors)
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
    rules.items(request.tolerations, 0, rules.toleration, path.child("tolerations"), errors)


def _alternative(request: DeviceSubRequest, path: Path, errors: list[FieldError]) -> None:
    rules.label(request.name, path.child("name"), errors)
    _wanted(request, path, errors)


def _request(request: DeviceRequest, path: Path, errors: list[FieldError]) -> None:
    rules.label(request.name, path.child("name"), errors)
    text = "exactly one of `exactly` or `firstAvailable` is required"
    if request.exactly is None and not request.first_available:
        errors.append(field.required(path, text))
    elif request.exactly is not None and request.first_available:
        errors.append(field.invalid(path, None, f"{text}, but multiple fields are set"))
    elif request.exactly is not None:
        _wanted(request.exactly, path.child("exactly"), errors)
    else:
        at = path.child("firstAvailable")
        rules.unique(request.first_available, MAX_ALTERNATIVES, _alternative, lambda r: r.name, at, errors)


class _Known(NamedTuple):
    """The names by which requests of a claim, and their alternatives, are referred to."""

    names: frozenset[str]

    @classmethod
    def of(cls, devices: DeviceClaim | None) -> _Known:
        found: set[str] = set()
        for request in (devices.requests if devices is not None else None) or ():
            found.add(request.name)
            found |= {f"{request.name}/{part.name}" for part in request.first_available or ()}
        return cls(frozenset(found))

    def one(self, name: str, path: Path, errors: list[FieldError]) -> None:
        """Judge a reference."""
        text = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
        parts = name.split("/")
        if len(parts) <= 2:
            for part in parts:
                rules.label(part, path, errors)
        if name not in self.names:
            errors.append(field.invalid(path, name, text))

    def all(self, listed: Sequence[str] | None, path: Path, errors: list[FieldError]) -> None:
        """Judge a list of references."""
        rules.unique(listed, MAX_REQUESTS, self.one, lambda name: name, path, errors)


def claim_spec(spec: ResourceClaimSpec, path: Path, errors: list[FieldError]) -> None:
    devices = spec.devices
    if devices is None:
        return
    at, known = path.child("devices"), _Known.of(devices)

    def constraint(judged: DeviceConstraint, path: Path, errors: list[FieldError]) -> None:
        known.all(judged.requests, path.child("requests"), errors)
        if judged.match_attribute is not None:
            fully_qualified_name(judged.match_attribute, path.child("matchAttribute"), errors)
        elif judged.distinct_attribute is not None:
            fully_qualified_name(judged.distinct_attribute, path.child("distinctAttribute"), errors)
        else:
            text = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
            errors.append(field.required(path, text))

    def config(judged: DeviceClaimConfiguration, path: Path, errors: list[FieldError]) -> None:
        known.all(judged.requests, path.child("requests"), errors)
        _opaque(judged.opaque, path.child("opaque"), errors)

    rules.unique(devices.requests, MAX_REQUESTS, _request, lambda r: r.name, at.child("requests"), errors)
    rules.items(devices.constraints, MAX_CONSTRAINTS, constraint, at.child("constraints"), errors)
    rules.items(devices.config, MAX_CONFIG, config, at.child("config"), errors)


# --- claims ---


def validate_resource_claim(claim: ResourceClaim) -> list[FieldError]:
    errors = meta.object_meta(claim.metadata, True)
    claim_spec(claim.spec, SPEC, errors)
    return errors


def validate_resource_claim_update(new: ResourceClaim, old: ResourceClaim) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.spec, old.spec, SPEC, errors)
    return errors


def _user(user: ResourceClaimConsumerReference, path: Path, errors: list[FieldError]) -> None:
    for wire, value in (("resource", user.resource), ("name", user.name), ("uid", user.uid)):
        if not value:
            errors.append(field.required(path.child(wire)))


def validate_resource_claim_status_update(new: ResourceClaim, old: ResourceClaim) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    status, before = new.status, old.status
    at = Path("status")
    rules.unique(status.reserved_for, MAX_RESERVED, _user, lambda user: user.uid, at.child("reservedFor"), errors)
    results = (status.allocation.devices.results if status.allocation and status.allocation.devices else None) or []
    allocated = {(r.driver, r.pool, r.device, r.share_id) for r in results}

    def told(judged: AllocatedDeviceStatus, path: Path, errors: list[FieldError]) -> None:
        _device_status(judged, path, errors)
        if _identity(judged) not in allocated:
            shown = "/".join(part for part in _identity(judged) if part)
            errors.append(field.invalid(path, shown, "must be an allocated device in the claim"))

    rules.unique(status.devices, 0, told, lambda d: "/".join(p for p in _identity(d) if p), at.child("devices"), errors)
    if status.reserved_for and status.allocation is None:
        text = "may not be specified when `allocated` is not set"
        errors.append(field.forbidden(at.child("reservedFor"), text))
    elif status.reserved_for and new.metadata.deletion_timestamp is not None:
        had = before.reserved_for or []
        if any(user not in had for user in status.reserved_for):
            text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
            errors.append(field.forbidden(at.child("reservedFor"), text))
    if before.allocation is not None and status.allocation is not None:
        meta.immutable(status.allocation, before.allocation, at.child("allocation"), errors)
    elif status.allocation is not None:
        _allocation(status.allocation, _Known.of(new.spec.devices), at.child("allocation"), errors)
    return errors


def _identity(device: AllocatedDeviceStatus) -> tuple[str, str, str, str | None]:
    return device.driver, device.pool, device.device, device.share_id


def _device_status(judged: AllocatedDeviceStatus, path: Path, errors: list[FieldError]) -> None:
    csi_driver_name(judged.driver, path.child("driver"), errors)
    rules.pool(judged.pool, path.child("pool"), errors)
    rules.label(judged.device, path.child("device"), errors)
    rules.share(judged.share_id, path.child("shareID"), errors)
    if len(judged.conditions or ()) > MAX_CONDITIONS:
        errors.append(field.too_many(path.child("conditions"), len(judged.conditions or ()), MAX_CONDITIONS))
    meta.conditions(judged.conditions, path.child("conditions"), errors)
    rules.raw(judged.data, path.child("data"), errors)
    if judged.network_data is not None:
        _network(judged.network_data, path.child("networkData"), errors)


def _network(judged: NetworkDeviceData, path: Path, errors: list[FieldError]) -> None:
    name, hardware = judged.interface_name or "", judged.hardware_address or ""
    if len(name.encode()) > MAX_INTERFACE:
        errors.append(field.too_long(path.child("interfaceName"), name, MAX_INTERFACE))
    if len(hardware.encode()) > MAX_HARDWARE:
        errors.append(field.too_long(path.child("hardwareAddress"), hardware, MAX_HARDWARE))
    rules.unique(judged.ips, MAX_IPS, _interface_address, lambda ip: ip, path.child("ips"), errors)


def _interface_address(address: str, path: Path, errors: list[FieldError]) -> None:
    try:
        if "/" not in address:
            raise ValueError
        canonical = ipaddress.ip_interface(address).with_prefixlen
    except ValueError:
        text = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        errors.append(field.invalid(path, address, text))
        return
    if address != canonical:
        errors.append(field.invalid(path, address, f'must be in canonical form ("{canonical}")'))


def _allocation(allocation: AllocationResult, known: _Known, path: Path, errors: list[FieldError]) -> None:
    """A new one: what is stored is not judged again."""

    def result(judged: DeviceRequestAllocationResult, path: Path, errors: list[FieldError]) -> None:
        known.one(judged.request, path.child("request"), errors)
        csi_driver_name(judged.driver, path.child("driver"), errors)
        rules.pool(judged.pool, path.child("pool"), errors)
        rules.label(judged.device, path.child("device"), errors)
        rules.binding(judged.binding_conditions, judged.binding_failure_conditions, path, errors)
        rules.items(judged.tolerations, 0, rules.toleration, path.child("tolerations"), errors)
        rules.share(judged.share_id, path.child("shareID"), errors)

    def config(judged: DeviceAllocationConfiguration, path: Path, errors: list[FieldError]) -> None:
        if not judged.source:
            errors.append(field.required(path.child("source")))
        elif judged.source not in ("FromClaim", "FromClass"):
            errors.append(field.not_supported(path.child("source"), judged.source, ("FromClaim", "FromClass")))
        known.all(judged.requests, path.child("requests"), errors)
        _opaque(judged.opaque, path.child("opaque"), errors)

    devices = allocation.devices
    if devices is not None:
        rules.items(devices.results, MAX_RESULTS, result, path.child("devices", "results"), errors)
        rules.items(devices.config, 2 * MAX_CONFIG, config, path.child("devices", "config"), errors)
    if allocation.node_selector is not None:
        node_selector(allocation.node_selector, path.child("nodeSelector"), errors)


def validate_resource_claim_template(template: ResourceClaimTemplate) -> list[FieldError]:
    errors = meta.object_meta(template.metadata, True)
    if (metadata := template.spec.metadata) is not None:
        at = SPEC.child("metadata")
        meta.labels(metadata.labels or {}, at.child("labels"), errors)
        meta.annotation_map(metadata.annotations or {}, at.child("annotations"), errors)
    claim_spec(template.spec.spec, SPEC.child("spec"), errors)
    return errors


def validate_resource_claim_template_update(new: ResourceClaimTemplate, old: ResourceClaimTemplate) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.spec, old.spec, SPEC, errors)
    return errors


# --- slices ---


def _slice(spec: ResourceSliceSpec, before: ResourceSliceSpec | None, errors: list[FieldError]) -> None:
    csi_driver_name(spec.driver, SPEC.child("driver"), errors)
    rules.pool(spec.pool.name, SPEC.child("pool", "name"), errors)
    if spec.pool.resource_slice_count <= 0:
        at = SPEC.child("pool", "resourceSliceCount")
        errors.append(field.invalid(at, spec.pool.resource_slice_count, "must be greater than zero"))
    if spec.pool.generation < 0:
        errors.append(field.invalid(SPEC.child("pool", "generation"), spec.pool.generation, meta.NOT_NEGATIVE))
    if before is not None:
        meta.immutable(spec.pool.name, before.pool.name, SPEC.child("pool", "name"), errors)
        meta.immutable(spec.driver, before.driver, SPEC.child("driver"), errors)
        meta.immutable(spec.node_name, before.node_name, SPEC.child("nodeName"), errors)
    _place(spec, errors)
    if spec.shared_counters is not None and spec.devices is not None:
        errors.append(field.invalid(SPEC, "", "only one of `sharedCounters` or `devices` is allowed"))
    advanced = any(device.taints or device.consumes_counters for device in spec.devices or ())
    old = {device.name: device for device in (before.devices if before is not None else None) or ()}

    def device(judged: Device, path: Path, errors: list[FieldError]) -> None:
        rules.label(judged.name, path.child("name"), errors)
        check_device(judged, path, errors, old.get(judged.name), bool(spec.per_device_node_selection))

    most = MAX_ADVANCED_DEVICES if advanced else MAX_DEVICES
    rules.unique(spec.devices, most, device, lambda d: d.name, SPEC.child("devices"), errors)
    at = SPEC.child("sharedCounters")
    rules.unique(spec.shared_counters, MAX_COUNTER_SETS, counter_set, lambda s: s.name, at, errors)


def _place(spec: ResourceSliceSpec, errors: list[FieldError]) -> None:
    given = []
    if spec.node_name is not None:
        at = SPEC.child("nodeName")
        if spec.node_name:
            given.append("`nodeName`")
            rules.node_name(spec.node_name, at, errors)
        else:
            errors.append(field.invalid(at, "", "must be either unset or set to a non-empty string"))
    if spec.node_selector is not None:
        given.append("`nodeSelector`")
        node_selector(spec.node_selector, SPEC.child("nodeSelector"), errors)
        if len(spec.node_selector.node_selector_terms) != 1:
            text = "must have exactly one node selector term"
            at = SPEC.child("nodeSelector", "nodeSelectorTerms")
            errors.append(field.invalid(at, spec.node_selector.node_selector_terms, text))
    for wire, flag in (("allNodes", spec.all_nodes), ("perDeviceNodeSelection", spec.per_device_node_selection)):
        if flag:
            given.append(f"`{wire}`")
        elif flag is not None:
            errors.append(field.invalid(SPEC.child(wire), flag, "must be either unset or set to true"))
    required = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
    if not given:
        errors.append(field.required(SPEC, required))
    elif len(given) > 1:
        text = f"{required}, but multiple fields are set"
        errors.append(field.invalid(SPEC, "{" + ", ".join(given) + "}", text))


def validate_resource_slice(resource_slice: ResourceSlice) -> list[FieldError]:
    errors = meta.object_meta(resource_slice.metadata, False)
    _slice(resource_slice.spec, None, errors)
    return errors


def validate_resource_slice_update(new: ResourceSlice, old: ResourceSlice) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _slice(new.spec, old.spec, errors)
    return errors
