"""The gRPC health protocol (grpc.health.v1), as far as a probe needs it: one call, two messages of one field each."""

from __future__ import annotations

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


async def check(host: str, port: int, service: str) -> str:
    """The serving status: SERVING, NOT_SERVING, ...

    Raises OSError when it cannot be reached, LookupError when the protocol is not spoken, RuntimeError for other
    refusals, TimeoutError by the caller's limit.
    """
    name = service.encode()
    size = bytes([len(name)]) if len(name) < 128 else bytes([len(name) & 127 | 128, len(name) >> 7])  # a varint
    request = b"\x0a" + size + name if name else b""
    channel = Channel(host, port, codec=_Bytes())
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
            raise LookupError("unimplemented") from None
        raise RuntimeError(f"rpc error: code = {error.status.name} desc = {error.message}") from None
    except (StreamTerminatedError, ProtocolError) as error:
        raise ConnectionResetError(str(error)) from None
    finally:
        channel.close()
    return _STATUS.get(reply[1] if reply and len(reply) > 1 else 0, "UNKNOWN")
