"""`kubectl proxy`: the API server on a local port without TLS, with the kubeconfig's credentials added.

Whoever reaches the port acts as the user, so requests are filtered first: a web page must not reach it through a name
that resolves to this machine, and exec and attach are off.
"""

from __future__ import annotations

import os
import re
import socket
import socketserver
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError, ConnectionFailed
from pybernetes.cli.session import seconds

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.rawhttp import HTTP, Reply
    from pybernetes.cli.session import Session

_HOP = ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding")
_NOT_OURS = (*_HOP, "upgrade", "host", "authorization", "content-length")


@dataclass(frozen=True)
class Filter:
    """Which requests may pass: comma-separated regular expressions."""

    accept_hosts: str
    accept_paths: str
    reject_paths: str
    reject_methods: str

    def accepts(self, method: str, path: str, host: str) -> bool:
        """Rejections win."""
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if _matches(self.reject_paths, path) or _matches(self.reject_methods, method):
            return False
        return _matches(self.accept_paths, path) and _matches(self.accept_hosts, name)


def _matches(expressions: str, text: str) -> bool:
    return any(re.search(e, text) for e in expressions.split(","))


@dataclass(frozen=True)
class Paths:
    """Where the API and static files are served."""

    api: str
    static: str
    directory: str

    def within(self, path: str) -> str | None:
        """The path at the API server; None outside of it."""
        if self.api.startswith("/api") and path.startswith(self.api):
            return path
        if path.startswith(self.api):
            return "/" + path[len(self.api) :]
        return None

    def file(self, path: str) -> Path | None:
        """The static file of a path; None outside of them."""
        if not self.directory or not path.startswith(self.static):
            return None
        root = Path(self.directory).resolve()
        found = (root / unquote(urlsplit(path).path)[len(self.static) :]).resolve()
        return found if found.is_relative_to(root) else None


class _Threads(socketserver.ThreadingMixIn):
    daemon_threads = True


class _TCP(_Threads, socketserver.TCPServer):
    allow_reuse_address = True


class _Unix(_Threads, socketserver.UnixStreamServer):
    pass


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if arguments:
        raise CLIError(f"Unexpected args: [{' '.join(arguments)}]\nSee 'kubectl proxy -h' for help and examples")
    path = flags.text("unix-socket")
    if path and flags.given("port") and flags.number("port"):
        raise CLIError("cannot set --unix-socket and --port at the same time")
    if (directory := flags.text("www")) and not os.path.isdir(directory):
        session.warn(f"Warning: Static file directory is not a directory: {directory}")
    names = ("accept-hosts", "accept-paths", "reject-paths", "reject-methods")
    for name in names:
        for expression in flags.text(name).split(","):
            try:
                re.compile(expression)
            except re.error as error:
                raise CLIError(f"error parsing regexp: {error}: `{expression}`") from None
    allowed: Filter | None = Filter(*(flags.text(name) for name in names))
    if flags.on("disable-filter"):
        if not path:
            session.warn(
                "Warning: Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious"
            )
        allowed = None
    prefixes = [f"/{flags.text(name).strip('/')}/".replace("//", "/") for name in ("api-prefix", "www-prefix")]
    handler = _handler(session.http, allowed, Paths(prefixes[0], prefixes[1], directory))
    session.http.authorization()
    session.http.keepalive = seconds(flags.text("keepalive"))
    if not flags.on("append-server-path"):
        session.http.base = ""
    try:
        server = _Unix(path, handler) if path else _TCP((flags.text("address"), flags.number("port")), handler)
    except OSError as error:
        where = path or f"{flags.text('address')}:{flags.number('port')}"
        raise CLIError(f"listen {'unix' if path else 'tcp'} {where}: bind: {(error.strerror or '').lower()}") from None
    with server:
        shown = path or f"{flags.text('address')}:{server.socket.getsockname()[1]}"
        session.say(f"Starting to serve on {shown}")
        session.out.flush()
        server.serve_forever()
    return None


def _handler(template: HTTP, allowed: Filter | None, paths: Paths) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        _http: HTTP | None = None

        def setup(self) -> None:
            super().setup()
            self._http = template.another()

        def finish(self) -> None:
            super().finish()
            if self._http is not None:
                self._http.close()

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # every method is passed on
                return self._serve
            raise AttributeError(name)

        def _serve(self) -> None:
            path = urlsplit(self.path).path
            file = paths.file(path)
            if file is not None:
                return self._file(file)
            goal = paths.within(self.path)
            if goal is None:
                return self._plain(404, b"404 page not found\n")
            host = self.headers.get("Host") or ""
            if allowed is not None and not allowed.accepts(self.command, urlsplit(goal).path, host):
                return self._plain(403, b"Forbidden\n")
            return self._forward(goal)

        def _plain(self, code: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response_only(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _file(self, file: Path) -> None:
            import mimetypes

            if file.is_dir():
                file /= "index.html"
            try:
                body = file.read_bytes()
            except OSError:
                return self._plain(404, b"404 page not found\n")
            return self._plain(200, body, mimetypes.guess_type(file.name)[0] or "application/octet-stream")

        def _body(self) -> bytes | None:
            if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            length = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(length) if length or self.command in ("POST", "PUT", "PATCH") else None

        def _forward(self, goal: str) -> None:
            assert self._http is not None
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_OURS}
            upgrade = self.headers.get("Upgrade")
            if upgrade:
                headers |= {"Connection": "Upgrade", "Upgrade": upgrade}
            try:
                reply = self._http.request(self.command, goal, self._body(), headers)
            except ConnectionFailed as error:
                return self._plain(502, f"{error}\n".encode())
            if reply.code == 101:
                return self._tunnel(reply)
            return self._answer(reply)

        def _head(self, reply: Reply) -> None:
            self.send_response_only(reply.code)
            for name, value in reply.headers.items():
                if name not in _HOP:
                    self.send_header(name.title(), value)

        def _answer(self, reply: Reply) -> None:
            self._head(reply)
            sized = "content-length" in reply.headers or reply.code in (204, 304) or self.command == "HEAD"
            if not sized:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self.command == "HEAD":
                assert self._http is not None
                self._http.close()  # its reader would wait for the body that a HEAD has not
                return
            try:
                for chunk in reply.chunks():
                    self.wfile.write(chunk if sized else b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    self.wfile.flush()
                if not sized:
                    self.wfile.write(b"0\r\n\r\n")
            except (OSError, EOFError):
                self.close_connection = True  # one side has gone in the middle of a body
                assert self._http is not None
                self._http.close()

        def _tunnel(self, reply: Reply) -> None:
            assert self._http is not None
            self._head(reply)
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            server, buffer = self._http.taken()
            self.wfile.write(buffer)
            self.close_connection = True
            _splice(self.connection, self.rfile, server)

    return Handler


def _splice(client: socket.socket, read: Any, server: socket.socket) -> None:
    """Copy both ways until one side ends."""

    def up() -> None:
        try:
            while data := read.read1(65536):
                server.sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            _shut(server)

    thread = threading.Thread(target=up, daemon=True, name="proxy-up")
    thread.start()
    try:
        while data := server.recv(65536):
            client.sendall(data)
    except OSError:
        pass
    finally:
        _shut(client)
        _shut(server)
        thread.join(5)
        server.close()


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


COMMAND = Command(
    "Creates a proxy server or application-level gateway between localhost and the Kubernetes API server.",
    usage="kubectl proxy [--port=PORT] [--www=static-dir] [--www-prefix=prefix] [--api-prefix=prefix]",
    flags="accept-hosts=^localhost$,^127\\.0\\.0\\.1$,^\\[::1\\]$ accept-paths=^.* address=127.0.0.1 api-prefix=/ "
    "append-server-path? disable-filter? keepalive=0s p:port#8001 reject-methods=^$ "
    "reject-paths=^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach u:unix-socket= w:www= P:www-prefix=/static/",
    run=run,
    examples="kubectl proxy --api-prefix=/\nkubectl proxy --port=8011 --www=./local/www/",
)
