"""The members of an etcd, and how one comes and goes.

A new member begins as a learner: it is sent everything but has no vote, so that an etcd is never in the minority
because of a member that is still empty. Who is up to date is promoted; etcd refuses anybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from grpclib.exceptions import GRPCError

from pybernetes.store.errors import StoreError
from pybernetes.store.etcd_channel import TLS, Endpoints
from pybernetes.store.etcd_wire import MESSAGES


class EtcdMember(NamedTuple):
    """One member. `name` is "" until it has started once."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool


#: A new member's id, and all members with it.
Added = tuple[int, list[EtcdMember]]


class EtcdMembers:
    """Asks any of the endpoints. Methods raise StoreError: StoreUnavailable when none answers, or etcd's own words."""

    def __init__(self, addresses: Sequence[tuple[str, int]], tls: TLS | None, timeout: float = 10.0) -> None:
        self._endpoints = Endpoints(addresses, tls, timeout)

    async def __aenter__(self) -> Self:
        self._endpoints.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._endpoints.close()

    async def answers(self) -> None:
        """Return when an endpoint answers for itself; a learner does. Raises StoreUnavailable."""
        await self._call("status", "StatusRequest", repeat=True)

    async def list(self) -> list[EtcdMember]:
        """All members, as one of them knows them."""
        return _members(await self._call("member_list", "MemberListRequest", repeat=True))

    async def add(self, peer_url: str) -> Added:
        """A learner more, which is to be started then: its id, and all members with it."""
        answer = await self._call("member_add", "MemberAddRequest", peerURLs=[peer_url], isLearner=True)
        return answer.member.ID, _members(answer)

    async def promote(self, id: int) -> None:
        """Give a learner its vote. Raises StoreError as long as it is not up to date."""
        await self._call("member_promote", "MemberPromoteRequest", ID=id)

    async def remove(self, id: int) -> None:
        """Take a member out: it ends by itself."""
        await self._call("member_remove", "MemberRemoveRequest", ID=id)

    async def _call(self, name: str, request: str, *, repeat: bool = False, **fields: Any) -> Any:
        try:
            return await self._endpoints.call(name, MESSAGES[request](**fields), repeat=repeat)
        except GRPCError as error:
            raise StoreError(f"etcd: {error.message}") from error


def _members(answer: Any) -> list[EtcdMember]:
    return [EtcdMember(m.ID, m.name, (*m.peerURLs,), (*m.clientURLs,), m.isLearner) for m in answer.members]
