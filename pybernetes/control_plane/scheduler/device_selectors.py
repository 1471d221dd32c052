"""Devices as CEL expressions see them: `device.driver`, `device.attributes["domain"].name`, `device.capacity[...]`.

Attributes and capacities without a domain are in the driver's. An unknown domain is an empty map and no error, so that
`has(device.attributes["a.b"].c)` may be asked of any device (KEP-4381).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pybernetes.api.resource_v1 import Device, DeviceAttribute
from pybernetes.machinery import cel
from pybernetes.machinery.cel.functions import GLOBAL


class SelectorError(ValueError):
    """An expression cannot be evaluated for a device: whoever wrote it must mend it."""


class _Domains(dict[str, dict[str, Any]]):
    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, {})


def seen(device: Device, driver: str) -> dict[str, Any]:
    """The value of `device`."""
    attributes, capacity = _Domains(), _Domains()
    for name, attribute in (device.attributes or {}).items():
        domain, _, short = name.rpartition("/")
        attributes.setdefault(domain or driver, {})[short] = _value(attribute)
    for name, amount in (device.capacity or {}).items():
        domain, _, short = name.rpartition("/")
        capacity.setdefault(domain or driver, {})[short] = GLOBAL["quantity"](amount.value or "0")
    several = bool(device.allow_multiple_allocations)
    return {"driver": driver, "attributes": attributes, "capacity": capacity, "allowMultipleAllocations": several}


def _value(attribute: DeviceAttribute) -> Any:
    if attribute.version is not None:
        return GLOBAL["semver"](attribute.version)
    for plain in (attribute.bool_, attribute.int_, attribute.string):
        if plain is not None:
            return plain
    return None


def attribute_of(device: Device, driver: str, name: str) -> Any:
    """The raw value of the attribute `domain/name`; None when the device has none of that name."""
    found = (device.attributes or {}).get(name)
    domain, _, short = name.rpartition("/")
    if found is None and domain == driver:
        found = (device.attributes or {}).get(short)
    if found is None:
        return None
    fields = ("bool", found.bool_), ("int", found.int_), ("string", found.string), ("version", found.version)
    return next(((kind, value) for kind, value in fields if value is not None), None)


@lru_cache(1024)
def _program(expression: str) -> cel.Program:
    return cel.compile(expression, {"device": cel.DYN}, "bool")


def selects(expression: str, view: dict[str, Any]) -> bool:
    """Whether the device meets the expression. Raises SelectorError."""
    try:
        return _program(expression)({"device": view}) is True
    except cel.CelError as error:
        raise SelectorError(f"CEL expression {expression!r}: {error}") from None
