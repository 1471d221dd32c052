"""The plan in haproxy's language: a configuration, two maps, a list of certificates. Pure.

Hosts and paths are looked up in maps, so that a request costs the same with one rule or ten thousand. A key is
`host|path`. Of prefixes haproxy's `map_beg` finds the longest; a `/` at the end of both key and path makes it stop at
the borders of path elements.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pybernetes.network.ingress.plan import MISSING, Place, Plan
from pybernetes.network.ingress.slots import Slots

CONFIGURATION, EXACT, PREFIX, CERTIFICATES = "haproxy.cfg", "exact.map", "prefix.map", "certificates.list"
#: After the name of a backend in a map: plain HTTP is sent to HTTPS.
SECURE = "~secure"
#: Certificates are in files of that directory.
CERTIFICATE_DIRECTORY = "certificates"
#: Written by whoever has it, beside what `files` gives.
DEFAULT_CERTIFICATE = f"{CERTIFICATE_DIRECTORY}/default.pem"


@dataclass(frozen=True)
class Setting:
    """What does not depend on the API. directory: where the files are; user: whom the worker runs as."""

    directory: str
    addresses: tuple[str, ...]
    http_port: int
    https_port: int
    socket: str
    user: str = ""


def files(plan: Plan, seats: Mapping[str, Slots], setting: Setting) -> dict[str, bytes]:
    """Path below the directory -> content."""
    found = {
        CONFIGURATION: configuration(plan, seats, setting).encode(),
        EXACT: _map(plan, "Exact", plan.exact),
        PREFIX: _map(plan, "Prefix", plan.prefix),
        CERTIFICATES: _list(plan, setting).encode(),
    }
    for name, (_, pem) in plan.certificates.items():
        found[_file(name)] = pem
    return found


def _file(name: str) -> str:
    """A namespace and a name together may be longer than the name of a file."""
    return f"{CERTIFICATE_DIRECTORY}/{hashlib.sha256(name.encode()).hexdigest()[:40]}.pem"


def _map(plan: Plan, kind: str, places: Mapping[Place, str]) -> bytes:
    lines = []
    for place, name in sorted(places.items()):
        mark = SECURE if (kind, place) in plan.secure else ""
        lines.append(f"{place[0]}|{place[1]} {name}{mark}\n")
    return "".join(lines).encode()


def _list(plan: Plan, setting: Setting) -> str:
    """The first is the one for names that nobody else has."""
    lines = [f"{setting.directory}/{DEFAULT_CERTIFICATE}"]
    for name, (hosts, _) in sorted(plan.certificates.items()):
        lines.append(" ".join((f"{setting.directory}/{_file(name)}", *hosts)))
    return "\n".join(lines) + "\n"


def configuration(plan: Plan, seats: Mapping[str, Slots], setting: Setting) -> str:
    """The main file."""
    parts = [_GLOBAL.format(socket=setting.socket), f"  user {setting.user}\n" if setting.user else "", _DEFAULTS]
    parts.append("frontend ingress\n")
    for address in setting.addresses:
        host = f"[{address}]" if ":" in address else address
        parts.append(f"  bind {host}:{setting.http_port}\n")
        listed = f"{setting.directory}/{CERTIFICATES}"
        parts.append(f"  bind {host}:{setting.https_port} ssl crt-list {listed} alpn h2,http/1.1\n")
    parts.append(_HEADERS)
    parts += _lookups(setting.directory)
    port = "" if setting.https_port == 443 else f":{setting.https_port}"
    where = f"https://%[req.hdr(host),host_only]{port}%[pathq]"
    plain = f"!{{ ssl_fc }} {{ var(txn.backend) -m end {SECURE} }}"
    parts.append(f"  http-request redirect code 308 location {where} if {plain}\n")
    parts.append("  use_backend %[var(txn.backend),field(1,~)] if { var(txn.backend) -m found }\n")
    parts.append(f"  default_backend {plan.default or 'nothing'}\n")
    parts.append(_ANSWERS.format(missing=MISSING))
    for name, backend in sorted(plan.backends.items()):
        # A hash of the client's address needs no memory, so it outlives reloads and is the same on every node.
        balance = "balance source\n  hash-type consistent" if backend.sticky else "balance roundrobin"
        parts.append(f"backend {name}\n  {balance}\n")
        for i, server in enumerate(seats[name], 1):
            place = f"{_bracketed(server[0])}:{server[1]}" if server else "127.0.0.1:1 disabled"
            parts.append(f"  server s{i} {place}{' ' + backend.options if backend.options else ''}\n")
    return "".join(parts)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _lookups(directory: str) -> list[str]:
    """From the most special to the most general; the first that finds something is right."""
    lines: list[str] = []
    for host in ("var(txn.host)", "var(txn.wildcard)", "str()"):
        for name, method, end in ((EXACT, "map_str", ""), (PREFIX, "map_beg", ",/")):
            unless = "" if not lines else " if !{ var(txn.backend) -m found }"
            look = f"{host},concat(|,txn.path{end}),{method}({directory}/{name})"
            lines.append(f"  http-request set-var(txn.backend) {look}{unless}\n")
    return lines


_GLOBAL = """global
  log stderr format raw daemon notice
  fd-hard-limit 50000
  hard-stop-after 240s
  stats socket {socket} mode 600 level admin expose-fd listeners
  ssl-default-bind-options ssl-min-ver TLSv1.2
"""

# Idle times are those of upstream's most used controller; a tunnel (WebSocket) may rest an hour.
_DEFAULTS = """defaults
  mode http
  log global
  option dontlognull
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 30s
  timeout http-keep-alive 75s
  timeout queue 10s
  timeout tunnel 1h
"""

# What the client says about itself is not believed. A request that may have been carried out is not sent twice.
_HEADERS = """  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
  http-request disable-l7-retry if !{ method GET HEAD OPTIONS PUT DELETE TRACE }
  http-request set-var(txn.host) req.hdr(host),host_only,lower
  http-request set-var(txn.wildcard) var(txn.host),regsub(^[^.]+,*)
  http-request set-var(txn.path) path
"""

_ANSWERS = """backend nothing
  http-request return status 404 content-type text/plain string "default backend - 404"
backend {missing}
  http-request return status 503 content-type text/plain string "no such backend - 503"
"""
