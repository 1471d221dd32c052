"""Rules that several kinds of dynamic resource allocation share."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import msgspec

from pybernetes.api.resource_v1 import DeviceToleration
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

T = TypeVar("T")
Judge = Callable[[T, Path, list[FieldError]], None]

EFFECTS = ("NoExecute", "NoSchedule", "None")
MAX_POOL, MAX_JSON, MAX_BINDING = 253, 10 * 1024, 4
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def items(listed: Sequence[T] | None, most: int, judge: Judge[T], path: Path, errors: list[FieldError]) -> None:
    """Judge each; of too many none. most: 0 if there may be any number."""
    if most and len(listed or ()) > most:
        errors.append(field.too_many(path, len(listed or ()), most))
        return
    for i, item in enumerate(listed or ()):
        judge(item, path.index(i), errors)


def unique(
    listed: Sequence[T] | None,
    most: int,
    judge: Judge[T],
    key: Callable[[T], Hashable],
    path: Path,
    errors: list[FieldError],
) -> None:
    """The same for a set."""
    items(listed, most, judge, path, errors)
    if most and len(listed or ()) > most:
        return
    seen: set[Hashable] = set()
    for i, item in enumerate(listed or ()):
        if (name := key(item)) in seen:
            errors.append(field.duplicate(path.index(i), name))
        seen.add(name)


def label(name: str, path: Path, errors: list[FieldError]) -> None:
    """A name of one DNS label."""
    for text in names.dns1123_label(name):
        errors.append(field.invalid(path, name, text))


def pool(name: str, path: Path, errors: list[FieldError]) -> None:
    """Subdomains with slashes between."""
    if not name:
        errors.append(field.required(path))
        return
    if len(name) > MAX_POOL:
        errors.append(field.too_long(path, name, MAX_POOL))
    for part in name.split("/"):
        for text in names.dns1123_subdomain(part):
            errors.append(field.invalid(path, part, text))


def node_name(name: str, path: Path, errors: list[FieldError]) -> None:
    for text in names.dns1123_subdomain(name):
        errors.append(field.invalid(path, name, text))


def share(uid: str | None, path: Path, errors: list[FieldError]) -> None:
    """The identity of a share of a device."""
    if uid is None:
        return
    if len(uid) != 36:
        errors.append(field.invalid(path, uid, f"error validating uid: invalid UUID length: {len(uid)}"))
    elif not _UUID.fullmatch(uid):
        errors.append(field.invalid(path, uid, "error validating uid: invalid UUID format"))
    elif uid != uid.lower():
        text = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase "
        errors.append(field.invalid(path, uid, f"{text}hexadecimal characters"))


def raw(value: dict[str, Any] | None, path: Path, errors: list[FieldError]) -> None:
    """What only a driver understands; that it is an object was found when it was read."""
    if value and len(msgspec.json.encode(value)) > MAX_JSON:
        errors.append(field.too_long(path, "", MAX_JSON))


def toleration(judged: DeviceToleration, path: Path, errors: list[FieldError]) -> None:
    if judged.key:
        for text in names.qualified_name(judged.key):
            errors.append(field.invalid(path.child("key"), judged.key, text))
    value, operator = judged.value or "", judged.operator or ""
    if operator == "Exists":
        if value:
            errors.append(field.invalid(path.child("value"), value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        for text in names.label_value(value):
            errors.append(field.invalid(path.child("value"), value, text))
    elif not operator:
        errors.append(field.required(path.child("operator")))
    else:
        errors.append(field.not_supported(path.child("operator"), operator, ("Equal", "Exists")))
    if judged.effect and judged.effect not in EFFECTS:
        errors.append(field.not_supported(path.child("effect"), judged.effect, EFFECTS))


def binding(
    conditions: Sequence[str] | None, failures: Sequence[str] | None, path: Path, errors: list[FieldError]
) -> None:
    """Conditions of a device that must be true before Pods are bound, and those that say that it will not come."""

    def name(judged: str, at: Path, errors: list[FieldError]) -> None:
        for text in names.qualified_name(judged):
            errors.append(field.invalid(at, judged, text))

    at, other = path.child("bindingConditions"), path.child("bindingFailureConditions")
    items(conditions, MAX_BINDING, name, at, errors)
    items(failures, MAX_BINDING, name, other, errors)
    seen: set[str] = set()
    for i, condition in enumerate(conditions or ()):
        if condition in seen:
            errors.append(field.duplicate(at.index(i), condition))
        seen.add(condition)
    failed: set[str] = set()
    for i, condition in enumerate(failures or ()):
        if condition in failed:
            errors.append(field.duplicate(other.index(i), condition))
        failed.add(condition)
        if condition in seen:
            text = "bindingFailureConditions must not overlap with bindingConditions"
            errors.append(field.invalid(other.index(i), condition, text))
    if failures and not conditions:
        text = "bindingConditions are required to use bindingFailureConditions"
        errors.append(field.invalid(at, conditions, text))
    if conditions and not failures:
        text = "bindingFailureConditions are required to use bindingConditions"
        errors.append(field.invalid(other, failures, text))
