"""Strategic merge patch: a merge patch that knows which lists are maps in disguise.

The patch strategy and merge key of a list come from its schema; directives inside the patch (`$patch`, `$retainKeys`,
`$setElementOrder/x`, `$deleteFromPrimitiveList/x`) say the rest. See "Strategic Merge Patch" in the community's API
conventions (sig-api-machinery/strategic-merge-patch.md).
"""

from __future__ import annotations

from typing import Any, Final

from pybernetes.machinery.schema import ANY, Schema

__all__ = ["DELETE_FROM", "DIRECTIVE", "ORDER", "RETAIN", "StrategicError", "strategic_merge"]

DIRECTIVE: Final = "$patch"
RETAIN: Final = "$retainKeys"
ORDER: Final = "$setElementOrder/"
DELETE_FROM: Final = "$deleteFromPrimitiveList/"


class StrategicError(ValueError):
    """A strategic merge patch that makes no sense: the server answers 400."""


def strategic_merge(original: dict[str, Any], patch: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """The object after the patch. Arguments are not changed. Raises StrategicError."""
    directive = patch.get(DIRECTIVE)
    if directive is not None:
        if directive == "replace":
            return {key: _clean(value) for key, value in patch.items() if key != DIRECTIVE}
        if directive == "delete":
            return {}
        if directive != "merge":
            raise StrategicError(f"unknown patch type: {directive}")
    result = dict(original)
    keep = patch.get(RETAIN)
    if keep is not None:
        _retain(result, patch, keep)
    for key, value in patch.items():
        if not _is_directive(key):
            order = patch.get(f"{ORDER}{key}")
            _field(result, key, value, schema.child(key) or ANY, order)
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            name = key[len(DELETE_FROM) :]
            if isinstance(result.get(name), list):
                result[name] = [item for item in result[name] if item not in value]
        elif key.startswith(ORDER):
            name = key[len(ORDER) :]
            if name not in patch and isinstance(result.get(name), list):
                child = schema.child(name) or ANY
                result[name] = _ordered(result[name], value, result[name], child.patch_merge_key)
    return result


def _retain(result: dict[str, Any], patch: dict[str, Any], keep: Any) -> None:
    if not isinstance(keep, list) or any(not _is_directive(k) and k not in keep for k in patch):
        raise StrategicError("invalid patch format of retainKeys")
    for key in [k for k in result if k not in keep]:
        del result[key]


def _field(result: dict[str, Any], key: str, value: Any, schema: Schema, order: list[Any] | None) -> None:
    if value is None:
        result.pop(key, None)
        return
    old = result.get(key)
    if isinstance(value, dict):
        if isinstance(old, dict) and "replace" not in schema.patch_strategy:
            result[key] = strategic_merge(old, value, schema)
        else:
            result[key] = _clean(value)
    elif isinstance(value, list):
        if isinstance(old, list) and "merge" in schema.patch_strategy.split(","):
            merged = _merge_list(old, value, schema)
            result[key] = _ordered(merged, order if order is not None else value, old, schema.patch_merge_key)
        else:
            result[key] = _clean(value)
    else:
        result[key] = value


def _merge_list(old: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    key = schema.patch_merge_key
    if not any(isinstance(item, dict) for item in patch) and not (old and isinstance(old[0], dict)):
        return list(dict.fromkeys([*old, *patch]))
    if not key:
        raise StrategicError("cannot merge lists without merge key")
    if any(item.get(DIRECTIVE) == "replace" for item in patch):
        return [_clean(item) for item in patch if DIRECTIVE not in item]
    result = list(old)
    items = schema.items or ANY
    for item in patch:
        name = item.get(key, _ABSENT)
        directive = item.get(DIRECTIVE)
        if name is _ABSENT:
            if directive == "delete":
                raise StrategicError("delete patch type with no merge key defined")
            raise StrategicError(f"map: {item} does not contain declared merge key: {key}")
        if directive == "delete":
            result = [kept for kept in result if kept.get(key, _ABSENT) != name]
            continue
        if directive not in (None, "merge"):
            raise StrategicError(f"unknown patch type: {directive}")
        for i, existing in enumerate(result):
            if existing.get(key, _ABSENT) == name:
                result[i] = strategic_merge(existing, item, items)
                break
        else:
            result.append(_clean(item))
    return result


_ABSENT: Final = object()


def _identity(item: Any, key: str) -> Any:
    return item.get(key, _ABSENT) if isinstance(item, dict) else item


def _ordered(merged: list[Any], order: list[Any], old: list[Any], key: str) -> list[Any]:
    """Items named by the patch in its order; the others (left) go in before the first that they preceded so far."""
    wanted = [_identity(item, key) for item in order]
    place = [_identity(item, key) for item in old]
    named = [item for item in merged if _identity(item, key) in wanted]
    others = [item for item in merged if _identity(item, key) not in wanted]
    named.sort(key=lambda item: wanted.index(_identity(item, key)))
    if not others:
        return named
    result: list[Any] = []
    i = j = 0
    while i < len(others) and j < len(named):
        left, right = _identity(others[i], key), _identity(named[j], key)
        if left in place and right in place and place.index(left) < place.index(right):
            result.append(others[i])
            i += 1
        else:
            result.append(named[j])
            j += 1
    return [*result, *others[i:], *named[j:]]


def _clean(value: Any) -> Any:
    """A value of the patch that is taken as it is: without nulls and directives."""
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items() if v is not None and not _is_directive(k)}
    if isinstance(value, list):
        return [_clean(item) for item in value if not (isinstance(item, dict) and DIRECTIVE in item)]
    return value


def _is_directive(key: str) -> bool:
    """Not every key with a dollar is one: `$ref` in a CRD."""
    return key[:1] == "$" and (key in (DIRECTIVE, RETAIN) or key.startswith((ORDER, DELETE_FROM)))
