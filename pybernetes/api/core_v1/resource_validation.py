"""Validation of amounts: names of resources, quantities, requests against limits."""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import lru_cache

from pybernetes.api.core_v1.container import ResourceRequirements
from pybernetes.machinery import field, names, quantity
from pybernetes.machinery.field import FieldError, Path

_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_INTEGER = frozenset(
    {
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_native(name: str) -> bool:
    """Not extended: no domain, or one of Kubernetes'."""
    return "/" not in name or "kubernetes.io/" in name


@lru_cache(4096)
def is_extended(name: str) -> bool:
    return not is_native(name) and not name.startswith("requests.") and not names.qualified_name("requests." + name)


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge_page(name)


@lru_cache(4096)
def resource_name_errors(name: str) -> tuple[str, ...]:
    """What is wrong with the name of a resource that a container asks for."""
    if messages := names.qualified_name(name):
        return tuple(messages)
    if "/" not in name:
        return () if name in _CONTAINER or is_huge_page(name) else ("must be a standard resource for containers",)
    if not is_native(name) and not is_extended(name):
        return ("doesn't follow extended resource name standard",)
    return ()


def amount(name: str, text: str, path: Path, errors: list[FieldError]) -> quantity.Quantity | None:
    """Append what is wrong with an amount; returns it parsed."""
    try:
        value = quantity.parse(text)
    except ValueError as error:
        errors.append(field.invalid(path, text, str(error)))
        return None
    if value.nano < 0:
        errors.append(field.invalid(path, text, "must be greater than or equal to 0"))
    elif (name in _INTEGER or is_extended(name)) and value.nano % quantity.NANO:
        errors.append(field.invalid(path, text, "must be an integer"))
    return value


def amounts(listed: Mapping[str, str] | None, path: Path, errors: list[FieldError]) -> None:
    """A map of resources in a status or an overhead: names qualified, amounts not negative."""
    for name, text in (listed or {}).items():
        at = path.key(name)
        for message in names.qualified_name(name):
            errors.append(field.invalid(at, name, message))
        amount(name, text, at, errors)


def requirements(resources: ResourceRequirements, claims: Set[str], path: Path, errors: list[FieldError]) -> None:
    """Requests and limits of one container (or, with `claims` empty, of a Pod)."""
    limits = resources.limits or {}
    requests = resources.requests or {}
    huge = compute = False
    for name, text in limits.items():
        at = path.child("limits").key(name)
        for message in resource_name_errors(name):
            errors.append(field.invalid(at, name, message))
        value = amount(name, text, at, errors)
        if is_huge_page(name):
            huge = True
            _huge(name, value, at, errors)
        compute = compute or name in ("cpu", "memory")
    for name, text in requests.items():
        at = path.child("requests").key(name)
        for message in resource_name_errors(name):
            errors.append(field.invalid(at, name, message))
        value = amount(name, text, at, errors)
        limit = limits.get(name)
        if value is not None and limit is not None:
            _against(name, text, value, limit, path, errors)
        elif not may_overcommit(name):
            at = path.child("limits")
            errors.append(field.required(at, "Limit must be set for non overcommitable resources"))
        huge = huge or is_huge_page(name)
        compute = compute or name in ("cpu", "memory")
    if huge and not compute:
        errors.append(field.forbidden(path, "HugePages require cpu or memory"))
    if resources.claims:
        _claims(resources, claims, path, errors)


def _against(name: str, text: str, value: quantity.Quantity, limit: str, path: Path, errors: list[FieldError]) -> None:
    try:
        bound = quantity.parse(limit)
    except ValueError:
        return
    if may_overcommit(name):
        if value > bound:
            said = f"must be less than or equal to {name} limit of {limit}"
            errors.append(field.invalid(path.child("requests"), text, said))
    elif value != bound:
        errors.append(field.invalid(path.child("requests"), text, f"must be equal to {name} limit of {limit}"))


def _huge(name: str, value: quantity.Quantity | None, path: Path, errors: list[FieldError]) -> None:
    try:
        size = quantity.parse(name.removeprefix("hugepages-"))
    except ValueError as error:
        errors.append(field.invalid(path, name, str(error)))
        return
    if value is not None and size.nano > 0 and value.nano % size.nano:
        text = f"quantity must be a multiple of {size}" if size else "must be positive"
        errors.append(field.invalid(path, str(value), text))


def _claims(resources: ResourceRequirements, claims: Set[str], path: Path, errors: list[FieldError]) -> None:
    seen: set[tuple[str, str]] = set()
    for i, claim in enumerate(resources.claims or ()):
        at = path.child("claims").index(i)
        if not claim.name:
            errors.append(field.required(at.child("name")))
        elif claim.name not in claims:
            text = "must be one of the names in pod.spec.resourceClaims"
            shown = field.not_found(at.child("name"), claim.name)
            shown.detail = text if claims else f"{text} which is empty"
            errors.append(shown)
        key = (claim.name, claim.request or "")
        if key in seen:
            errors.append(field.duplicate(at, claim.name))
        seen.add(key)
