"""Validation of ObjectMeta and of the parts that specs of many groups share: selectors, conditions, immutability.

`object_meta` and `object_meta_update` are called by the validation of every kind. Labels and annotations of a good
object cost one cached look-up each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path
from pybernetes.machinery.meta import Condition, LabelSelector, LabelSelectorRequirement, Object, ObjectMeta

__all__ = [
    "IMMUTABLE",
    "annotation_map",
    "conditions",
    "immutable",
    "label_selector",
    "labels",
    "non_negative",
    "object_meta",
    "object_meta_update",
]

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
TOTAL_ANNOTATIONS = 256 * 1024

META = Path("metadata")
_OWNER_BANNED = {("v1", "Event")}

NameCheck = Callable[[str], list[str]]


def object_meta(
    meta: ObjectMeta,
    namespaced: bool,
    name_check: NameCheck = names.dns1123_subdomain,
    path: Path = META,
    *,
    any_finalizer: bool = False,
) -> list[FieldError]:
    """What is wrong with the metadata of a new object. `name_check`: the rule for names of the kind.

    `any_finalizer`: finalizers need no domain (definitions and custom objects).
    """
    errors: list[FieldError] = []
    if meta.generate_name:
        prefix = meta.generate_name
        masked = prefix[:-1] + "a" if prefix.endswith("-") and len(prefix) > 1 else prefix
        for text in name_check(masked):
            errors.append(field.invalid(path.child("generateName"), prefix, text))
    if not meta.name:
        if not meta.generate_name:
            errors.append(field.required(path.child("name"), "name or generateName is required"))
        else:
            errors.append(field.required(path.child("name"), "name or generateName is required"))
    else:
        for text in name_check(meta.name):
            errors.append(field.invalid(path.child("name"), meta.name, text))
    if namespaced:
        if not meta.namespace:
            errors.append(field.required(path.child("namespace")))
        else:
            for text in names.dns1123_label(meta.namespace):
                errors.append(field.invalid(path.child("namespace"), meta.namespace, text))
    elif meta.namespace:
        errors.append(field.forbidden(path.child("namespace"), "not allowed on this type"))
    if meta.generation is not None and meta.generation < 0:
        errors.append(field.invalid(path.child("generation"), meta.generation, NOT_NEGATIVE))
    _accessor(meta, path, errors, any_finalizer)
    return errors


def _accessor(meta: ObjectMeta, path: Path, errors: list[FieldError], any_finalizer: bool) -> None:
    if meta.labels:
        labels(meta.labels, path.child("labels"), errors)
    if meta.annotations:
        annotation_map(meta.annotations, path.child("annotations"), errors)
    if meta.owner_references:
        _owners(meta, path, errors)
    if meta.finalizers:
        _finalizers(meta.finalizers, path, errors, any_finalizer)
    if meta.managed_fields:
        _managed_fields(meta, path, errors)


def labels(pairs: Mapping[str, str], path: Path, errors: list[FieldError]) -> None:
    """Append what is wrong with labels."""
    for key, value in pairs.items():
        for text in names.qualified_name(key):
            errors.append(field.invalid(path, key, text))
        for text in names.label_value(value):
            errors.append(field.invalid(path.key(key), value, text))


def annotation_map(pairs: Mapping[str, str], path: Path, errors: list[FieldError]) -> None:
    """Append what is wrong with annotations: keys are qualified names (case does not matter), 256 KiB in all."""
    total = 0
    for key, value in pairs.items():
        for text in names.qualified_name(key.lower()):
            errors.append(field.invalid(path, key, text))
        total += len(key) + (len(value) if value.isascii() else len(value.encode()))
    if total > TOTAL_ANNOTATIONS:
        errors.append(field.too_long(path, "", TOTAL_ANNOTATIONS))


def _owners(meta: ObjectMeta, path: Path, errors: list[FieldError]) -> None:
    controller = ""
    at = path.child("ownerReferences")
    for reference in meta.owner_references or ():
        text = f"{reference.api_version}, Kind={reference.kind}"
        version = reference.api_version.rpartition("/")[2]
        if not version:
            errors.append(field.invalid(at.child("apiVersion"), reference.api_version, "version must not be empty"))
        if not reference.kind:
            errors.append(field.invalid(at.child("kind"), reference.kind, "must not be empty"))
        if not reference.name:
            errors.append(field.invalid(at.child("name"), reference.name, "must not be empty"))
        if not reference.uid:
            errors.append(field.invalid(at.child("uid"), reference.uid, "must not be empty"))
        if (reference.api_version, reference.kind) in _OWNER_BANNED:
            group, _, version = reference.api_version.rpartition("/")
            text = f"{group}/{version}, Kind={reference.kind}"
            errors.append(field.invalid(at, "", f"{text} is disallowed from being an owner"))
        if reference.controller:
            if controller:
                listed = list(meta.owner_references or ())
                errors.append(
                    field.invalid(
                        at,
                        listed,
                        "Only one reference can have Controller set to true. "
                        f'Found "true" in references for {controller} and {reference.name}',
                    )
                )
            else:
                controller = reference.name


_STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})


def _finalizers(finalizers: Iterable[str], path: Path, errors: list[FieldError], anything: bool) -> None:
    at = path.child("finalizers")
    orphan = foreground = False
    for name in finalizers:
        for text in names.qualified_name(name):
            errors.append(field.invalid(at, name, text))
        bare = "/" not in name and name not in _STANDARD_FINALIZERS
        if bare and not anything and not names.qualified_name(name):
            errors.append(
                field.invalid(at, name, "name is neither a standard finalizer name nor is it fully qualified")
            )
        orphan = orphan or name == "orphan"
        foreground = foreground or name == "foregroundDeletion"
    if orphan and foreground:
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(field.invalid(at, list(finalizers), text))


def _managed_fields(meta: ObjectMeta, path: Path, errors: list[FieldError]) -> None:
    for i, entry in enumerate(meta.managed_fields or ()):
        at = path.child("managedFields").index(i)
        if entry.operation not in ("Apply", "Update"):
            text = "must be `Apply` or `Update`"
            errors.append(field.invalid(at.child("operation"), entry.operation or "", text))
        if entry.fields_type and entry.fields_type != "FieldsV1":
            errors.append(field.invalid(at.child("fieldsType"), entry.fields_type, "must be `FieldsV1`"))
        if entry.manager and len(entry.manager) > 128:
            errors.append(field.too_long(at.child("manager"), entry.manager, 128))


def object_meta_update(
    new: ObjectMeta, old: ObjectMeta, path: Path = META, *, any_finalizer: bool = False
) -> list[FieldError]:
    """What is wrong with a change of metadata. Immutable fields that came in empty were filled in by the verb."""
    errors: list[FieldError] = []
    if new.finalizers != old.finalizers and old.deletion_timestamp is not None:
        added = sorted(set(new.finalizers or ()) - set(old.finalizers or ()))
        if added:
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers {_go(added)}"
            errors.append(field.forbidden(path.child("finalizers"), text))
    if new.generation is not None and old.generation is not None and new.generation < old.generation:
        errors.append(field.invalid(path.child("generation"), new.generation, "must not be decremented"))
    if new.name != old.name:
        errors.append(field.invalid(path.child("name"), new.name, IMMUTABLE))
    if new.namespace != old.namespace:
        errors.append(field.invalid(path.child("namespace"), new.namespace, IMMUTABLE))
    if new.uid != old.uid:
        errors.append(field.invalid(path.child("uid"), new.uid, IMMUTABLE))
    if new.creation_timestamp != old.creation_timestamp:
        errors.append(field.invalid(path.child("creationTimestamp"), new.creation_timestamp, IMMUTABLE))
    if old.deletion_timestamp is not None and new.deletion_timestamp != old.deletion_timestamp:
        errors.append(field.invalid(path.child("deletionTimestamp"), new.deletion_timestamp, IMMUTABLE))
    if (
        old.deletion_grace_period_seconds is not None
        and new.deletion_grace_period_seconds != old.deletion_grace_period_seconds
    ):
        at = path.child("deletionGracePeriodSeconds")
        errors.append(field.invalid(at, new.deletion_grace_period_seconds, IMMUTABLE))
    _accessor(new, path, errors, any_finalizer)
    return errors


def _go(items: Iterable[str]) -> str:
    """A list of texts as Go prints it with %#v."""
    from pybernetes.machinery.text import join_quoted

    return "[]string{" + join_quoted(list(items)) + "}"


# Rules for kinds without any of their own --------------------------------------------------------------------------


def only_meta(namespaced: bool) -> Callable[[Object], list[FieldError]]:
    """Validation of a kind that has no rules beside its metadata."""

    def validate(obj: Object) -> list[FieldError]:
        return object_meta(obj.metadata, namespaced)

    return validate


def only_meta_update(new: Object, old: Object) -> list[FieldError]:
    return object_meta_update(new.metadata, old.metadata)


def then_create(create: Callable[[Any], list[FieldError]]) -> Callable[[Any, Any], list[FieldError]]:
    """An update is good when its metadata changed rightly and the new object is good in itself."""

    def validate(new: Object, old: Object) -> list[FieldError]:
        errors = object_meta_update(new.metadata, old.metadata)
        seen = {(e.field, e.detail) for e in errors}
        errors.extend(e for e in create(new) if (e.field, e.detail) not in seen)
        return errors

    return validate


# Parts of specs ----------------------------------------------------------------------------------------------------


def immutable(new: Any, old: Any, path: Path, errors: list[FieldError]) -> None:
    """Append `field is immutable` when the value changed."""
    if new != old:
        errors.append(field.invalid(path, new, IMMUTABLE))


def non_negative(value: int | None, path: Path, errors: list[FieldError]) -> None:
    if value is not None and value < 0:
        errors.append(field.invalid(path, value, NOT_NEGATIVE))


def positive(value: int | None, path: Path, errors: list[FieldError]) -> None:
    if value is not None and value <= 0:
        errors.append(field.invalid(path, value, "must be greater than 0"))


def one_of(value: str | None, supported: Iterable[str], path: Path, errors: list[FieldError]) -> None:
    """Append when a value that is set is none of `supported` (shown sorted)."""
    listed = sorted(supported)
    if value not in listed:
        errors.append(field.not_supported(path, value or "", listed))


def label_selector(selector: LabelSelector | None, path: Path, errors: list[FieldError]) -> None:
    """Append what is wrong with a selector; None is fine."""
    if selector is None:
        return
    if selector.match_labels:
        labels(selector.match_labels, path.child("matchLabels"), errors)
    for i, requirement in enumerate(selector.match_expressions or ()):
        _requirement(requirement, path.child("matchExpressions").index(i), errors)


def _requirement(requirement: LabelSelectorRequirement, path: Path, errors: list[FieldError]) -> None:
    operator = requirement.operator
    if operator in ("In", "NotIn"):
        if not requirement.values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(field.required(path.child("values"), text))
    elif operator in ("Exists", "DoesNotExist"):
        if requirement.values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(field.forbidden(path.child("values"), text))
    else:
        errors.append(field.invalid(path.child("operator"), operator, "not a valid selector operator"))
    for text in names.qualified_name(requirement.key):
        errors.append(field.invalid(path.child("key"), requirement.key, text))
    for i, value in enumerate(requirement.values or ()):
        for text in names.label_value(value):
            errors.append(field.invalid(path.child("values").index(i), value, text))


def empty_selector(selector: LabelSelector | None) -> bool:
    return selector is None or (not selector.match_labels and not selector.match_expressions)


def conditions(listed: Iterable[Condition] | None, path: Path, errors: list[FieldError]) -> None:
    """Append what is wrong with meta/v1 conditions."""
    seen: set[str] = set()
    for i, condition in enumerate(listed or ()):
        at = path.index(i)
        if condition.type in seen:
            errors.append(field.duplicate(at.child("type"), condition.type))
        seen.add(condition.type)
        for text in names.qualified_name(condition.type):
            errors.append(field.invalid(at.child("type"), condition.type, text))
        if condition.status not in ("True", "False", "Unknown"):
            errors.append(field.not_supported(at.child("status"), condition.status, ("False", "True", "Unknown")))
        if condition.observed_generation is not None and condition.observed_generation < 0:
            errors.append(field.invalid(at.child("observedGeneration"), condition.observed_generation, NOT_NEGATIVE))
        if condition.last_transition_time is None:
            errors.append(field.required(at.child("lastTransitionTime"), "must be set"))
        if len(condition.message) > 32 * 1024:
            errors.append(field.too_long(at.child("message"), condition.message, 32 * 1024))
        if not condition.reason:
            errors.append(field.required(at.child("reason"), "must be set"))


def prefix_ok(check: NameCheck) -> NameCheck:
    """The rule for a generateName: a trailing dash is fine."""
    return lambda value: check(value[:-1] + "a" if value.endswith("-") else value)
