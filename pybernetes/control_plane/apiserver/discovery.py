"""Discovery: which groups, versions and resources there are, in the old form and the aggregated one.

Made from the registry when asked for and kept until it changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.negotiate import JSON, PROTOBUF, YAML, ranges
from pybernetes.control_plane.apiserver.registry import Registry, version_rank
from pybernetes.control_plane.apiserver.resource import Resource
from pybernetes.machinery import errors

_GROUP = "apidiscovery.k8s.io"
_encode = msgspec.json.Encoder().encode


class Discovery:
    """Answers /api, /apis and below. `aggregated`: group versions served by others, as (group, version) with rows."""

    def __init__(self, registry: Registry, address: Callable[[], str]) -> None:
        self._registry = registry
        self._address = address
        self._made: dict[str, Any] = {}
        registry.on_change(self._made.clear)
        #: Group versions of aggregated servers: (group, version) -> their resources in aggregated form, None if stale.
        self.remote: dict[tuple[str, str], list[dict[str, Any]] | None] = {}

    def changed(self) -> None:
        """What is served by others has changed."""
        self._made.clear()

    def find(self, path: str) -> Callable[[Call], Any] | None:
        """The handler of a discovery path, or None."""
        parts = path.strip("/").split("/")
        if parts == ["api"]:
            return self._api
        if parts == ["apis"]:
            return self._apis
        if parts[0] == "api" and len(parts) == 2 and parts[1] in self._versions(""):
            return self._resources
        if parts[0] == "apis" and len(parts) == 2 and self._versions(parts[1]):
            return self._group
        if parts[0] == "apis" and len(parts) == 3 and parts[2] in self._registry.versions(parts[1]):
            return self._resources
        return None

    def paths(self) -> list[str]:
        """All discovery paths, for `/`."""
        found = ["/api", *(f"/api/{v}" for v in self._versions("")), "/apis"]
        for group in self._groups():
            found.append(f"/apis/{group}")
            found.extend(f"/apis/{group}/{version}" for version in self._versions(group))
        return found

    # -- answers ----------------------------------------------------------------------------------------------------

    async def _api(self, call: Call) -> Result:
        if (result := self._aggregated(call, "api")) is not None:
            return result
        return self._answer(
            call,
            "api",
            lambda: {
                "kind": "APIVersions",
                "versions": self._versions(""),
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address()}],
            },
        )

    async def _apis(self, call: Call) -> Result:
        if (result := self._aggregated(call, "apis")) is not None:
            return result
        return self._answer(
            call,
            "apis",
            lambda: {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._row(g) for g in self._groups()]},
        )

    async def _group(self, call: Call) -> Result:
        name = call.path.strip("/").split("/")[1]
        return self._answer(call, f"group {name}", lambda: {"kind": "APIGroup", "apiVersion": "v1", **self._row(name)})

    async def _resources(self, call: Call) -> Result:
        parts = call.path.strip("/").split("/")
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        return self._answer(call, f"resources {group}/{version}", lambda: self._resource_list(group, version))

    def _answer(self, call: Call, key: str, make: Callable[[], dict[str, Any]]) -> Result:
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = msgspec.convert(make(), dict[str, Any])
        return Result(obj=made)

    def _aggregated(self, call: Call, root: str) -> Result | None:
        """The aggregated document if the client prefers it; None for the old form. Raises 406."""
        accept = call.headers.get(b"accept", b"")
        if _GROUP.encode() not in accept:
            return None
        for entry in ranges(accept):
            kind, group, version = entry.get("as"), entry.get("g"), entry.get("v")
            if entry.media not in (JSON, "*/*", "application/*", YAML, PROTOBUF):
                continue
            if not kind:
                return None
            if kind == "APIGroupDiscoveryList" and group == _GROUP and version == "v2" and entry.media == JSON:
                break
        else:
            raise errors.not_acceptable([JSON, YAML, PROTOBUF])
        key = f"aggregated {root} {entry.get('profile')}"
        made = self._made.get(key)
        if made is None:
            body = _encode(self._aggregated_list(root))
            made = self._made[key] = (body, b'"%b"' % hashlib.sha512(body).hexdigest().upper().encode())
        body, tag = made
        media = b"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        headers = ((b"ETag", tag), (b"Vary", b"Accept"), (b"Cache-Control", b"public"))
        if call.headers.get(b"if-none-match") == tag:
            return Result(304, raw=b"", media_type=media, headers=headers)
        return Result(raw=body, media_type=media, headers=headers)

    # -- documents --------------------------------------------------------------------------------------------------

    def _groups(self) -> list[str]:
        names = [name for name in self._registry.groups() if name]
        return names + sorted({g for g, _ in self.remote} - set(names))

    def _versions(self, group: str) -> list[str]:
        found = {*self._registry.versions(group), *(v for g, v in self.remote if g == group)}
        return sorted(found, key=version_rank)

    def _row(self, group: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in self._versions(group)]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resource_list(self, group: str, version: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for resource in sorted(self._registry.in_version(group, version), key=lambda r: r.kind.resource):
            kind = resource.kind
            row: dict[str, Any] = {
                "name": kind.resource,
                "singularName": resource.singular,
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": sorted(kind.verbs),
            }
            if kind.short_names:
                row["shortNames"] = list(kind.short_names)
            if kind.categories:
                row["categories"] = list(kind.categories)
            if resource.storage is not None:
                row["storageVersionHash"] = storage_version_hash(resource)
            rows.append(row)
            for name, sub in sorted(resource.subresources.items()):
                api_version = sub.api_version or kind.api_version
                row = {
                    "name": f"{kind.resource}/{name}",
                    "singularName": "",
                    "namespaced": kind.namespaced,
                    "kind": sub.kind or kind.kind,
                    "verbs": sorted(sub.verbs),
                }
                if sub.api_version and api_version != kind.api_version:
                    group_of, _, version_of = api_version.rpartition("/")
                    row["version"] = version_of
                    if group_of:
                        row["group"] = group_of
                rows.append(row)
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": rows,
        }

    def _aggregated_list(self, root: str) -> dict[str, Any]:
        items = []
        for group in [""] if root == "api" else self._groups():
            versions = []
            for version in self._versions(group):
                remote = self.remote.get((group, version), ())
                resources = [_aggregated_row(r) for r in self._registry.in_version(group, version)]
                resources.sort(key=lambda r: r["resource"])
                row = {"version": version, "resources": [*resources, *(remote or ())], "freshness": "Current"}
                if remote is None:
                    row["freshness"] = "Stale"
                versions.append(row)
            metadata: dict[str, Any] = {"name": group} if group else {}
            metadata["creationTimestamp"] = None
            items.append({"metadata": metadata, "versions": versions})
        return {"kind": "APIGroupDiscoveryList", "apiVersion": f"{_GROUP}/v2", "metadata": {}, "items": items}


def _aggregated_row(resource: Resource) -> dict[str, Any]:
    kind = resource.kind
    own = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    row: dict[str, Any] = {
        "resource": kind.resource,
        "responseKind": own,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        row["shortNames"] = list(kind.short_names)
    if kind.categories:
        row["categories"] = list(kind.categories)
    subs = []
    for name, sub in sorted(resource.subresources.items()):
        response = own
        if sub.kind:
            group, _, version = (sub.api_version or kind.api_version).rpartition("/")
            response = {"group": group, "version": version, "kind": sub.kind}
        subs.append({"subresource": name, "responseKind": response, "verbs": sorted(sub.verbs)})
    if subs:
        row["subresources"] = subs
    return row


def storage_version_hash(resource: Resource) -> str:
    """Tells clients when the stored version changes: upstream's `base64(sha256(group/version/kind)[:8])`."""
    import base64

    if resource.storage_version_hash:
        return resource.storage_version_hash
    kind = resource.kind
    digest = hashlib.sha256(f"{kind.group}/{kind.version}/{kind.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()
