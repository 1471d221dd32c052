"""Runs controllers: informers first, then every controller once the caches are filled.

A controller that fails is logged and started again with back-off: one broken loop must not take the others along.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Nursery, Ready
from pybernetes.client.controller import Controller
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory

log = logging.getLogger(__name__)


class Manager:
    """Controllers, in order, over shared informers."""

    def __init__(self, informers: InformerFactory, events: EventRecorder, controllers: Sequence[Controller]) -> None:
        self.informers = informers
        self.events = events
        self.controllers = controllers
        self.ready: Ready[None] = Ready()  #: all caches are filled and all controllers run

    async def run(self) -> None:
        """Until cancelled."""
        for controller in self.controllers:
            controller.setup()
        async with Nursery("manager") as nursery:
            nursery.start(self.events.run(), "events")
            nursery.start(self.informers.run(), "informers")
            await self.informers.synced()
            for controller in self.controllers:
                nursery.start(_keep_running(controller), controller.name)
            self.ready.set(None)
            await asyncio.get_running_loop().create_future()


async def _keep_running(controller: Controller) -> None:
    backoff = Backoff(1.0, 60.0)
    while True:
        try:
            await controller.run()
            return
        except Exception:
            log.exception("controller %s failed", controller.name)
            await backoff.wait()
