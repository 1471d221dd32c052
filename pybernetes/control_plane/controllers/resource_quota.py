"""The ResourceQuota controller: recounts what a namespace uses.

Admission adds to `status.used` when something is created; only this controller takes away, after deletions, and
corrects what admission could not know (a request that failed later). What an object counts for is one function,
injected, so that both sides count alike (`Config.usage`). A limit on what nobody serves (yet) keeps no other limit of
its quota waiting: it has no usage until discovery finds what it is about.

A status that somebody else writes is left alone until the next full count (every `Config.resync` seconds), as upstream
does it: all regular writers of the status are this controller and admission.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api import kinds as built_in
from pybernetes.api.core_v1 import Pod, ResourceQuota
from pybernetes.api.core_v1.resource_validation import is_extended
from pybernetes.api.kinds import Kind
from pybernetes.api.resource_v1 import DeviceClass
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter, key_of, split_key
from pybernetes.client.errors import Unavailable
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.informer import Informer
from pybernetes.machinery import codec, quantity
from pybernetes.machinery.errors import StatusError

log = logging.getLogger(__name__)

_DEVICES = ("resource.k8s.io", "resourceclaims")
_WHOLE = {("", "pods"), ("", "services"), ("", "persistentvolumeclaims"), _DEVICES}
_IGNORED = {("", "events"), ("events.k8s.io", "events"), ("", "bindings")}
_ALIASES = {"configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services", "persistentvolumeclaims"}

Usage = Mapping[str, quantity.Quantity]


@dataclass(frozen=True)
class Config:
    """How to count."""

    #: (group, resource, object, what else there is) -> what it counts for
    usage: Callable[[str, str, Any, Any], Usage]
    #: Of a function class -> extended resource and one (namespace, name) -> Pod: what else there is.
    around: Callable[[Callable[[str], str | None], Callable[[str, str], Pod | None]], Any]
    in_scopes: Callable[[ResourceQuota, object], bool]  #: whether a quota's scopes cover an object
    resync: float = 300.0  #: seconds after which a quota is counted again in any case


def pairs_of(name: str) -> set[tuple[str, str]]:
    """The (group, resource) pairs that one of a quota's limits is about."""
    if name.startswith("count/"):
        resource, _, group = name.removeprefix("count/").partition(".")
        return {(group, resource)}
    if name in _ALIASES:
        return {("", name)}
    if name.startswith("services."):
        return {("", "services")}
    if name == "requests.storage" or ".storageclass.storage.k8s.io/" in name:
        return {("", "persistentvolumeclaims")}
    if name.endswith(".deviceclass.resource.k8s.io/devices"):
        return {_DEVICES}
    if name.startswith("requests.deviceclass.resource.kubernetes.io/") or is_extended(name.removeprefix("requests.")):
        return {("", "pods"), _DEVICES}  # devices may be asked for by a claim or by such a name
    return {("", "pods")}


def counted(quota: ResourceQuota) -> set[tuple[str, str]]:
    """The (group, resource) pairs a quota's limits are about."""
    return {pair for name in quota.spec.hard or {} for pair in pairs_of(name)}


class ResourceQuotaController(Controller):
    """Keys are ResourceQuotas."""

    name = "resourcequota-controller"

    def __init__(self, config: Config, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._config = config
        self._monitors: dict[tuple[str, str], Informer[Any]] = {}
        self._unknown: set[tuple[str, str]] = set()  #: what quotas count and nobody serves (yet)
        self._needed = asyncio.Event()
        self._classes: Informer[DeviceClass] | None = None  #: once claims are counted
        self._around = config.around(self._extended, self._pod)

    def _extended(self, name: str) -> str | None:
        found = self._classes.get("", name) if self._classes is not None else None
        return found.spec.extended_resource_name if found is not None else None

    def _pod(self, namespace: str, name: str) -> Pod | None:
        return self.informers.informer(Pod).get(namespace, name)

    def setup(self) -> None:
        """Quotas; what they count is watched once a quota asks for it."""
        self.quotas = self.informers.informer(ResourceQuota)
        self.quotas.on(self._quota, self._quota_updated)
        self._discovered = self.informers.discovered
        self._discovered.on_change(self._needed.set)

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
            wanted = {pair for quota in self.quotas.list() for pair in counted(quota)} - _IGNORED
            if not wanted:
                continue
            try:
                found = await self._discovered.get()
            except (StatusError, Unavailable) as error:
                log.warning("discovery: %s", error)
                await clock.sleep(1)
                self._needed.set()
                continue
            kinds = {
                (kind.group, kind.resource): kind
                for kind in found
                if kind.namespaced and {"list", "watch"} <= {*kind.verbs}
            }
            if not self._discovered.failed:
                for pair in self._monitors.keys() - kinds.keys():
                    del self._monitors[pair]  # its definition is gone; another may come
            fresh = (wanted & kinds.keys()) - self._monitors.keys()
            self._unknown, known = wanted - kinds.keys() - self._monitors.keys(), self._unknown
            if not fresh and self._unknown == known:
                continue
            if _DEVICES in fresh:
                self._classes = self.informers.informer(DeviceClass)
                await self._classes.synced()
            for pair in fresh:
                self._watch(kinds[pair])
            for pair in fresh:
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
            if usage(*pair, old, self._around) != usage(*pair, new, self._around):
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
        totals = {name: quantity.ZERO for name in hard if not pairs_of(name) & self._unknown}
        for pair in counted(quota) - self._unknown:
            monitor = self._monitors.get(pair)
            if monitor is None or not monitor.has_synced:
                if pair in _IGNORED:
                    continue
                return  # counted again as soon as it is there
            for obj in monitor.list(namespace):
                if not self._config.in_scopes(quota, obj):
                    continue
                for resource, amount in self._config.usage(*pair, obj, self._around).items():
                    if resource in totals:
                        totals[resource] = totals[resource] + amount
        used = {resource: str(amount) for resource, amount in totals.items()}
        present = {k: quantity.parse(v) for k, v in (quota.status.used or {}).items()}
        if present == totals and quota.status.hard == quota.spec.hard:
            return
        changed = codec.copy(quota)
        changed.status.hard, changed.status.used = quota.spec.hard, used
        await self.quotas.caught_up(await self.client.resource(ResourceQuota).update_status(changed))
