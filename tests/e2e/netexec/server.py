"""A small server for Pods of network tests: who am I, whom do I see, and ask somebody for me. Standard library only.

HTTP on $HTTP_PORTS (8080) and UDP on $UDP_PORTS (8081), both lists, at $BIND (all of IPv4; `::`: IPv6 too).
Paths and UDP requests:

    hostname, clientip, echo?msg=X, redirect?to=URL&code=302
    lookup?name=X&family=6       the addresses that the resolver of this container finds
    dial?protocol=http|tcp|udp&host=X&port=N&request=R&tries=N&sourceport=N

$SERVE_PORT_n and $SERVE_TLS_PORT_n: a text that a further port answers every request with, or with $JSON_RESPONSE the
method and the text as JSON.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - the resolver wants it
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def answer(what: str, arguments: dict[str, str], client: tuple[str, int]) -> str | None:
    """What both protocols know."""
    if what == "hostname":
        return socket.gethostname()
    if what == "clientip":
        return f"{client[0]}:{client[1]}"
    if what == "echo":
        return arguments.get("msg", "")
    if what == "lookup":
        with contextlib.suppress(OSError):
            kind = socket.AF_INET6 if arguments.get("family") == "6" else socket.AF_INET
            found = socket.getaddrinfo(arguments["name"], None, kind, socket.SOCK_STREAM)
            return " ".join(sorted({str(item[4][0]) for item in found}))
        return ""
    if what == "dial":
        return dial(arguments)
    return None


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def dial(arguments: dict[str, str]) -> str:
    host, port, timeout = arguments["host"], int(arguments["port"]), float(arguments.get("timeout", "2"))
    responses: list[str] = []
    errors: list[str] = []
    for _ in range(int(arguments.get("tries", "1"))):
        try:
            responses.append(asked(arguments, host, port, timeout))
        except OSError as error:
            errors.append(type(error).__name__)
    return json.dumps({"responses": responses, "errors": errors})


def asked(arguments: dict[str, str], host: str, port: int, timeout: float) -> str:
    request = arguments.get("request", "hostname")
    source = (arguments.get("sourceaddress", "::" if ":" in host else "0.0.0.0"), int(arguments.get("sourceport", "0")))
    if arguments.get("protocol") == "udp":
        with socket.socket(family(host), socket.SOCK_DGRAM) as datagram:
            datagram.settimeout(timeout)
            datagram.bind(source)
            datagram.connect((host, port))
            datagram.send(request.encode())
            return datagram.recv(2000).decode()
    if arguments.get("protocol") == "tcp":
        socket.create_connection((host, port), timeout, source).close()
        return "connected"
    connection = http.client.HTTPConnection(host, port, timeout=timeout, source_address=source)
    try:
        connection.request("GET", f"/{request}")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    #: What a porter's port answers.
    text: str | None = None

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self._any
        raise AttributeError(name)

    def _any(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.text is not None:
            if os.environ.get("JSON_RESPONSE"):
                self._say(json.dumps({"Method": self.command, "Body": self.text}), "application/json")
            else:
                self._say(self.text, "text/html" if self.text.startswith("<") else "text/plain")
            return
        url = urlsplit(self.path)
        arguments = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/redirect":
            self._say("", "text/plain", int(arguments.get("code", "302")), arguments["to"])
            return
        found = answer(url.path.strip("/"), arguments, self.client_address[:2])
        self._say(found if found is not None else "", "text/plain", 200 if found is not None else 404)

    def _say(self, text: str, kind: str, code: int = 200, location: str = "") -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], handler: type[Handler]) -> None:
        self.address_family = family(address[0])
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Without the look-up of the own name; `::` takes both families, as the kernel has it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "netexec", self.server_address[1]


def datagrams(address: str, port: int) -> None:
    with socket.socket(family(address), socket.SOCK_DGRAM) as here:
        here.bind((address, port))
        while True:
            data, client = here.recvfrom(2000)
            what, _, rest = data.decode(errors="replace").strip().partition(" ")
            found = answer(what, {"msg": rest}, client)
            here.sendto((found if found is not None else "").encode(), client)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("LINGER") else lambda *_: os._exit(0))
    address = os.environ.get("BIND", "0.0.0.0")
    for port in os.environ.get("HTTP_PORTS", "8080").split(","):
        threading.Thread(target=Server((address, int(port)), Handler).serve_forever).start()
    for port in os.environ.get("UDP_PORTS", "8081").split(","):
        threading.Thread(target=datagrams, args=(address, int(port))).start()
    for name, text in os.environ.items():
        kind, _, port = name.rpartition("_")
        if kind not in ("SERVE_PORT", "SERVE_TLS_PORT"):
            continue
        server = Server((address, int(port)), type("Porter", (Handler,), {"text": text}))
        if kind == "SERVE_TLS_PORT":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain("/tls.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever).start()


if __name__ == "__main__":
    if sys.argv[1:] == ["--modules"]:
        print("\n".join(sorted({str(m.__file__) for m in list(sys.modules.values()) if getattr(m, "__file__", None)})))
    else:
        main()
