"""Validation of PriorityClasses."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.scheduling_v1 import PriorityClass
from pybernetes.machinery import field
from pybernetes.machinery.field import FieldError, Path

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def validate_priority_class(priority_class: PriorityClass) -> list[FieldError]:
    errors = meta.object_meta(priority_class.metadata, False)
    name, value = priority_class.metadata.name, priority_class.value or 0
    if name.startswith("system-"):
        if SYSTEM.get(name) != value or priority_class.global_default:
            text = (
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: {_why(name, value, bool(priority_class.global_default))}"
            )
            errors.append(field.forbidden("metadata.name", text))
    elif value > HIGHEST_USER_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.append(field.forbidden("value", text))
    _policy(priority_class, errors)
    return errors


def _why(name: str, value: int, is_default: bool) -> str:
    if name not in SYSTEM:
        return f"{name} is not a known system priority class"
    if is_default:
        return f"globalDefault of {name} must be false"
    return f"value of {name} PriorityClass must be {SYSTEM[name]}"


def _policy(priority_class: PriorityClass, errors: list[FieldError]) -> None:
    if priority_class.preemption_policy not in (None, "Never", "PreemptLowerPriority"):
        supported = ("Never", "PreemptLowerPriority")
        errors.append(field.not_supported("preemptionPolicy", priority_class.preemption_policy, supported))


def validate_priority_class_update(new: PriorityClass, old: PriorityClass) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if (new.value or 0) != (old.value or 0):
        errors.append(field.forbidden("value", "may not be changed in an update."))
    meta.immutable(new.preemption_policy, old.preemption_policy, Path("preemptionPolicy"), errors)
    return errors
