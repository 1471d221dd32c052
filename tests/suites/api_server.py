"""A whole API server in one event loop, without sockets, under virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from pybernetes.client.client import Client
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import SELF, APIServer, Config


@contextlib.asynccontextmanager
async def running(**config: Any) -> AsyncIterator[APIServer]:
    """A server that is ready; stopped at the end of the block."""
    server = APIServer(Config(**{"listen": False, **config}))
    task = asyncio.get_running_loop().create_task(server.run(), name="apiserver")
    ready = asyncio.get_running_loop().create_task(server.ready.wait(), name="ready")
    await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        ready.cancel()
        await task
    try:
        yield server
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def client_of(server: APIServer, user: User = SELF) -> Client:
    """A client as `user`; all-powerful unless told otherwise."""
    return Client(server.transport(user), "contract/1")
