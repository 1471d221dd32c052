"""What probes do: exec, HTTP, TCP, gRPC health. One function, one result; lifecycle hooks share the HTTP.

HTTP is spoken here in a few lines, because a probe every second on a hundred pods must cost little, and a client
library would add imports, pools and options that a probe must not have (no proxies, no verification, no keep-alive).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from pybernetes.api.core_v1 import ExecAction, GRPCAction, HTTPGetAction, Pod, TCPSocketAction
from pybernetes.node.cri import ContainerRuntime, CRIError, DeadlineExceeded
from pybernetes.node.kubelet.restarts import AnyContainer

MAX_BODY = 10 * 1024
USER_AGENT = "kube-probe/1.36"
#: How it ends when TLS was expected and something else came.
NO_TLS = "http: server gave HTTP response to HTTPS client"

SUCCESS, FAILURE, ERROR = "success", "failure", "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error` means that nothing is known: the runtime could not even try."""

    result: str
    output: str = ""
    #: A success that somebody should hear of.
    warning: bool = False


class Handler(Protocol):
    """One of these."""

    exec: ExecAction | None
    http_get: HTTPGetAction | None
    tcp_socket: TCPSocketAction | None
    grpc: GRPCAction | None


async def perform(
    runtime: ContainerRuntime, pod: Pod, container: AnyContainer, container_id: str, pod_ip: str, handler: Handler,
    timeout: float,
) -> Outcome:  # fmt: skip
    """Carry out a handler against one container. Never raises but for cancellation."""
    grpc = handler.grpc
    try:
        if handler.exec is not None:
            return await _exec(runtime, container_id, handler.exec.command or [], timeout)
        if handler.http_get is not None:
            return await http_get(handler.http_get, container, pod_ip, timeout)
        if handler.tcp_socket is not None:
            port = port_number(container, handler.tcp_socket.port)
            return await _tcp(handler.tcp_socket.host or pod_ip, port, timeout)
        if grpc is not None:
            return await _grpc(pod_ip, grpc.port, grpc.service or "", timeout)
    except ValueError as error:
        return Outcome(ERROR, str(error))
    return Outcome(ERROR, f"missing handler for {pod.metadata.name}:{container.name}")


def port_number(container: AnyContainer, port: int | str | None) -> int:
    """A port number from a number, its text, or the name of a container port. Raises ValueError."""
    if isinstance(port, int):
        number = port
    elif port is None:
        number = 0
    elif (found := next((p.container_port for p in container.ports or () if p.name == port), None)) is not None:
        number = found
    else:
        try:
            number = int(port)
        except ValueError:
            raise ValueError(f"port {port} not found") from None
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number


async def _exec(runtime: ContainerRuntime, container_id: str, command: list[str], timeout: float) -> Outcome:
    try:
        result = await runtime.exec_sync(container_id, command, timeout)
    except DeadlineExceeded:
        return Outcome(FAILURE, f'command "{" ".join(command)}" timed out')
    except CRIError as error:
        return Outcome(ERROR, error.message)
    text = (result.stdout + result.stderr)[:MAX_BODY].decode("utf-8", "replace")
    if result.exit_code:
        return Outcome(FAILURE, text)
    return Outcome(SUCCESS, text)


def address(host: str, port: int) -> str:
    """`host:port`, with brackets where they belong."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _dial_text(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connect: connection refused"
    return f"connect: {(error.strerror or str(error)).lower()}"


async def _tcp(host: str, port: int, timeout: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout or None):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(FAILURE, f"dial tcp {address(host, port)}: i/o timeout")
    except OSError as error:
        return Outcome(FAILURE, f"dial tcp {address(host, port)}: {_dial_text(error)}")
    writer.close()
    return Outcome(SUCCESS)


async def http_get(
    action: HTTPGetAction, container: AnyContainer, pod_ip: str, timeout: float, user_agent: str = USER_AGENT,
    *, any_status: bool = False,
) -> Outcome:  # fmt: skip
    """One request, with the redirects that lead to the same host. any_status: every answer is a success. Raises
    ValueError about the port."""
    scheme = (action.scheme or "HTTP").lower()
    host = action.host or pod_ip
    port = port_number(container, action.port)
    path = action.path or "/"
    path = path if path.startswith("/") else f"/{path}"
    headers: dict[str, str] = {"User-Agent": user_agent, "Accept": "*/*"}
    host_header = ""
    for header in action.http_headers or ():
        if header.name.lower() == "host":
            host_header = header.value
        for known in [k for k in headers if k.lower() == header.name.lower()]:
            del headers[known]
        headers[header.name] = header.value
    headers.pop("Host", None)
    url = f"{scheme}://{address(host, port)}{path}"
    try:
        async with asyncio.timeout(timeout or None):
            for _ in range(10):
                status, location, body = await _get(scheme, host, port, path, headers, host_header)
                if not (300 <= status < 400 and location):
                    break
                parts = urlsplit(urljoin(f"{scheme}://{address(host, port)}{path}", location))
                if parts.hostname != host.lower():
                    return Outcome(SUCCESS, f"Probe terminated redirects, Response body: {body}", warning=True)
                scheme = parts.scheme
                port = parts.port or (443 if scheme == "https" else 80)
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            else:
                return Outcome(FAILURE, f'Get "{url}": stopped after 10 redirects')
    except TimeoutError:
        return Outcome(
            FAILURE, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        )
    except OSError as error:
        if getattr(error, "reason", "") in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):  # of an ssl.SSLError
            return Outcome(FAILURE, f'Get "{url}": {NO_TLS}')
        return Outcome(FAILURE, f'Get "{url}": dial tcp {address(host, port)}: {_dial_text(error)}')
    except (EOFError, ValueError) as error:
        return Outcome(FAILURE, f'Get "{url}": {error}')
    if any_status or 200 <= status < 400:
        return Outcome(SUCCESS, body)
    return Outcome(FAILURE, f"HTTP probe failed with statuscode: {status}")


async def _get(
    scheme: str, host: str, port: int, path: str, headers: Mapping[str, str], host_header: str
) -> tuple[int, str, str]:
    """Status, Location and the beginning of the body."""
    tls = None
    if scheme == "https":
        import ssl

        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=64 * 1024)
    try:
        lines = [f"GET {path} HTTP/1.1", f"Host: {host_header or address(host, port)}"]
        lines += [f"{k}: {v}" for k, v in headers.items() if v or k not in ("User-Agent", "Accept")]
        writer.write(("\r\n".join([*lines, "Connection: close", "", ""])).encode("latin-1", "replace"))
        first = (await reader.readline()).split(None, 2)
        if len(first) < 2 or not first[0].startswith(b"HTTP/"):
            raise EOFError("EOF" if not first else "malformed HTTP response")
        status, location = int(first[1]), ""
        while (line := await reader.readline()) not in (b"\r\n", b"\n", b""):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"location":
                location = value.strip().decode("latin-1")
        body = b""
        if status >= 300 or status < 200:
            body = await reader.read(MAX_BODY)
        return status, location, body.decode("utf-8", "replace")
    finally:
        writer.close()


async def _grpc(host: str, port: int, service: str, timeout: float) -> Outcome:
    from pybernetes.node.kubelet.grpc_health import check, connected

    server = address(host, port)
    # The usual client tries to connect until its time is over, so that is what it tells of a refused connection.
    away = f'timeout: failed to connect service "{server}" within {timeout:g}s: context deadline exceeded'
    is_connected = False
    try:
        async with asyncio.timeout(timeout or None), connected(host, port) as channel:
            is_connected = True
            status = await check(channel, service)
    except TimeoutError:
        return Outcome(FAILURE, f"timeout: health rpc did not complete within {timeout:g}s" if is_connected else away)
    except OSError as error:
        text = f"error: health rpc failed: rpc error: code = Unavailable desc = {error}"
        return Outcome(FAILURE, text if is_connected else away)
    except LookupError as error:
        text = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return Outcome(FAILURE, f"{text}: {error.args[0]}")
    except RuntimeError as error:
        return Outcome(FAILURE, f"error: health rpc failed: {error}")
    if status != "SERVING":
        return Outcome(FAILURE, f'service unhealthy (responded with "{status}")')
    return Outcome(SUCCESS, "service healthy")
