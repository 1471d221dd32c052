"""The control loop: source -> handler -> queue -> reconcile.

A controller connects informers (sources) to its queue in `setup()`: each handler turns a changed object into the key of
what must be looked at. `reconcile(key)` reads the world from the caches and makes it so; it is called for one key at a
time, never for one key twice at once, and it never learns what kind of change woke it. What it raises is retried with
back-off. What it wrote it waits for (`Informer.caught_up`) before it returns, so that the next call sees it.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pybernetes.aio.tasks import Nursery
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.queue import Queue
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, OwnerReference

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """The result of a reconcile that wants to be called again in `seconds`, whatever happens."""

    seconds: float


class Retry(Exception):
    """Raised by a reconcile that wants the back-off but has nothing to complain about."""


class Controller(ABC):
    """One control loop. Subclasses say `name`, `setup` and `reconcile`."""

    name: ClassVar[str]
    component: ClassVar[str] = ""  #: who its events are from, where that is not the name
    workers: ClassVar[int] = 8  #: keys reconciled at once; they are coroutines, so this bounds requests in flight

    def __init__(self, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        self.client = client
        self.informers = informers
        self.events = events
        self.queue: Queue[str] = Queue()

    @abstractmethod
    def setup(self) -> None:
        """Ask for informers and connect them to the queue. Called once, before anything runs; no I/O."""

    @abstractmethod
    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Make the world as the object `key` (`namespace/name`) wants it."""

    async def run(self) -> None:
        """Work until cancelled. Informers have synced when this is called."""
        await self.work()

    async def work(self) -> None:
        """Run the workers of the queue until cancelled."""
        await run_workers(self.name, self.queue, self.reconcile, self.workers)

    def enqueue(self, obj: Object) -> None:
        """Handler: the object itself is the key."""
        self.queue.add(key_of(obj))

    def enqueue_updated(self, old: Object, new: Object) -> None:
        """Handler for updates: the object itself is the key."""
        self.queue.add(key_of(new))


async def run_workers(name: str, queue: Queue[Any], reconcile: Any, workers: int) -> None:
    """Let `workers` coroutines take keys from the queue until cancelled."""

    async def worker() -> None:
        while True:
            key = await queue.get()
            try:
                result = await reconcile(key)
            except StatusError as error:
                # Conflicts are the normal way to learn that a cache was stale: quiet, and tried again.
                (log.debug if error.code in (404, 409) else log.warning)("%s: %s: %s", name, key, error)
                queue.add_rate_limited(key)
            except (Unavailable, Retry) as error:
                log.debug("%s: %s: %s", name, key, error)
                queue.add_rate_limited(key)
            except Exception:
                log.exception("%s: reconciling %s failed", name, key)
                queue.add_rate_limited(key)
            else:
                queue.forget(key)
                if isinstance(result, RequeueAfter):
                    queue.add_after(key, result.seconds)
            finally:
                queue.done(key)

    try:
        async with Nursery(name) as nursery:
            for i in range(workers):
                nursery.start(worker(), f"worker-{i}")
            await asyncio.get_running_loop().create_future()
    finally:
        queue.close()


def key_of(obj: Object) -> str:
    """`namespace/name`, or `name`."""
    metadata = obj.metadata
    return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name


def split_key(key: str) -> tuple[str, str]:
    """(namespace, name)."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def controller_of(obj: Object) -> OwnerReference | None:
    """The owner reference that has `controller: true`."""
    for reference in obj.metadata.owner_references or ():
        if reference.controller:
            return reference
    return None


def controller_reference(owner: Object) -> OwnerReference:
    """The reference by which `owner` controls an object it creates."""
    return OwnerReference(
        api_version=owner.api_version,
        kind=owner.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )
