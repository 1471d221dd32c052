"""Patches of a kustomization: strategic merges and JSON patches, to one resource or to all that a selector picks.

Upstream merges with rules of its own: items a patch adds to a list come first, in the patch's order, and a kind that is
not built in has no merge keys, so its lists are replaced.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pybernetes.cli.kustomize.model import KustomizeError, Resource, Resources, shown
from pybernetes.cli.kustomize.sources import read_below
from pybernetes.machinery import yaml
from pybernetes.machinery.patch import PatchError, json_patch
from pybernetes.machinery.schema import ANY, Schema, of_struct

_DIRECTIVE = "$patch"


def apply_all(resources: Resources, given: dict[str, Any], root: Path) -> None:
    """One entry of `patches`."""
    text = given.get("patch")
    what = f'[patch: "{text}"]'
    if given.get("path"):
        why = f"failed to get the patch file from path({given['path']}): "
        text = _file(root, given["path"], "PatchTransformer", f"path: {given['path']}", why)
        what = f'[path: "{given["path"]}"]'
    documents = documents_of(text or "", what)
    target = given.get("target")
    options = given.get("options") or {}
    if any(isinstance(d, list) for d in documents):
        operations = [operation for d in documents for operation in (d if isinstance(d, list) else [])]
        if target is None:
            raise KustomizeError(f"must specify a target for JSON patch {what}")
        for r in selected(resources, target):
            _json(r, operations)
        return
    for patch in documents:
        if target is not None:
            for r in selected(resources, target):
                _merge_into(resources, r, patch, options)
        else:
            found = _named(resources, patch, f'no resource matches strategic merge patch "{_short(patch)}": ')
            _merge_into(resources, found, patch, options)


def strategic(resources: Resources, given: str, root: Path) -> None:
    """One entry of `patchesStrategicMerge`: the name of a file, or the patch itself."""
    text = given
    if "\n" not in given:
        text = _file(root, given, "PatchStrategicMergeTransformer", f"paths:\n- {given}", "")
    for patch in documents_of(text, given):
        _merge_into(resources, _named(resources, patch, ""), patch, {})


def documents_of(text: str, what: str) -> list[Any]:
    """The patches of a text. Raises KustomizeError."""
    try:
        if text.lstrip()[:1] == "[":
            import json

            return [json.loads(text)]
        found = list(yaml.load_all(text, old_booleans=False))
        if found and isinstance(found[0], list):  # upstream reads JSON patches with its other YAML reader
            found = list(yaml.load_all(text))
    except ValueError:
        raise KustomizeError(f"unable to parse SM or JSON patch from {what}") from None
    if not found or not all(isinstance(d, dict | list) for d in found):
        raise KustomizeError(f"unable to parse SM or JSON patch from {what}")
    return found


def _file(root: Path, name: str, transformer: str, config: str, why: str) -> str:
    try:
        return read_below(root, name).decode()
    except KustomizeError as error:
        raise KustomizeError(
            f"trouble configuring builtin {transformer} with config: `\n{config}\n`: {why}{error}"
        ) from None


def _short(patch: dict[str, Any]) -> str:
    group, _, version = str(patch.get("apiVersion") or "").rpartition("/")
    metadata = patch.get("metadata") or {}
    return shown(group, version, patch.get("kind", ""), metadata.get("name", ""), metadata.get("namespace", ""))


def _named(resources: Resources, patch: dict[str, Any], before: str) -> Resource:
    metadata = patch.get("metadata") or {}
    found = resources.ever(
        patch.get("apiVersion", ""), patch.get("kind", ""), metadata.get("name", ""), metadata.get("namespace", "")
    )
    if len(found) != 1:
        which = "no matches" if not found else "multiple matches"
        raise KustomizeError(
            f"{before}{which} for Id {_short(patch)}; failed to find unique target for patch {_short(patch)}"
        )
    return found[0]


def selected(resources: Resources, target: dict[str, Any]) -> list[Resource]:
    """The resources a selector picks: regular expressions for group, version, kind, name and namespace; selectors."""
    from pybernetes.machinery import labels

    def matches(r: Resource) -> bool:
        group, version = r.group_version
        for wanted, have in (("group", group), ("version", version), ("kind", r.kind)):
            if target.get(wanted) and not re.fullmatch(str(target[wanted]), have):
                return False
        name, namespace = target.get("name"), target.get("namespace")
        if not any(
            (not name or re.fullmatch(name, n)) and (not namespace or re.fullmatch(namespace, ns or "default"))
            for n, ns in r.names
        ):
            return False
        for wanted, part in (("labelSelector", "labels"), ("annotationSelector", "annotations")):
            if target.get(wanted) and not labels.parse(target[wanted]).matches(r.metadata.get(part) or {}):
                return False
        return True

    return [r for r in resources.all if matches(r)]


def _json(r: Resource, operations: list[dict[str, Any]]) -> None:
    for operation in operations:
        try:
            r.object = json_patch(r.object, [operation])
        except PatchError as error:
            if operation.get("op") == "replace":  # upstream does not mind that there is nothing to replace
                _json(r, [{**operation, "op": "add"}])
                continue
            raise KustomizeError(_why(operation) or str(error)) from None


def _why(operation: dict[str, Any]) -> str:
    path, verb = operation.get("path", ""), operation.get("op")
    if verb == "test":
        return f"testing value {path} failed: test failed"
    if verb == "remove":
        key = path.rpartition("/")[2]
        return f"error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value"
    return ""


def _merge_into(resources: Resources, r: Resource, patch: dict[str, Any], options: dict[str, Any]) -> None:
    if patch.get(_DIRECTIVE) == "delete":
        resources.all.remove(r)
        return
    before = (r.object.get("apiVersion"), r.kind, r.name, r.namespace)
    merged = merge(r.object, patch, _schema(r))
    assert isinstance(merged, dict)
    r.object = merged
    if not options.get("allowKindChange"):
        r.object["apiVersion"], r.object["kind"] = before[0], before[1]
    name = r.name
    r.metadata["name"] = before[2]
    if before[3]:
        r.metadata["namespace"] = before[3]
    else:
        r.metadata.pop("namespace", None)
    if options.get("allowNameChange"):
        r.rename(name=name)


def _schema(r: Resource) -> Schema:
    from pybernetes.api import kinds

    known = kinds.by_kind(str(r.object.get("apiVersion")), r.kind)
    return ANY if known is None else of_struct(known.type)


def merge(old: Any, patch: Any, schema: Schema) -> Any:
    """The value after the patch; arguments are not changed."""
    if isinstance(patch, dict):
        directive = patch.get(_DIRECTIVE)
        if directive == "replace" or not isinstance(old, dict):
            return _clean(patch)
        result = dict(old)
        for key, value in patch.items():
            if key == _DIRECTIVE:
                continue
            if value is None or (isinstance(value, dict) and value.get(_DIRECTIVE) == "delete"):
                result.pop(key, None)
            else:
                result[key] = merge(result.get(key), value, schema.child(key) or ANY)
        return result
    if isinstance(patch, list) and isinstance(old, list):
        return _merge_lists(old, patch, schema)
    return _clean(patch)


def _merge_lists(old: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in patch):
        return [_clean(item) for item in patch if not (isinstance(item, dict) and _DIRECTIVE in item)]
    if "merge" not in schema.patch_strategy.split(","):
        return [_clean(item) for item in patch]
    key = schema.patch_merge_key
    if not key or not all(isinstance(item, dict) for item in [*old, *patch]):
        return list(dict.fromkeys([*patch, *old])) if not key else [_clean(item) for item in patch]
    result = []
    items = schema.items or ANY
    named = {item.get(key) for item in patch}
    for item in patch:
        if item.get(_DIRECTIVE) == "delete":
            continue
        existing = next((o for o in old if o.get(key) == item.get(key)), None)
        result.append(_clean(item) if existing is None else merge(existing, item, items))
    return result + [o for o in old if o.get(key) not in named]


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items() if v is not None and k != _DIRECTIVE}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
