"""The namespace controller: empties a namespace that is being deleted, then lets it go.

Pods go first, and everything else only when the last one has gone (KEP-5080: a Pod must not outlive the NetworkPolicy
or Secret that it lives by). What exists is learned from discovery, so custom resources are included. A resource that
cannot be listed or deleted keeps the namespace, and the conditions say why.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pybernetes.aio import clock
from pybernetes.aio.backoff import ItemBackoff
from pybernetes.api.core_v1 import Namespace, NamespaceCondition, Pod
from pybernetes.api.kinds import Kind
from pybernetes.client.controller import Controller, RequeueAfter
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

FINALIZER = "kubernetes"
_PODS = ("", "pods")


@dataclass
class _Content:
    """What is left, and what went wrong."""

    discovery: str = ""
    failures: list[str] = field(default_factory=list)
    remaining: Counter[str] = field(default_factory=Counter)  # resource.group -> objects
    finalizers: Counter[str] = field(default_factory=Counter)  # finalizer -> objects


class NamespaceController(Controller):
    """Finishes the deletion of namespaces."""

    name = "namespace-controller"
    workers = 10

    def setup(self) -> None:
        """Namespaces being deleted; and the last Pod of one, which is what the rest waits for."""
        self.namespaces = self.informers.informer(Namespace)
        self.pods = self.informers.informer(Pod)
        self.namespaces.on(self._changed, lambda old, new: self._changed(new))
        self.pods.on(deleted=self._pod_deleted)
        self._namespaces = self.client.resource(Namespace)
        self._discovered = self.informers.discovered
        self._backoff = ItemBackoff(0.2, 10.0)

    def _changed(self, namespace: Namespace) -> None:
        if namespace.metadata.deletion_timestamp is not None:
            self.queue.add(namespace.metadata.name)

    def _pod_deleted(self, pod: Pod) -> None:
        namespace = self.namespaces.get("", pod.metadata.namespace)
        if namespace is not None and not self.pods.list(namespace.metadata.name):
            self._changed(namespace)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Delete what is in the namespace; when nothing is left, remove our finalizer."""
        namespace = self.namespaces.get("", key)
        if namespace is None or namespace.metadata.deletion_timestamp is None:
            self._backoff.forget(key)
            return None
        if FINALIZER not in (namespace.spec.finalizers or ()):
            return None
        content = await self._empty(key)
        await self._write_status(namespace, content)
        if content.discovery or content.failures or content.remaining:
            return RequeueAfter(self._backoff.next(key))
        self._backoff.forget(key)
        fresh = codec.copy(await self._namespaces.get(key))
        if fresh.metadata.uid == namespace.metadata.uid:
            fresh.spec.finalizers = [f for f in fresh.spec.finalizers or () if f != FINALIZER] or None
            await self._namespaces.update(fresh, "finalize")
        return None

    async def _empty(self, name: str) -> _Content:
        content = _Content()
        kinds = [k for k in await self._discovered.get() if k.namespaced and {"list", "delete"} <= {*k.verbs}]
        if self._discovered.failed:
            content.discovery = (
                f"Discovery failed for some groups, {len(self._discovered.failed)} failing: "
                "unable to retrieve the complete list of server APIs: "
                + ", ".join(f"{gv}: {error}" for gv, error in sorted(self._discovered.failed.items()))
            )
        for kind in sorted(kinds, key=lambda k: (k.group, k.resource) != _PODS):
            try:
                await self._empty_of(kind, name, content)
            except StatusError as error:
                if error.code not in (404, 405):
                    content.failures.append(str(error))
            if (kind.group, kind.resource) == _PODS and (content.remaining or content.failures):
                break
        return content

    async def _empty_of(self, kind: Kind, namespace: str, content: _Content) -> None:
        resource = self.client.metadata(kind)
        if not (await resource.list(namespace, limit=1)).items:
            return
        if "deletecollection" in kind.verbs:
            await resource.delete_collection(namespace, propagation="Background")
        else:
            for obj in (await resource.list(namespace)).items:
                await resource.delete(obj.metadata.name, namespace, propagation="Background")
        for obj in (await resource.list(namespace)).items:
            content.remaining[f"{kind.resource}.{kind.group}"] += 1
            content.finalizers.update(obj.metadata.finalizers or ())

    async def _write_status(self, namespace: Namespace, content: _Content) -> None:
        resources = [f"{name} has {n} resource instances" for name, n in sorted(content.remaining.items())]
        finalizers = [f"{name} in {n} resource instances" for name, n in sorted(content.finalizers.items())]
        failures = sorted(content.failures)
        rows = [
            ("NamespaceDeletionDiscoveryFailure", "DiscoveryFailed", content.discovery)
            if content.discovery
            else ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            (
                "NamespaceDeletionContentFailure",
                "ContentDeletionFailed",
                f"Failed to delete all resource types, {len(failures)} remaining: {', '.join(failures)}",
            )
            if failures
            else (
                "NamespaceDeletionContentFailure",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            (
                "NamespaceContentRemaining",
                "SomeResourcesRemain",
                f"Some resources are remaining: {', '.join(resources)}",
            )
            if resources
            else ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
            (
                "NamespaceFinalizersRemaining",
                "SomeFinalizersRemain",
                f"Some content in the namespace has finalizers remaining: {', '.join(finalizers)}",
            )
            if finalizers
            else (
                "NamespaceFinalizersRemaining",
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            ),
        ]
        bad = {"DiscoveryFailed", "ContentDeletionFailed", "SomeResourcesRemain", "SomeFinalizersRemain"}
        status = codec.copy(namespace.status)
        status.phase = "Terminating"
        present = {c.type: c for c in status.conditions or ()}
        for type_, reason, message in rows:
            value = "True" if reason in bad else "False"
            before = present.get(type_)
            same = before is not None and before.status == value
            since = before.last_transition_time if before is not None and same else clock.rfc3339()
            present[type_] = NamespaceCondition(
                type=type_, status=value, reason=reason, message=message, last_transition_time=since
            )
        status.conditions = [*present.values()]
        if status == namespace.status:
            return
        changed = codec.copy(namespace)
        changed.status = status
        await self.namespaces.caught_up(await self._namespaces.update_status(changed))
