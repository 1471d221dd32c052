"""CEL as admission uses it: the variables of a request, the authorizer, and programs that are compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes as Action
from pybernetes.machinery import cel
from pybernetes.machinery.text import quote

if TYPE_CHECKING:
    from pybernetes.api.admissionregistration_v1 import MatchCondition
    from pybernetes.control_plane.apiserver.admission.matching import Hit
    from pybernetes.control_plane.apiserver.core import Core

#: What expressions may refer to; policies add `params` and `variables`.
VARIABLES: dict[str, Any] = {
    "object": cel.DYN,
    "oldObject": cel.DYN,
    "request": cel.DYN,
    "authorizer": cel.DYN,
    "namespaceObject": cel.DYN,
}
POLICY_VARIABLES: dict[str, Any] = {**VARIABLES, "params": cel.DYN, "variables": cel.DYN}


@lru_cache(4096)
def program(text: str, result: str = "", policy: bool = False) -> cel.Program:
    """A compiled expression. Raises CelError."""
    return cel.compile(text, POLICY_VARIABLES if policy else VARIABLES, result)


def lazy(make: Callable[[], Any]) -> Callable[[], Any]:
    """A variable that is made when it is first looked at."""

    def get() -> Any:
        return make()

    get.cel_lazy = True  # type: ignore[attr-defined]
    return get


def activation(core: Core, attributes: Attributes, hit: Hit | None = None) -> dict[str, Any]:
    """The variables of a request."""
    from pybernetes.control_plane.apiserver.admission import webhooks
    from pybernetes.control_plane.apiserver.admission.matching import Hit as _Hit

    kind = attributes.resource.kind
    seen = hit or _Hit(kind.group, kind.version, kind.resource, kind.kind)

    def request() -> dict[str, Any]:
        made: dict[str, Any] = webhooks.request_of(core, attributes, seen)["request"]
        for name in ("object", "oldObject", "uid"):
            made.pop(name, None)
        made.setdefault("name", "")
        made.setdefault("namespace", "")
        made.setdefault("subResource", "")
        return made

    def namespace() -> Any:
        item = core.item("", "namespaces", "", attributes.namespace) if attributes.namespace else None
        return item.storage.codec.to_wire(item.obj) if item is not None else None

    return {
        "object": lazy(lambda: webhooks.wire_of(core, attributes, attributes.obj, seen)),
        "oldObject": lazy(lambda: webhooks.wire_of(core, attributes, attributes.old_obj, seen)),
        "request": lazy(request),
        "namespaceObject": lazy(namespace),
        "authorizer": Authorizer(core, attributes),
    }


def conditions_hold(core: Core, attributes: Attributes, conditions: Iterable[MatchCondition]) -> bool:
    """Whether all match conditions hold: one that is false decides, else one that fails raises ValueError."""
    values = activation(core, attributes)
    failure: ValueError | None = None
    for condition in conditions:
        try:
            if program(condition.expression, "bool")(values) is False:
                return False
        except cel.CelError as error:
            failure = ValueError(f"matchCondition {quote(condition.name)}: {error}")
    if failure is not None:
        raise failure
    return True


class Authorizer:
    """`authorizer.group("apps").resource("deployments").namespace("x").check("create").allowed()`."""

    cel_type = "kubernetes.authorization.Authorizer"

    def __init__(self, core: Core, attributes: Attributes, user: Any = None, **asked: str) -> None:
        self._core = core
        self._attributes = attributes
        self._user = user if user is not None else attributes.user
        self._asked = asked

    def _with(self, **more: str) -> Authorizer:
        return Authorizer(self._core, self._attributes, self._user, **{**self._asked, **more})

    def cel_field(self, name: str) -> Any:
        if name != "requestResource":
            raise cel.CelError(f"no such key: {name}")
        kind = self._attributes.resource.kind
        return self._with(
            api_group=kind.group,
            resource=kind.resource,
            subresource=self._attributes.subresource,
            namespace=self._attributes.namespace,
            name=self._attributes.name,
        )

    def cel_method(self, name: str, args: list[Any]) -> Any:
        if name in ("path", "resource", "subresource", "namespace", "name"):
            return self._with(**{name: args[0]})
        if name == "group":
            return self._with(api_group=args[0])
        if name in ("fieldSelector", "labelSelector"):
            return self
        if name == "serviceAccount":
            from pybernetes.control_plane.apiserver.authentication.user import User

            namespace, account = args
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            user = User(f"system:serviceaccount:{namespace}:{account}", "", groups)
            return Authorizer(self._core, self._attributes, user, **self._asked)
        if name == "check":
            return Verdict(self._decide(args[0]))
        raise cel.CelError(f"no such overload: authorizer.{name}")

    def _decide(self, verb: str) -> Any:
        if self._core.authorizer is None:
            return None
        return self._core.authorizer.authorize(self._user, Action(verb, **self._asked))


class Verdict:
    """What the authorizer says."""

    cel_type = "kubernetes.authorization.Decision"

    def __init__(self, decision: Any) -> None:
        self._decision = decision

    def cel_method(self, name: str, args: list[Any]) -> Any:
        if name == "allowed":
            return self._decision is None or bool(self._decision.allowed)
        if name in ("reason", "error"):
            return (self._decision.reason if self._decision is not None else "") if name == "reason" else ""
        if name == "errored":
            return False
        raise cel.CelError(f"no such overload: decision.{name}")
