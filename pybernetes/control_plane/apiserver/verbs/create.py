"""CREATE: admission, preparation, validation, one write.

`store_new` is also the second half of everything else that may create: PUT and apply of a name that does not exist.
"""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver import managed
from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.control_plane.apiserver.body import check_kind, read_object
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Resource
from pybernetes.control_plane.apiserver.verbs.writing import (
    OTHER_NAMESPACE,
    check_options,
    merge_owners,
    options_of,
    refuse_invalid,
)
from pybernetes.machinery import errors
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.store import KeyExists

_NAME_ATTEMPTS = 8
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


async def create(core: Core, call: Call) -> Result:
    """POST of a new object."""
    resource = call.resource
    check_options(call)
    obj = read_object(call, resource)
    check_kind(obj, resource)
    settle_namespace(obj.metadata, resource, call.info.namespace)
    resource.strategy.set_defaults(obj)
    return await store_new(core, call, obj)


async def store_new(core: Core, call: Call, obj: AnyObject, *, track: bool = True) -> Result:
    """Admit, prepare, validate and store an object that is decoded and defaulted. track: keep managed fields."""
    resource = call.resource
    strategy, storage = resource.strategy, resource.storage
    assert storage is not None
    metadata = obj.metadata
    merge_owners(call, metadata)
    namespace = metadata.namespace
    if metadata.resource_version not in ("", "0"):
        raise errors.StatusError(500, "", "resourceVersion should not be set on objects to be created")
    if resource.kind.namespaced:
        core.check_namespace(namespace, resource.group_resource, metadata.name)
    if track:
        managed.created(call, resource, obj)  # before admission: nobody owns what the cluster adds
    attributes = Attributes(
        "CREATE", resource, namespace, metadata.name, obj, None, call.user, "",
        options_of(call, "CreateOptions"), call.dry_run,
    )  # fmt: skip
    attributes.annotations = call.annotations
    await core.admission.admit(attributes)
    assert attributes.obj is not None
    obj = attributes.obj
    metadata = obj.metadata
    fill_metadata(metadata)
    generate = metadata.generate_name if not metadata.name else ""
    if generate:
        metadata.name = generated_name(generate)
    strategy.prepare_create(obj, call)  # a Job's labels tell its name
    for attempt in range(_NAME_ATTEMPTS):
        if attempt:
            metadata.name = generated_name(generate)
        if attempt == 0:
            refuse_invalid(resource, metadata.name, strategy.validate(obj))
            attributes.obj = obj
            attributes.name = metadata.name
            await core.admission.validate(attributes)
            for text in (*attributes.warnings, *strategy.warnings(obj, None)):
                call.warn(text)
        undo = await strategy.before_create(obj, call)
        try:
            if call.dry_run:
                if resource.key(namespace, metadata.name) in storage.items:
                    raise KeyExists(metadata.name)
                return Result(201, resource=resource, obj=obj)
            stored = obj if resource.stored is None else resource.stored(obj)
            item = await storage.create(resource.key(namespace, metadata.name), stored)
        except KeyExists:
            if undo is not None:
                undo()
            if not generate:
                raise errors.already_exists(resource.group_resource, metadata.name) from None
            continue
        except BaseException:
            if undo is not None:
                undo()
            raise
        return Result(201, resource=resource, item=item)
    raise errors.generate_name_conflict(resource.group_resource, metadata.name, 1)


def settle_namespace(metadata: ObjectMeta, resource: Resource, namespace: str) -> None:
    """Give the object the request's namespace, or refuse another one."""
    if not resource.kind.namespaced:
        if metadata.namespace:
            raise errors.bad_request(OTHER_NAMESPACE)
        return
    if not metadata.namespace:
        metadata.namespace = namespace
    if metadata.namespace != namespace or not namespace:
        raise errors.bad_request(OTHER_NAMESPACE)


def fill_metadata(metadata: ObjectMeta) -> None:
    """What the system sets on every new object."""
    metadata.creation_timestamp = clock.rfc3339()
    metadata.uid = new_uid()
    metadata.deletion_timestamp = None
    metadata.deletion_grace_period_seconds = None
    metadata.generation = None
    metadata.resource_version = ""
    metadata.self_link = None


def new_uid() -> str:
    """A random UUID (version 4) as text."""
    bits = clock.rng.getrandbits(128)
    text = f"{bits & ~(0xF << 76) & ~(0x3 << 62) | (4 << 76) | (2 << 62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def generated_name(base: str) -> str:
    """`base` and five random letters, 63 at most."""
    suffix = "".join(clock.rng.choices(_SUFFIX, k=5))
    return base[:58] + suffix
