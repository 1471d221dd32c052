"""Judging a JSON value by a structural schema: types, value validations, list types.

The messages are those of upstream's OpenAPI validator, because users and tests read them.
"""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import datetime
from functools import lru_cache
from typing import Any

from pybernetes.machinery import field
from pybernetes.machinery.field import FieldError
from pybernetes.machinery.schema import Schema
from pybernetes.machinery.text import quote, show

__all__ = ["judge"]


def judge(value: Any, schema: Schema, path: str = "") -> list[FieldError]:
    """What is wrong with `value`. `path`: where it is, "" for a whole object (whose metadata is not looked at)."""
    errors: list[FieldError] = []
    _judge(value, schema, path, errors)
    return errors


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _judge(value: Any, schema: Schema, path: str, errors: list[FieldError]) -> None:
    if value is None:
        if schema.nullable or not schema.type:
            return
        text = f'{path or ""} in body must be of type {schema.type}: "null"'
        errors.append(field.type_invalid(path, value, text))
        return
    have = _type_of(value)
    if schema.int_or_string:
        if have not in ("integer", "string"):
            text = f'{path} in body must be of type integer,string: "{have}"'
            errors.append(field.type_invalid(path, value, text))
            return
    elif schema.type and have != schema.type:
        whole = isinstance(value, float) and value.is_integer()
        fits = (schema.type == "number" and have == "integer") or (schema.type == "integer" and whole)
        if not fits:
            text = f'{path} in body must be of type {schema.type}: "{have}"'
            errors.append(
                field.type_invalid(path, value if have in ("string", "boolean", "integer", "number") else have, text)
            )
            return
    if schema.enum is not None and value not in schema.enum:
        errors.append(field.not_supported(path, value, [e if isinstance(e, str) else show(e) for e in schema.enum]))
    if schema.value:
        _limits(value, schema, path, errors)
        _logic(value, schema, path, errors)
    if schema.format and isinstance(value, str) and not format_ok(schema.format, value):
        text = f"{path} in body must be of type {schema.format}: {quote(value)}"
        errors.append(field.invalid(path, value, text))
    if isinstance(value, dict):
        for name in schema.required:
            if name not in value:
                errors.append(field.required(_at(path, name)))
        properties, additional = schema.properties, schema.additional
        for name, item in value.items():
            if not path and name in ("metadata", "apiVersion", "kind"):
                continue
            child = properties.get(name)
            if child is not None:
                _judge(item, child, _at(path, name), errors)
            elif additional is not None:
                _judge(item, additional, _at(path, name), errors)
    elif isinstance(value, list):
        if schema.items is not None:
            for i, item in enumerate(value):
                _judge(item, schema.items, f"{path}[{i}]", errors)
        if schema.list_type in ("set", "map"):
            _unique(value, schema, path, errors)


def _unique(value: list[Any], schema: Schema, path: str, errors: list[FieldError]) -> None:
    seen: list[Any] = []
    for i, item in enumerate(value):
        if schema.list_type == "map":
            if not isinstance(item, dict):
                continue
            key: Any = {name: item[name] for name in schema.list_map_keys if name in item}
        else:
            key = item
        if key in seen:
            errors.append(field.duplicate(f"{path}[{i}]", key))
        else:
            seen.append(key)


def _limits(value: Any, schema: Schema, path: str, errors: list[FieldError]) -> None:
    rules = schema.value
    get = rules.get
    if isinstance(value, str):
        length = len(value)
        if (bound := get("maxLength")) is not None and length > bound:
            errors.append(field.FieldError("FieldValueTooLong", path, value, f"may not be more than {bound} bytes"))
        if (bound := get("minLength")) is not None and length < bound:
            word = "chars"
            text = f"{path} in body should be at least {bound} {word} long"
            errors.append(field.invalid(path, value, text))
        if (pattern := get("pattern")) is not None and not _pattern(pattern).search(value):
            text = f"{path} in body should match '{pattern}'"
            errors.append(field.invalid(path, value, text))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(value, rules, path, errors)
    elif isinstance(value, list):
        if (bound := get("maxItems")) is not None and len(value) > bound:
            errors.append(field.too_many(path, len(value), bound))
        if (bound := get("minItems")) is not None and len(value) < bound:
            text = f"{path} in body should have at least {bound} items"
            errors.append(field.invalid(path, len(value), text))
        if get("uniqueItems") and any(item in value[:i] for i, item in enumerate(value)):
            errors.append(field.invalid(path, value, f"{path} in body shouldn't contain duplicates"))
    elif isinstance(value, dict):
        if (bound := get("maxProperties")) is not None and len(value) > bound:
            errors.append(field.too_many(path, len(value), bound))
        if (bound := get("minProperties")) is not None and len(value) < bound:
            text = f"{path} in body should have at least {bound} properties"
            errors.append(field.invalid(path, len(value), text))


def _number(value: float, rules: dict[str, Any], path: str, errors: list[FieldError]) -> None:
    if (bound := rules.get("maximum")) is not None:
        strict = bool(rules.get("exclusiveMaximum"))
        if value > bound or (strict and value == bound):
            word = "less than" if strict else "less than or equal to"
            errors.append(field.invalid(path, value, f"{path} in body should be {word} {show(bound)}"))
    if (bound := rules.get("minimum")) is not None:
        strict = bool(rules.get("exclusiveMinimum"))
        if value < bound or (strict and value == bound):
            word = "greater than" if strict else "greater than or equal to"
            errors.append(field.invalid(path, value, f"{path} in body should be {word} {show(bound)}"))
    if (factor := rules.get("multipleOf")) and abs(value / factor - round(value / factor)) > 1e-9:
        errors.append(field.invalid(path, value, f"{path} in body should be a multiple of {show(factor)}"))


def _logic(value: Any, schema: Schema, path: str, errors: list[FieldError]) -> None:
    rules = schema.value
    for part in rules.get("allOf", ()):
        _judge(value, part, path, errors)
    if (options := rules.get("anyOf")) is not None and not any(_fits(value, o, path) for o in options):
        text = f"{path} in body must validate at least one schema (anyOf)"
        errors.append(field.invalid(path, "", text))
        for option in options[:1]:
            _judge(value, option, path, errors)
    if (options := rules.get("oneOf")) is not None:
        count = sum(_fits(value, option, path) for option in options)
        if count != 1:
            found = f"Found {count} valid alternatives" if count else "Found none valid"
            text = f"{path} in body must validate one and only one schema (oneOf). {found}"
            errors.append(field.invalid(path, "", text))
    if (option := rules.get("not")) is not None and _fits(value, option, path):
        text = f"{path} in body must not validate the schema (not)"
        errors.append(field.invalid(path, "", text))


def _fits(value: Any, schema: Schema, path: str) -> bool:
    errors: list[FieldError] = []
    _judge(value, schema, path or ".", errors)
    return not errors


@lru_cache(2048)
def _pattern(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(translate(pattern))
    except re.error:
        return re.compile("")


_POSIX = {
    "[:alpha:]": "a-zA-Z",
    "[:digit:]": "0-9",
    "[:alnum:]": "a-zA-Z0-9",
    "[:upper:]": "A-Z",
    "[:lower:]": "a-z",
    "[:space:]": r"\s",
    "[:punct:]": r"!-/:-@\[-`{-~",
    "[:word:]": r"\w",
    "[:xdigit:]": "0-9A-Fa-f",
}


def translate(pattern: str) -> str:
    """An RE2 pattern as Python has it: `\\z`, POSIX classes, `$` only at the very end."""
    pattern = pattern.replace(r"\z", r"\Z")
    for name, members in _POSIX.items():
        pattern = pattern.replace(name, members)
    if pattern.endswith("$") and not pattern.endswith(r"\$"):
        pattern = pattern[:-1] + r"\Z"
    return pattern


_FORMATS: dict[str, re.Pattern[str]] = {
    "uuid": re.compile(r"(?i)^[0-9A-F]{8}-?[0-9A-F]{4}-?[0-9A-F]{4}-?[0-9A-F]{4}-?[0-9A-F]{12}\Z"),
    "uuid3": re.compile(r"(?i)^[0-9A-F]{8}-?[0-9A-F]{4}-?3[0-9A-F]{3}-?[0-9A-F]{4}-?[0-9A-F]{12}\Z"),
    "uuid4": re.compile(r"(?i)^[0-9A-F]{8}-?[0-9A-F]{4}-?4[0-9A-F]{3}-?[89AB][0-9A-F]{3}-?[0-9A-F]{12}\Z"),
    "uuid5": re.compile(r"(?i)^[0-9A-F]{8}-?[0-9A-F]{4}-?5[0-9A-F]{3}-?[89AB][0-9A-F]{3}-?[0-9A-F]{12}\Z"),
    "email": re.compile(r"^[^@\s]+@[^@\s]+\Z"),
    "hostname": re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*\Z"),
    "mac": re.compile(r"^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\Z"),
    "date": re.compile(r"^\d{4}-\d{2}-\d{2}\Z"),
    "duration": re.compile(r"^([+-]?\d+(\.\d+)?\s*(ns|us|µs|ms|s|m|h|d|w)[a-z]*\s*)+\Z"),
    "k8s-short-name": re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z"),
    "k8s-long-name": re.compile(r"^(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z"),
    "isbn10": re.compile(r"^(\d-?){9}[\dXx]\Z"),
    "isbn13": re.compile(r"^(\d-?){13}\Z"),
    "isbn": re.compile(r"^((\d-?){9}[\dXx]|(\d-?){13})\Z"),
    "creditcard": re.compile(r"^[\d -]{13,23}\Z"),
    "ssn": re.compile(r"^\d{3}[- ]?\d{2}[- ]?\d{4}\Z"),
    "hexcolor": re.compile(r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z"),
    "rgbcolor": re.compile(r"^rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)\Z"),
    "bsonobjectid": re.compile(r"^[0-9a-fA-F]{24}\Z"),
    "uri": re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]*:\S*\Z|^/\S*\Z"),
}


def format_ok(name: str, value: str) -> bool:
    """Whether a text has a format that the API knows; other formats are not judged."""
    if (pattern := _FORMATS.get(name)) is not None:
        return pattern.search(value) is not None
    try:
        if name == "byte":
            b64decode(value, validate=True)
        elif name in ("date-time", "datetime"):
            if "T" not in value.upper() or datetime.fromisoformat(value).tzinfo is None:
                return False
        elif name in ("ipv4", "ipv6", "ip"):
            import ipaddress

            found = ipaddress.ip_address(value)
            return name == "ip" or f"ipv{found.version}" == name
        elif name == "cidr":
            import ipaddress

            ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True
