"""The audit policy: an ordered list of rules, the first that fits a request says how much of it is recorded.

Pure. What the file may hold is checked when it is loaded: an audit that silently records less than was asked for is
worse than a server that does not start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.requestinfo import RequestInfo

#: From least to most.
LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")


class GroupResources(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Resources of one API group; none named means all of it."""

    group: str = ""
    resources: list[str] | None = None
    resource_names: list[str] | None = None


class Rule(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What is left out fits everything."""

    level: str
    users: list[str] | None = None
    user_groups: list[str] | None = None
    verbs: list[str] | None = None
    resources: list[GroupResources] | None = None
    namespaces: list[str] | None = None
    non_resource_urls: list[str] | None = msgspec.field(name="nonResourceURLs", default=None)
    omit_stages: list[str] | None = None
    omit_managed_fields: bool | None = None


class Policy(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The document."""

    api_version: str
    kind: str
    rules: list[Rule]
    metadata: dict[str, object] | None = None
    omit_stages: list[str] | None = None
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """How much of a request is recorded, and when it is not."""

    level: str
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    def at_least(self, level: str) -> bool:
        return LEVELS.index(self.level) >= LEVELS.index(level)


_NOTHING = Decision("None")


def load(text: str) -> Policy:
    """The policy in a YAML or JSON text. Raises ValueError."""
    from pybernetes.machinery import yaml

    wire = yaml.load(text)
    try:
        policy = msgspec.convert(wire, Policy)
    except msgspec.ValidationError as error:
        raise ValueError(f"audit policy: {error}") from None
    if (policy.api_version, policy.kind) != ("audit.k8s.io/v1", "Policy"):
        raise ValueError(f"audit policy: {policy.api_version}, Kind={policy.kind} is not audit.k8s.io/v1, Kind=Policy")
    if not policy.rules:
        raise ValueError("audit policy: loaded illegal policy with 0 rules")
    problems = list(_problems(policy))
    if problems:
        raise ValueError(f"audit policy: {'; '.join(problems)}")
    return policy


def _problems(policy: Policy) -> Iterable[str]:
    stages = [("omitStages", policy.omit_stages)]
    for index, rule in enumerate(policy.rules):
        at = f"rules[{index}]"
        stages.append((f"{at}.omitStages", rule.omit_stages))
        if rule.level not in LEVELS:
            yield f'{at}.level: Unsupported value: "{rule.level}": supported values: {", ".join(LEVELS)}'
        if rule.non_resource_urls is not None and (rule.resources is not None or rule.namespaces is not None):
            yield f"{at}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs"
        for url in rule.non_resource_urls or ():
            if url != "*" and not url.startswith("/"):
                yield f"{at}.nonResourceURLs: {url!r}: non-resource URL rules must begin with a '/' character"
            elif "*" in url[:-1]:
                yield f"{at}.nonResourceURLs: {url!r}: non-resource URL wildcards '*' must be the final character"
        for resources in rule.resources or ():
            if resources.resource_names and not resources.resources:
                yield f"{at}.resources.resourceNames: using resourceNames requires at least one resource"
    for where, names in stages:
        for name in names or ():
            if name not in STAGES:
                yield f'{where}: Unsupported value: "{name}": supported values: {", ".join(STAGES)}'


class Rules:
    """A policy, ready to be asked."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        everywhere = frozenset(policy.omit_stages or ())
        self._rules = [
            (
                rule,
                Decision(
                    rule.level,
                    everywhere | frozenset(rule.omit_stages or ()),
                    policy.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields,
                ),
            )
            for rule in policy.rules
        ]

    def decide(self, user: User | None, info: RequestInfo) -> Decision:
        """What to record of a request; user None: nobody knows."""
        for rule, decision in self._rules:
            if fits(rule, user, info):
                return decision
        return _NOTHING


def fits(rule: Rule, user: User | None, info: RequestInfo) -> bool:
    """Whether a rule is about a request."""
    if rule.users and (user is None or user.name not in rule.users):
        return False
    if rule.user_groups and (user is None or not set(rule.user_groups) & set(user.groups)):
        return False
    if rule.verbs and info.verb not in rule.verbs:
        return False
    if rule.namespaces or rule.resources:
        return info.is_resource and _fits_resource(rule, info)
    if rule.non_resource_urls:
        return not info.is_resource and any(_fits_path(url, info.path) for url in rule.non_resource_urls)
    return True


def _fits_path(url: str, path: str) -> bool:
    return url == "*" or url == path or (url.endswith("*") and path.startswith(url[:-1]))


def _fits_resource(rule: Rule, info: RequestInfo) -> bool:
    if rule.namespaces and info.namespace not in rule.namespaces:
        return False
    if not rule.resources:
        return True
    combined = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    accepted = {combined, "*", f"*/{info.subresource}", f"{info.resource}/*" if info.subresource else ""}
    for each in rule.resources:
        if each.group != info.group:
            continue
        if not each.resources:
            return True
        named = not each.resource_names or info.name in each.resource_names
        if named and not accepted.isdisjoint(each.resources):
            return True
    return False
