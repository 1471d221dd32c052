"""Patches: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch, and making the latter two.

All work on wire dicts and change none of their arguments; what a patch does not touch is shared between the old and the
new document. JSON patch is our own, because the texts of its errors are part of the API and the libraries have others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybernetes.machinery.patch_diff import diff, three_way
from pybernetes.machinery.strategic import strategic_merge

__all__ = ["MAX_OPERATIONS", "PatchError", "diff", "json_patch", "merge_patch", "strategic_merge", "three_way"]

#: A longer JSON patch is refused as too large.
MAX_OPERATIONS = 10_000


class PatchError(ValueError):
    """A patch that does not fit the document: the server answers 422. `test` when a test operation failed."""

    test = False


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386: objects are merged, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merge_patch(result.get(key), value)
        else:
            result[key] = value
    return result


_MISSING = "missing value"
_INDEX = "invalid index referenced"


def json_patch(document: Any, operations: Sequence[dict[str, Any]]) -> Any:
    """RFC 6902: the document after all operations. Raises PatchError at the first that does not apply."""
    holder: dict[str, Any] = {"": document}  # so that the whole document is an entry as well
    owned: dict[int, Any] = {}  # containers that are already ours to change, by id
    for operation in operations:
        if not isinstance(operation, dict):
            raise PatchError("Unexpected kind: unknown")
        kind = operation.get("op")
        handler = _HANDLERS.get(kind) if isinstance(kind, str) else None
        if handler is None:
            raise PatchError(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")
        handler(_Document(holder, owned), operation)
    return holder[""]


class _Document:
    """One document while it is patched: containers are copied when they are first changed."""

    def __init__(self, holder: dict[str, Any], owned: dict[int, Any]) -> None:
        self.holder = holder
        self.owned = owned

    def find(self, pointer: str) -> tuple[Any, str] | None:
        """The container that a pointer ends in, made ours, and the last step. None when there is no such container."""
        if not pointer:
            return self.holder, ""
        steps = pointer.split("/")
        if steps[0]:
            return None
        container: Any = self.holder
        for step in ["", *(_decode(s) for s in steps[1:-1])]:
            child = _get(container, step)
            if not isinstance(child, dict | list):
                return None
            if id(child) not in self.owned:
                child = child.copy()
                self.owned[id(child)] = child
                if isinstance(container, dict):
                    container[step] = child
                else:
                    container[_index(container, step)] = child
            container = child
        return container, _decode(steps[-1])


def _decode(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~") if "~" in step else step


_ABSENT = object()


def _get(container: Any, step: str) -> Any:
    """The value at a step, or _ABSENT."""
    if isinstance(container, dict):
        return container.get(step, _ABSENT)
    try:
        return container[_index(container, step)]
    except (PatchError, IndexError):
        return _ABSENT


def _index(container: list[Any], step: str) -> int:
    try:
        number = int(step)
    except ValueError:
        raise PatchError(f'strconv.Atoi: parsing "{step}": invalid syntax') from None
    if number >= len(container) or number < -len(container):
        raise PatchError(f"Unable to access invalid index: {number}: {_INDEX}")
    return number % len(container)


def _put(container: Any, step: str, value: Any) -> None:
    """Add: into an object, or before an item of a list."""
    if isinstance(container, dict):
        container[step] = value
        return
    if step == "-":
        container.append(value)
        return
    size = len(container)
    try:
        number = int(step)
    except ValueError:
        raise PatchError(f'value was not a proper array index: "{step}": strconv.Atoi: parsing') from None
    if number > size or number < -size - 1:
        raise PatchError(f"Unable to access invalid index: {number}: {_INDEX}")
    container.insert(number if number >= 0 else number + size + 1, value)


def _take(container: Any, step: str) -> None:
    if isinstance(container, dict):
        if step not in container:
            raise PatchError(f"Unable to remove nonexistent key: {step}: {_MISSING}")
        del container[step]
    else:
        del container[_index(container, step)]


def _pointer(operation: dict[str, Any], name: str) -> str:
    pointer = operation.get(name)
    if not isinstance(pointer, str):
        raise PatchError(f"{operation['op']} operation failed to decode {name}: {_MISSING}")
    return pointer


def _within(path: str, verb: str, error: PatchError) -> PatchError:
    return PatchError(f"error in {verb} for path: '{path}': {error}")


def _add(document: _Document, operation: dict[str, Any]) -> None:
    path = _pointer(operation, "path")
    found = document.find(path)
    if found is None:
        raise PatchError(f'add operation does not apply: doc is missing path: "{path}": {_MISSING}')
    try:
        _put(*found, operation.get("value"))
    except PatchError as error:
        raise _within(path, "add", error) from None


def _remove(document: _Document, operation: dict[str, Any]) -> None:
    path = _pointer(operation, "path")
    found = document.find(path)
    if found is None:
        raise PatchError(f'remove operation does not apply: doc is missing path: "{path}": {_MISSING}')
    try:
        _take(*found)
    except PatchError as error:
        raise _within(path, "remove", error) from None


def _replace(document: _Document, operation: dict[str, Any]) -> None:
    path = _pointer(operation, "path")
    found = document.find(path)
    if found is None:
        raise PatchError(f"replace operation does not apply: doc is missing path: {path}: {_MISSING}")
    container, step = found
    if _get(container, step) is _ABSENT:
        raise PatchError(f"replace operation does not apply: doc is missing key: {path}: {_MISSING}")
    container[step if isinstance(container, dict) else _index(container, step)] = operation.get("value")


def _source(document: _Document, operation: dict[str, Any]) -> tuple[Any, str, Any]:
    verb, origin = operation["op"], _pointer(operation, "from")
    found = document.find(origin)
    if found is None:
        raise PatchError(f"{verb} operation does not apply: doc is missing from path: {origin}: {_MISSING}")
    container, step = found
    value = _get(container, step)
    if value is _ABSENT:
        raise PatchError(f"error in {verb} for path: '{step}': Unable to get nonexistent key: {step}: {_MISSING}")
    return container, step, value


def _destination(document: _Document, operation: dict[str, Any], value: Any) -> None:
    verb, path = operation["op"], _pointer(operation, "path")
    found = document.find(path)
    if found is None:
        raise PatchError(f"{verb} operation does not apply: doc is missing destination path: {path}: {_MISSING}")
    try:
        _put(*found, value)
    except PatchError as error:
        raise _within(path, verb, error) from None


def _move(document: _Document, operation: dict[str, Any]) -> None:
    origin, path = _pointer(operation, "from"), _pointer(operation, "path")
    if path.startswith(f"{origin}/"):
        raise PatchError(f"move operation does not apply: doc is missing destination path: {path}: {_MISSING}")
    container, step, value = _source(document, operation)
    _take(container, step)
    _destination(document, operation, value)


def _copy(document: _Document, operation: dict[str, Any]) -> None:
    value = _source(document, operation)[2]
    _disown(value, document.owned)  # now it is in two places: the next change must copy it
    _destination(document, operation, value)


def _disown(value: Any, owned: dict[int, Any]) -> None:
    if isinstance(value, dict | list):
        owned.pop(id(value), None)
        for item in value.values() if isinstance(value, dict) else value:
            _disown(item, owned)


def _test(document: _Document, operation: dict[str, Any]) -> None:
    path = _pointer(operation, "path")
    found = document.find(path)
    if found is None:
        raise PatchError(f"test operation does not apply: is missing path: {path}: {_MISSING}")
    value = _get(*found)
    wanted = operation.get("value")
    if (None if value is _ABSENT else value) != wanted or isinstance(value, bool) is not isinstance(wanted, bool):
        error = PatchError(f"testing value {path} failed: test failed")
        error.test = True
        raise error


_HANDLERS = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
