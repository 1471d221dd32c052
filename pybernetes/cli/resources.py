"""Which kinds the server has: aggregated discovery, kept on disk so that most commands do not ask.

A name that the cache does not know is looked up again at the server once; so a new CRD is found at once, and the rest
costs one file read. A cache older than six hours is not believed.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.rawhttp import HTTP

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
_MAXIMUM_AGE = 6 * 3600


@dataclass(frozen=True)
class Resource:
    """One kind in one version, as discovery tells it."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """`apps/v1`, `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """`deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def shown(self) -> str:
        """What stands before the slash in output: `deployment.apps`, `pod`."""
        name = self.singular or self.kind.lower()
        return f"{name}.{self.group}" if self.group else name

    @property
    def gvr(self) -> str:
        """As Go prints it: `apps/v1, Resource=deployments`, `/v1, Resource=pods`."""
        return f"{self.group}/{self.version}, Resource={self.plural}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, or of one object."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            from urllib.parse import quote

            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


class Resources:
    """All kinds of one server."""

    def __init__(self, http: HTTP, cache_dir: str) -> None:
        self._http = http
        host = f"{http.host}_{http.port}".replace(":", "_")
        self._file = Path(cache_dir) / "discovery" / host / "pybernetes.json"
        self._all: list[Resource] | None = None
        self._fresh = False

    def all(self) -> list[Resource]:
        """In the server's order, the preferred version of each group first."""
        if self._all is None:
            self._all = self._cached()
        if self._all is None:
            self.refresh()
        assert self._all is not None
        return self._all

    def refresh(self) -> None:
        """Ask the server, and remember."""
        found: list[Resource] = []
        for path in ("/api", "/apis"):
            reply = self._http.request("GET", path, None, {"Accept": _AGGREGATED})
            body = reply.read()
            if reply.code != 200:
                from pybernetes.cli.errors import APIError

                raise APIError(_json(body), reply.code)
            for group in json.loads(body).get("items", ()):
                for version in group.get("versions", ()):
                    found += _resources((group.get("metadata") or {}).get("name", ""), version)
        self._all, self._fresh = found, True
        self._remember(found)

    def find(self, name: str) -> Resource:
        """By any of the names a user may write: `po`, `Pod`, `deployments.apps`, `deploy.v1.apps`. Raises CLIError."""
        if found := self._find(name):
            return found
        if not self._fresh:
            self.refresh()
            if found := self._find(name):
                return found
        raise CLIError(_unknown(name))

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind as manifests name it."""
        for fresh in (False, True):
            if fresh:
                if self._fresh:
                    return None
                self.refresh()
            for resource in self.all():
                if resource.kind == kind and resource.api_version == api_version:
                    return resource
        return None

    def category(self, name: str) -> list[Resource]:
        """The resources of a category such as `all`, each in its preferred version."""
        seen: set[tuple[str, str]] = set()
        found = []
        for r in self.all():
            if name in r.categories and (r.group, r.plural) not in seen:
                seen.add((r.group, r.plural))
                found.append(r)
        return found

    def _find(self, name: str) -> Resource | None:
        every = self.all()
        lower = name.lower()
        resource, _, group = lower.partition(".")
        for matches in (
            lambda r: r.plural == resource or r.singular == resource,
            lambda r: resource in r.short_names,
            lambda r: r.kind.lower() == resource,
        ):
            candidates = [r for r in every if matches(r)]
            if not group:
                if candidates:
                    return candidates[0]
                continue
            for r in candidates:
                if r.group == group:
                    return r
            version, _, rest = group.partition(".")
            for r in candidates:
                if r.version == version and r.group == rest:
                    return r
            for r in candidates:  # a prefix of the group is enough
                if r.group.startswith(group):
                    return r
        return None

    def _cached(self) -> list[Resource] | None:
        try:
            from pybernetes.cli.session import wall_clock

            if wall_clock() - self._file.stat().st_mtime > _MAXIMUM_AGE:
                return None
            rows = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return None
        return [_of_row(row) for row in rows]

    def _remember(self, found: list[Resource]) -> None:
        rows = [list(vars(r).values()) for r in found]
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            temporary.write_text(json.dumps(rows))
            temporary.replace(self._file)
        except OSError:
            pass  # a cache is a convenience


def _of_row(row: list[Any]) -> Resource:
    values: list[Any] = [tuple(v) if isinstance(v, list) else v for v in row]
    return Resource(*values)


def _unknown(name: str) -> str:
    return f'the server doesn\'t have a resource type "{name}"'


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
        return found if isinstance(found, dict) else {}
    except ValueError:
        return {"message": body.decode("utf-8", "replace")}


def _resources(group: str, version: dict[str, Any]) -> list[Resource]:
    found = []
    for r in version.get("resources", ()):
        kind = r.get("responseKind") or {}
        found.append(
            Resource(
                group=group,
                version=version["version"],
                kind=kind.get("kind", ""),
                plural=r["resource"],
                singular=r.get("singularResource", ""),
                namespaced=r.get("scope") == "Namespaced",
                short_names=tuple(r.get("shortNames") or ()),
                categories=tuple(r.get("categories") or ()),
                verbs=tuple(r.get("verbs") or ()),
                subresources=tuple(s["subresource"] for s in r.get("subresources") or ()),
            )
        )
    return found
