"""What the hooks work with: the chain as the server's own user, and the facts of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from pybernetes.api import kinds
from pybernetes.client.transport import Request
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.transport import LocalTransport
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object


@dataclass(frozen=True)
class Setup:
    """See the module. advertise: address under which Pods reach this server ("" if none); port: where it listens;
    node_dns: whether the nodes answer DNS; dns: where.
    """

    core: Core
    transport: LocalTransport
    advertise: str
    port: int
    service_cidrs: tuple[str, ...]
    client_ca: str
    request_header_ca: str
    node_dns: bool = True
    dns: str = ""
    #: Other servers may use the same store.
    shared: bool = False

    def find(self, obj: Object) -> Object | None:
        """The stored object of the same kind, namespace and name."""
        kind = kinds.of(type(obj))
        namespace = obj.metadata.namespace if kind.namespaced else ""
        item = self.core.item(kind.group, kind.resource, namespace, obj.metadata.name)
        return item.obj if item is not None else None  # type: ignore[return-value]

    async def write(self, method: str, obj: Object) -> None:
        """POST, PUT or DELETE `obj`; somebody else's having been faster is fine."""
        kind = kinds.of(type(obj))
        name = "" if method == "POST" else obj.metadata.name
        path = kind.path(obj.metadata.namespace, name)
        try:
            await self.transport.request(Request(method, path, body=None if method == "DELETE" else obj))
        except errors.StatusError as error:
            if not (errors.is_already_exists(error) or errors.is_conflict(error)):
                raise

    async def ensure(self, objects: Iterable[Object]) -> None:
        """Create those that are missing."""
        missing = [obj for obj in objects if self.find(obj) is None]
        if missing:
            async with asyncio.TaskGroup() as group:
                for obj in missing:
                    group.create_task(self.write("POST", obj), name=f"apiserver/setup/{obj.metadata.name}")
