"""Names that point at other resources follow them: the last step, when all names are final."""

from __future__ import annotations

from functools import partial
from typing import Any

from pybernetes.cli.kustomize import fieldpaths
from pybernetes.cli.kustomize.model import Resource, Resources, same_namespace

#: The field beside a name that tells its kind, where several kinds may be named.
_TOLD_BY = {"roleRef/name": "roleRef", "spec/scaleTargetRef/name": "spec/scaleTargetRef"}


def follow(resources: Resources) -> None:
    """Rewrite every reference in place."""
    for holder in resources.all:
        for kind, path in fieldpaths.references(holder.kind):
            if told := _TOLD_BY.get(path):
                ref: Any = holder.object
                for step in told.split("/"):
                    ref = (ref or {}).get(step)
                if not ref or ref.get("kind") != kind:
                    continue
            fieldpaths.change(holder.object, path, False, partial(_new, resources, holder, kind))


def _new(resources: Resources, holder: Resource, kind: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_new(resources, holder, kind, item) for item in value]
    if isinstance(value, dict):  # name and namespace side by side
        if value.get("kind", kind) != kind:
            return value
        found = _target(resources, holder, kind, str(value.get("name")), str(value.get("namespace") or ""))
        if found is None:
            return value
        changed = {**value, "name": found.name}
        if found.namespace:
            changed["namespace"] = found.namespace
        return changed
    if not isinstance(value, str):
        return value
    where = "" if not holder.namespaced else None
    found = _target(resources, holder, kind, value, where)
    return value if found is None else found.name


def _target(resources: Resources, holder: Resource, kind: str, name: str, namespace: str | None) -> Resource | None:
    """The resource meant by a name; None when there is none, or more than one as close."""
    places = {ns for _, ns in holder.names} if namespace is None else {namespace}
    candidates = []
    for r in resources.all:
        if r.kind != kind:
            continue
        if any(n == name and (not r.namespaced or any(same_namespace(ns, p) for p in places)) for n, ns in r.names):
            candidates.append(r)
    if not candidates and namespace == "" and not holder.namespaced:
        candidates = [r for r in resources.all if r.kind == kind and any(n == name for n, _ in r.names)]
    if len(candidates) < 2:
        return candidates[0] if candidates else None

    def distance(r: Resource) -> int:
        return next((i for i, layer in enumerate(holder.layers) if layer in r.layers), len(holder.layers))

    best = min(map(distance, candidates))
    closest = [r for r in candidates if distance(r) == best]
    return closest[0] if len({r.name for r in closest}) == 1 else None
