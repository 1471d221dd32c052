"""Validation of one device of a ResourceSlice: its attributes, capacities and taints."""

from __future__ import annotations

import re

from pybernetes.api.resource_v1 import Device, DeviceAttribute, DeviceTaint
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

MAX_PROPERTIES, MAX_TAINTS, MAX_VALUE, MAX_ID, MAX_DOMAIN = 32, 16, 64, 32, 63
EFFECTS = ("NoExecute", "NoSchedule", "None")
_PART = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-{_PART}(?:\.{_PART})*)?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_ONE = "exactly one value must be specified"


def device(judged: Device, path: Path, errors: list[FieldError]) -> None:
    """Append what is wrong with a device, besides its name."""
    attributes, capacity = judged.attributes or {}, judged.capacity or {}
    for wire, keys in (("attributes", attributes), ("capacity", capacity)):
        for key in keys:
            qualified_name(key, path.child(wire).key(key), errors)
    for key, attribute in attributes.items():
        _attribute(attribute, path.child("attributes").key(key), errors)
    if (count := len(attributes) + len(capacity)) > MAX_PROPERTIES:
        text = f"the total number of attributes and capacities must not exceed {MAX_PROPERTIES}"
        errors.append(field.invalid(path, count, text))
    taints = judged.taints or []
    if len(taints) > MAX_TAINTS:
        errors.append(field.too_many(path.child("taints"), len(taints), MAX_TAINTS))
    for i, taint in enumerate(taints):
        _taint(taint, path.child("taints").index(i), errors)


def qualified_name(name: str, path: Path, errors: list[FieldError]) -> None:
    """`identifier`, or `domain/identifier`."""
    domain, slash, identifier = name.rpartition("/")
    if slash:
        if not domain:
            errors.append(field.required(path, "the prefix must not be empty"))
        elif len(domain) > MAX_DOMAIN:
            errors.append(field.too_long(path, domain, MAX_DOMAIN))
        else:
            for text in names.dns1123_subdomain(domain.lower()):
                errors.append(field.invalid(path, domain, text))
    if not identifier:
        errors.append(field.required(path, "the name must not be empty"))
        return
    if len(identifier) > MAX_ID:
        errors.append(field.too_long(path, identifier, MAX_ID))
    for text in names.c_identifier(identifier):
        errors.append(field.invalid(path, identifier, text))


def _attribute(attribute: DeviceAttribute, path: Path, errors: list[FieldError]) -> None:
    given = [name for name in attribute.__struct_fields__ if getattr(attribute, name) is not None]
    if len(given) != 1:
        errors.append(field.invalid(path, attribute, _ONE) if given else field.required(path, _ONE))
    strings = [("string", attribute.string)] if attribute.string is not None else []
    versions = [("version", attribute.version)] if attribute.version is not None else []
    for wire, text in (*strings, *versions):
        if len(text) > MAX_VALUE:
            errors.append(field.too_long(path.child(wire), text, MAX_VALUE))
    for wire, text in versions:
        if _SEMVER.fullmatch(text) is None:
            said = "must be a string compatible with semver.org spec 2.0.0"
            errors.append(field.invalid(path.child(wire), text, said))


def _taint(taint: DeviceTaint, path: Path, errors: list[FieldError]) -> None:
    if not taint.key:
        errors.append(field.required(path.child("key")))
    else:
        for text in names.qualified_name(taint.key):
            errors.append(field.invalid(path.child("key"), taint.key, text))
    for text in names.label_value(taint.value or ""):
        errors.append(field.invalid(path.child("value"), taint.value, text))
    if not taint.effect:
        errors.append(field.required(path.child("effect")))
    elif taint.effect not in EFFECTS:
        errors.append(field.not_supported(path.child("effect"), taint.effect, EFFECTS))
