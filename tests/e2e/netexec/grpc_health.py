"""A gRPC server with the official library, and its health service: what probes ask. Port 5000 speaks the health
protocol, 5001 knows nothing of it. The first argument is where the library is installed.

A file in /tmp changes what a service of its name says.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - imported only when it is needed, else
import encodings.idna  # noqa: F401
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

sys.path.append(sys.argv[1])

import grpc

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def check(request: bytes, context: Any) -> bytes:
    service = request[2:].decode()
    if service == "slow":
        time.sleep(3)
    if service not in ("", "main", "stopped", "slow"):
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    down = service == "stopped" or os.path.exists(f"/tmp/{service}.down")
    return NOT_SERVING if down else SERVING


def serve(*, health: bool, port: int) -> tuple[Any, int]:
    """The server, and its port."""
    methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    handlers = (grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),) if health else ()
    server = grpc.server(ThreadPoolExecutor(32), handlers=handlers)
    bound = server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    return server, bound


def modules() -> list[str]:
    """What is imported by the time that a request is answered."""
    server, port = serve(health=True, port=0)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
    server.stop(0).wait()
    return [name for module in list(sys.modules.values()) if (name := getattr(module, "__file__", None))]


if __name__ == "__main__":
    if sys.argv[-1] == "--modules":
        print("\n".join(modules()))
    else:
        servers = [serve(health=True, port=5000), serve(health=False, port=5001)]
        servers[0][0].wait_for_termination()
