"""A server that is asked or told something by POST, named by a kubeconfig: audit sinks, token and access reviewers.

The file is of kubectl's form: the cluster is the hook (its address with path), the user is who we are to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pybernetes.client import kubeconfig
from pybernetes.client.errors import Unavailable
from pybernetes.client.transport import Request
from pybernetes.control_plane.apiserver.http import ensure_task

if TYPE_CHECKING:
    from pybernetes.client.http import HTTPTransport


class RemoteHook:
    """One hook. The file is read now, the connection is made with the first call. seconds: for one answer."""

    def __init__(self, config: Path, seconds: float = 30.0) -> None:
        self._connection = kubeconfig.load([config], explicit=True).connection()
        self._seconds = seconds
        self._transport: HTTPTransport | None = None

    async def post(self, review: Mapping[str, Any]) -> Any:
        """The decoded answer. Raises OSError, TimeoutError, ValueError or StatusError."""
        if self._transport is None:
            from pybernetes.client.http import HTTPTransport

            self._transport = HTTPTransport(self._connection)
        await ensure_task()
        request = Request("POST", "", body=msgspec.json.encode(review), content_type="application/json")
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._transport.request(request)
        except Unavailable as error:
            raise ConnectionError(str(error)) from None
        body = response.body
        return msgspec.json.decode(body) if isinstance(body, bytes) and body else body

    async def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            await self._transport.close()
            self._transport = None
