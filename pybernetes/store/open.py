"""From a URL to a store. The implementations are imported when asked for: sqlite and gRPC cost start-up time."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from pybernetes.store.errors import StoreError
from pybernetes.store.protocol import Seal, Stamp, Store, unstamped


def open_store(url: str, *, stamp: Stamp = unstamped, seal: Seal | None = None) -> Store:
    """The store a URL names, not yet started.

    `memory:`, `sqlite:///absolute/path` (or `sqlite:relative/path`), and
    `etcd://user:password@host:port,host:port?prefix=/registry-of-mine&cafile=F&certfile=F&keyfile=F` (`etcds://` for
    TLS with the system's authorities; a user is optional, its name and password percent-encoded). seal: what values
    are kept as, on disk or in etcd. Raises StoreError for anything else.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    if parts.scheme == "memory":
        _refuse(url, options, parts.netloc + parts.path)
        from pybernetes.store.memory import MemoryStore

        return MemoryStore(stamp=stamp)
    if parts.scheme == "sqlite":
        _refuse(url, options, parts.netloc)
        if not parts.path:
            raise StoreError(f"store {url!r}: the path is missing")
        from pybernetes.store.sqlite import SqliteStore

        return SqliteStore(unquote(parts.path), stamp=stamp, seal=seal)
    if parts.scheme in ("etcd", "etcds"):
        from pybernetes.store.etcd import EtcdStore
        from pybernetes.store.etcd_channel import TLS

        credentials, at, places = parts.netloc.rpartition("@")
        user, colon, password = credentials.partition(":")
        if at and not (user and colon and password):
            raise StoreError("store etcd: user and password go together")
        prefix = options.pop("prefix", "")
        files = {name: options.pop(name) for name in ("cafile", "certfile", "keyfile") if name in options}
        _refuse(url, options, parts.path.strip("/"))
        endpoints = [_endpoint(url, text) for text in places.split(",")]
        tls = TLS(**files) if files or parts.scheme == "etcds" else None
        who = (unquote(user), unquote(password)) if at else None
        return EtcdStore(endpoints, stamp=stamp, prefix=prefix, tls=tls, user=who, seal=seal)
    raise StoreError(f"store {url!r}: unknown scheme; there are memory:, sqlite:///path and etcd://host:port")


def _endpoint(url: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise StoreError(f"store {url!r}: {text!r} is not host:port")
    return host.strip("[]"), int(port)


def _refuse(url: str, options: dict[str, str], rest: str = "") -> None:
    for unknown in [*options, *filter(None, [rest])]:
        raise StoreError(f"store {url!r}: {unknown!r} is not supported")
