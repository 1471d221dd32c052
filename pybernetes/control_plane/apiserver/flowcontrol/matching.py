"""Which FlowSchema a request belongs to, which flow of it, and how many seats it takes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.api.flowcontrol_v1 import FlowSchema, NonResourcePolicyRule, ResourcePolicyRule, Subject
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.requestinfo import RequestInfo

_ACCOUNT = "system:serviceaccount:"
#: A list takes a seat for so many objects, and so many seats at most.
OBJECTS_PER_SEAT, MOST_SEATS = 100, 10


def in_order(schemas: Iterable[FlowSchema]) -> list[FlowSchema]:
    """By precedence, then by name: the first that matches is a request's."""
    return sorted(schemas, key=lambda s: (s.spec.matching_precedence or 0, s.metadata.name))


def matches(schema: FlowSchema, user: User, info: RequestInfo) -> bool:
    """Whether one of the schema's rules is about the request and its user."""
    for rule in schema.spec.rules or ():
        if not any(_is(subject, user) for subject in rule.subjects):
            continue
        if info.is_resource:
            if any(_fits(resources, info) for resources in rule.resource_rules or ()):
                return True
        elif any(_fits_path(paths, info) for paths in rule.non_resource_rules or ()):
            return True
    return False


def _is(subject: Subject, user: User) -> bool:
    if subject.user is not None and subject.kind == "User":
        return subject.user.name in ("*", user.name)
    if subject.group is not None and subject.kind == "Group":
        return subject.group.name == "*" or subject.group.name in user.groups
    account = subject.service_account
    if account is None or subject.kind != "ServiceAccount" or not user.name.startswith(_ACCOUNT):
        return False
    namespace, _, name = user.name.removeprefix(_ACCOUNT).partition(":")
    return namespace == account.namespace and account.name in ("*", name)


def _fits(rule: ResourcePolicyRule, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (_in(rule.verbs, info.verb) and _in(rule.api_groups, info.group) and _in(rule.resources, resource)):
        return False
    return _in(rule.namespaces or (), info.namespace) if info.namespace else bool(rule.cluster_scope)


def _fits_path(rule: NonResourcePolicyRule, info: RequestInfo) -> bool:
    if not _in(rule.verbs, info.verb):
        return False
    return any(
        url in ("*", info.path) or (url.endswith("/*") and info.path.startswith(url[:-1]))
        for url in rule.non_resource_urls
    )


def _in(wanted: Sequence[str], value: str) -> bool:
    return "*" in wanted or value in wanted


def flow_of(schema: FlowSchema, user: User, info: RequestInfo) -> str:
    """What tells the schema's flows apart; requests of one flow are queued together."""
    method = schema.spec.distinguisher_method
    if method is None:
        return ""
    return user.name if method.type == "ByUser" else info.namespace


def seats(verb: str, objects: int) -> int:
    """How many seats a request takes, when there are so many objects of its resource."""
    if verb not in ("list", "watch", "deletecollection"):
        return 1
    return min(MOST_SEATS, max(1, objects // OBJECTS_PER_SEAT))


def hand_of(value: int, deck: int, hand: int) -> list[int]:
    """`hand` different cards of `deck`, the same ones for the same value: shuffle sharding. Two flows share all their
    queues so seldom that one flood leaves the others a way."""
    dealt: list[int] = []
    for left in range(deck, deck - min(hand, deck), -1):
        value, card = divmod(value, left)
        for taken in sorted(dealt):
            if card >= taken:
                card += 1
        dealt.append(card)
    return dealt
