"""What is to be allowed, and the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.requestinfo import RequestInfo


class Attributes:
    """One action. For a resource `path` is ""; else only `verb` (the HTTP method in lower case) and `path` are set.

    version, selectors: not looked at by RBAC; the Node authorizer reads `field_selector` (its text, or "") to let a
    node list its own pods.
    """

    __slots__ = (
        "api_group",
        "field_selector",
        "label_selector",
        "name",
        "namespace",
        "path",
        "resource",
        "subresource",
        "verb",
        "version",
    )

    def __init__(
        self,
        verb: str,
        api_group: str = "",
        resource: str = "",
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        path: str = "",
        version: str = "*",
        field_selector: str = "",
        label_selector: str = "",
    ) -> None:
        self.verb = verb
        self.api_group = api_group
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.subresource = subresource
        self.path = path
        self.version = version
        self.field_selector = field_selector
        self.label_selector = label_selector

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name in self.__slots__ if (value := getattr(self, name)))
        return f"Attributes({', '.join(shown)})"


class Decision(NamedTuple):
    """`allowed`; `denied` stops the chain, neither is "no opinion". reason: upstream's text, "" if there is none."""

    allowed: bool
    reason: str = ""
    denied: bool = False


ALLOW = Decision(True)
NO_OPINION = Decision(False)

_NONE = [""]

Authorize = Callable[["User", Attributes], Decision]


class Authorizer(Protocol):
    """One way to decide. `authorize` is on the path of every request and need not word why it allows; `explain`
    decides the same and does."""

    def authorize(self, user: User, attributes: Attributes) -> Decision: ...

    def explain(self, user: User, attributes: Attributes) -> Decision: ...


def of_request(info: RequestInfo, params: Mapping[str, list[str]] | None = None) -> Attributes:
    """The attributes of a request; params: its query, for the selectors."""
    if info.is_resource:
        a = Attributes(
            info.verb, info.group, info.resource, info.namespace, info.name, info.subresource, "", info.version
        )
        if params:
            a.field_selector = params.get("fieldSelector", _NONE)[0]
            a.label_selector = params.get("labelSelector", _NONE)[0]
        return a
    return Attributes(info.verb, path=info.path)


def quote(text: str) -> str:
    """As Go's %q for the texts that occur here."""
    return json.dumps(text, ensure_ascii=False)


def forbidden_message(user: User, attributes: Attributes) -> str:
    """`User "x" cannot list resource "pods" in API group "" in the namespace "y"`."""
    a = attributes
    if a.path or not a.resource:
        return f"User {quote(user.name)} cannot {a.verb} path {quote(a.path)}"
    resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
    where = f"in the namespace {quote(a.namespace)}" if a.namespace else "at the cluster scope"
    return (
        f"User {quote(user.name)} cannot {a.verb} resource {quote(resource)} in API group {quote(a.api_group)} {where}"
    )


def forbidden(user: User, attributes: Attributes, reason: str = "") -> StatusError:
    """The 403 for a refused request."""
    message = forbidden_message(user, attributes)
    if reason:
        message = f"{message}: {reason}"
    return errors.forbidden((attributes.api_group, attributes.resource), attributes.name, message)
