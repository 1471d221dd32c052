"""Keeps the registry equal to the CustomResourceDefinitions, and finishes what they need.

Every server follows the stored definitions and serves what is established. Names are granted when a definition is
written, in the strategy, from what this server knows; the reconcile loop grants them again whenever a definition of
the group changes, and deletes the objects of a definition that is going away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from pybernetes.aio import clock
from pybernetes.api.apiextensions_v1 import CustomResourceDefinition as Definition
from pybernetes.api.apiextensions_v1 import CustomResourceDefinitionVersion as Version
from pybernetes.api.kinds import Kind
from pybernetes.control_plane.apiserver.admission.webhook_client import client_of
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.crd import naming
from pybernetes.control_plane.apiserver.crd.conversion import Converter, Converting, served_by
from pybernetes.control_plane.apiserver.crd.strategy import CustomStrategy, Parts
from pybernetes.control_plane.apiserver.crd.tracking import Views
from pybernetes.control_plane.apiserver.fanout import Group, Watcher, WatchEvent
from pybernetes.control_plane.apiserver.objects import AnyObject, Custom, CustomCodec
from pybernetes.control_plane.apiserver.resource import Resource, Strategy, Subresource
from pybernetes.machinery import schema
from pybernetes.store import RevisionConflict

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.cache import Item, Storage
    from pybernetes.control_plane.apiserver.core import Core

log = logging.getLogger(__name__)

GROUP, RESOURCE = "apiextensions.k8s.io", "customresourcedefinitions"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
#: Seconds between looks at a definition whose objects have finalizers left.
PATIENCE = 1.0


class DefinitionStrategy(Strategy):
    """Definitions themselves: finalizer, generation, names."""

    has_status = True
    counts_generation = True
    unconditional_update = False

    def __init__(self, kind: Kind, definitions: Callable[[], list[Definition]]) -> None:
        super().__init__(kind)
        self._definitions = definitions

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        definition = cast(Definition, obj)
        super().prepare_create(obj, call)
        self.set_defaults(definition)  # the status is new
        if CLEANUP not in (definition.metadata.finalizers or ()):
            definition.metadata.finalizers = [*(definition.metadata.finalizers or ()), CLEANUP]
        self._settle(definition)

    def prepare_update(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        from pybernetes.machinery import codec

        super().prepare_update(new, old, call)
        definition = cast(Definition, new)
        definition.status = codec.copy(cast(Definition, old).status)
        for version in definition.spec.versions:
            stored = definition.status.stored_versions or []
            if version.storage and version.name not in stored:
                definition.status.stored_versions = [*stored, version.name]
        if definition.metadata.deletion_timestamp is None:
            self._settle(definition)

    def mark_deleting(self, obj: AnyObject) -> None:
        naming.set_condition(cast(Definition, obj), _terminating("InstanceDeletionPending"), clock.rfc3339())

    def _settle(self, definition: Definition) -> None:
        naming.accept(definition, self._definitions(), clock.rfc3339())


def _terminating(reason: str) -> naming.Condition:
    text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    if reason == "InstanceDeletionInProgress":
        text = "CustomResource deletion is in progress"
    status = "True"
    if reason == "InstanceDeletionCompleted":
        text, status = "removed all instances", "False"
    return naming.Condition(type="Terminating", status=status, reason=reason, message=text)


class _Plain:
    """Events as they are."""

    name = "internal"

    def payload(self, events: list[WatchEvent], memo: dict[Any, Any]) -> Any:
        return events

    def bookmark(self, revision: int, annotations: dict[str, str] | None) -> Any:
        return []


class _Listener:
    def __init__(self, told: Callable[[list[WatchEvent]], None]) -> None:
        self._told = told

    def send(self, payload: Any) -> None:
        self._told(payload)

    def end(self, payload: Any = None) -> None:
        pass


class CustomResources:
    """`start()` once the cache is loaded, then `run()`; `close()` stops listening."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._storage: Storage = core.cache.storage(GROUP, RESOURCE)
        self.webhooks = client_of(core)
        self._serving: dict[str, list[tuple[str, str, str]]] = {}
        self._seen: dict[str, int] = {}
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._watcher: Watcher | None = None

    def definitions(self) -> list[Definition]:
        """All of them, as stored."""
        return [cast(Definition, item.obj) for item in self._storage.list()]

    def start(self) -> None:
        """Serve what is established, and follow changes from here on."""
        resource = self._core.registry.get(GROUP, "v1", RESOURCE)
        if resource is not None:
            resource.strategy = DefinitionStrategy(resource.kind, self.definitions)
        for item in self._storage.list():
            self._apply(item)
        listener = _Listener(self._told)
        group = Group(self._storage, ("internal", "crd"), ("", ""), None, _Plain())
        self._watcher = Watcher(listener, False)
        self._core.cache.fanout.join(self._watcher, group)

    def close(self) -> None:
        if self._watcher is not None:
            self._core.cache.fanout.leave(self._watcher)
            self._watcher = None

    async def run(self) -> None:
        """Reconcile until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                names, self._dirty = list(self._dirty), {}
                again = False
                for name in names:
                    try:
                        again = await self._reconcile(name) or again
                    except RevisionConflict:
                        self._mark(name)
                    except Exception:
                        log.exception("definition %s", name)
                        self._dirty[name] = None
                        again = True
                if again:
                    await clock.sleep(PATIENCE)
                    self._wake.set()
        finally:
            self.close()
            await self.webhooks.close()

    # -- serving ----------------------------------------------------------------------------------------------------

    def _told(self, events: list[WatchEvent]) -> None:
        for kind, item in events:
            if kind == "DELETED":
                self._withdraw(item.name)
                self._mark(item.name)
            else:
                self._apply(item)

    def _mark(self, name: str) -> None:
        self._dirty[name] = None
        self._wake.set()

    def _apply(self, item: Item) -> None:
        definition = cast(Definition, item.obj)
        name = item.name
        self._mark(name)
        if not naming.is_true(definition, "Established"):
            return
        if self._seen.get(name) == item.revision:
            return
        self._seen[name] = item.revision
        try:
            resources = self._resources(definition)
        except Exception:
            log.exception("definition %s cannot be served", name)
            return
        wanted = [(r.kind.group, r.kind.version, r.kind.resource) for r in resources]
        for key in self._serving.get(name, ()):
            if key not in wanted:
                self._core.registry.remove(*key)
        self._serving[name] = wanted
        self._core.registry.extend(resources)

    def _withdraw(self, name: str) -> None:
        self._seen.pop(name, None)
        for key in self._serving.pop(name, ()):
            self._core.registry.remove(*key)

    def _resources(self, definition: Definition) -> list[Resource]:
        """One resource per served version, all over one storage."""
        spec = definition.spec
        storage = self._core.cache.storage(spec.group, spec.names.plural)
        storage.use(CustomCodec())
        converter = Converter(definition, self._core)
        stored = next((v.name for v in spec.versions if v.storage), "")
        views = Views(converter, {f"{spec.group}/{v.name}": _shape(definition, v) for v in spec.versions})
        return [
            self._resource(definition, version, storage, converter, stored, views)
            for version in spec.versions
            if version.served
        ]

    def _resource(
        self,
        definition: Definition,
        version: Version,
        storage: Storage,
        converter: Converter,
        stored: str,
        views: Views,
    ) -> Resource:
        from pybernetes.control_plane.apiserver.crd.rules import rules_of

        spec = definition.spec
        names = definition.status.accepted_names or spec.names
        kind = Kind(
            spec.group,
            version.name,
            spec.names.kind,
            spec.names.plural,
            spec.scope == "Namespaced",
            "",
            tuple(names.short_names or ()),
            tuple(names.categories or ()),
            (),
            ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
        )
        shape = _shape(definition, version)
        strategy = CustomStrategy(kind, definition, version, shape, rules_of(shape))
        several = len(spec.versions) > 1
        resource = Resource(
            kind,
            CustomCodec(shape),
            strategy,
            storage,
            singular=names.singular or spec.names.kind.lower(),
            list_kind=spec.names.list_kind or f"{spec.names.kind}List",
            served=served_by(converter, version.name, shape, several),
        )
        if several:
            resource.stored = lambda obj: converter.to(stored, obj)
            if converter.webhook is not None:
                _convert_before_writes(strategy, converter, stored)
                resource.views = views
                resource.special = Converting(self._core, resource, converter, version.name)
        resource.subresources = self._subresources(resource, strategy)
        return resource

    def _subresources(self, resource: Resource, strategy: CustomStrategy) -> dict[str, Subresource]:
        from pybernetes.control_plane.apiserver.subresources.scale import Scale
        from pybernetes.control_plane.apiserver.subresources.status import Status

        found: dict[str, Subresource] = {}
        if strategy.has_status:
            found["status"] = Status(self._core, resource)
        if strategy.scale is not None:
            parts = Parts(
                strategy.scale.spec_replicas_path,
                strategy.scale.status_replicas_path,
                strategy.scale.label_selector_path,
            )
            scale = Scale(self._core, resource)
            scale.read = parts.read  # type: ignore[method-assign]
            scale.write = parts.write  # type: ignore[method-assign]
            found["scale"] = scale
        return found

    # -- reconciling ------------------------------------------------------------------------------------------------

    async def _reconcile(self, name: str) -> bool:
        """Bring one definition further; True to look again later."""
        item = self._storage.items.get(f"{self._storage.prefix}{name}")
        if item is None:  # its names are free now
            group = name.partition(".")[2]
            for other in self._storage.list():
                definition = cast(Definition, other.obj)
                if definition.spec.group == group and not naming.is_true(definition, "NamesAccepted"):
                    self._dirty[other.name] = None
                    self._wake.set()
            return False
        definition = cast(Definition, self._storage.codec.copy(item.obj))
        if definition.metadata.deletion_timestamp is None:
            naming.accept(definition, self.definitions(), clock.rfc3339())
            if definition != item.obj:
                await self._storage.update(item.key, definition, item.revision)
            return False
        return await self._finalize(item, definition)

    async def _finalize(self, item: Item, definition: Definition) -> bool:
        """Delete the objects of a definition that is going away, then let it go."""
        if CLEANUP not in (definition.metadata.finalizers or ()):
            return False
        spec = definition.spec
        if naming.is_true(definition, "Established"):
            storage = self._core.cache.storage(spec.group, spec.names.plural)
            for instance in storage.list():
                await self._delete_instance(storage, instance)
            if storage.list():
                naming.set_condition(definition, _terminating("InstanceDeletionInProgress"), clock.rfc3339())
                if definition != item.obj:
                    await self._storage.update(item.key, definition, item.revision)
                self._dirty[item.name] = None
                return True
        naming.set_condition(definition, _terminating("InstanceDeletionCompleted"), clock.rfc3339())
        definition.metadata.finalizers = [f for f in definition.metadata.finalizers or () if f != CLEANUP] or None
        if definition.metadata.finalizers:
            await self._storage.update(item.key, definition, item.revision)
        else:
            await self._storage.delete(item.key, item.revision)
        return False

    async def _delete_instance(self, storage: Storage, instance: Item) -> None:
        obj = cast(Custom, instance.obj)
        try:
            if not obj.metadata.finalizers:
                await storage.delete(instance.key, instance.revision)
            elif obj.metadata.deletion_timestamp is None:
                copy = cast(Custom, storage.codec.copy(obj))
                copy.metadata.deletion_timestamp = clock.rfc3339()
                copy.metadata.deletion_grace_period_seconds = 0
                await storage.update(instance.key, copy, instance.revision)
        except RevisionConflict:
            pass  # the next look sees what became of it


def _shape(definition: Definition, version: Version) -> schema.Schema:
    """The schema of one version."""
    if definition.spec.preserve_unknown_fields:
        return schema.ANY
    return schema.of_crd(version.schema.open_apiv3_schema if version.schema is not None else None)


def _convert_before_writes(strategy: CustomStrategy, converter: Converter, stored: str) -> None:
    """Have the webhook convert what is written while the verb can still wait."""

    async def before_create(obj: AnyObject, call: Call) -> Callable[[], None] | None:
        return await converter.hand(stored, obj)

    async def before_update(new: AnyObject, old: AnyObject, call: Call) -> Callable[[], None] | None:
        return await converter.hand(stored, new)

    strategy.before_create = before_create  # type: ignore[method-assign]
    strategy.before_update = before_update  # type: ignore[method-assign]
