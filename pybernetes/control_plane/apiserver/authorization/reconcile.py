"""Keeping the default roles: what to write, given what exists.

What is missing is added, at every start; what an administrator added is kept; an object annotated
`rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pybernetes.api.rbac_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding, Subject
from pybernetes.control_plane.apiserver.authorization.policy import AUTOUPDATE, Policy, everything
from pybernetes.control_plane.apiserver.authorization.rules import compact, uncovered
from pybernetes.machinery import codec


class Write(NamedTuple):
    """`how`: "create", "update", or "replace" (delete, then create: a binding's role cannot be changed)."""

    how: str
    obj: Policy


def plan(find: Callable[[Policy], Policy | None]) -> Iterator[Write]:
    """The writes that bring the default policy into force. find: the existing object of that kind, namespace, name."""
    for wanted in everything():
        existing = find(wanted)
        if existing is None:
            yield Write("create", codec.copy(wanted))
        elif (change := reconcile(existing, wanted)) is not None:
            yield change


def reconcile(existing: Policy, wanted: Policy) -> Write | None:
    """What to write so that `existing` grants at least what `wanted` does; None if nothing."""
    if (existing.metadata.annotations or {}).get(AUTOUPDATE) == "false":
        return None
    result = codec.copy(existing)
    changed = _merge_metadata(result, wanted)
    if isinstance(wanted, (ClusterRole, Role)):
        assert isinstance(result, (ClusterRole, Role))
        if isinstance(wanted, ClusterRole) and wanted.aggregation_rule is not None:
            assert isinstance(result, ClusterRole)
            missing_rule = result.aggregation_rule is None
            if missing_rule:
                result.aggregation_rule = codec.copy(wanted.aggregation_rule)
            changed |= missing_rule
        missing = uncovered(result.rules or [], wanted.rules or [])
        if missing:
            result.rules = [*(result.rules or []), *compact(missing)]
            changed = True
        return Write("update", result) if changed else None
    assert isinstance(result, (ClusterRoleBinding, RoleBinding))
    if result.role_ref != wanted.role_ref:
        fresh = codec.copy(wanted)
        fresh.subjects = _joined(wanted.subjects, result.subjects)
        return Write("replace", fresh)
    subjects = _joined(result.subjects, wanted.subjects)
    if len(subjects or ()) != len(result.subjects or ()):
        result.subjects = subjects
        changed = True
    return Write("update", result) if changed else None


def _merge_metadata(result: Policy, wanted: Policy) -> bool:
    """Add missing labels and annotations; what is set stays."""
    changed = False
    for name in ("labels", "annotations"):
        have, want = getattr(result.metadata, name) or {}, getattr(wanted.metadata, name) or {}
        merged = {**want, **have}
        if merged != have:
            setattr(result.metadata, name, merged)
            changed = True
    return changed


def _joined(first: list[Subject] | None, second: list[Subject] | None) -> list[Subject] | None:
    found = list(first or ())
    found += [subject for subject in second or () if subject not in found]
    return found or None
