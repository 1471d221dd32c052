"""Creating and deleting Pods for an owner, many at once, with the Events people expect to see.

Creation starts slowly: 1, then 2, 4, 8 ... at once, and stops at the first batch that fails, so that a quota or a
broken template costs a handful of refused requests and not thousands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from pybernetes.api.core_v1 import Pod, PodTemplateSpec
from pybernetes.client.client import Client
from pybernetes.client.controller import controller_reference
from pybernetes.client.errors import Unavailable
from pybernetes.client.events import EventRecorder
from pybernetes.client.informer import Informer
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, ObjectMeta

BURST = 500  #: Pods created or deleted by one reconcile at most


def pod_from_template(template: PodTemplateSpec, owner: Object, *, name: str = "") -> Pod:
    """The Pod to create; shares the template's spec, which nobody changes."""
    metadata = template.metadata
    return Pod(
        metadata=ObjectMeta(
            name=name,
            generate_name="" if name else f"{owner.metadata.name}-",
            namespace=owner.metadata.namespace,
            labels=dict(metadata.labels) if metadata.labels else None,
            annotations=dict(metadata.annotations) if metadata.annotations else None,
            finalizers=list(metadata.finalizers) if metadata.finalizers else None,
            owner_references=[controller_reference(owner)],
        ),
        spec=template.spec,
    )


def is_namespace_terminating(error: Exception) -> bool:
    """Whether a creation was refused because the namespace is on its way out."""
    return isinstance(error, StatusError) and any(c.reason == "NamespaceTerminating" for c in error.causes)


class PodControl:
    """Pods on behalf of one controller."""

    def __init__(self, client: Client, pods: Informer[Pod], events: EventRecorder) -> None:
        self._resource = client.resource(Pod)
        self._pods = pods
        self._events = events

    async def create(self, owner: Object, pod: Pod) -> Pod:
        """Create one. Raises what the server says, after an Event about it."""
        try:
            created = await self._resource.create(pod)
        except StatusError as error:
            if not is_namespace_terminating(error):
                self._events.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._events.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {created.metadata.name}")
        return created

    async def create_many(self, owner: Object, pods: Sequence[Pod]) -> Exception | None:
        """Create with a slow start; returns the first error. Waits until the cache has seen those created."""
        created: list[Pod] = []

        async def one(pod: Pod) -> None:
            created.append(await self.create(owner, pod))

        error = await slow_start([lambda pod=pod: one(pod) for pod in pods])  # type: ignore[misc]
        if created:
            newest = max(created, key=lambda pod: int(pod.metadata.resource_version))
            await self._pods.caught_up(newest)
        return error

    async def delete(self, owner: Object, pod: Pod) -> None:
        """Delete one; that it is gone already is success."""
        metadata = pod.metadata
        try:
            await self._resource.delete(metadata.name, metadata.namespace, uid=metadata.uid)
        except StatusError as error:
            if error.code in (404, 409):  # gone, or replaced by another of that name
                return
            self._events.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self._events.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {metadata.name}")

    async def delete_many(self, owner: Object, pods: Sequence[Pod]) -> Exception | None:
        """Delete all at once; returns the first error. Waits until the cache shows them as going."""
        error = await all_of([lambda pod=pod: self.delete(owner, pod) for pod in pods])  # type: ignore[misc]
        if error is None:
            for pod in pods:
                await self._pods.terminating(pod)
        return error

    async def patch_labels(self, pod: Pod, labels: Mapping[str, str]) -> None:
        """Set labels, and wait until the cache has them."""
        change = {"metadata": {"labels": dict(labels), "uid": pod.metadata.uid}}
        await self._pods.caught_up(await self._resource.patch(pod.metadata.name, pod.metadata.namespace, change))


async def slow_start(work: Sequence[Callable[[], Awaitable[None]]]) -> Exception | None:
    """Do all of `work`, in batches that double from one; stop after a batch with a failure and return its first
    error.
    """
    start, size = 0, 1
    while start < len(work):
        if (error := await all_of(work[start : start + size])) is not None:
            return error
        start, size = start + size, size * 2
    return None


async def all_of(work: Sequence[Callable[[], Awaitable[None]]]) -> Exception | None:
    """Do all of `work` at once; the first error (of the API), if any, after all have ended."""
    failures: list[Exception] = []

    async def guarded(one: Callable[[], Awaitable[None]]) -> None:
        try:
            await one()
        except (StatusError, Unavailable) as error:
            failures.append(error)

    if len(work) == 1:
        await guarded(work[0])
    else:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(guarded(one))
    return failures[0] if failures else None
