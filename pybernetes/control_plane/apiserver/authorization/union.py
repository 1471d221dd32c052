"""The ordered list of authorizers: the first that allows or denies decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybernetes.control_plane.apiserver.authentication.user import MASTERS
from pybernetes.control_plane.apiserver.authorization.attributes import (
    ALLOW,
    NO_OPINION,
    Attributes,
    Authorizer,
    Decision,
    forbidden,
)

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User


class Masters:
    """Members of system:masters may do everything, whatever the rules say: nobody can lock themselves out."""

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        return ALLOW if MASTERS in user.groups else NO_OPINION

    explain = authorize


class Always:
    """The same answer to everybody: modes AlwaysAllow and AlwaysDeny."""

    def __init__(self, allowed: bool) -> None:
        self._decision = ALLOW if allowed else Decision(False, "Everything is forbidden.")

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        return self._decision

    explain = authorize


class Union:
    """Asks each in order; what nobody allows is refused."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self.authorizers = tuple(authorizers)
        self._authorize = tuple(authorizer.authorize for authorizer in authorizers)

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        reasons = ""
        for authorize in self._authorize:
            decision = authorize(user, attributes)
            if decision.allowed or decision.denied:
                return decision
            if decision.reason:
                reasons = f"{reasons}\n{decision.reason}" if reasons else decision.reason
        return Decision(False, reasons) if reasons else NO_OPINION

    def explain(self, user: User, attributes: Attributes) -> Decision:
        reasons = []
        for authorizer in self.authorizers:
            decision = authorizer.explain(user, attributes)
            if decision.allowed or decision.denied:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "\n".join(reasons))

    def allows(
        self,
        user: User,
        *,
        verb: str,
        group: str = "",
        version: str = "*",
        resource: str,
        subresource: str = "",
        namespace: str = "",
        name: str = "",
    ) -> bool:
        """For those who ask about other things than the request itself (a certificate's signer)."""
        attributes = Attributes(verb, group, resource, namespace, name, subresource, "", version)
        return self.authorize(user, attributes).allowed

    def require(self, user: User, attributes: Attributes) -> None:
        """Raise the 403 Status error unless allowed."""
        decision = self.authorize(user, attributes)
        if not decision.allowed:
            raise forbidden(user, attributes, decision.reason)
