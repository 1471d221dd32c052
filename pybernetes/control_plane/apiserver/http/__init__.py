"""Our own thin HTTP/1.1 server: the hot path of the product.

`server.py` listens and sweeps; `tls.py` encrypts; `parser.py` makes requests of bytes, `connection.py` answers;
`messages.py`, `stream.py` and `hijack.py` are what a handler sees; `websocket.py` speaks WebSocket over a hijacked
connection.
Not a web framework: they cost four times the time of everything else the API server does for a GET, and none
hands over the raw connection, which exec, attach and port-forward need. The package knows no Kubernetes.
"""

from pybernetes.control_plane.apiserver.http.calls import Handler, ensure_task
from pybernetes.control_plane.apiserver.http.connection import Connection
from pybernetes.control_plane.apiserver.http.hijack import RawConnection
from pybernetes.control_plane.apiserver.http.messages import Request, Response, render_headers
from pybernetes.control_plane.apiserver.http.peer import PeerCertificate
from pybernetes.control_plane.apiserver.http.server import Config, HTTPServer
from pybernetes.control_plane.apiserver.http.stream import Stream, frame
from pybernetes.control_plane.apiserver.http.tls import server_context

__all__ = [
    "Config",
    "Connection",
    "HTTPServer",
    "Handler",
    "PeerCertificate",
    "RawConnection",
    "Request",
    "Response",
    "Stream",
    "ensure_task",
    "frame",
    "render_headers",
    "server_context",
]
