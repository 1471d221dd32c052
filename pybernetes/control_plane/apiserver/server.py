"""The API server: assembles cache, registry, admission and chain, listens, and runs until cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pybernetes.aio.tasks import Ready
from pybernetes.control_plane.apiserver import resources
from pybernetes.control_plane.apiserver.admission.attributes import Plugin
from pybernetes.control_plane.apiserver.admission.chain import Admission
from pybernetes.control_plane.apiserver.cache import WatchCache
from pybernetes.control_plane.apiserver.chain import Chain, PathHandler, Step
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.http import Config as HTTPConfig
from pybernetes.control_plane.apiserver.http import HTTPServer, Request, Response, server_context
from pybernetes.control_plane.apiserver.objects import stamp
from pybernetes.control_plane.apiserver.registry import Registry
from pybernetes.control_plane.apiserver.render import error_response
from pybernetes.machinery import errors
from pybernetes.store import Store, open_store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    """Everything an API server needs to know."""

    #: A store, or the URL of one (`memory:`, `sqlite:///path`, `etcd://host:port`).
    store: Store | str = "memory:"
    #: Address and port to bind; port 0 takes a free one.
    host: str = "127.0.0.1"
    port: int = 0
    #: PEM files of the serving certificate and its key; "" serves plain HTTP (tests and benchmarks on loopback only).
    tls_certificate: str = ""
    tls_key: str = ""
    #: PEM files of authorities whose client certificates are accepted.
    client_cas: tuple[str, ...] = ()
    #: Admission plugins, in order.
    admission: Sequence[Plugin] = field(default_factory=tuple)


class APIServer:
    """`run()` until cancelled; `ready` carries (host, port)."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ready: Ready[tuple[str, int]] = Ready()
        self.store = open_store(config.store, stamp=stamp) if isinstance(config.store, str) else config.store
        self.cache = WatchCache(self.store)
        self.registry = Registry()
        self.core = Core(self.cache, self.registry, Admission(config.admission))
        self.chain = Chain(self.core, self._steps(), self._path)

    def _steps(self) -> list[Step]:
        return []

    def _path(self, path: str) -> PathHandler | None:
        return None

    async def run(self) -> None:
        """Serve until cancelled."""
        config = self.config
        await self.store.start()
        try:
            self.registry.extend(resources.build(self.core))
            await self.cache.start()
            tls = server_context(config.tls_certificate, config.tls_key, config.client_cas) if config.tls_key else None
            server = HTTPServer(
                self.chain.serve_http, HTTPConfig(host=config.host, port=config.port, tls=tls), _refusal
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(server.run(), name="apiserver/http")
                self.ready.set(await server.ready.wait())
        finally:
            self.cache.close()
            await self.store.close()


def _refusal(request: Request | None, status: int, message: str) -> Response:
    error: Any
    if status == 413:
        error = errors.too_large(message)
    elif status >= 500:
        error = errors.internal(message)
    else:
        error = errors.StatusError(status, "BadRequest", message)
    return error_response(None, error)
