"""The typed client: verbs on resources, over any transport.

`client.resource(Pod)` speaks structs, `client.dynamic("example.org/v1", "widgets")` wire dicts (custom resources
included), `client.metadata(...)` only metadata. All are one class, `Resource`: the difference
is the type answers are converted to. What comes from the client is shared (see `transport`): copy before changing.

There is no cache, retry or rate limit here: informers cache, queues retry, the server limits.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pybernetes.api import kinds
from pybernetes.api.kinds import Kind
from pybernetes.client.resource import Batches, Page, Partial, PatchType, Resource, WatchEvent, as_struct
from pybernetes.client.transport import Request, Transport
from pybernetes.machinery import errors
from pybernetes.machinery.meta import (
    APIGroupList,
    APIResourceList,
    APIVersions,
    Object,
)

O = TypeVar("O", bound=Object)  # noqa: E741 - an object kind

__all__ = ["Batches", "Client", "Page", "Partial", "PatchType", "Resource", "WatchEvent"]


class Client:
    """The API as one identity sees it. `user_agent` names the component (and is the default field manager)."""

    def __init__(self, transport: Transport, user_agent: str = "pybernetes") -> None:
        self.transport = transport
        self.user_agent = user_agent
        self.headers = {"user-agent": user_agent}

    def named(self, user_agent: str) -> Client:
        """The same identity under another component name."""
        return Client(self.transport, user_agent)

    def resource(self, kind: type[O]) -> Resource[O]:
        """The resource of a built-in kind, as structs."""
        return Resource(self, kinds.of(kind), kind)

    def dynamic(self, api_version: str, kind_or_resource: str) -> Resource[dict[str, Any]]:
        """Any resource, as wire dicts. One that is not built in is looked up in discovery at first use."""
        return Resource(self, _built_in(api_version, kind_or_resource), dict, (api_version, kind_or_resource))

    def of_kind(self, kind: Kind) -> Resource[dict[str, Any]]:
        """A resource that discovery has found, as wire dicts."""
        return Resource(self, kind, dict)

    def metadata(self, kind: Kind) -> Resource[Object]:
        """Any resource, metadata only. Over an in-process transport the objects are whole and of their own type."""
        return Resource(self, kind, Partial)

    async def find(self, api_version: str, kind_or_resource: str) -> Kind:
        """The kind of that name, from the built-in table or the server's discovery. Raises StatusError NotFound."""
        if found := _built_in(api_version, kind_or_resource):
            return found
        for kind in await self.discover_group_version(api_version):
            if kind_or_resource in (kind.kind, kind.resource):
                return kind
        group, _, _ = api_version.rpartition("/")
        raise errors.not_found(kinds.GroupResource(group, kind_or_resource), "")

    async def discover(self) -> list[Kind]:
        """Every resource the server serves, in its preferred version, subresources as names.

        A group whose discovery fails (an aggregated server that is down) is left out; `discover_all` tells which.
        """
        return (await self.discover_all())[0]

    async def discover_all(self) -> tuple[list[Kind], dict[str, Exception]]:
        """As `discover`, and the group versions that failed with their error."""
        versions = as_struct(APIVersions, await self.get_path("/api"))
        groups = as_struct(APIGroupList, await self.get_path("/apis"))
        found: list[Kind] = []
        failed: dict[str, Exception] = {}
        wanted = [*versions.versions]
        for group in groups.groups:
            preferred = group.preferred_version.group_version if group.preferred_version else ""
            wanted.append(preferred)
            wanted.extend(v.group_version for v in group.versions if v.group_version != preferred)
        seen: set[tuple[str, str]] = set()
        for group_version in wanted:
            try:
                listed = await self.discover_group_version(group_version)
            except errors.StatusError as error:
                failed[group_version] = error
                continue
            for kind in listed:
                if (key := (kind.group, kind.resource)) not in seen:  # the preferred version came first
                    seen.add(key)
                    found.append(kind)
        return found, failed

    async def discover_group_version(self, api_version: str) -> list[Kind]:
        """The resources of `v1` or `apps/v1`."""
        group, _, version = api_version.rpartition("/")
        path = f"/apis/{api_version}" if group else f"/api/{api_version}"
        listed = as_struct(APIResourceList, await self.get_path(path))
        subresources: dict[str, list[str]] = {}
        for resource in listed.resources:
            parent, slash, name = resource.name.partition("/")
            if slash:
                subresources.setdefault(parent, []).append(name)
        return [
            Kind(
                group,
                version,
                r.kind,
                r.name,
                r.namespaced,
                "",
                tuple(r.short_names or ()),
                tuple(r.categories or ()),
                tuple(subresources.get(r.name, ())),
                tuple(r.verbs),
            )
            for r in listed.resources
            if "/" not in r.name
        ]

    async def get_path(self, path: str) -> Any:
        """GET any path (discovery, /version, /healthz): bytes, or an object from an in-process transport."""
        return (await self.transport.request(Request("GET", path, headers=self.headers))).body

    async def close(self) -> None:
        """Drop the transport's connections."""
        await self.transport.close()


def _built_in(api_version: str, name: str) -> Kind | None:
    group, _, version = api_version.rpartition("/")
    return kinds.by_kind(api_version, name) or kinds.by_resource(group, version, name)
