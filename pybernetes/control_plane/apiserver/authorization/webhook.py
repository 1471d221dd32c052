"""An authorizer that asks another server by SubjectAccessReview.

Authorizers decide from memory; this one too: what it does not remember it raises as `Undecided`, and whoever can wait
(the step of the chain, the reviews) asks and then has it decided again. Elsewhere (inside admission) what was not
asked before is no opinion.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.authorization.attributes import NO_OPINION, Attributes, Decision
from pybernetes.machinery import cel, fields, labels
from pybernetes.machinery.errors import StatusError

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.authorization.configuration import Webhook
    from pybernetes.control_plane.apiserver.remote_hook import RemoteHook

log = logging.getLogger(__name__)

_REMEMBERED = 8192
#: Seconds that a hook that does not answer is left alone about the same question.
_FAILED = 1.0
#: Seconds that any decision is remembered: it has to outlive the asking.
_LEAST = 1.0
_FORBIDDEN = Decision(False, "", True)
_RESOURCE = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_OPERATORS = {
    "=": "In",
    "==": "In",
    "!=": "NotIn",
    "in": "In",
    "notin": "NotIn",
    "exists": "Exists",
    "!": "DoesNotExist",
}


class Undecided(Exception):
    """The hook has to be asked: `await ask()`, then decide again."""

    def __init__(self, hook: AccessWebhook, user: User, attributes: Attributes) -> None:
        super().__init__("the access webhook was not asked yet")
        self._hook, self._user, self._attributes = hook, user, attributes

    async def ask(self) -> None:
        """Ask, and remember."""
        await self._hook.ask(self._user, self._attributes)


async def settled(decide: Callable[[], Any], first: Undecided) -> Any:
    """What `decide` returns once all that it needs to know was asked."""
    missing = first
    while True:
        await missing.ask()
        try:
            return decide()
        except Undecided as more:
            missing = more


class AccessWebhook:
    """See the module. Raises ValueError for a condition that does not compile."""

    def __init__(self, hook: RemoteHook, config: Webhook) -> None:
        self._hook = hook
        self._ttl = {True: config.authorized_ttl, False: config.unauthorized_ttl}
        self._version = config.version
        self._conditions = Conditions(config.conditions)
        self._failed = _FORBIDDEN if config.deny_on_failure else NO_OPINION
        self._known: dict[Any, tuple[float, Decision]] = {}

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        """The remembered decision; no opinion on what the conditions leave out. Raises Undecided."""
        if self._conditions:
            try:
                if not self._conditions.hold(user, attributes):
                    return NO_OPINION
            except cel.CelError as error:
                log.warning("access webhook: match conditions: %s", error)
                return self._failed
        found = self._known.get(_key(user, attributes))
        if found is None or clock.monotonic() > found[0]:
            raise Undecided(self, user, attributes)
        return found[1]

    explain = authorize

    async def ask(self, user: User, attributes: Attributes) -> None:
        """Ask the hook; what becomes of a hook that fails is configured."""
        try:
            status = (await self._hook.post(review(user, attributes, self._version)))["status"]
            decision = Decision(
                bool(status.get("allowed")), str(status.get("reason") or ""), bool(status.get("denied"))
            )
            ttl = self._ttl[decision.allowed]
        except (OSError, ValueError, LookupError, TypeError, AttributeError, StatusError) as error:
            log.warning("access webhook: %s", error)
            decision, ttl = self._failed, _FAILED
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[_key(user, attributes)] = (clock.monotonic() + max(ttl, _LEAST), decision)

    async def close(self) -> None:
        """Close the connection."""
        await self._hook.close()


class Conditions:
    """Expressions over `request`, the spec of the review (v1, whatever is sent): the hook is asked where all hold."""

    def __init__(self, expressions: Sequence[str]) -> None:
        self._programs = []
        for text in expressions:
            try:
                self._programs.append(cel.compile(text, {"request": cel.DYN}, "bool"))
            except cel.CelError as error:
                raise ValueError(f"matchConditions: {text!r}: compilation failed: {error}") from None

    def __bool__(self) -> bool:
        return bool(self._programs)

    def hold(self, user: User, attributes: Attributes) -> bool:
        """Whether all are true. One that is false outweighs one that fails; else raises CelError."""
        spec: dict[str, Any] = {"uid": "", "groups": [], "extra": {}} | review(user, attributes)["spec"]
        if "resourceAttributes" in spec:
            spec["resourceAttributes"] = dict.fromkeys(_RESOURCE, "") | spec["resourceAttributes"]
        failed: cel.CelError | None = None
        for program in self._programs:
            try:
                if program({"request": spec}) is not True:
                    return False
            except cel.CelError as error:
                failed = error
        if failed is not None:
            raise failed
        return True


class Remembered:
    """The same hook for those who cannot wait: what is not known is no opinion."""

    def __init__(self, hook: AccessWebhook) -> None:
        self._hook = hook

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        try:
            return self._hook.authorize(user, attributes)
        except Undecided:
            return NO_OPINION

    explain = authorize


def _key(user: User, attributes: Attributes) -> Any:
    extra = tuple(sorted(user.extra.items()))
    return user.key, user.uid, extra, tuple(getattr(attributes, name) for name in Attributes.__slots__)


def review(user: User, attributes: Attributes, version: str = "v1") -> dict[str, Any]:
    """The question, in v1 or v1beta1 (which differ in one name)."""
    a = attributes
    spec: dict[str, Any] = {"user": user.name}
    if a.path or not a.resource:
        spec["nonResourceAttributes"] = {"path": a.path, "verb": a.verb}
    else:
        asked = {
            "namespace": a.namespace,
            "verb": a.verb,
            "group": a.api_group,
            "version": a.version,
            "resource": a.resource,
            "subresource": a.subresource,
            "name": a.name,
        }
        spec["resourceAttributes"] = {name: value for name, value in asked.items() if value}
        if found := _field_requirements(a.field_selector):
            spec["resourceAttributes"]["fieldSelector"] = {"requirements": found}
        if found := _label_requirements(a.label_selector):
            spec["resourceAttributes"]["labelSelector"] = {"requirements": found}
    if user.groups:
        spec["groups" if version == "v1" else "group"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if user.uid:
        spec["uid"] = user.uid
    return {
        "apiVersion": f"authorization.k8s.io/{version}",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": spec,
    }


def _field_requirements(text: str) -> list[dict[str, Any]]:
    """The terms of a selector; of one that cannot be read none, as the request with it is refused anyhow."""
    try:
        terms = fields.parse(text).terms
    except ValueError:
        return []
    return [{"key": path, "operator": _OPERATORS[operator], "values": [value]} for path, operator, value in terms]


def _label_requirements(text: str) -> list[dict[str, Any]]:
    """The same of labels; comparisons of numbers (gt, lt) cannot be said to a hook, and asking for more is safe."""
    try:
        terms = labels.parse(text).requirements
    except ValueError:
        return []
    return [
        {
            "key": term.key,
            "operator": _OPERATORS[term.operator],
            **({"values": list(term.values)} if term.values else {}),
        }
        for term in terms
        if term.operator in _OPERATORS
    ]
