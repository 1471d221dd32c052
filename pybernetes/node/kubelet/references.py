"""ConfigMaps and Secrets that the node's pods refer to: each watched alone, as long as a pod needs it.

A kubelet may read only what its pods refer to, so there is no informer over all of them: one small watch for each
referenced object, shared by the pods, started when the first pod comes and ended when the last one goes. That makes
updates arrive at once, and costs no polling. Immutable objects are read from the same cache; they just never change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import ConfigMap, Pod, Secret
from pybernetes.client.client import Client
from pybernetes.client.informer import Informer
from pybernetes.node.kubelet.restarts import AnyContainer, ephemeral_containers, init_containers

K = TypeVar("K", ConfigMap, Secret)

#: Seconds to wait for the first answer of the API server.
FIRST_ANSWER = 30.0

Key = tuple[type[ConfigMap] | type[Secret], str, str]


def referenced(pod: Pod) -> set[Key]:
    """The ConfigMaps and Secrets a pod refers to: in volumes, environment and pull secrets. Pure."""
    namespace, found = pod.metadata.namespace, set[Key]()

    def config_map(name: str | None) -> None:
        if name:
            found.add((ConfigMap, namespace, name))

    def secret(name: str | None) -> None:
        if name:
            found.add((Secret, namespace, name))

    for volume in pod.spec.volumes or ():
        if volume.config_map:
            config_map(volume.config_map.name)
        if volume.secret:
            secret(volume.secret.secret_name)
        for source in (volume.projected.sources if volume.projected else None) or ():
            if source.config_map:
                config_map(source.config_map.name)
            if source.secret:
                secret(source.secret.name)
    containers: list[AnyContainer] = [*init_containers(pod), *pod.spec.containers, *ephemeral_containers(pod)]
    for container in containers:
        for variable in container.env or ():
            if variable.value_from and variable.value_from.config_map_key_ref:
                config_map(variable.value_from.config_map_key_ref.name)
            if variable.value_from and variable.value_from.secret_key_ref:
                secret(variable.value_from.secret_key_ref.name)
        for origin in container.env_from or ():
            if origin.config_map_ref:
                config_map(origin.config_map_ref.name)
            if origin.secret_ref:
                secret(origin.secret_ref.name)
    for pull in pod.spec.image_pull_secrets or ():
        secret(pull.name)
    return found


@dataclass(slots=True)
class _Watched:
    informer: Informer[ConfigMap] | Informer[Secret]
    task: asyncio.Task[None]
    pods: set[str] = field(default_factory=set)


class Watches:
    """The watches of a node. `changed(uid)` is called for each pod whose referenced object changed."""

    def __init__(self, client: Client, changed: Callable[[str], None]) -> None:
        self._client = client
        self._changed = changed
        self._watched: dict[Key, _Watched] = {}
        self._by_pod: dict[str, set[Key]] = {}
        self._nursery: Nursery | None = None

    def attach(self, nursery: Nursery) -> None:
        """Run the watches in this nursery."""
        self._nursery = nursery

    def hold(self, pod: Pod) -> None:
        """Watch what this pod refers to; call again when its spec changed."""
        uid, wanted = pod.metadata.uid, referenced(pod)
        held = self._by_pod.get(uid, set())
        for key in wanted - held:
            self._begin(key).pods.add(uid)
        for key in held - wanted:
            self._end(key, uid)
        self._by_pod[uid] = wanted

    def release(self, uid: str) -> None:
        """The pod is gone."""
        for key in self._by_pod.pop(uid, set()):
            self._end(key, uid)

    async def get(self, kind: type[K], namespace: str, name: str) -> K | None:
        """The object; None when it does not exist. Raises TimeoutError when the API server does not answer."""
        watched = self._watched.get((kind, namespace, name))
        if watched is None:
            return None
        if not watched.informer.has_synced:
            async with asyncio.timeout(FIRST_ANSWER):
                await watched.informer.synced()
        return cast("K | None", watched.informer.get(namespace, name))

    def known(self, kind: type[K], namespace: str, name: str) -> K | None:
        """What the cache has now."""
        watched = self._watched.get((kind, namespace, name))
        return cast("K | None", watched.informer.get(namespace, name)) if watched else None

    async def synced(self, uid: str) -> None:
        """Wait until all that a pod refers to has been asked for. Raises TimeoutError."""
        for key in self._by_pod.get(uid, set()):
            informer = self._watched[key].informer
            if not informer.has_synced:
                async with asyncio.timeout(FIRST_ANSWER):
                    await informer.synced()

    def _begin(self, key: Key) -> _Watched:
        if (watched := self._watched.get(key)) is not None:
            return watched
        assert self._nursery is not None
        kind, namespace, name = key
        informer: Informer[ConfigMap] | Informer[Secret]
        selector = f"metadata.name={name}"
        if kind is ConfigMap:
            informer = Informer(self._client.resource(ConfigMap), namespace, field_selector=selector)
        else:
            informer = Informer(self._client.resource(Secret), namespace, field_selector=selector)
        watched = _Watched(informer, self._nursery.start(informer.run(), f"watch-{kind.__name__}-{namespace}-{name}"))
        self._watched[key] = watched

        def tell(*_: object) -> None:
            for uid in [*watched.pods]:
                self._changed(uid)

        informer.on(tell, tell, tell)
        return watched

    def _end(self, key: Key, uid: str) -> None:
        watched = self._watched[key]
        watched.pods.discard(uid)
        if not watched.pods:
            watched.task.cancel()
            del self._watched[key]
