"""`replacements`: a field of one resource copied into fields of others."""

from __future__ import annotations

import copy
import re
from typing import Any

from pybernetes.cli.kustomize import patches
from pybernetes.cli.kustomize.model import KustomizeError, Resource, Resources


def replace(resources: Resources, given: dict[str, Any]) -> None:
    """One replacement."""
    if not given.get("source") or not given.get("targets"):
        raise KustomizeError("replacements must specify a source and at least one target")
    value = _source(resources, given["source"])
    for target in given["targets"]:
        select = target.get("select")
        if select is None:
            raise KustomizeError("target must specify resources to select")
        rejected = [r for reject in target.get("reject") or () for r in patches.selected(resources, _exact(reject))]
        for r in patches.selected(resources, _exact(select)):
            if r not in rejected:
                for path in target.get("fieldPaths") or ["metadata.name"]:
                    _put(r, path, value, target.get("options") or {})


def _exact(selector: dict[str, Any]) -> dict[str, Any]:
    """Unlike those of patches, these are no regular expressions."""
    plain = ("labelSelector", "annotationSelector")
    return {k: v if k in plain else re.escape(str(v)) for k, v in selector.items() if v}


def _source(resources: Resources, source: dict[str, Any]) -> Any:
    path = source.get("fieldPath") or "metadata.name"
    found = patches.selected(resources, _exact({k: v for k, v in source.items() if k not in ("fieldPath", "options")}))
    shown = "{}.{}.{}/{}.{}".format(
        source.get("kind") or "[noKind]",
        source.get("version") or "[noVer]",
        source.get("group") or "[noGrp]",
        source.get("name") or "[noName]",
        source.get("namespace") or "[noNs]",
    )
    if not found:
        raise KustomizeError(f"nothing selected by {shown}:{path}")
    if len(found) > 1:
        listed = ", ".join(r.shown for r in found)
        raise KustomizeError(f"multiple matches for selector {shown}: [{listed}]")
    places = list(_places(found[0].object, _steps(path), create=False))
    if not places:
        raise KustomizeError(f"fieldPath `{path}` is missing for replacement source {shown}")
    holder, key = places[0]
    value = holder[key]
    options = source.get("options") or {}
    if options.get("delimiter"):
        parts, index = str(value).split(options["delimiter"]), int(options.get("index") or 0)
        if not 0 <= index < len(parts):
            raise KustomizeError(f"options.index {index} is out of bounds for value {value}")
        value = parts[index]
    return value


def _steps(path: str) -> list[str]:
    """`a.b.[name=x.y].c` at its dots, but not at those in brackets or after a backslash."""
    parts = re.findall(r"(?:\[[^\]]*\]|\\.|[^.\\])+", path)
    return [part.replace("\\.", ".") for part in parts]


def _places(value: Any, steps: list[str], *, create: bool) -> Any:
    """(container, key) of every place a path leads to."""
    step, rest = steps[0], steps[1:]
    keys: list[Any] = []
    if isinstance(value, list):
        if step == "*":
            keys = list(range(len(value)))
        elif step.startswith("["):
            name, _, wanted = step[1:-1].partition("=")
            keys = [i for i, item in enumerate(value) if isinstance(item, dict) and str(item.get(name)) == wanted]
        elif step.isdigit() and int(step) < len(value):
            keys = [int(step)]
    elif isinstance(value, dict):
        if step == "*":
            keys = list(value)
        elif step in value:
            keys = [step]
        elif create:
            value[step] = {} if rest else None
            keys = [step]
    for key in keys:
        if not rest:
            yield value, key
        else:
            yield from _places(value[key], rest, create=create)


def _put(r: Resource, path: str, value: Any, options: dict[str, Any]) -> None:
    places = list(_places(r.object, _steps(path), create=bool(options.get("create"))))
    if not places:
        raise KustomizeError(f'unable to find field "{path}" in replacement target')
    name, namespace = r.name, r.namespace
    for holder, key in places:
        old = holder[key]
        new = copy.deepcopy(value)
        if options.get("delimiter"):
            parts, index = str(old or "").split(options["delimiter"]), int(options.get("index") or 0)
            if index < 0:
                parts.insert(0, str(new))
            elif index >= len(parts):
                parts.append(str(new))
            else:
                parts[index] = str(new)
            new = options["delimiter"].join(parts)
        holder[key] = _like(old, new)
    if (r.name, r.namespace) != (name, namespace):
        r.past.append((name, namespace))


def _like(old: Any, new: Any) -> Any:
    """The value in the type of what it replaces: texts stay texts, numbers numbers."""
    if isinstance(old, str) and isinstance(new, bool | int | float):
        return str(new).lower() if isinstance(new, bool) else str(new)
    if isinstance(old, int) and not isinstance(old, bool) and isinstance(new, str) and re.fullmatch(r"-?\d+", new):
        return int(new)
    if isinstance(old, bool) and new in ("true", "false"):
        return new == "true"
    return new
