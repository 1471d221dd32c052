"""Which names a definition gets, and the conditions that tell so: NamesAccepted, Established. Pure.

Names of one group are first come, first served: a definition whose names are taken waits until they are free.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybernetes.api.apiextensions_v1 import (
    CustomResourceDefinition,
    CustomResourceDefinitionCondition,
    CustomResourceDefinitionNames,
)
from pybernetes.api.kinds import KINDS

Condition = CustomResourceDefinitionCondition


def condition(definition: CustomResourceDefinition, type_: str) -> Condition | None:
    """A condition by type."""
    return next((c for c in definition.status.conditions or () if c.type == type_), None)


def is_true(definition: CustomResourceDefinition, type_: str) -> bool:
    found = condition(definition, type_)
    return found is not None and found.status == "True"


def set_condition(definition: CustomResourceDefinition, wanted: Condition, now: str) -> None:
    """Set a condition; its transition time changes with its status only."""
    listed = list(definition.status.conditions or ())
    wanted.last_transition_time = now
    wanted.observed_generation = definition.metadata.generation
    for i, existing in enumerate(listed):
        if existing.type == wanted.type:
            if existing.status == wanted.status:
                wanted.last_transition_time = existing.last_transition_time
            listed[i] = wanted
            break
    else:
        listed.append(wanted)
    definition.status.conditions = listed


def accept(definition: CustomResourceDefinition, others: Iterable[CustomResourceDefinition], now: str) -> None:
    """Give `definition` what names are free, and say so in its status. In place."""
    spec, status = definition.spec, definition.status
    taken: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other.metadata.name == definition.metadata.name or other.spec.group != spec.group:
            continue
        accepted = other.status.accepted_names
        if accepted is None:
            continue
        taken.update(n for n in (accepted.plural, accepted.singular, *(accepted.short_names or ())) if n)
        kinds.update(n for n in (accepted.kind, accepted.list_kind) if n)
    for builtin in KINDS:
        if builtin.group == spec.group:
            taken.update((builtin.resource, builtin.singular, *builtin.short_names))
            kinds.update((builtin.kind, f"{builtin.kind}List"))
    wanted = spec.names
    granted = CustomResourceDefinitionNames()
    before = status.accepted_names or CustomResourceDefinitionNames()
    reason = message = ""

    def conflict(what: str, name: str | None) -> None:
        nonlocal reason, message
        if not reason:
            reason, message = f"{what}Conflict", f'"{name}" is already in use'

    if wanted.plural in taken:
        conflict("Plural", wanted.plural)
        granted.plural = before.plural
    else:
        granted.plural = wanted.plural
    if wanted.singular and wanted.singular in taken:
        conflict("Singular", wanted.singular)
        granted.singular = before.singular
    else:
        granted.singular = wanted.singular
    bad = [name for name in wanted.short_names or () if name in taken]
    if bad:
        conflict("ShortNames", bad[0])
        granted.short_names = before.short_names
    else:
        granted.short_names = wanted.short_names
    if wanted.kind in kinds:
        conflict("Kind", wanted.kind)
        granted.kind = before.kind
    else:
        granted.kind = wanted.kind
    if wanted.list_kind and wanted.list_kind in kinds:
        conflict("ListKind", wanted.list_kind)
        granted.list_kind = before.list_kind
    else:
        granted.list_kind = wanted.list_kind
    granted.categories = wanted.categories
    status.accepted_names = granted
    if reason:
        set_condition(definition, Condition(type="NamesAccepted", status="False", reason=reason, message=message), now)
        if not is_true(definition, "Established"):
            text = "not all names are accepted"
            set_condition(
                definition, Condition(type="Established", status="False", reason="NotAccepted", message=text), now
            )
        return
    text = "no conflicts found"
    set_condition(definition, Condition(type="NamesAccepted", status="True", reason="NoConflicts", message=text), now)
    if not is_true(definition, "Established"):
        text = "the initial names have been accepted"
        set_condition(
            definition, Condition(type="Established", status="True", reason="InitialNamesAccepted", message=text), now
        )


def observe(definition: CustomResourceDefinition, problems: list[str], now: str) -> None:
    """The conditions beside names: NonStructuralSchema when the schema has problems, and none when it has not."""
    kept = [c for c in definition.status.conditions or () if c.type != "NonStructuralSchema"]
    definition.status.conditions = kept
    if problems:
        text = "; ".join(problems)
        set_condition(
            definition, Condition(type="NonStructuralSchema", status="True", reason="Violations", message=text), now
        )
