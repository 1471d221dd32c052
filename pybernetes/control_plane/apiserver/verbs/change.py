"""The read-modify-write behind PUT, PATCH, apply and most subresources.

`produce(old)` makes the new object from the current one; everything else (metadata rules, admission, validation, no-op
detection, deletion by removal of the last finalizer, retry after a lost race) is the same for all and lives here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pybernetes.control_plane.apiserver import managed
from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.control_plane.apiserver.cache import Item
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Resource
from pybernetes.control_plane.apiserver.verbs.writing import merge_owners, options_of, refuse_invalid
from pybernetes.machinery import errors, field
from pybernetes.store import RevisionConflict

T = TypeVar("T")

#: Attempts to win against other writers; a conditional write has one.
ATTEMPTS = 64

Produce = Callable[[AnyObject], AnyObject]
#: `prepare(new, old, call)` and `validate(new, old)` of a subresource, in the place of the strategy's.
Prepare = Callable[[AnyObject, AnyObject, Call], None]
Validate = Callable[[AnyObject, AnyObject], "list[field.FieldError]"]


async def change(
    core: Core,
    call: Call,
    produce: Produce,
    *,
    subresource: str = "",
    prepare: Prepare | None = None,
    validate: Validate | None = None,
    resource: Resource | None = None,
    admit: bool = True,
    track: bool = True,
    again: bool = False,
    missing: Callable[[], errors.StatusError] | None = None,
) -> Result:
    """Change the object that the request names; returns its item.

    subresource: "status" and the like: the strategy's status half is used unless `prepare`/`validate` are given.
    again: `produce` starts from the present, so a lost race may be tried again although the result bears a revision.
    track: keep managed fields by difference (apply does it itself). missing: the error when there is no such object.
    """
    resource = resource or call.resource
    storage, strategy, info = resource.storage, resource.strategy, call.info
    assert storage is not None
    if prepare is None:
        prepare = strategy.prepare_status if subresource == "status" else strategy.prepare_update
    if validate is None:
        validate = strategy.validate_status if subresource == "status" else strategy.validate_update
    key = resource.key(info.namespace, info.name)
    for _ in range(ATTEMPTS):
        item = storage.items.get(key)
        if item is None:
            raise missing() if missing is not None else errors.not_found(resource.group_resource, info.name)
        old = item.obj if resource.served is None else resource.served(item.obj)
        new = produce(old) if resource.views is None else await _viewed(produce, old)
        merge_owners(call, new.metadata)
        retry = settle_versions(resource, new, old) or again
        if admit:
            attributes = Attributes(
                "UPDATE", resource, info.namespace, info.name, new, old, call.user, subresource,
                options_of(call, "UpdateOptions"), call.dry_run,
            )  # fmt: skip
            attributes.annotations = call.annotations
            await core.admission.admit(attributes)
            assert attributes.obj is not None
            new = attributes.obj
        settle_metadata(new, old)
        prepare(new, old, call)
        refuse_invalid(resource, info.name, validate(new, old))
        if admit:
            attributes.obj = new
            await core.admission.validate(attributes)
            for text in attributes.warnings:
                call.warn(text)
        for text in strategy.warnings(new, old) if subresource != "status" else ():
            call.warn(text)
        if track and resource.views is None:
            managed.updated(call, resource, new, old, subresource)
        elif track:
            await _viewed(managed.updated, call, resource, new, old, subresource)
        new.metadata.resource_version = old.metadata.resource_version
        if gone(resource, new, old):
            return await _remove(call, resource, item, new)
        if new == old:
            return Result(resource=resource, item=item)
        undo = await strategy.before_update(new, old, call)
        if call.dry_run:
            return Result(resource=resource, obj=new)
        try:
            written = await storage.update(key, new if resource.stored is None else resource.stored(new), item.revision)
        except BaseException as error:
            if undo is not None:
                undo()
            if not isinstance(error, RevisionConflict):
                raise
            if not retry:
                raise errors.conflict(resource.group_resource, info.name) from None
            await core.cache.fresh()
            continue
        return Result(resource=resource, item=written)
    raise errors.conflict(resource.group_resource, info.name)


async def _viewed(work: Callable[..., T], *arguments: Any) -> T:
    """What `work(*arguments)` returns once all that it has to see in other versions was converted."""
    from pybernetes.control_plane.apiserver.crd.tracking import Unconverted

    while True:
        try:
            return work(*arguments)
        except Unconverted as missing:
            await missing.fetch()


def settle_versions(resource: Resource, new: AnyObject, old: AnyObject) -> bool:
    """Compare uid and resourceVersion of a write with the present. Returns whether a lost race may be tried again."""
    metadata, before = new.metadata, old.metadata
    if metadata.uid and metadata.uid != before.uid:
        text = f"Precondition failed: UID in precondition: {metadata.uid}, UID in object meta: {before.uid}"
        raise errors.conflict(resource.group_resource, before.name, text)
    version = metadata.resource_version
    if version in ("", "0"):
        if not resource.strategy.unconditional_update:
            text = "must be specified for an update"
            wrong = field.invalid("metadata.resourceVersion", 0, text)
            raise errors.invalid(resource.kind.group, resource.kind.kind, before.name, [wrong])
        return True
    if version != before.resource_version:
        raise errors.conflict(resource.group_resource, before.name)
    return False


def settle_metadata(new: AnyObject, old: AnyObject) -> None:
    """What no update changes."""
    metadata, before = new.metadata, old.metadata
    metadata.uid = before.uid
    metadata.creation_timestamp = before.creation_timestamp
    metadata.generation = before.generation
    metadata.self_link = None
    if before.deletion_timestamp is not None:
        metadata.deletion_timestamp = before.deletion_timestamp
        if metadata.deletion_grace_period_seconds is None:
            metadata.deletion_grace_period_seconds = before.deletion_grace_period_seconds


def gone(resource: Resource, new: AnyObject, old: AnyObject) -> bool:
    """Whether this update takes away the last thing that kept a deleted object alive."""
    before = old.metadata
    return (
        before.deletion_timestamp is not None
        and not new.metadata.finalizers
        and not before.deletion_grace_period_seconds
        and not resource.strategy.held(new)
    )


async def _remove(call: Call, resource: Resource, item: Item, new: AnyObject) -> Result:
    storage = resource.storage
    assert storage is not None
    if not call.dry_run:
        try:
            await storage.delete(item.key, item.revision)
        except RevisionConflict as error:
            if error.current is not None:
                raise errors.conflict(resource.group_resource, item.name) from None
            raise errors.not_found(resource.group_resource, item.name) from None
        resource.strategy.after_delete(new)
    return Result(resource=resource, obj=new)
