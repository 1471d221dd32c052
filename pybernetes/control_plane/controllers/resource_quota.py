"""The ResourceQuota controller: recounts what a namespace uses.

Admission adds to `status.used` when something is created; only this controller takes away, after deletions, and
corrects what admission could not know (a request that failed later). What an object counts for is one function,
injected, so that both sides count alike (`Config.usage`).

A status that somebody else writes is left alone until the next full count (every `Config.resync` seconds), as upstream
does it: all regular writers of the status are this controller and admission.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pybernetes.aio.tasks import Nursery
from pybernetes.api import kinds as built_in
from pybernetes.api.core_v1 import ResourceQuota
from pybernetes.api.kinds import Kind
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter, key_of, split_key
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.informer import Informer
from pybernetes.machinery import codec, quantity

_WHOLE = {("", "pods"), ("", "services"), ("", "persistentvolumeclaims")}
_IGNORED = {("", "events"), ("events.k8s.io", "events"), ("", "bindings")}
_ALIASES = {"configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services", "persistentvolumeclaims"}

Usage = Mapping[str, quantity.Quantity]


@dataclass(frozen=True)
class Config:
    """How to count."""

    usage: Callable[[str, str, Any], Usage]  #: (group, resource, object) -> what it counts for
    in_scopes: Callable[[ResourceQuota, object], bool]  #: whether a quota's scopes cover an object
    resync: float = 300.0  #: seconds after which a quota is counted again in any case


def counted(quota: ResourceQuota) -> set[tuple[str, str]]:
    """The (group, resource) pairs a quota's limits are about."""
    found: set[tuple[str, str]] = set()
    for name in quota.spec.hard or {}:
        if name.startswith("count/"):
            resource, _, group = name.removeprefix("count/").partition(".")
            found.add((group, resource))
        elif name in _ALIASES:
            found.add(("", name))
        elif name.startswith("services."):
            found.add(("", "services"))
        elif name == "requests.storage" or ".storageclass.storage.k8s.io/" in name:
            found.add(("", "persistentvolumeclaims"))
        else:
            found.add(("", "pods"))
    return found


class ResourceQuotaController(Controller):
    """Keys are ResourceQuotas."""

    name = "resourcequota-controller"

    def __init__(self, config: Config, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._config = config
        self._monitors: dict[tuple[str, str], Informer[Any]] = {}
        self._needed = asyncio.Event()

    def setup(self) -> None:
        """Quotas; what they count is watched once a quota asks for it."""
        self.quotas = self.informers.informer(ResourceQuota)
        self.quotas.on(self._quota, self._quota_updated)
        self._discovered = self.informers.discovered

    def _quota(self, quota: ResourceQuota) -> None:
        if not counted(quota) <= {*self._monitors}:
            self._needed.set()
        self.queue.add(key_of(quota))

    def _quota_updated(self, old: ResourceQuota, new: ResourceQuota) -> None:
        if old.spec != new.spec:
            self._quota(new)

    async def run(self) -> None:
        """Work, and watch what new quotas count."""
        async with Nursery(self.name) as nursery:
            working = nursery.start(self.work(), "work")
            nursery.start(self._follow(), "monitors")
            await working

    async def _follow(self) -> None:
        while True:
            await self._needed.wait()
            self._needed.clear()
            wanted = {pair for quota in self.quotas.list() for pair in counted(quota)} - {*self._monitors} - _IGNORED
            if not wanted:
                continue
            for kind in await self._discovered.get():
                pair = kind.group, kind.resource
                if pair in wanted and kind.namespaced and {"list", "watch"} <= {*kind.verbs}:
                    self._watch(kind)
            for pair in wanted & {*self._monitors}:
                await self._monitors[pair].synced()
            for quota in self.quotas.list():
                self.queue.add(key_of(quota))

    def _watch(self, found: Kind) -> None:
        kind = built_in.by_kind(found.api_version, found.kind) or found
        pair = kind.group, kind.resource
        informer: Informer[Any]
        if pair in _WHOLE:
            informer = self.informers.informer(kind.type)
        else:
            informer = self.informers.metadata(kind)

        def deleted(obj: Any) -> None:
            for quota in self.quotas.list(obj.metadata.namespace):
                if pair in counted(quota):
                    self.queue.add(key_of(quota))

        def updated(old: Any, new: Any) -> None:
            usage, in_scopes = self._config.usage, self._config.in_scopes
            if pair not in _WHOLE:
                return
            if usage(*pair, old) != usage(*pair, new):
                deleted(new)
                return
            for quota in self.quotas.list(new.metadata.namespace):
                if pair in counted(quota) and in_scopes(quota, old) != in_scopes(quota, new):
                    self.queue.add(key_of(quota))

        informer.on(updated=updated, deleted=deleted)
        self._monitors[pair] = informer

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Count, and write the status if it differs."""
        quota = self.quotas.get(*split_key(key))
        if quota is None:
            return None
        await self._count(quota)
        return RequeueAfter(self._config.resync)

    async def _count(self, quota: ResourceQuota) -> None:
        namespace = quota.metadata.namespace
        hard = quota.spec.hard or {}
        totals = {resource: quantity.parse("0") for resource in hard}
        for pair in counted(quota):
            monitor = self._monitors.get(pair)
            if monitor is None or not monitor.has_synced:
                if pair in _IGNORED:
                    continue
                return  # counted again as soon as it is there
            for obj in monitor.list(namespace):
                if not self._config.in_scopes(quota, obj):
                    continue
                for resource, amount in self._config.usage(*pair, obj).items():
                    if resource in totals:
                        totals[resource] = totals[resource] + amount
        used = {resource: str(amount) for resource, amount in totals.items()}
        present = {k: quantity.parse(v) for k, v in (quota.status.used or {}).items()}
        if present == totals and quota.status.hard == quota.spec.hard:
            return
        changed = codec.copy(quota)
        changed.status.hard, changed.status.used = quota.spec.hard, used
        await self.quotas.caught_up(await self.client.resource(ResourceQuota).update_status(changed))
