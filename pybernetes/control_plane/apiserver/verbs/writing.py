"""Small things that all writing verbs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.resource import Resource
from pybernetes.machinery import errors, field

if TYPE_CHECKING:
    from pybernetes.machinery.field import FieldError
    from pybernetes.machinery.meta import ObjectMeta

OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"
_FIELD_VALIDATION = ("Ignore", "Strict", "Warn")


def check_options(call: Call, kind: str = "CreateOptions") -> None:
    """Refuse values of dryRun, fieldValidation and fieldManager that mean nothing."""
    params = call.params
    if not params:
        return
    found: list[FieldError] = []
    dry_run = params.get("dryRun")
    if dry_run is not None and any(value != "All" for value in dry_run):
        found.append(field.not_supported("dryRun", dry_run, ["All"]))
    validation = call.param("fieldValidation")
    if validation and validation not in _FIELD_VALIDATION:
        found.append(field.not_supported("fieldValidation", validation, ["", *_FIELD_VALIDATION]))
    manager = call.param("fieldManager")
    if len(manager) > 128:
        found.append(field.too_long("fieldManager", manager, 128))
    if not manager.isprintable():
        found.append(field.invalid("fieldManager", manager, "should only contain printable characters"))
    if found:
        raise errors.invalid("meta.k8s.io", kind, "", found)


def options_of(call: Call, kind: str) -> dict[str, Any]:
    """The query's options in wire form, for admission."""
    options: dict[str, Any] = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    params = call.params
    if params:
        if "dryRun" in params:
            options["dryRun"] = params["dryRun"]
        for name in ("fieldManager", "fieldValidation"):
            if value := call.param(name):
                options[name] = value
        if call.flag("force"):
            options["force"] = True
    return options


def merge_owners(call: Call, metadata: ObjectMeta) -> None:
    """Keep one of several equal owner references, and tell the client."""
    owners = metadata.owner_references
    if owners is None or len(owners) < 2:
        return
    kept = [owner for i, owner in enumerate(owners) if owner not in owners[:i]]
    if len(kept) == len(owners):
        return
    repeated = ", ".join(owner.uid for i, owner in enumerate(owners) if owner in owners[:i])
    metadata.owner_references = kept
    when = " after mutating admission happens" if call.info.verb == "patch" else ""  # so upstream says it of patches
    call.warn(
        f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and "
        f"may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {repeated}"
    )


def refuse_invalid(resource: Resource, name: str, found: Sequence[FieldError]) -> None:
    """Raise 422 if there is anything wrong."""
    if found:
        raise errors.invalid(resource.kind.group, resource.kind.kind, name, found)
