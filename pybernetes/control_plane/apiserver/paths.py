"""Everything that is not a resource: `/`, `/version`, health, metrics, discovery, OpenAPI, the token issuer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from pybernetes import KUBERNETES_VERSION
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.discovery import Discovery
from pybernetes.control_plane.apiserver.health import Health
from pybernetes.control_plane.apiserver.metrics import Metrics
from pybernetes.machinery import errors

Handler = Callable[[Call], Awaitable[Result | None]]

#: What /version says: clients compare minor versions.
VERSION = {
    "major": "1",
    "minor": KUBERNETES_VERSION.split(".")[1],
    "emulationMajor": "1",
    "emulationMinor": KUBERNETES_VERSION.split(".")[1],
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": KUBERNETES_VERSION,
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "cpython",
    "platform": "linux/amd64",
}


class Paths:
    """Finds the handler of a path. Others mount theirs with `mount` (exact) or `mount_below` (a prefix)."""

    def __init__(self, discovery: Discovery, health: Health, metrics: Metrics) -> None:
        self._discovery = discovery
        self._health = health
        self._exact: dict[str, Handler] = {}
        self._below: dict[str, Handler] = {}
        self.mount("/", self._root)
        self.mount("/version", _version)
        self.mount("/metrics", metrics.answer)
        self.mount("/metrics/slis", health.metrics)

    def mount(self, path: str, handler: Handler) -> None:
        """Serve one path (and the same with a slash behind)."""
        self._exact[path] = handler

    def unmount(self, path: str) -> None:
        """Serve a path no more."""
        self._exact.pop(path, None)

    def mount_below(self, prefix: str, handler: Handler) -> None:
        """Serve `prefix` and everything below it."""
        self._below[prefix] = handler

    def find(self, path: str) -> Handler | None:
        """The handler of a path, or None."""
        handler = self._exact.get(path) or self._exact.get(path.rstrip("/"))
        if handler is None and path.startswith("/api"):
            handler = self._discovery.find(path)
        if handler is None:
            found: Any = self._health.find(path)
            handler = found
        if handler is None:
            for prefix, below in self._below.items():
                if path == prefix or path.startswith(prefix + "/"):
                    return below
        return handler

    async def _root(self, call: Call) -> Result:
        listed = [*self._exact, *self._below, *self._discovery.paths(), "/healthz", "/livez", "/readyz"]
        return _always_json({"paths": sorted({path for path in listed if path != "/"})})


async def _version(call: Call) -> Result:
    if call.method not in ("GET", "HEAD"):
        raise errors.method_not_allowed(("", ""), call.method)
    return _always_json(VERSION)


def _always_json(value: dict[str, Any]) -> Result:
    """What is no API object has one form, whatever the client accepts."""
    return Result(raw=msgspec.json.format(msgspec.json.encode(value), indent=2))
