"""HTTP/1.1 and WebSockets on one blocking socket: all that a command which asks one question needs.

The client package's transport is made for programs that run for days; importing its HTTP library takes longer than a
whole `kubectl get pods` may. This starts in the time of `import ssl`.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError, ConnectionFailed

if TYPE_CHECKING:
    from pybernetes.cli.websocket import WebSocket
    from pybernetes.client.kubeconfig import Connection

_CHUNK = 65536


class Reply:
    """The head of an answer, and its body as it comes."""

    def __init__(self, code: int, headers: dict[str, str], http: HTTP) -> None:
        self.code = code
        self.headers = headers
        self._http = http

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces, as they arrive."""
        http = self._http
        if self.code in (204, 304):
            return
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size = int(http.line().split(b";")[0], 16)
                if size:
                    yield http.exactly(size)
                http.line()
                if not size:
                    break
        elif "content-length" in self.headers:
            left = int(self.headers["content-length"])
            while left:
                data = http.some(left)
                left -= len(data)
                yield data
        else:
            while data := http.some(_CHUNK, end_allowed=True):
                yield data
            http.close()
        if self.headers.get("connection", "").lower() == "close":
            http.close()

    def lines(self) -> Iterator[bytes]:
        """The body line by line, without the line ends: watches and logs."""
        rest = b""
        for chunk in self.chunks():
            rest += chunk
            *full, rest = rest.split(b"\n")
            yield from full
        if rest:
            yield rest


class HTTP:
    """One connection to the server of a `Connection`, opened when first used and again when it was closed."""

    def __init__(self, connection: Connection, *, timeout: float | None = None, verbosity: int = 0) -> None:
        self._connection = connection
        scheme, _, rest = connection.server.partition("://")
        if not rest:
            scheme, rest = "http", scheme
        authority, slash, base = rest.partition("/")
        self.base = slash + base if base else ""
        self._tls: ssl.SSLContext | None = None
        self.secure = scheme == "https"
        host, colon, port = authority.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = authority, "443" if self.secure else "80"
        self.host, self.port = host.strip("[]"), int(port)
        self.authority = authority
        self._timeout = timeout
        self._verbosity = verbosity
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._auth: list[tuple[str, str]] | None = None
        #: Seconds between probes of a connection on which nothing is said; 0: none.
        self.keepalive = 0.0

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Send one request; the head of the answer. Raises ConnectionFailed."""
        head = self._head(method, path, body, headers or {})
        for attempt in (0, 1):
            fresh = self._socket is None
            sock = self._open()
            try:
                sock.sendall(head + (body or b""))
                reply = self._reply()
                if self._verbosity >= 6:
                    import sys

                    scheme = "https" if self.secure else "http"
                    print(f"{method} {scheme}://{self.authority}{self.base}{path} {reply.code}", file=sys.stderr)
                return reply
            except (BrokenPipeError, ConnectionResetError, EOFError) as error:
                self.close()
                if fresh or attempt:  # a kept connection may have been closed meanwhile; a new one may not
                    raise ConnectionFailed(f"Unable to connect to the server: {error or 'EOF'}") from None
            except TimeoutError:
                self.close()
                raise ConnectionFailed(
                    "Unable to connect to the server: net/http: request canceled "
                    "(Client.Timeout exceeded while awaiting headers)"
                ) from None
        raise AssertionError("unreachable")

    def upgrade(self, path: str, protocols: tuple[str, ...]) -> WebSocket | Reply:
        """Turn the connection into a WebSocket; the Reply when the server does not want to."""
        import base64

        from pybernetes.cli.websocket import WebSocket

        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Protocol": ", ".join(protocols),
        }
        reply = self.request("GET", path, None, headers)
        if reply.code != 101:
            return reply
        return WebSocket(*self.taken(), reply.headers.get("sec-websocket-protocol", ""))

    def taken(self) -> tuple[socket.socket, bytes]:
        """The connection after an upgrade, and what was read of it already; it is no longer ours."""
        sock, buffer = self._socket, self._buffer
        assert sock is not None
        self._socket, self._buffer = None, b""
        sock.settimeout(None)
        return sock, buffer

    def another(self) -> HTTP:
        """A second connection to the same server."""
        made = HTTP(self._connection, timeout=self._timeout, verbosity=self._verbosity)
        made._tls, made._auth = self._tls, self._auth
        made.base, made.keepalive = self.base, self.keepalive
        return made

    def patience(self, seconds: float | None) -> None:
        """How long a read may wait from now on; TimeoutError after that."""
        self._timeout = seconds
        if self._socket is not None:
            self._socket.settimeout(seconds)

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    # Reading, for Reply

    def some(self, limit: int, *, end_allowed: bool = False) -> bytes:
        """At least one byte and at most `limit`. Raises EOFError."""
        if self._buffer:
            data, self._buffer = self._buffer[:limit], self._buffer[limit:]
            return data
        assert self._socket is not None
        data = self._socket.recv(min(limit, _CHUNK))
        if not data and not end_allowed:
            raise EOFError("EOF")
        return data

    def exactly(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        parts = []
        while size:
            data = self.some(size)
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def line(self) -> bytes:
        """One line, without its end."""
        while b"\r\n" not in self._buffer:
            assert self._socket is not None
            data = self._socket.recv(_CHUNK)
            if not data:
                raise EOFError("EOF")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _reply(self) -> Reply:
        status = self.line()
        headers: dict[str, str] = {}
        warnings = []
        while line := self.line():
            name, _, value = line.decode("latin-1").partition(":")
            name, value = name.lower(), value.strip()
            if name == "warning":
                warnings.append(value)
            headers[name] = value
        if warnings:
            _show_warnings(warnings)
        return Reply(int(status.split(None, 2)[1]), headers, self)

    def _head(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        lines = [
            f"{method} {self.base}{path} HTTP/1.1",
            f"Host: {self.authority}",
        ]
        if "User-Agent" not in headers:
            lines.append("User-Agent: kubectl/v1.36.2 (pybernetes)")
        lines += [f"{k}: {v}" for k, v in self.authorization()]
        lines += [f"{k}: {v}" for k, v in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def authorization(self) -> list[tuple[str, str]]:
        """Headers that say who asks. A token file or plugin is asked once per command."""
        if self._auth is None:
            c = self._connection
            if c.token_file or c.exec_plugin:
                self._auth = self._renewed()
            elif c.token:
                self._auth = [("Authorization", f"Bearer {c.token}")]
            elif c.username:
                import base64

                pair = base64.b64encode(f"{c.username}:{c.password}".encode()).decode()
                self._auth = [("Authorization", f"Basic {pair}")]
            else:
                self._auth = []
            if c.impersonate:
                self._auth.append(("Impersonate-User", c.impersonate))
            if c.impersonate_uid:
                self._auth.append(("Impersonate-Uid", c.impersonate_uid))
            self._auth += [("Impersonate-Group", group) for group in c.impersonate_groups]
            self._auth += [(f"Impersonate-Extra-{k}", v) for k, values in c.impersonate_extra for v in values]
        return self._auth

    def _renewed(self) -> list[tuple[str, str]]:
        import asyncio

        from pybernetes.client.credentials import Credentials
        from pybernetes.client.errors import ConfigError

        credentials = Credentials(self._connection)
        try:
            asyncio.run(credentials.refresh())
        except ConfigError as error:
            if self._connection.exec_plugin is None:
                raise CLIError(str(error)) from None
            raise ConnectionFailed(f"Unable to connect to the server: getting credentials: {error}") from None
        self._tls = credentials.ssl_context()
        return [(k.title(), v) for k, v in credentials.headers.items()]

    def _open(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        self.authorization()
        try:
            if proxy := self._connection.proxy_url:
                from pybernetes.cli import tunnel

                plain = tunnel.through(proxy, self.host, self.port, self._timeout or 30)
            else:
                plain = socket.create_connection((self.host, self.port), timeout=self._timeout or 30)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.keepalive > 0:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
                    plain.setsockopt(socket.IPPROTO_TCP, option, max(1, round(self.keepalive)))
            sock: socket.socket = plain
            if self.secure:
                if self._tls is None:
                    self._tls = _context(self._connection)
                sock = self._tls.wrap_socket(plain, server_hostname=self._connection.tls_server_name or self.host)
        except ConnectionRefusedError:
            raise ConnectionFailed(
                f"The connection to the server {self.host}:{self.port} was refused - "
                "did you specify the right host or port?"
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise ConnectionFailed(
                f"Unable to connect to the server: tls: failed to verify certificate: x509: {error.verify_message}"
            ) from None
        except socket.gaierror:
            raise ConnectionFailed(
                f"Unable to connect to the server: dial tcp: lookup {self.host}: no such host"
            ) from None
        except OSError as error:
            raise ConnectionFailed(
                f"Unable to connect to the server: dial tcp {self.host}:{self.port}: {error}"
            ) from None
        sock.settimeout(self._timeout)
        self._socket = sock
        return sock


def _context(c: Connection) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=c.ca.decode() if c.ca else None)
    if c.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if c.client_certificate:
        if not c.client_key:
            raise CLIError("a client certificate needs its key")
        read, paths = [], []
        for content in (c.client_certificate, c.client_key):  # OpenSSL wants files; these never touch a disk
            descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
            os.write(descriptor, content)
            read.append(descriptor)
            paths.append(f"/proc/self/fd/{descriptor}")
        try:
            context.load_cert_chain(*paths)
        finally:
            for descriptor in read:
                os.close(descriptor)
    return context


_warned: set[str] = set()


def warnings_shown() -> int:
    """How many warnings of the server there were so far."""
    return len(_warned)


def _show_warnings(values: list[str]) -> None:
    """Warnings of the server, once each: `Warning: text`."""
    import re
    import sys

    for value in values:
        for text in re.findall(r'299 \S+ "((?:[^"\\]|\\.)*)"', value):
            plain: Any = re.sub(r"\\(.)", r"\1", text)
            if plain not in _warned:
                _warned.add(plain)
                print(f"Warning: {plain}", file=sys.stderr)
