"""Reload: workloads that ask for it roll their Pods when a ConfigMap or Secret that the Pods use has changed.

`pybernetes.io/reload: "true"` on a Deployment, StatefulSet or DaemonSet is the asking. The digest of what the template
refers to is kept in an annotation of the workload; only when it differs from before is it put into the template as
well, which starts a rollout by the workload's own strategy. So asking alone, or going back to an older revision, rolls
nothing. While something that is required is missing, nothing happens: new Pods could not start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from pybernetes.api.apps_v1 import DaemonSet, Deployment, StatefulSet
from pybernetes.api.core_v1 import ConfigMap, PodSpec, Secret
from pybernetes.client.controller import Controller, split_key
from pybernetes.client.informer import Informer

ANNOTATION = "pybernetes.io/reload"
SEEN = "pybernetes.io/reload-seen"  # on the workload: the digest that its Pods have, or began with
DIGEST = "pybernetes.io/reload-digest"  # on the template
_KINDS: dict[str, type[Any]] = {"deployment": Deployment, "statefulset": StatefulSet, "daemonset": DaemonSet}
_USES = "reload-uses"


def references(spec: PodSpec) -> dict[tuple[str, str], bool]:
    """What a Pod reads: ("configmap" or "secret", name) -> whether it must be there."""
    found: dict[tuple[str, str], bool] = {}
    for kind, source, name in _sources(spec):
        if name:
            found[kind, name] = found.get((kind, name), False) or not source.optional
    return found


def _sources(spec: PodSpec) -> Iterator[tuple[str, Any, str]]:
    for container in (*(spec.init_containers or ()), *spec.containers):
        for group in container.env_from or ():
            for kind, source in (("configmap", group.config_map_ref), ("secret", group.secret_ref)):
                if source is not None:
                    yield kind, source, source.name or ""
        for variable in container.env or ():
            origin = variable.value_from
            if origin is not None:
                for kind, key in (("configmap", origin.config_map_key_ref), ("secret", origin.secret_key_ref)):
                    if key is not None:
                        yield kind, key, key.name or ""
    for volume in spec.volumes or ():
        if volume.config_map is not None:
            yield "configmap", volume.config_map, volume.config_map.name or ""
        if volume.secret is not None:
            yield "secret", volume.secret, volume.secret.secret_name or ""
        for part in (volume.projected.sources if volume.projected else None) or ():
            for kind, source in (("configmap", part.config_map), ("secret", part.secret)):
                if source is not None:
                    yield kind, source, source.name or ""


class ReloadController(Controller):
    """Keys are `kind/namespace/name` of workloads."""

    name = "workload-reload-controller"

    def setup(self) -> None:
        """Workloads that ask, by what they use, and what they use."""
        self._sets: dict[str, Informer[Any]] = {}
        for word, kind in _KINDS.items():
            informer = self._sets[word] = self.informers.informer(kind)
            informer.add_index(_USES, _uses)
            informer.on(partial(self._workload, word), partial(self._workload, word))
        self._read: dict[str, Informer[Any]] = {
            "configmap": self.informers.informer(ConfigMap),
            "secret": self.informers.informer(Secret),
        }
        for word, informer in self._read.items():
            informer.on(partial(self._used, word), partial(self._used, word))

    def _workload(self, word: str, *versions: Any) -> None:
        """Handler of an addition (one version) and a change (old and new)."""
        obj = versions[-1]
        if _asks(obj):
            self.queue.add(f"{word}/{obj.metadata.namespace}/{obj.metadata.name}")

    def _used(self, word: str, *versions: Any) -> None:
        metadata = versions[-1].metadata
        for kind, informer in self._sets.items():
            for user in informer.by_index(_USES, f"{metadata.namespace}/{word}/{metadata.name}"):
                self.queue.add(f"{kind}/{user.metadata.namespace}/{user.metadata.name}")

    async def reconcile(self, key: str) -> None:
        """Compare what the workload uses with what it used."""
        word, _, rest = key.partition("/")
        obj = self._sets[word].get(*split_key(rest))
        if obj is None or obj.metadata.deletion_timestamp is not None or not _asks(obj):
            return
        digest = self._digest(obj)
        before = (obj.metadata.annotations or {}).get(SEEN)
        if digest is None or digest == before:
            return
        metadata = obj.metadata
        patch: dict[str, Any] = {"metadata": {"uid": metadata.uid, "annotations": {SEEN: digest}}}
        if before is not None:
            patch["spec"] = {"template": {"metadata": {"annotations": {DIGEST: digest}}}}
            message = "The Pods are replaced because a ConfigMap or Secret they use has changed"
            self.events.event(obj, "Normal", "Reloading", message)
        resource = self.client.resource(_KINDS[word])
        await self._sets[word].caught_up(await resource.patch(metadata.name, metadata.namespace, patch, type="merge"))

    def _digest(self, obj: Any) -> str | None:
        """Over the contents of all that is used; None while something that must be there is missing."""
        digest = hashlib.sha256()
        for (kind, name), required in sorted(references(obj.spec.template.spec).items()):
            used = self._read[kind].get(obj.metadata.namespace, name)
            if used is None:
                if required:
                    return None
                continue
            binary = used.binary_data if kind == "configmap" else None
            content = (kind, name, sorted((used.data or {}).items()), sorted((binary or {}).items()))
            digest.update(msgspec.json.encode(content))
        return digest.hexdigest()[:16]


def _asks(obj: Any) -> bool:
    return (obj.metadata.annotations or {}).get(ANNOTATION) == "true"


def _uses(obj: Any) -> tuple[str, ...]:
    if not _asks(obj):
        return ()
    found = references(obj.spec.template.spec)
    return tuple(f"{obj.metadata.namespace}/{kind}/{name}" for kind, name in found)
