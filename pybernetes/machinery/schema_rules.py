"""x-kubernetes-validations: CEL rules inside a schema, checked when it is written and evaluated where they stand.

A rule sees the value it stands at as `self`, and where old and new value can be told to be the same one (KEP-2876), the
old one as `oldSelf`: fields of objects, entries of maps and of lists of type `map`. What did not change is not judged
again, so that objects written before a rule stay as they are.
"""

from __future__ import annotations

import datetime as dt
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from pybernetes.machinery import cel, field
from pybernetes.machinery.cel.values import Optional
from pybernetes.machinery.field import FieldError
from pybernetes.machinery.schema import Schema

__all__ = ["check", "evaluator"]

Rules = Callable[[dict[str, Any], dict[str, Any] | None], list[FieldError]]

_TEXT = Schema(type="string")
_META = Schema(type="object", properties={"name": _TEXT, "generateName": _TEXT})
_ROOT = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _META}
_REASONS = {
    "FieldValueInvalid": "FieldValueInvalid",
    "FieldValueForbidden": "FieldValueForbidden",
    "FieldValueRequired": "FieldValueRequired",
    "FieldValueDuplicate": "FieldValueDuplicate",
}


def _typed(schema: Schema, root: bool) -> Schema:
    """The schema as rules see it: whole objects have apiVersion, kind and a little metadata."""
    if not root and not schema.embedded_resource:
        return schema
    return Schema(
        type="object",
        properties={**schema.properties, **_ROOT},
        additional=schema.additional,
        preserve_unknown_fields=schema.preserve_unknown_fields,
    )


def _variables(schema: Schema, root: bool, optional_old: bool) -> dict[str, Any]:
    typed = _typed(schema, root)
    return {"self": typed, "oldSelf": cel.DYN if optional_old else typed}


def has_rules(schema: Schema) -> bool:
    """Whether there is a rule anywhere in a schema."""
    if schema.validations:
        return True
    children = [*schema.properties.values(), schema.items, schema.additional]
    return any(child is not None and has_rules(child) for child in children)


# Checking a schema ---------------------------------------------------------------------------------------------------


def check(schema: Schema, path: str) -> list[FieldError]:
    """What is wrong with the rules of a schema. `path`: where the schema is."""
    errors: list[FieldError] = []
    _check(schema, path, True, True, errors)
    return errors


def _check(schema: Schema, path: str, root: bool, correlatable: bool, errors: list[FieldError]) -> None:
    for i, rule in enumerate(schema.validations):
        at = f"{path}.x-kubernetes-validations[{i}]"
        text = (rule.get("rule") or "").strip()
        if not text:
            errors.append(field.required(f"{at}.rule", "rule is not specified"))
            continue
        message = rule.get("message")
        if message is not None and not message.strip():
            errors.append(field.invalid(f"{at}.message", message, "message must be non-empty if specified"))
        elif message and "\n" in message.strip():
            errors.append(field.invalid(f"{at}.message", message, "message must not contain line breaks"))
        elif not message and "\n" in text and not rule.get("messageExpression"):
            text_of = "message must be specified if rule contains line breaks"
            errors.append(field.required(f"{at}.message", text_of))
        if rule.get("reason") and rule["reason"] not in _REASONS:
            errors.append(field.not_supported(f"{at}.reason", rule["reason"], sorted(_REASONS)))
        variables = _variables(schema, root, bool(rule.get("optionalOldSelf")))
        try:
            program = cel.compile(text, variables, "bool")
        except cel.CelError as error:
            detail = str(error)
            if detail == "must evaluate to bool":
                detail = "cel expression must evaluate to a bool"
            errors.append(field.invalid(f"{at}.rule", rule, f"compilation failed: {detail}"))
            errors[-1].value = text
            continue
        if "oldSelf" in program.names and not correlatable:
            detail = "oldSelf cannot be used on the uncorrelatable portion of the schema within " + path
            errors.append(field.invalid(f"{at}.rule", text, detail))
        if rule.get("optionalOldSelf") and "oldSelf" not in program.names:
            detail = "optionalOldSelf may not be set if oldSelf is not used in rule"
            errors.append(field.invalid(f"{at}.optionalOldSelf", True, detail))
        if expression := rule.get("messageExpression"):
            try:
                cel.compile(expression, variables, "string")
            except cel.CelError as error:
                detail = f"messageExpression compilation failed: {error}"
                errors.append(field.invalid(f"{at}.messageExpression", expression, detail))
        if (wanted := rule.get("fieldPath")) and not _reaches(schema, wanted):
            detail = "fieldPath must be a valid path"
            errors.append(field.invalid(f"{at}.fieldPath", wanted, f"{detail}: does not refer to a valid field"))
    for name, child in schema.properties.items():
        _check(child, f"{path}.properties[{name}]", False, correlatable, errors)
    if schema.additional is not None:
        _check(schema.additional, f"{path}.additionalProperties", False, correlatable, errors)
    if schema.items is not None:
        kept = correlatable and schema.list_type == "map"
        _check(schema.items, f"{path}.items", False, kept, errors)


def _reaches(schema: Schema, path: str) -> bool:
    found: Schema | None = schema
    for name in path.lstrip(".").replace("['", ".").replace("']", "").split("."):
        found = found.child(name) if found is not None and name else None
    return found is not None


# Evaluating ----------------------------------------------------------------------------------------------------------


class _Rule:
    """One compiled rule."""

    __slots__ = ("message", "message_program", "optional_old", "path", "program", "reason", "text", "transition")

    def __init__(self, rule: dict[str, Any], variables: dict[str, Any]) -> None:
        self.text = (rule.get("rule") or "").strip()
        self.optional_old = bool(rule.get("optionalOldSelf"))
        self.reason = _REASONS.get(rule.get("reason") or "", "FieldValueInvalid")
        self.path = rule.get("fieldPath") or ""
        self.message = (rule.get("message") or "").strip()
        self.program: cel.Program | None = None
        self.message_program: cel.Program | None = None
        try:
            self.program = cel.compile(self.text, variables, "bool")
            if expression := rule.get("messageExpression"):
                self.message_program = cel.compile(expression, variables, "string")
        except cel.CelError as error:
            self.message = f"rule compile error: {error}"
        self.transition = self.program is not None and "oldSelf" in self.program.names


class _Node:
    """The rules of one schema, and of what is below it. Only branches with rules are there."""

    __slots__ = ("additional", "items", "properties", "rules", "schema")

    def __init__(self, schema: Schema, root: bool) -> None:
        self.schema = schema
        self.rules = [
            _Rule(rule, _variables(schema, root, bool(rule.get("optionalOldSelf")))) for rule in schema.validations
        ]
        self.properties = {n: _Node(c, False) for n, c in schema.properties.items() if has_rules(c)}
        additional, items = schema.additional, schema.items
        self.additional = _Node(additional, False) if additional is not None and has_rules(additional) else None
        self.items = _Node(items, False) if items is not None and has_rules(items) else None


_ABSENT = object()


def evaluator(schema: Schema) -> Rules:
    """The function that evaluates all rules of a schema on (new, old) wire objects; old is None on creation."""
    root = _Node(schema, True)

    def run(new: dict[str, Any], old: dict[str, Any] | None) -> list[FieldError]:
        errors: list[FieldError] = []
        _run(root, _whole(new), _whole(old) if old is not None else _ABSENT, "", errors)
        return errors

    return run


def _whole(wire: dict[str, Any]) -> dict[str, Any]:
    """What rules at the root see of an object: of the metadata only the name."""
    metadata = wire.get("metadata") or {}
    return {**wire, "metadata": {k: metadata[k] for k in ("name", "generateName") if metadata.get(k)}}


def _run(node: _Node, new: Any, old: Any, path: str, errors: list[FieldError]) -> None:
    if new is None:
        return
    same = old is not _ABSENT and new == old
    if node.rules:
        value = to_cel(new, node.schema)
        before = to_cel(old, node.schema) if old is not _ABSENT else _ABSENT
        for rule in node.rules:
            _judge(rule, node.schema, value, before, same, path, errors)
    if isinstance(new, dict):
        earlier = old if isinstance(old, dict) else {}
        for name, child in node.properties.items():
            if name in new:
                _run(child, new[name], earlier.get(name, _ABSENT), f"{path}.{name}" if path else name, errors)
        if node.additional is not None:
            for name, item in new.items():
                if name not in node.schema.properties:
                    _run(node.additional, item, earlier.get(name, _ABSENT), f"{path}[{name}]", errors)
    elif isinstance(new, list) and node.items is not None:
        previous = _correlate(node.schema, old)
        for i, item in enumerate(new):
            was = previous.get(_key(node.schema, item), _ABSENT) if previous else _ABSENT
            _run(node.items, item, was, f"{path}[{i}]", errors)


def _key(schema: Schema, item: Any) -> Any:
    return tuple(repr(item.get(name)) for name in schema.list_map_keys) if isinstance(item, dict) else None


def _correlate(schema: Schema, old: Any) -> dict[Any, Any]:
    if schema.list_type != "map" or not isinstance(old, list):
        return {}
    return {_key(schema, item): item for item in old}


def _judge(
    rule: _Rule, schema: Schema, value: Any, before: Any, same: bool, path: str, errors: list[FieldError]
) -> None:
    shown = schema.type or "object"
    at = f"{path}.{rule.path.lstrip('.')}".lstrip(".") if rule.path else path
    if rule.program is None:
        errors.append(field.invalid(path, shown, rule.message))
        return
    if rule.transition and before is _ABSENT and not rule.optional_old:
        return
    if same and not rule.transition:
        return
    variables: dict[str, Any] = {"self": value}
    if rule.optional_old:
        variables["oldSelf"] = Optional() if before is _ABSENT else Optional(before)
    elif before is not _ABSENT:
        variables["oldSelf"] = before
    try:
        holds = rule.program(variables)
    except cel.CelError as error:
        text = f"{error} evaluating rule: {rule.message or rule.text}"
        errors.append(field.invalid(path, shown, text))
        return
    if holds is True:
        return
    message = ""
    if rule.message_program is not None:
        try:
            message = str(rule.message_program(variables)).strip()
        except cel.CelError:
            message = ""
        if "\n" in message:
            message = ""
    error_text = message or rule.message or f"failed rule: {rule.text}"
    errors.append(FieldError(rule.reason, at, shown, error_text))


def to_cel(value: Any, schema: Schema) -> Any:
    """A JSON value as CEL sees it: times, durations and bytes by their format, numbers as doubles."""
    if not _converts(schema):
        return value
    if isinstance(value, dict):
        out = {}
        for name, item in value.items():
            child = schema.child(name)
            out[name] = to_cel(item, child) if child is not None else item
        return out
    if isinstance(value, list):
        return [to_cel(item, schema.items) for item in value] if schema.items is not None else value
    if isinstance(value, str):
        return _text(value, schema.format)
    if schema.type == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _text(value: str, form: str) -> Any:
    from pybernetes.machinery.cel.functions import parse_duration, parse_time

    try:
        if form in ("date-time", "datetime"):
            return parse_time(value)
        if form == "date":
            return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
        if form == "duration":
            return parse_duration(value)
        if form == "byte":
            return b64decode(value)
    except ValueError:
        return value
    return value


_FORMATS = frozenset({"date-time", "datetime", "date", "duration", "byte"})


def _converts(schema: Schema) -> bool:
    if schema.struct is not None:
        return False
    if schema.format in _FORMATS or schema.type == "number":
        return True
    children = [*schema.properties.values(), schema.items, schema.additional]
    return any(child is not None and child is not schema and _converts(child) for child in children)
