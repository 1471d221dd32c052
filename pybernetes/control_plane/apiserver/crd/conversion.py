"""Objects of a custom kind in another version than the one stored.

Strategy None changes `apiVersion` and nothing else. Strategy Webhook asks a server for all objects of a request at
once, before the verb runs (`Converting` stands in front of the verbs), and keeps the answers by revision, so that
verbs, rendering and watches stay without waiting. Only an object that changes while a watch in another version runs is
converted by a call that blocks.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from pybernetes.api.apiextensions_v1 import CustomResourceDefinition
from pybernetes.control_plane.apiserver.admission.webhook_client import WebhookClient, WebhookError, client_of
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.objects import AnyObject, Custom
from pybernetes.control_plane.apiserver.resource import Resource, Subresource
from pybernetes.machinery import codec, errors, schema

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core

CACHED = 20_000
TIMEOUT = 30.0
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Converter:
    """Conversions of one definition. `to(version, obj)` never changes `obj`."""

    def __init__(self, definition: CustomResourceDefinition, core: Core) -> None:
        self.definition = definition
        self.group = definition.spec.group
        self._core = core
        conversion = definition.spec.conversion
        self.webhook = conversion.webhook if conversion is not None and conversion.strategy == "Webhook" else None
        self._done: OrderedDict[tuple[str, str, str], Custom] = OrderedDict()
        self._latest: OrderedDict[tuple[str, str], tuple[Custom, Custom]] = OrderedDict()
        self._pending: dict[int, tuple[Custom, Custom]] = {}

    def to(self, version: str, obj: AnyObject) -> Custom:
        """`obj` in another version. Raises StatusError when the webhook fails."""
        custom = cast(Custom, obj)
        wanted = f"{self.group}/{version}"
        if custom.api_version == wanted:
            return custom
        if self.webhook is None:
            return Custom(wanted, custom.kind, custom.metadata, custom.content)
        handed = self._pending.get(id(custom))
        if handed is not None and handed[0] is custom and handed[1].api_version == wanted:
            return handed[1]
        key = self._key(custom, wanted)
        found = self._done.get(key) if key is not None else None
        if found is None:
            found = self._unchanged(custom, wanted) or _blocking(self._ask_apart([custom], wanted))[0]
            self._keep(key, custom, found)
        return found

    def _unchanged(self, custom: Custom, wanted: str) -> Custom | None:
        """From the last conversion of the same object, if nothing changed that the webhook could look at."""
        source, result = self._latest.get((custom.metadata.uid, wanted), (None, None))
        if source is None or result is None or source.content != custom.content:
            return None
        mine, before = custom.metadata, source.metadata
        if (mine.labels, mine.annotations) != (before.labels, before.annotations):
            return None
        metadata = codec.copy(mine)
        metadata.labels, metadata.annotations = result.metadata.labels, result.metadata.annotations
        return Custom(wanted, custom.kind, metadata, result.content)

    @staticmethod
    def _key(custom: Custom, wanted: str) -> tuple[str, str, str] | None:
        metadata = custom.metadata
        return (metadata.uid, metadata.resource_version, wanted) if metadata.resource_version else None

    def _keep(self, key: tuple[str, str, str] | None, source: Custom, found: Custom) -> None:
        self._latest[source.metadata.uid, found.api_version] = (source, found)
        if len(self._latest) > CACHED:
            self._latest.popitem(last=False)
        if key is None:
            return
        self._done[key] = found
        if len(self._done) > CACHED:
            self._done.popitem(last=False)

    async def prefetch(self, version: str, objects: list[Custom]) -> None:
        """Convert what is not there yet, in one call."""
        if self.webhook is None:
            return
        wanted = f"{self.group}/{version}"
        missing = [o for o in objects if o.api_version != wanted and self._key(o, wanted) not in self._done]
        if missing:
            for source, found in zip(missing, await self.ask(missing, wanted), strict=True):
                self._keep(self._key(source, wanted), source, found)

    async def hand(self, version: str, obj: AnyObject) -> Callable[[], None] | None:
        """Convert an object that is about to be stored; the result is there until the returned function is called."""
        custom = cast(Custom, obj)
        wanted = f"{self.group}/{version}"
        if self.webhook is None or custom.api_version == wanted:
            return None
        stored = (await self.ask([custom], wanted))[0]
        self._pending[id(custom)] = (custom, stored)
        if len(self._pending) > 256:  # those whose writes have long ended
            del self._pending[next(iter(self._pending))]
        shown = Custom(custom.api_version, custom.kind, codec.copy(custom.metadata), codec.copy(custom.content))
        self._keep(None, stored, shown)  # the way back, for the answer
        return lambda: cast(None, self._pending.pop(id(custom), None))

    async def _ask_apart(self, objects: list[Custom], wanted: str) -> list[Custom]:
        """The same on another event loop: connections belong to the loop that opened them."""
        client = WebhookClient(self._core)
        try:
            return await self.ask(objects, wanted, client)
        finally:
            await client.close()

    async def ask(self, objects: list[Custom], wanted: str, client: WebhookClient | None = None) -> list[Custom]:
        """Have the webhook convert objects. Raises StatusError."""
        assert self.webhook is not None and self.webhook.client_config is not None
        import uuid

        from pybernetes.aio import clock

        known = (v for v in self.webhook.conversion_review_versions if v in ("v1", "v1beta1"))
        uid = str(uuid.UUID(int=clock.rng.getrandbits(128), version=4))
        review = {
            "apiVersion": f"apiextensions.k8s.io/{next(known, 'v1')}",
            "kind": "ConversionReview",
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": [o.to_wire() for o in objects]},
        }
        head = f"conversion webhook for {objects[0].api_version}, Kind={objects[0].kind} failed"
        try:
            calling = client or client_of(self._core)
            answer = await calling.post(self.webhook.client_config, review, TIMEOUT)
        except WebhookError as error:
            raise errors.internal(f"{head}: {error}") from None
        response = answer.get("response") or {}
        result = response.get("result") or {}
        if result.get("status") != "Success":
            raise errors.internal(f"{head}: {result.get('message') or 'no response'}")
        if response.get("uid") != uid:
            raise errors.internal(f"{head}: expected response.uid={uid}, got {response.get('uid')}")
        converted = response.get("convertedObjects") or []
        if len(converted) != len(objects):
            raise errors.internal(f"{head}: returned {len(converted)} objects, expected {len(objects)}")
        return [self._checked(new, old, wanted, head) for new, old in zip(converted, objects, strict=True)]

    def _checked(self, wire: dict[str, Any], old: Custom, wanted: str, head: str) -> Custom:
        if wire.get("apiVersion") != wanted or wire.get("kind") != old.kind:
            text = f"invalid groupVersion (expected {wanted}, received {wire.get('apiVersion')})"
            raise errors.internal(f"{head}: {text}")
        given = wire.get("metadata") or {}
        metadata = codec.copy(old.metadata)  # only labels and annotations are the webhook's to change
        metadata.labels = given.get("labels") or None
        metadata.annotations = given.get("annotations") or None
        content = {k: v for k, v in wire.items() if k not in ("apiVersion", "kind", "metadata")}
        return Custom(wanted, old.kind, metadata, content)


def served_by(
    converter: Converter, version: str, shape: schema.Schema, has_several: bool
) -> Callable[[AnyObject], AnyObject] | None:
    """What brings a stored object into the version served: conversion, pruning and defaults. None: nothing to do."""
    defaults = shape._has_defaults
    if not defaults and not has_several:
        return None
    memo: OrderedDict[tuple[str, str], Custom] = OrderedDict()

    def served(obj: AnyObject) -> AnyObject:
        custom = cast(Custom, obj)
        key = (custom.metadata.uid, custom.metadata.resource_version)
        if key[1] and (found := memo.get(key)) is not None:
            return found
        out = converter.to(version, custom)
        content = codec.copy(out.content)
        schema.prune(content, shape)
        schema.apply_defaults(content, shape)
        out = Custom(out.api_version, out.kind, out.metadata, content)
        if key[1]:
            memo[key] = out
            if len(memo) > CACHED:
                memo.popitem(last=False)
        return out

    return served


class Converting(Subresource):
    """Stands in front of the verbs of a kind whose conversion waits for a webhook."""

    verbs = VERBS

    def __init__(self, core: Core, resource: Resource, converter: Converter, version: str) -> None:
        super().__init__(core, resource)
        self._converter = converter
        self._version = version

    async def handle(self, call: Call) -> Result | None:
        from pybernetes.control_plane.apiserver.verbs import VERBS as verbs

        storage = self.resource.storage
        assert storage is not None
        info = call.info
        if info.name and info.verb not in ("watch", "list"):
            item = storage.items.get(self.resource.key(info.namespace, info.name))
            items = [item] if item is not None else []
        else:
            items = storage.list(info.namespace)
        await self._converter.prefetch(self._version, [cast(Custom, item.obj) for item in items])
        return await verbs[info.verb](self.core, call)


_loop: asyncio.AbstractEventLoop | None = None


def _blocking(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end on a loop of its own, in another thread: for the rare place that cannot wait."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        threading.Thread(target=_loop.run_forever, name="crd-conversion", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(work, _loop).result(TIMEOUT)
