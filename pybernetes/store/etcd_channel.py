"""A connection to one of several etcd endpoints: whichever answers.

One HTTP/2 connection carries everything. When it fails, the next user of it connects to the next endpoint. A call that
only reads is repeated there; a write is repeated only if it was never sent, because etcd cannot say afterwards whether
a write that got no answer was made.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grpclib.client import Channel, Stream
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from pybernetes.store.errors import StoreError, StoreUnavailable
from pybernetes.store.etcd_wire import CALLS, MESSAGES

log = logging.getLogger(__name__)

#: What says that the connection, not the request, is to blame.
BROKEN = (StreamTerminatedError, ProtocolError, OSError, asyncio.TimeoutError)
_RETRIABLE = {Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.CANCELLED}

# Notice a dead peer within 15 s even if nothing is asked; etcd refuses pings more often than every 5 s.
_CONFIG = Configuration(
    _keepalive_time=10.0,
    _keepalive_timeout=5.0,
    _keepalive_permit_without_calls=True,
    _http2_max_pings_without_data=0,
    _http2_min_sent_ping_interval_without_data=10.0,
)


@dataclass(frozen=True)
class TLS:
    """Files in PEM. Without `cafile` the system's authorities are trusted; certificate and key go together."""

    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None

    def context(self) -> ssl.SSLContext:
        """The client's context. Raises StoreError when a file is missing or no good."""
        try:
            context = ssl.create_default_context(cafile=self.cafile)
            if self.certfile is not None:
                context.load_cert_chain(self.certfile, self.keyfile)
        except OSError as error:  # ssl.SSLError is one
            raise StoreError(f"etcd TLS files {self}: {error}") from error
        context.set_alpn_protocols(["h2"])
        return context


class Endpoints:
    """Calls to whichever of the endpoints answers."""

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        tls: TLS | None,
        timeout: float,
        user: tuple[str, str] | None = None,
    ) -> None:
        self.addresses = list(addresses)
        self.timeout = timeout  # seconds for one call, and for one attempt to connect
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._user = user
        self._token = ""
        self._next = 0
        self._channel: Channel | None = None
        self._connecting = asyncio.Lock()
        self._closed = False

    async def connected(self) -> Channel:
        """A connected channel. Raises StoreUnavailable when no endpoint lets us in."""
        async with self._connecting:
            if self._closed:
                raise StoreUnavailable("the connection to etcd was closed")
            if self._channel is not None:
                if self._channel._connected:
                    return self._channel
                self.drop(self._channel)
            self._load()
            reasons = []
            for _ in self.addresses:
                host, port = self.addresses[self._next % len(self.addresses)]
                channel = Channel(host, port, ssl=self._context, config=_CONFIG)
                try:
                    async with asyncio.timeout(self.timeout):
                        await channel.__connect__()
                        await self._authenticate(channel)
                except OSError as error:  # TimeoutError and ssl.SSLError are such
                    reasons.append(f"{host}:{port}: {error or 'timed out'}")
                    self._next += 1
                    continue
                self._channel = channel
                return channel
            raise StoreUnavailable("no etcd endpoint can be reached: " + "; ".join(reasons))

    def _load(self) -> None:
        """The TLS files as they are now, for a renewed certificate must not need a restart. Raises StoreError."""
        if self._tls is None:
            return
        try:
            self._context = self._tls.context()
        except StoreError as error:  # certificate and key may be in the course of being replaced
            if self._context is None:
                raise
            log.warning("the TLS files of before go on serving: %s", error)

    async def _authenticate(self, channel: Channel) -> None:
        """Exchange user and password for a token. Raises StoreError when etcd does not take them."""
        if self._user is None:
            return
        path, asked, answered = CALLS["authenticate"]
        request = MESSAGES[asked](name=self._user[0], password=self._user[1])
        self._token = ""
        try:
            async with self._open(channel, path, Cardinality.UNARY_UNARY, asked, answered, self.timeout) as stream:
                await stream.send_message(request, end=True)
                answer: Any = await stream.recv_message()
                self._token = answer.token
        except GRPCError as error:
            if "authentication is not enabled" in (error.message or ""):
                return  # whoever may do everything may do it with a password, too
            channel.close()
            raise StoreError(f"etcd does not take user {self._user[0]!r}: {error.message}") from error
        except BROKEN as error:
            channel.close()
            raise ConnectionError(str(error)) from error

    def drop(self, channel: Channel) -> None:
        """The channel failed: let go of it, next time ask the next endpoint."""
        channel.close()
        if self._channel is channel:
            self._channel = None
            self._next += 1

    async def call(self, name: str, request: Any, *, repeat: bool, renewed: bool = False) -> Any:
        """One unary call. Raises StoreUnavailable, or the GRPCError by which etcd refused the request."""
        path, asked, answered = CALLS[name]
        for attempts_left in range(len(self.addresses) if repeat else 0, -1, -1):
            channel = await self.connected()
            try:
                stream = self._open(channel, path, Cardinality.UNARY_UNARY, asked, answered, self.timeout)
                async with stream:
                    await stream.send_message(request, end=True)
                    return await stream.recv_message()
            except GRPCError as error:
                if self._token and error.status is Status.UNAUTHENTICATED and not renewed:
                    renewed = True  # tokens are forgotten after a while, and when the server starts anew
                    await self._authenticate(channel)
                    return await self.call(name, request, repeat=repeat, renewed=True)
                if error.status not in _RETRIABLE:
                    raise
                reason: Exception = error
            except BROKEN as error:
                reason = error
            self.drop(channel)
            if not attempts_left:
                raise StoreUnavailable(f"etcd {name}: {reason or 'timed out'}") from reason
        raise AssertionError("unreachable")

    def stream(self, channel: Channel, name: str, *, both: bool) -> Stream[Any, Any]:
        """A call that streams (`both`: in both directions) without time limit."""
        path, asked, answered = CALLS[name]
        cardinality = Cardinality.STREAM_STREAM if both else Cardinality.UNARY_STREAM
        return self._open(channel, path, cardinality, asked, answered, None)

    def _open(
        self, channel: Channel, path: str, cardinality: Cardinality, asked: str, answered: str, timeout: float | None
    ) -> Stream[Any, Any]:
        # A member that has lost the others refuses, instead of keeping silent: then another member is asked.
        metadata = {"hasleader": "true", **({"token": self._token} if self._token else {})}
        return channel.request(
            path, cardinality, MESSAGES[asked], MESSAGES[answered], timeout=timeout, metadata=metadata
        )

    def open(self) -> None:
        self._closed = False

    def close(self) -> None:
        self._closed = True
        if self._channel is not None:
            self.drop(self._channel)
