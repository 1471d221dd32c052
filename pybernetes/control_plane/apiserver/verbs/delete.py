"""DELETE: at once, gracefully (Pods), or as soon as the finalizers are done.

`plan` decides, without effects; `delete_item` carries it out and tries again when the object changed meanwhile. Where
a deletion under way only becomes "now, grace 0" (every Pod that a kubelet has stopped), that update is not written
before the deletion itself: nobody could act on it.
"""

from __future__ import annotations

from typing import Literal

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.control_plane.apiserver.body import read_delete_options
from pybernetes.control_plane.apiserver.cache import Item
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Resource
from pybernetes.control_plane.apiserver.verbs.change import ATTEMPTS
from pybernetes.machinery import errors, field
from pybernetes.machinery.meta import DeleteOptions, ObjectMeta, Status, StatusDetails
from pybernetes.store import RevisionConflict

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_POLICIES = ("Foreground", "Background", "Orphan")

#: remove: take it out of the store. update: write the changed object. pending: it is being deleted already.
Outcome = Literal["remove", "update", "pending"]


async def delete(core: Core, call: Call) -> Result:
    """DELETE of one object."""
    resource, info = call.resource, call.info
    options = read_delete_options(call)
    check_delete_options(options)
    storage = resource.storage
    assert storage is not None
    item = storage.items.get(resource.key(info.namespace, info.name))
    if item is None:
        raise errors.not_found(resource.group_resource, info.name)
    obj, removed = await delete_item(core, call, resource, item, options)
    status = 202 if not removed and options.orphan_dependents is False else 200
    if obj is not None and (not removed or resource.strategy.returns_deleted):
        return Result(status, resource=resource, obj=obj)
    return Result(status, obj=success(resource, item))


def success(resource: Resource, item: Item) -> Status:
    """The answer to a deletion that shows no object."""
    details = StatusDetails(
        name=item.name,
        group=resource.kind.group or None,
        kind=resource.kind.resource,
        uid=item.obj.metadata.uid or None,
    )
    return Status(status="Success", details=details)


def check_delete_options(options: DeleteOptions) -> None:
    """Refuse options that mean nothing."""
    found: list[field.FieldError] = []
    if options.propagation_policy is not None:
        if options.orphan_dependents is not None:
            text = "orphanDependents and deletionPropagation cannot be both set"
            found.append(field.invalid("propagationPolicy", options.propagation_policy, text))
        if options.propagation_policy not in _POLICIES:
            found.append(
                field.not_supported("propagationPolicy", options.propagation_policy, [*sorted(_POLICIES), "nil"])
            )
    if options.dry_run and options.dry_run != ["All"]:
        found.append(field.not_supported("dryRun", options.dry_run, ["All"]))
    if found:
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", found)


async def delete_item(
    core: Core, call: Call, resource: Resource, item: Item, options: DeleteOptions, *, admit: bool = True
) -> tuple[AnyObject | None, bool]:
    """Delete an object; returns it as it now is (or last was), and whether it is gone. None: that was under way."""
    storage, strategy = resource.storage, resource.strategy
    assert storage is not None
    dry_run = call.dry_run or bool(options.dry_run)
    marked: Item | None = None  # as we wrote it: being deleted, with no grace
    for _ in range(ATTEMPTS):
        old = item.obj if resource.served is None else resource.served(item.obj)
        strategy.check_delete(old)
        if admit:
            attributes = Attributes(
                "DELETE", resource, item.namespace, item.name, None, old, call.user, "",
                _options_wire(options), dry_run,
            )  # fmt: skip
            attributes.annotations = call.annotations
            await core.admission.admit(attributes)
            await core.admission.validate(attributes)
            for text in attributes.warnings:
                call.warn(text)
        new = resource.codec.copy(old)
        outcome = plan(resource, new, options)
        if outcome == "pending":
            return None, False
        try:
            if outcome == "update":
                new.metadata.resource_version = old.metadata.resource_version
                if dry_run or new == old:
                    return new, False
                stored = new if resource.stored is None else resource.stored(new)
                written = await storage.update(item.key, stored, item.revision)
                return (written.obj if resource.served is None else resource.served(written.obj)), False
            if dry_run:
                return new, True
            if new.metadata.deletion_timestamp is not None and old.metadata.deletion_timestamp is None:
                # A Pod that runs is deleted at once: who watches sees that it is being deleted before it is gone.
                new.metadata.resource_version = old.metadata.resource_version
                item = marked = await storage.update(
                    item.key, new if resource.stored is None else resource.stored(new), item.revision
                )
            last = await storage.delete(item.key, item.revision)
            strategy.after_delete(old)
            return (last.obj if resource.served is None else resource.served(last.obj)), True
        except RevisionConflict:
            await core.cache.fresh()
            current = storage.items.get(item.key)
            if marked is not None and (current is None or current.obj.metadata.uid != marked.obj.metadata.uid):
                # Who saw our mark was quicker, the kubelet or the garbage collector of Pods: it is gone as was asked.
                return (marked.obj if resource.served is None else resource.served(marked.obj)), True
            if current is None:
                raise errors.not_found(resource.group_resource, item.name) from None
            item = current
    raise errors.conflict(resource.group_resource, item.name)


def plan(resource: Resource, obj: AnyObject, options: DeleteOptions) -> Outcome:
    """Decide, and change `obj` (a copy) where the outcome is an update."""
    _check_preconditions(resource, obj.metadata, options)
    graceful = _begin(resource, obj, options)
    if graceful is None:
        return "pending"
    metadata = obj.metadata
    metadata.finalizers = _finalizers(resource, metadata, options) or None
    held = bool(metadata.finalizers) or resource.strategy.held(obj)
    if not graceful:
        if not held:
            return "remove"
        if metadata.deletion_timestamp is None or clock.parse_rfc3339(metadata.deletion_timestamp) > clock.timestamp():
            if metadata.generation and metadata.deletion_timestamp is None:
                metadata.generation += 1
            metadata.deletion_timestamp = clock.rfc3339()
        metadata.deletion_grace_period_seconds = 0
        resource.strategy.mark_deleting(obj)
        return "update"
    if held or options.grace_period_seconds:
        return "update"
    return "remove"


def _check_preconditions(resource: Resource, metadata: ObjectMeta, options: DeleteOptions) -> None:
    wanted = options.preconditions
    if wanted is None:
        return
    gr = (resource.kind.group, resource.kind.kind)
    if wanted.uid is not None and wanted.uid != metadata.uid:
        text = (
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({metadata.uid}). "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(gr, metadata.name, text)
    if wanted.resource_version is not None and wanted.resource_version != metadata.resource_version:
        text = (
            f"the ResourceVersion in the precondition ({wanted.resource_version}) does not match the ResourceVersion "
            f"in record ({metadata.resource_version}). The object might have been modified"
        )
        raise errors.conflict(gr, metadata.name, text)


def _begin(resource: Resource, obj: AnyObject, options: DeleteOptions) -> bool | None:
    """Start a graceful deletion, or shorten one. True: graceful, False: not, None: it is pending and stays so."""
    if options.grace_period_seconds is not None and options.grace_period_seconds < 0:
        options.grace_period_seconds = 1
    metadata = obj.metadata
    if metadata.deletion_timestamp is not None:
        period = metadata.deletion_grace_period_seconds
        if not period:
            return False
        wanted = options.grace_period_seconds
        if wanted is None or wanted >= period:
            return None
        moment = clock.parse_rfc3339(metadata.deletion_timestamp) - period + wanted
        metadata.deletion_timestamp = clock.format_rfc3339(moment)
        metadata.deletion_grace_period_seconds = wanted
        return True
    wished = options.grace_period_seconds
    if not resource.strategy.graceful(obj, options):
        options.grace_period_seconds = wished
        return False
    grace = options.grace_period_seconds or 0
    metadata.deletion_timestamp = clock.format_rfc3339(clock.timestamp() + grace)
    metadata.deletion_grace_period_seconds = grace
    if metadata.generation:
        metadata.generation += 1
    return True


def _finalizers(resource: Resource, metadata: ObjectMeta, options: DeleteOptions) -> list[str]:
    """The finalizers with those of garbage collection as the policy asks."""
    present = metadata.finalizers or []
    orphan = _should_orphan(resource, present, options)
    foreground = _should_wait(present, options)
    wanted = [name for name in present if (name != ORPHAN or orphan) and (name != FOREGROUND or foreground)]
    if orphan and ORPHAN not in wanted:
        wanted.append(ORPHAN)
    if foreground and FOREGROUND not in wanted:
        wanted.append(FOREGROUND)
    return wanted


def _should_orphan(resource: Resource, present: list[str], options: DeleteOptions) -> bool:
    if options.orphan_dependents is not None:
        return options.orphan_dependents
    if options.propagation_policy is not None:
        return options.propagation_policy == "Orphan"
    for name in present:
        if name in (ORPHAN, FOREGROUND):
            return name == ORPHAN
    return resource.strategy.orphans_by_default


def _should_wait(present: list[str], options: DeleteOptions) -> bool:
    if options.orphan_dependents is not None:
        return False
    if options.propagation_policy is not None:
        return options.propagation_policy == "Foreground"
    for name in present:
        if name in (ORPHAN, FOREGROUND):
            return name == FOREGROUND
    return False


def _options_wire(options: DeleteOptions) -> dict[str, object]:
    import msgspec

    return {**msgspec.to_builtins(options), "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
