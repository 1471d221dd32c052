"""A connection through the proxy of a kubeconfig's `proxy-url`: HTTP's CONNECT, or SOCKS 5 (RFC 1928, 1929)."""

from __future__ import annotations

import base64
import socket
import ssl
import struct
from urllib.parse import SplitResult, unquote, urlsplit

from pybernetes.cli.errors import CLIError, ConnectionFailed

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


def through(proxy: str, host: str, port: int, timeout: float) -> socket.socket:
    """A socket that leads to `host:port`. Raises CLIError, ConnectionFailed, OSError."""
    url = urlsplit(proxy)
    if url.scheme not in _PORTS or not url.hostname:
        raise CLIError(
            f'invalid proxy url "{proxy}": unsupported scheme "{url.scheme}", must be http, https, or socks5'
        )
    sock = socket.create_connection((url.hostname, url.port or _PORTS[url.scheme]), timeout=timeout)
    try:
        if url.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=url.hostname)
        if url.scheme in ("http", "https"):
            _connect(sock, url, host, port)
        else:
            _socks(sock, url, host, port)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(sock: socket.socket, url: SplitResult, host: str, port: int) -> None:
    goal = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {goal} HTTP/1.1", f"Host: {goal}"]
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}")
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:  # byte by byte: what follows belongs to the other connection
        data = sock.recv(1)
        if not data:
            raise ConnectionFailed("Unable to connect to the server: proxyconnect tcp: unexpected EOF")
        answer += data
    status = answer.split(b"\r\n")[0].decode("latin-1").split(" ", 1)[-1]
    if not status.startswith("2"):
        raise ConnectionFailed(f"Unable to connect to the server: {status.partition(' ')[2] or status}")


def _socks(sock: socket.socket, url: SplitResult, host: str, port: int) -> None:
    method = 2 if url.username is not None else 0
    sock.sendall(bytes([5, 1, method]))
    if _exactly(sock, 2) != bytes([5, method]):
        raise ConnectionFailed("Unable to connect to the server: socks connect: no acceptable authentication methods")
    if method:
        user, password = unquote(url.username or "").encode(), unquote(url.password or "").encode()
        sock.sendall(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if _exactly(sock, 2)[1]:
            raise ConnectionFailed("Unable to connect to the server: socks connect: username/password refused")
    name = host.encode("idna")
    sock.sendall(bytes([5, 1, 0, 3, len(name)]) + name + struct.pack("!H", port))
    head = _exactly(sock, 4)
    if head[1]:
        raise ConnectionFailed(f"Unable to connect to the server: socks connect: error {head[1]}")
    size = {1: 4, 4: 16}.get(head[3]) or _exactly(sock, 1)[0]
    _exactly(sock, size + 2)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionFailed("Unable to connect to the server: socks connect: EOF")
        data += more
    return data
