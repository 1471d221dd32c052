"""The garbage collector: objects go when their owners have gone.

The graph has an edge from every object to each owner it names, known by uid. It is fed by one informer per resource,
metadata only, or the whole objects where another controller caches them anyway. Nothing is looked at until something
happens to it: an object appears with an owner that is not there, an owner disappears, a deletion waits for dependents.

What the cache says is missing is asked of the server before anything is deleted, and every deletion names the uid and
resourceVersion it was decided on: deleting the wrong object cannot be undone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api import kinds as built_in
from pybernetes.api.core_v1 import ObjectReference
from pybernetes.api.kinds import Kind
from pybernetes.client.controller import Controller
from pybernetes.client.errors import Unavailable
from pybernetes.client.informer import Handler, Informer
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, OwnerReference

log = logging.getLogger(__name__)

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_IGNORED = {("", "events"), ("events.k8s.io", "events")}
_AGAIN = 30.0  # seconds until a discovery that failed in parts is asked again
_ABSENT = 500  # uids remembered as gone, so that a hundred dependents ask once


class Node(NamedTuple):
    """Where an object is."""

    kind: Kind
    namespace: str
    name: str


class _Monitor(NamedTuple):
    informer: Informer[Object]
    handler: Handler[Object]


class GarbageCollector(Controller):
    """Keys are uids."""

    name = "garbage-collector-controller"
    workers = 20

    def setup(self) -> None:
        """Resources are found in `run`: they are whatever discovery says."""
        self._discovered = self.informers.discovered
        self._resources_changed = asyncio.Event()
        self._discovered.on_change(self._resources_changed.set)
        self._monitors: dict[tuple[str, str], _Monitor] = {}
        self._kinds: dict[tuple[str, str], Kind] = {}  # by group and kind
        self.nodes: dict[str, Node] = {}
        self.dependents: dict[str, dict[str, None]] = {}  # owner uid -> uids
        self._absent: OrderedDict[str, None] = OrderedDict()
        self._started = False

    async def run(self) -> None:
        """Follow discovery, and work."""
        async with Nursery(self.name) as nursery:
            await self._follow()
            self._started = True
            for uid, node in [*self.nodes.items()]:
                if self._is_due(self._object(node)):
                    self.queue.add(uid)
            working = nursery.start(self.work(), "work")
            nursery.start(self._keep_following(), "discovery")
            await working

    async def _keep_following(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_AGAIN if self._discovered.failed else None):
                    await self._resources_changed.wait()
            except TimeoutError:
                pass  # what did not answer may do so now
            try:
                await self._follow()
            except (StatusError, Unavailable) as error:
                log.warning("discovery: %s", error)
                await clock.sleep(1)
                self._resources_changed.set()

    async def _follow(self) -> None:
        """One monitor for each resource that can be listed, watched and deleted."""
        self._resources_changed.clear()
        found = await self._discovered.get()
        wanted: dict[tuple[str, str], Kind] = {}
        for kind in found:
            self._kinds[kind.group, kind.kind] = kind
            if {"list", "watch", "delete"} <= {*kind.verbs} and (kind.group, kind.resource) not in _IGNORED:
                wanted[kind.group, kind.resource] = kind
        for key in [key for key in self._monitors if key not in wanted and not self._discovered.failed]:
            await self._stop(key)
        fresh = []
        for key, kind in wanted.items():
            if key not in self._monitors:
                fresh.append(self._start(key, built_in.by_kind(kind.api_version, kind.kind) or kind))
        for informer in fresh:
            try:
                async with asyncio.timeout(30):
                    await informer.synced()
            except TimeoutError:  # one broken resource must not keep all others
                log.warning("no list of %s yet", informer.resource.kind.group_resource)

    def _start(self, key: tuple[str, str], kind: Kind) -> Informer[Object]:
        informer = self.informers.metadata(kind)
        handler = informer.on(
            lambda obj: self._added(kind, obj), lambda old, new: self._updated(kind, old, new), self._deleted
        )
        self._monitors[key] = _Monitor(informer, handler)
        return informer

    async def _stop(self, key: tuple[str, str]) -> None:
        monitor = self._monitors.pop(key)
        monitor.informer.off(monitor.handler)
        kind = monitor.informer.resource.kind
        self._kinds.pop((kind.group, kind.kind), None)
        await self.informers.forget_metadata(kind)
        for obj in monitor.informer.list():
            self._deleted(obj)

    # The graph

    def _added(self, kind: Kind, obj: Object) -> None:
        metadata = obj.metadata
        self.nodes[metadata.uid] = Node(kind, metadata.namespace, metadata.name)
        for owner in metadata.owner_references or ():
            self.dependents.setdefault(owner.uid, {})[metadata.uid] = None
        if self._started and self._is_due(obj):
            self.queue.add(metadata.uid)

    def _updated(self, kind: Kind, old: Object, new: Object) -> None:
        before, after = old.metadata, new.metadata
        if before.owner_references != after.owner_references:
            for owner in before.owner_references or ():
                self._unlink(owner.uid, before.uid)
                if owner.uid in self.nodes:
                    self._wake_if_waiting(owner.uid)
            for owner in after.owner_references or ():
                self.dependents.setdefault(owner.uid, {})[after.uid] = None
        elif after.deletion_timestamp is None:
            return
        if self._is_due(new):
            self.queue.add(after.uid)

    def _deleted(self, obj: Object) -> None:
        metadata = obj.metadata
        self.nodes.pop(metadata.uid, None)
        self._mark_absent(metadata.uid)
        for owner in metadata.owner_references or ():
            self._unlink(owner.uid, metadata.uid)
            self._wake_if_waiting(owner.uid)
        for uid in self.dependents.get(metadata.uid, ()):
            self.queue.add(uid)

    def _unlink(self, owner: str, dependent: str) -> None:
        if (found := self.dependents.get(owner)) is not None:
            found.pop(dependent, None)
            if not found:
                del self.dependents[owner]

    def _wake_if_waiting(self, uid: str) -> None:
        node = self.nodes.get(uid)
        if node is not None and (obj := self._object(node)) is not None and obj.metadata.deletion_timestamp:
            self.queue.add(uid)

    def _is_due(self, obj: Object | None) -> bool:
        """Whether there is something to do about an object."""
        if obj is None:
            return False
        metadata = obj.metadata
        if metadata.deletion_timestamp is not None:
            return bool(metadata.finalizers) and not {FOREGROUND, ORPHAN}.isdisjoint(metadata.finalizers or ())
        return any(
            owner.uid not in self.nodes or self._waits_for_dependents(owner.uid)
            for owner in metadata.owner_references or ()
        )

    def _object(self, node: Node) -> Object | None:
        monitor = self._monitors.get((node.kind.group, node.kind.resource))
        return monitor.informer.get(node.namespace, node.name) if monitor else None

    def _by_uid(self, uid: str) -> Object | None:
        node = self.nodes.get(uid)
        return self._object(node) if node is not None else None

    def _waits_for_dependents(self, uid: str) -> bool:
        obj = self._by_uid(uid)
        return obj is not None and is_foreground(obj)

    def _mark_absent(self, uid: str) -> None:
        self._absent[uid] = None
        self._absent.move_to_end(uid)
        if len(self._absent) > _ABSENT:
            self._absent.popitem(last=False)

    # Collecting

    async def reconcile(self, key: str) -> None:
        """Do what is due about one object."""
        node = self.nodes.get(key)
        obj = self._object(node) if node is not None else None
        if node is None or obj is None or obj.metadata.uid != key:
            return
        finalizers = obj.metadata.finalizers or ()
        if obj.metadata.deletion_timestamp is not None:
            if ORPHAN in finalizers:
                await self._orphan_dependents(node, obj)
            elif FOREGROUND in finalizers:
                await self._finish_foreground(node, obj)
            return
        await self._collect(node, obj)

    async def _collect(self, node: Node, obj: Object) -> None:
        solid: list[OwnerReference] = []
        dangling: list[OwnerReference] = []
        waiting: list[OwnerReference] = []
        for owner in obj.metadata.owner_references or ():
            state = await self._state_of(node, obj, owner)
            (solid if state == "solid" else waiting if state == "waiting" else dangling).append(owner)
        if not dangling and not waiting:
            return
        resource: Any = self.client.metadata(node.kind)
        metadata = obj.metadata
        if solid:
            gone = {owner.uid for owner in (*dangling, *waiting)}
            kept = [codec.to_dict(o) for o in metadata.owner_references or () if o.uid not in gone]
            await self._patch(node, obj, {"ownerReferences": kept})
            return
        policy = "Background"
        dependents = [d for uid in [*self.dependents.get(metadata.uid, ())] if (d := self._by_uid(uid)) is not None]
        if waiting and dependents:
            policy = "Foreground"
            if any(is_foreground(dependent) for dependent in dependents):
                # A circle: nobody in it could ever go if each blocked the other.
                references = [codec.to_dict(o) for o in metadata.owner_references or ()]
                for reference in references:
                    reference["blockOwnerDeletion"] = False
                obj = await self._patch(node, obj, {"ownerReferences": references}) or obj
        elif ORPHAN in (metadata.finalizers or ()):
            policy = "Orphan"
        elif FOREGROUND in (metadata.finalizers or ()):
            policy = "Foreground"
        try:
            await resource.delete(
                node.name,
                node.namespace,
                propagation=policy,
                uid=metadata.uid,
                resource_version=obj.metadata.resource_version,
            )
        except StatusError as error:
            if error.code != 404:
                raise

    async def _state_of(self, node: Node, obj: Object, owner: OwnerReference) -> str:
        """solid: it is there; waiting: it is being deleted in the foreground; dangling: it is gone."""
        known = self.nodes.get(owner.uid)
        if known is not None:
            if known.namespace and known.namespace != node.namespace:
                self._invalid_namespace(obj, owner, node)
                return "solid" if not node.namespace else "dangling"
            found = self._object(known)
            if found is not None and found.metadata.uid == owner.uid:
                blocking = is_foreground(found)
                return "waiting" if blocking else "solid"
        if owner.uid in self._absent:
            return "dangling"
        group = owner.api_version.rpartition("/")[0]
        kind = self._kinds.get((group, owner.kind)) or await self.client.find(owner.api_version, owner.kind)
        if kind.namespaced and not node.namespace:
            self._invalid_namespace(obj, owner, node)
            return "solid"  # it cannot be resolved, and what cannot be known is not acted upon
        try:
            live = await self.client.metadata(kind).get(owner.name, node.namespace if kind.namespaced else "")
        except StatusError as error:
            if error.code != 404:
                raise
            live = None
        if live is None or live.metadata.uid != owner.uid:
            self._mark_absent(owner.uid)
            return "dangling"
        return "waiting" if is_foreground(live) else "solid"

    def _invalid_namespace(self, obj: Object, owner: OwnerReference, node: Node) -> None:
        reference = ObjectReference(
            api_version=node.kind.api_version,
            kind=node.kind.kind,
            namespace=node.namespace or None,
            name=node.name,
            uid=obj.metadata.uid,
        )
        where = f"namespace: {node.namespace}, name: {owner.name}, uid: {owner.uid}"
        text = f"ownerRef [{owner.api_version}/{owner.kind}, {where}]"
        message = f'{text} does not exist in namespace "{node.namespace}"'
        self.events.event(reference, "Warning", "OwnerRefInvalidNamespace", message)

    async def _finish_foreground(self, node: Node, obj: Object) -> None:
        """Let an object go once no dependent blocks it; see that those that do are on their way."""
        uid = obj.metadata.uid
        blocking = False
        for dependent_uid in [*self.dependents.get(uid, ())]:
            dependent = self._by_uid(dependent_uid)
            for reference in (dependent.metadata.owner_references or ()) if dependent is not None else ():
                if reference.uid == uid and reference.block_owner_deletion:
                    blocking = True
            if dependent is not None and dependent.metadata.deletion_timestamp is None:
                self.queue.add(dependent_uid)
        if not blocking:
            await self._drop_finalizer(node, obj, FOREGROUND)

    async def _orphan_dependents(self, node: Node, obj: Object) -> None:
        """Take the object out of its dependents' owners, then let it go."""
        uid = obj.metadata.uid
        for dependent_uid in [*self.dependents.get(uid, ())]:
            at, dependent = self.nodes.get(dependent_uid), self._by_uid(dependent_uid)
            if at is not None and dependent is not None:
                kept = [codec.to_dict(o) for o in dependent.metadata.owner_references or () if o.uid != uid]
                patched = await self._patch(at, dependent, {"ownerReferences": kept or None})
                if patched is not None:
                    await self._monitors[at.kind.group, at.kind.resource].informer.caught_up(patched)
        await self._drop_finalizer(node, obj, ORPHAN)

    async def _drop_finalizer(self, node: Node, obj: Object, finalizer: str) -> None:
        kept: Sequence[str] = [f for f in obj.metadata.finalizers or () if f != finalizer]
        await self._patch(node, obj, {"finalizers": kept or None})

    async def _patch(self, node: Node, obj: Object, metadata: dict[str, Any]) -> Object | None:
        """Merge into the metadata of exactly this version of the object; None when it is gone."""
        metadata = {**metadata, "uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}
        try:
            return await self.client.metadata(node.kind).patch(node.name, node.namespace, {"metadata": metadata})
        except StatusError as error:
            if error.code == 404:
                return None
            raise


def is_foreground(obj: Object) -> bool:
    """Whether it is being deleted and waits for its dependents."""
    return obj.metadata.deletion_timestamp is not None and FOREGROUND in (obj.metadata.finalizers or ())
