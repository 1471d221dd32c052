"""Which functions give a kind its defaults and judge it: a lazy registry over modules that sit beside the types.

A defaults module has `default_<kind>(obj)`, which fills in place and must be idempotent; a validation module has
`validate_<kind>(obj)`, `validate_<kind>_update(new, old)` and, where needed, `validate_<kind>_status_update`; a
warnings module has `warn_<kind>(new, old)`, `old` being None for a new object.
The name is the kind in snake case (`pod_disruption_budget`). The table below says only in which module to look, so
that a process that never touches CronJobs never parses a schedule. Not a decorator registry: registration by import
side effect would make the order of imports matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from pybernetes.api.kinds import Kind

if TYPE_CHECKING:
    from pybernetes.machinery.field import FieldError

__all__ = ["Validation", "defaults_of", "validation_of", "warnings_of"]

Defaults = Callable[[Any], None]
Validate = Callable[[Any], "list[FieldError]"]
ValidateUpdate = Callable[[Any, Any], "list[FieldError]"]
Warn = Callable[[Any, Any], list[str]]
F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Validation:
    """What judges one kind. Objects come in with their defaults set; functions do not change them."""

    create: Validate  #: (obj)
    update: ValidateUpdate  #: (new, old): the update of the main resource, includes ObjectMeta
    status: ValidateUpdate  #: (new, old): the update of the status subresource, includes ObjectMeta


# per type module: the modules with its defaults and validation, looked through in order
_DEFAULTS: dict[str, tuple[str, ...]] = {
    "core_v1": ("core_v1.pod_defaults", "core_v1.object_defaults"),
}
_VALIDATION: dict[str, tuple[str, ...]] = {
    "core_v1": (
        "core_v1.pod_validation",
        "core_v1.pod_update_validation",
        "core_v1.object_validation",
        "core_v1.service_validation",
        "core_v1.node_validation",
        "core_v1.storage_validation",
        "core_v1.policy_validation",
    ),
}
_WARNINGS: dict[str, tuple[str, ...]] = {
    "core_v1": ("core_v1.pod_warnings", "core_v1.object_warnings"),
}


def _snake(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()


def _modules(table: dict[str, tuple[str, ...]], suffix: str, module: str) -> list[ModuleType]:
    names = table.get(module) or (f"{module}_{suffix}",)
    found = []
    for name in names:
        full = f"pybernetes.api.{name}"
        try:
            found.append(import_module(full))
        except ModuleNotFoundError as error:
            if error.name != full:
                raise
    return found


def _find(modules: list[ModuleType], name: str) -> Any:
    for module in modules:
        if (function := getattr(module, name, None)) is not None:
            return function
    return None


def _function_of(
    known: dict[tuple[str, str], F | None], kind: Kind, table: dict[str, tuple[str, ...]], suffix: str, verb: str
) -> F | None:
    """The function `verb_kind` out of the kind's modules of this suffix, looked for once; None when there is none."""
    key = (kind.api_version, kind.kind)
    try:
        return known[key]
    except KeyError:
        found: F | None = _find(_modules(table, suffix, kind.module), f"{verb}_{_snake(kind.kind)}")
        known[key] = found
        return found


_defaults: dict[tuple[str, str], Defaults | None] = {}
_validations: dict[tuple[str, str], Validation] = {}
_warnings: dict[tuple[str, str], Warn | None] = {}


def defaults_of(kind: Kind) -> Defaults | None:
    """The function that sets a kind's defaults in place; None for a kind that has none."""
    return _function_of(_defaults, kind, _DEFAULTS, "defaults", "default")


def validation_of(kind: Kind) -> Validation:
    """The functions that judge a kind; a kind without rules of its own gets those of ObjectMeta."""
    key = (kind.api_version, kind.kind)
    if (found := _validations.get(key)) is None:
        found = _validations[key] = _load_validation(kind)
    return found


def warnings_of(kind: Kind) -> Warn | None:
    """The function that tells what is odd about a kind's objects; None for a kind that has none."""
    return _function_of(_warnings, kind, _WARNINGS, "warnings", "warn")


def _load_validation(kind: Kind) -> Validation:
    from pybernetes.api import meta_validation

    modules = _modules(_VALIDATION, "validation", kind.module)
    snake = _snake(kind.kind)
    create = _find(modules, f"validate_{snake}") or meta_validation.only_meta(kind.namespaced)
    update = _find(modules, f"validate_{snake}_update") or meta_validation.then_create(create)
    status = _find(modules, f"validate_{snake}_status_update") or meta_validation.only_meta_update
    return Validation(create, update, status)
