"""The gRPC health protocol (grpc.health.v1), as far as a probe needs it: one call, two messages of one field each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from grpclib.client import Channel
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

_STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


class _Bytes(CodecBase):
    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return cast(bytes, message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


@asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[Channel]:
    """A connection. Raises OSError."""
    channel = Channel(host, port, codec=_Bytes())
    try:
        await channel.__connect__()
        yield channel
    finally:
        channel.close()


async def check(channel: Channel, service: str) -> str:
    """The serving status: SERVING, NOT_SERVING, ...

    Raises OSError when the connection is lost, LookupError when the protocol is not spoken, RuntimeError for other
    refusals, each with the server's words.
    """
    name = service.encode()
    size = bytes([len(name)]) if len(name) < 128 else bytes([len(name) & 127 | 128, len(name) >> 7])  # a varint
    request = b"\x0a" + size + name if name else b""
    try:
        async with channel.request(
            "/grpc.health.v1.Health/Check",
            Cardinality.UNARY_UNARY,
            cast(Any, bytes),
            cast(Any, bytes),
        ) as stream:
            await stream.send_message(cast(Any, request), end=True)
            reply = cast("bytes | None", await stream.recv_message())
    except GRPCError as error:
        if error.status is Status.UNIMPLEMENTED:
            raise LookupError(error.message or "") from None
        raise RuntimeError(f"rpc error: code = {_go_name(error.status)} desc = {error.message or ''}") from None
    except (StreamTerminatedError, ProtocolError) as error:
        raise ConnectionResetError(str(error)) from None
    return _STATUS.get(reply[1] if reply and len(reply) > 1 else 0, "UNKNOWN")


def _go_name(status: Status) -> str:
    return "Canceled" if status is Status.CANCELLED else "".join(word.capitalize() for word in status.name.split("_"))
