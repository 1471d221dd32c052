"""Which objects belong to an owner: adopt orphans that match its selector, release what no longer matches.

Shared by all controllers that own others. An orphan is adopted only after a look at the live owner: a cache that does
not know yet that the owner is being deleted would otherwise hand Pods to something that is about to vanish.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from pybernetes.client.client import Resource
from pybernetes.client.controller import controller_of, controller_reference
from pybernetes.client.informer import OWNER, Informer, Matcher
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object

T = TypeVar("T", bound=Object)

ORPHANS = "orphans"


def add_indexes(informer: Informer[Any]) -> None:
    """The indexes `Claims` needs: by owner uid, and orphans by namespace."""
    informer.add_owner_index()
    informer.add_index(ORPHANS, lambda obj: () if controller_of(obj) is not None else (obj.metadata.namespace,))


class Claims(Generic[T]):
    """Claims objects of one kind for owners of another. A `finalizer` comes and goes with the ownership."""

    def __init__(
        self, informer: Informer[T], resource: Resource[T], owners: Resource[Any], finalizer: str = ""
    ) -> None:
        self._informer = informer
        self._resource = resource
        self._owners = owners
        self._finalizer = finalizer

    async def claim(
        self, owner: Object, selector: Matcher, adoptable: Callable[[T], bool] = lambda obj: True
    ) -> list[T]:
        """Everything `owner` controls, after adopting and releasing what must be."""
        owned: list[T] = []
        for obj in self._informer.by_index(OWNER, owner.metadata.uid):
            reference = controller_of(obj)
            if reference is None or reference.uid != owner.metadata.uid:
                continue
            if selector.matches(obj.metadata.labels or {}) or owner.metadata.deletion_timestamp:
                owned.append(obj)
            else:
                await self._release(owner, obj)
        if owner.metadata.deletion_timestamp:
            return owned
        orphans = [
            obj
            for obj in self._informer.by_index(ORPHANS, owner.metadata.namespace)
            if selector.matches(obj.metadata.labels or {}) and not obj.metadata.deletion_timestamp and adoptable(obj)
        ]
        if orphans and await self._may_adopt(owner):
            for obj in orphans:
                if (adopted := await self._adopt(owner, obj)) is not None:
                    owned.append(adopted)
        return owned

    async def _may_adopt(self, owner: Object) -> bool:
        try:
            fresh = await self._owners.get(owner.metadata.name, owner.metadata.namespace)
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return fresh.metadata.uid == owner.metadata.uid and not fresh.metadata.deletion_timestamp

    async def _adopt(self, owner: Object, obj: T) -> T | None:
        reference = codec.to_dict(controller_reference(owner))
        metadata: dict[str, Any] = {"ownerReferences": [reference], "uid": obj.metadata.uid}
        if self._finalizer:
            metadata["finalizers"] = [self._finalizer]
        return await self._patch(obj, metadata)

    async def _release(self, owner: Object, obj: T) -> None:
        delete = [{"$patch": "delete", "uid": owner.metadata.uid}]
        metadata: dict[str, Any] = {"ownerReferences": delete, "uid": obj.metadata.uid}
        if self._finalizer:
            metadata["$deleteFromPrimitiveList/finalizers"] = [self._finalizer]
        await self._patch(obj, metadata)

    async def _patch(self, obj: T, metadata: dict[str, Any]) -> T | None:
        try:
            patched = await self._resource.patch(
                obj.metadata.name, obj.metadata.namespace, {"metadata": metadata}, type="strategic"
            )
        except StatusError as error:
            if error.code in (404, 422):  # gone, or another object of that name
                return None
            raise
        await self._informer.caught_up(patched)
        return patched


def owned_by(informer: Informer[T], owner: Object) -> Sequence[T]:
    """What `owner` controls, as the cache knows it."""
    return [
        obj
        for obj in informer.by_index(OWNER, owner.metadata.uid)
        if (reference := controller_of(obj)) is not None and reference.uid == owner.metadata.uid
    ]
