"""Custom resources against their schema.

The words are those of upstream's OpenAPI validator (`spec.x in body must be of type integer: "string"`), which users
know from `kubectl`. CEL rules are not evaluated here: `Schema.validations` carries them to whoever can.
"""

from __future__ import annotations

import binascii
import datetime
import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from pybernetes.machinery import field
from pybernetes.machinery.field import FieldError
from pybernetes.machinery.schema import Schema
from pybernetes.machinery.text import quote, show_float

__all__ = ["compile_pattern", "list_errors", "validate"]


def validate(value: Any, schema: Schema, path: str = "", *, root: bool = True) -> list[FieldError]:
    """What is wrong with a wire value. `root`: a whole object, whose type and object meta are not checked."""
    errors: list[FieldError] = []
    _validate(value, schema, path, errors, root)
    return errors


_TYPES: Final[dict[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


def _type_error(path: str, wanted: str, actual: str) -> FieldError:
    return field.type_invalid(path or None, actual, f"{path} in body must be of type {wanted}: {quote(actual)}")


def _validate(value: Any, schema: Schema, path: str, errors: list[FieldError], root: bool = False) -> None:
    kind = _TYPES.get(type(value), "object")
    if kind == "null" and schema.nullable:
        return
    if schema.int_or_string:
        if kind not in ("integer", "string"):
            errors.append(_type_error(path, "integer,string", kind))
            return
    elif schema.type and not _fits(value, kind, schema.type):
        errors.append(_type_error(path, schema.type, kind))
        return
    if schema.enum is not None and not any(_equal(value, allowed) for allowed in schema.enum):
        listed = [v if isinstance(v, str) else msgspec.json.encode(v).decode() for v in schema.enum]
        errors.append(field.not_supported(path or None, value, listed))
    rules = schema.value
    if kind == "string":
        _strings(value, schema, rules, path, errors)
    elif kind in ("integer", "number"):
        _numbers(value, schema, rules, path, errors)
    elif kind == "array":
        _arrays(value, schema, rules, path, errors)
    elif kind == "object":
        _objects(value, schema, rules, path, errors, root)
    if rules:
        _junctors(value, rules, path, errors)


def _fits(value: Any, kind: str, wanted: str) -> bool:
    if kind == wanted:
        return True
    if wanted == "number":
        return kind == "integer"
    return wanted == "integer" and kind == "number" and float(value).is_integer()


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) and isinstance(a, bool) is isinstance(b, bool)


def _strings(value: str, schema: Schema, rules: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    if rules:
        longest, shortest = rules.get("maxLength"), rules.get("minLength")
        if longest is not None and len(value) > longest:
            errors.append(field.too_long(path, value, longest))
        if shortest is not None and len(value) < shortest:
            errors.append(field.invalid(path, value, f"{path} in body should be at least {shortest} chars long"))
        pattern = rules.get("pattern")
        if pattern is not None and (search := compile_pattern(pattern)) is not None and not search(value):
            errors.append(field.invalid(path, value, f"{path} in body should match '{pattern}'"))
    check = _FORMATS.get(schema.format)
    if check is not None and not check(value):
        text = f"{path} in body must be of type {schema.format}: {quote(value)}"
        errors.append(field.type_invalid(path, value, text))


def _number_text(value: float | int) -> str:
    return str(value) if isinstance(value, int) else show_float(value)


_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def _numbers(value: float, schema: Schema, rules: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    if schema.format in _RANGES and schema.type == "integer":
        low, high = _RANGES[schema.format]
        if not low <= value <= high:
            text = f"Checked value must be of type integer with format {schema.format} in {path}"
            errors.append(field.invalid(path, value, text))
    if not rules:
        return
    if (bound := rules.get("minimum")) is not None:
        if rules.get("exclusiveMinimum"):
            if value <= bound:
                text = f"{path} in body should be greater than {_number_text(bound)}"
                errors.append(field.invalid(path, value, text))
        elif value < bound:
            text = f"{path} in body should be greater than or equal to {_number_text(bound)}"
            errors.append(field.invalid(path, value, text))
    if (bound := rules.get("maximum")) is not None:
        if rules.get("exclusiveMaximum"):
            if value >= bound:
                errors.append(field.invalid(path, value, f"{path} in body should be less than {_number_text(bound)}"))
        elif value > bound:
            text = f"{path} in body should be less than or equal to {_number_text(bound)}"
            errors.append(field.invalid(path, value, text))
    if (step := rules.get("multipleOf")) and abs(value / step - round(value / step)) > 1e-9:
        errors.append(field.invalid(path, value, f"{path} in body should be a multiple of {_number_text(step)}"))


def _arrays(value: list[Any], schema: Schema, rules: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    if rules:
        most, least = rules.get("maxItems"), rules.get("minItems")
        if most is not None and len(value) > most:
            errors.append(field.too_many(path, len(value), most))
        if least is not None and len(value) < least:
            errors.append(field.invalid(path, len(value), f"{path} in body should have at least {least} items"))
        if rules.get("uniqueItems") and _has_duplicates(value):
            errors.append(field.invalid(path, "", f"{path} in body shouldn't contain duplicates"))
    if schema.items is not None:
        for i, item in enumerate(value):
            _validate(item, schema.items, f"{path}[{i}]", errors)


def _has_duplicates(value: list[Any]) -> bool:
    seen = [msgspec.json.encode(item) for item in value]
    return len(set(seen)) < len(seen)


def _objects(
    value: dict[str, Any],
    schema: Schema,
    rules: Mapping[str, Any],
    path: str,
    errors: list[FieldError],
    root: bool,
) -> None:
    if rules:
        most, least = rules.get("maxProperties"), rules.get("minProperties")
        if most is not None and len(value) > most:
            errors.append(field.too_many(path or None, len(value), most))
        if least is not None and len(value) < least:
            text = f"{path} in body should have at least {least} properties"
            errors.append(field.invalid(path or None, len(value), text))
    for name in schema.required:
        if name not in value:
            errors.append(field.required(f"{path}.{name}" if path else name))
    if schema.embedded_resource and not root:
        errors.extend(_embedded(value, path))
    properties, additional = schema.properties, schema.additional
    for name, item in value.items():
        child = properties.get(name) or additional
        if child is None or (root and name in ("apiVersion", "kind", "metadata")):
            continue
        _validate(item, child, f"{path}.{name}" if path else name, errors)


def _embedded(value: dict[str, Any], path: str) -> list[FieldError]:
    found = []
    for name in ("apiVersion", "kind"):
        if not value.get(name):
            found.append(field.required(f"{path}.{name}", "must not be empty"))
    return found


def _junctors(value: Any, rules: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    if options := rules.get("allOf"):
        failed = False
        for option in options:
            found = validate(value, option, path, root=False)
            failed = failed or bool(found)
            errors.extend(found)
        if failed:
            errors.append(_composite(path, "must validate all the schemas (allOf)"))
    if (options := rules.get("anyOf")) and not any(_holds(value, o, path) for o in options):
        errors.append(_composite(path, "must validate at least one schema (anyOf)"))
    if options := rules.get("oneOf"):
        valid = sum(_holds(value, option, path) for option in options)
        if valid != 1:
            text = "Found none valid" if valid == 0 else f"Found {valid} valid alternatives"
            errors.append(_composite(path, f"must validate one and only one schema (oneOf). {text}"))
    option = rules.get("not")
    if option is not None and _holds(value, option, path):
        errors.append(_composite(path, "must not validate the schema (not)"))


def _holds(value: Any, option: Schema, path: str) -> bool:
    return not validate(value, option, path, root=False)


def _composite(path: str, text: str) -> FieldError:
    return field.invalid(None, "", f"{quote(path)} {text}")


# Lists that are sets or maps


def list_errors(value: Any, schema: Schema, path: str = "") -> list[FieldError]:
    """Duplicates in lists of type set and map, at any depth."""
    errors: list[FieldError] = []
    _lists(value, schema, path, errors)
    return errors


def _lists(value: Any, schema: Schema, path: str, errors: list[FieldError]) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            child = schema.child(name)
            if child is not None and isinstance(item, dict | list):
                _lists(item, child, f"{path}.{name}" if path else name, errors)
    elif isinstance(value, list) and schema.items is not None:
        if schema.list_type in ("set", "map"):
            seen: set[bytes] = set()
            for i, item in enumerate(value):
                shown = item
                if schema.list_type == "map" and isinstance(item, dict):
                    shown = {key: item[key] for key in schema.list_map_keys if key in item}
                mark = msgspec.json.encode(shown)
                if mark in seen:
                    errors.append(field.duplicate(f"{path}[{i}]", shown))
                seen.add(mark)
        for i, item in enumerate(value):
            if isinstance(item, dict | list):
                _lists(item, schema.items, f"{path}[{i}]", errors)


# Patterns and formats

_POSIX: Final = {
    "[:alnum:]": "0-9A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:ascii:]": "\\x00-\\x7F",
    "[:blank:]": "\\t ",
    "[:cntrl:]": "\\x00-\\x1F\\x7F",
    "[:digit:]": "0-9",
    "[:graph:]": "!-~",
    "[:lower:]": "a-z",
    "[:print:]": " -~",
    "[:punct:]": "!-/:-@\\[-`{-~",
    "[:space:]": "\\t\\n\\v\\f\\r ",
    "[:upper:]": "A-Z",
    "[:word:]": "0-9A-Za-z_",
    "[:xdigit:]": "0-9A-Fa-f",
}


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Callable[[str], object] | None:
    """The search function of a Go regular expression; None when it is none. `$` is the very end, as in Go."""
    for name, text in _POSIX.items():
        pattern = pattern.replace(name, text)
    pattern = pattern.replace(r"\z", r"\Z").replace(r"\pL", r"[^\W\d_]").replace(r"\p{L}", r"[^\W\d_]")
    pattern = re.sub(r"(?<!\\)((?:\\\\)*)\$(?![^\[]*\])", r"\1\\Z", pattern)
    try:
        return re.compile(pattern, re.ASCII).search
    except re.error:
        return None


def _is_date_time(text: str) -> bool:
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text, re.ASCII)
    return match is not None and _parses(f"{match.group(1)}T{match.group(2)}", datetime.datetime.fromisoformat)


def _parses(text: str, parse: Callable[[str], object]) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _matcher(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


_UUID: Final = "(?i:[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12})"
_LABEL: Final = "[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"

#: Formats that are checked; others are only remarks, as upstream has it.
_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "date-time": _is_date_time,
    "datetime": _is_date_time,
    "date": lambda t: bool(re.fullmatch(r"\d{4}-\d\d-\d\d", t, re.ASCII)) and _parses(t, datetime.date.fromisoformat),
    "duration": _matcher(r"[+-]?((\d+(\.\d*)?|\.\d+)\s*(ns|us|µs|μs|ms|s|m|h|d|w|[a-z]+))+|0"),
    "ipv4": lambda t: _parses(t, ipaddress.IPv4Address),
    "ipv6": lambda t: "%" not in t and _parses(t, ipaddress.IPv6Address),
    "cidr": lambda t: "/" in t and _parses(t, lambda x: ipaddress.ip_network(x, strict=False)),
    "mac": _matcher("([0-9A-Fa-f]{2}([:-]))([0-9A-Fa-f]{2}\\2){4}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{4}\\.){2}[0-9A-Fa-f]{4}"),
    "uuid": _matcher(_UUID % ("[0-9a-f]", "[0-9a-f]")),
    "uuid3": _matcher(_UUID % ("3", "[0-9a-f]")),
    "uuid4": _matcher(_UUID % ("4", "[89ab]")),
    "uuid5": _matcher(_UUID % ("5", "[89ab]")),
    "email": _matcher(r"[^@\s]+@[^@\s]+"),
    "hostname": lambda t: len(t) <= 255 and re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", t, re.ASCII) is not None,
    "uri": _matcher(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s]*|/[^\s]*"),
    "byte": lambda t: _parses(t, lambda x: binascii.a2b_base64(x, strict_mode=True)),
    "hexcolor": _matcher("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "k8s-short-name": _matcher("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
    "k8s-long-name": lambda t: (
        len(t) <= 253
        and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", t) is not None
    ),
}
