"""An authorizer that asks another server by SubjectAccessReview.

Authorizers decide from memory; this one too: what it does not remember it raises as `Undecided`, and whoever can wait
(the step of the chain, the reviews) asks and then has it decided again. Elsewhere (inside admission) what was not
asked before is no opinion.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.authorization.attributes import NO_OPINION, Attributes, Decision
from pybernetes.machinery.errors import StatusError

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.remote_hook import RemoteHook

log = logging.getLogger(__name__)

_REMEMBERED = 8192
#: Seconds that a hook that does not answer is left alone about the same question.
_FAILED = 1.0
#: Seconds that any decision is remembered: it has to outlive the asking.
_LEAST = 1.0


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
    """See the module. Seconds that a yes and a no are remembered."""

    def __init__(self, hook: RemoteHook, authorized_ttl: float, unauthorized_ttl: float) -> None:
        self._hook = hook
        self._ttl = {True: authorized_ttl, False: unauthorized_ttl}
        self._known: dict[Any, tuple[float, Decision]] = {}

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        """The remembered decision. Raises Undecided."""
        found = self._known.get(_key(user, attributes))
        if found is None or clock.monotonic() > found[0]:
            raise Undecided(self, user, attributes)
        return found[1]

    explain = authorize

    async def ask(self, user: User, attributes: Attributes) -> None:
        """Ask the hook; a hook that fails has no opinion."""
        try:
            status = (await self._hook.post(review(user, attributes)))["status"]
            decision = Decision(
                bool(status.get("allowed")), str(status.get("reason") or ""), bool(status.get("denied"))
            )
            ttl = self._ttl[decision.allowed]
        except (OSError, ValueError, LookupError, TypeError, AttributeError, StatusError) as error:
            log.warning("access webhook: %s", error)
            decision, ttl = NO_OPINION, _FAILED
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[_key(user, attributes)] = (clock.monotonic() + max(ttl, _LEAST), decision)

    async def close(self) -> None:
        """Close the connection."""
        await self._hook.close()


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


def review(user: User, attributes: Attributes) -> dict[str, Any]:
    """The question."""
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
        for name, text in (("fieldSelector", a.field_selector), ("labelSelector", a.label_selector)):
            if text:
                spec["resourceAttributes"][name] = {"rawSelector": text}
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if user.uid:
        spec["uid"] = user.uid
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": spec,
    }
