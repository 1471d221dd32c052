"""Validation of one device of a ResourceSlice: attributes, capacities, counters, taints, the nodes that it is for."""

from __future__ import annotations

import itertools
import re

from pybernetes.api import resource_v1_rules as rules
from pybernetes.api.core_v1.pod_validation import node_selector
from pybernetes.api.resource_v1 import (
    CapacityRequestPolicy,
    CapacityRequestPolicyRange,
    Counter,
    CounterSet,
    Device,
    DeviceAttribute,
    DeviceCounterConsumption,
    DeviceTaint,
)
from pybernetes.api.resource_v1_rules import EFFECTS
from pybernetes.machinery import field, names, quantity
from pybernetes.machinery.field import FieldError, Path

MAX_PROPERTIES, MAX_TAINTS, MAX_VALUE, MAX_ID, MAX_DOMAIN = 32, 16, 64, 32, 63
MAX_COUNTERS, MAX_CONSUMPTIONS, MAX_VALUES = 32, 2, 10
_PART = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-{_PART}(?:\.{_PART})*)?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_ONE = "exactly one value must be specified"


def device(
    judged: Device, path: Path, errors: list[FieldError], old: Device | None = None, chooses_nodes: bool = False
) -> None:
    """Append what is wrong with a device, besides its name. old: the one of that name that it replaces; chooses_nodes:
    each device of the slice says for itself which nodes it is for.
    """
    attributes, capacity = judged.attributes or {}, judged.capacity or {}
    for wire, keys in (("attributes", attributes), ("capacity", capacity)):
        for key in keys:
            qualified_name(key, path.child(wire).key(key), errors)
    for key, attribute in attributes.items():
        _attribute(attribute, path.child("attributes").key(key), errors)
    if (count := len(attributes) + len(capacity)) > MAX_PROPERTIES:
        text = f"the total number of attributes and capacities must not exceed {MAX_PROPERTIES}"
        errors.append(field.invalid(path, count, text))
    if old is None or old.capacity != judged.capacity:
        for key, one in capacity.items():
            at = path.child("capacity").key(key).child("requestPolicy")
            if one.request_policy is None:
                continue
            if judged.allow_multiple_allocations:
                _policy(one.request_policy, one.value or "0", at, errors)
            else:
                errors.append(field.forbidden(at, "allowMultipleAllocations must be true"))
    if old is None or old.taints != judged.taints:
        rules.items(judged.taints, MAX_TAINTS, _taint, path.child("taints"), errors)
    at = path.child("consumesCounters")
    rules.unique(judged.consumes_counters, MAX_CONSUMPTIONS, _consumption, lambda c: c.counter_set, at, errors)
    _nodes(judged, chooses_nodes, path, errors)
    rules.binding(judged.binding_conditions, judged.binding_failure_conditions, path, errors)


def _nodes(judged: Device, chooses: bool, path: Path, errors: list[FieldError]) -> None:
    name, selector, every = judged.node_name, judged.node_selector, judged.all_nodes
    if not chooses:
        if name is not None or selector is not None or every is not None:
            text = (
                "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true "
                "in the ResourceSlice spec"
            )
            errors.append(field.invalid(path, None, text))
        return
    given = []
    if name:
        given.append("`nodeName`")
        rules.node_name(name, path.child("nodeName"), errors)
    elif name is not None:
        errors.append(field.invalid(path.child("nodeName"), name, "must not be empty"))
    if selector is not None:
        given.append("`nodeSelector`")
        node_selector(selector, path.child("nodeSelector"), errors)
    if every:
        given.append("`allNodes`")
    elif every is not None:
        errors.append(field.invalid(path.child("allNodes"), every, "must be either unset or set to true"))
    text = (
        "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to "
        "true in the ResourceSlice spec"
    )
    if not given:
        errors.append(field.required(path, text))
    elif len(given) > 1:
        errors.append(field.invalid(path, "{" + ", ".join(given) + "}", text))


def counter_set(judged: CounterSet, path: Path, errors: list[FieldError]) -> None:
    """Counters that devices of the pool share."""
    _counters(judged.name, "name", judged.counters, path, errors)


def _consumption(judged: DeviceCounterConsumption, path: Path, errors: list[FieldError]) -> None:
    _counters(judged.counter_set, "counterSet", judged.counters, path, errors)


def _counters(name: str, wire: str, counters: dict[str, Counter], path: Path, errors: list[FieldError]) -> None:
    if not name:
        errors.append(field.required(path.child(wire)))
    else:
        rules.label(name, path.child(wire), errors)
    at = path.child("counters")
    if not counters:
        errors.append(field.required(at))
    elif len(counters) > MAX_COUNTERS:
        errors.append(field.too_many(at, len(counters), MAX_COUNTERS))
    else:
        for key in counters:
            rules.label(key, at, errors)


def _policy(policy: CapacityRequestPolicy, capacity: str, path: Path, errors: list[FieldError]) -> None:
    """What may be asked of a capacity that several allocations share."""
    values, limits, default = policy.valid_values, policy.valid_range, policy.default
    if values and limits is not None:
        text = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        errors.append(field.forbidden(path, text))
    elif values:
        if default is None:
            errors.append(field.required(path.child("default"), "required when validValues is defined"))
        else:
            _choices(values, default, capacity, path.child("validValues"), errors)
    elif limits is not None:
        if default is None:
            errors.append(field.required(path.child("default"), "required when validRange is defined"))
        else:
            _limits(limits, default, capacity, path.child("validRange"), errors)


def _choices(values: list[str], default: str, capacity: str, path: Path, errors: list[FieldError]) -> None:
    for i, (lower, higher) in enumerate(itertools.pairwise(values), 1):
        if quantity.cmp(lower, higher) > 0:
            errors.append(field.invalid(path.index(i), higher, "values must be sorted in ascending order"))

    def choice(value: str, at: Path, errors: list[FieldError]) -> None:
        if quantity.cmp(value, capacity) > 0:
            errors.append(field.invalid(at, value, f"option is larger than capacity value: {capacity}"))

    rules.unique(values, MAX_VALUES, choice, lambda v: str(-(-quantity.parse(v).nano // quantity.NANO)), path, errors)
    if len(values) > MAX_VALUES or all(quantity.cmp(value, default) for value in values):
        errors.append(field.invalid(path, default, "default value is not valid according to the requestPolicy"))


def _limits(
    limits: CapacityRequestPolicyRange, default: str, capacity: str, path: Path, errors: list[FieldError]
) -> None:
    least, most, step = limits.min, limits.max, limits.step
    if least is None:
        errors.append(field.required(path.child("min"), "required when validRange is defined"))
        return

    def larger(one: str, other: str, wire: str, shown: str, text: str) -> None:
        if quantity.cmp(one, other) > 0:
            errors.append(field.invalid(path.child(wire), shown, text))

    larger(least, capacity, "min", least, f"min is larger than capacity value: {capacity}")
    larger(least, default, "default", default, f"default is less than min: {least}")
    if most is not None:
        larger(least, most, "max", least, f"min is larger than max: {most}")
        larger(most, capacity, "max", most, f"max is larger than capacity value: {capacity}")
        larger(default, most, "default", default, f"default is more than max: {most}")
    if step is None:
        return
    low, one = quantity.parse(least), quantity.parse(step)
    if one.nano <= 0:
        errors.append(field.invalid(path.child("step"), step, "must be greater than zero"))
        return
    added = str(low + one)
    larger(added, capacity, "step", step, f"one step {added} is larger than capacity value: {capacity}")
    for value in (default, *([most] if most is not None else ())):
        if (quantity.parse(value).nano - low.nano) % one.nano:
            text = f"value is not a multiple of a given step ({step}) from ({least})"
            errors.append(field.invalid(path.child("step"), value, text))


def fully_qualified_name(name: str, path: Path, errors: list[FieldError]) -> None:
    """`domain/identifier`."""
    qualified_name(name, path, errors)
    if "/" not in name:
        text = "a fully qualified name must be a domain and a name separated by a slash"
        errors.append(field.invalid(path, name, text))


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
