"""Who makes a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.api.authentication_v1 import UserInfo

_EMPTY: Mapping[str, tuple[str, ...]] = {}

ANONYMOUS, UNAUTHENTICATED, AUTHENTICATED = "system:anonymous", "system:unauthenticated", "system:authenticated"
MASTERS = "system:masters"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


@dataclass(frozen=True, slots=True)
class User:
    """A name, a uid ("" if unknown), groups, and extra facts by lower-case key. Never changed; shared by requests.

    key: what authorization goes by; hashable.
    """

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _EMPTY, hash=False)
    key: tuple[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.name, self.groups))

    def with_groups(self, *groups: str) -> User:
        """The same user, in further groups."""
        more = tuple(group for group in groups if group not in self.groups)
        return User(self.name, self.uid, self.groups + more, self.extra) if more else self

    def info(self) -> UserInfo:
        """As the API shows it (TokenReview, SelfSubjectReview, admission)."""
        from pybernetes.api.authentication_v1 import UserInfo

        return UserInfo(
            username=self.name or None,
            uid=self.uid or None,
            groups=list(self.groups) or None,
            extra={key: list(values) for key, values in self.extra.items()} or None,
        )


#: Who presents no credentials.
ANONYMOUS_USER = User(ANONYMOUS, "", (UNAUTHENTICATED,))
