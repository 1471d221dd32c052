"""What a request is about, told from its method and path alone: verb, group, version, resource, namespace, name.

Authentication, authorization, flow control and routing all look at this; it knows nothing of which resources exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
#: Subresources of namespaces: all else below a namespace is a resource in it.
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


class RequestInfo:
    """One request. For non-resource requests only `verb` (the method in lower case) and `path` are set.

    rest: what follows the name and subresource in a proxy path (`/api/v1/.../proxy/PARTS`), percent-decoded, or None.
    """

    __slots__ = (
        "group",
        "is_resource",
        "name",
        "namespace",
        "path",
        "resource",
        "rest",
        "subresource",
        "verb",
        "version",
    )

    def __init__(self, path: str, verb: str) -> None:
        self.path = path
        self.verb = verb
        self.is_resource = False
        self.group = ""
        self.version = ""
        self.namespace = ""
        self.resource = ""
        self.subresource = ""
        self.name = ""
        self.rest: str | None = None

    def __repr__(self) -> str:
        return " ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__ if hasattr(self, name))


class _Route:
    """What a path says before the method is known."""

    __slots__ = ("group", "name", "namespace", "resource", "rest", "subresource", "version", "watch")

    def __init__(self, group: str, version: str, watch: bool, parts: list[str]) -> None:
        self.group = group
        self.version = version
        self.watch = watch
        self.namespace = ""
        self.subresource = ""
        self.name = ""
        self.rest: str | None = None
        if parts[0] == "namespaces" and len(parts) > 1:
            self.namespace = parts[1]
            if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
                parts = parts[2:]
        self.resource = parts[0]
        if len(parts) > 1:
            self.name = parts[1]
        if len(parts) > 2:
            self.subresource = parts[2]
            if len(parts) > 3:
                self.rest = "/".join(parts[3:])


@lru_cache(4096)
def _route(path: str) -> _Route | None:
    parts = path.split("/")
    if parts and parts[-1] == "" and "proxy" not in parts:
        parts.pop()
    if len(parts) < 4 or parts[0]:
        return None
    if parts[1] == "api":
        group, version, rest = "", parts[2], parts[3:]
    elif parts[1] == "apis" and len(parts) > 4:
        group, version, rest = parts[2], parts[3], parts[4:]
    else:
        return None
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    if not rest[0]:
        return None
    return _Route(group, version, watch, rest)


def parse(method: str, path: str, params: Mapping[str, list[str]]) -> RequestInfo:
    """The request's info. method: upper case; path: percent-decoded, without the query."""
    info = RequestInfo(path, "")
    route = _route(path)
    if route is None:
        info.verb = method.lower()
        return info
    info.is_resource = True
    info.group = route.group
    info.version = route.version
    info.namespace = route.namespace
    info.resource = route.resource
    info.subresource = route.subresource
    info.name = name = route.name
    info.rest = route.rest
    verb = _VERBS.get(method, "")
    if route.watch:
        verb = "watch"
    elif not name:
        if verb == "get":
            watch = params.get("watch")
            verb = "watch" if watch and watch[0].lower() not in ("false", "0") else "list"
        elif verb == "delete":
            verb = "deletecollection"
    if not name and params and (selectors := params.get("fieldSelector")):
        # a rule with resourceNames can allow listing or watching the one object
        for term in selectors[0].split(","):
            key, _, value = term.partition("=")
            if key == "metadata.name":
                info.name = unquote(value.removeprefix("="))
    info.verb = verb
    return info
