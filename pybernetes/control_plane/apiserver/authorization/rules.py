"""Policy rules: whether one covers an action, and whether some cover others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pybernetes.api.rbac_v1 import PolicyRule
from pybernetes.control_plane.apiserver.authorization.attributes import quote


def resource_matches(rule: PolicyRule, verb: str, api_group: str, resource: str, subresource: str) -> bool:
    """`rule` allows `verb` on the resource, if need be only for its resource names."""
    verbs, groups, resources = rule.verbs, rule.api_groups, rule.resources
    if not groups or not resources:
        return False
    if verb not in verbs and "*" not in verbs:
        return False
    if api_group not in groups and "*" not in groups:
        return False
    if "*" in resources:
        return True
    if not subresource:
        return resource in resources
    return f"{resource}/{subresource}" in resources or f"*/{subresource}" in resources


def path_matches(rule: PolicyRule, verb: str, path: str) -> bool:
    """`rule` allows `verb` (an HTTP method in lower case) on a non-resource path."""
    if not rule.non_resource_urls or (verb not in rule.verbs and "*" not in rule.verbs):
        return False
    return any(url_matches(url, path) for url in rule.non_resource_urls)


def url_matches(pattern: str, path: str) -> bool:
    """Equal, or a prefix where the pattern ends in `*`."""
    return pattern == path or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def uncovered(owned: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The parts of `wanted`, one verb, group, resource and name each, that no rule in `owned` covers."""
    return [part for rule in wanted for part in break_down(rule) if not any(_covers(rule, part) for rule in owned)]


def break_down(rule: PolicyRule) -> Iterator[PolicyRule]:
    """`rule` as rules with one verb, and one group, resource and name or one path, each."""
    for group in rule.api_groups or ():
        for resource in rule.resources or ():
            for verb in rule.verbs:
                for name in rule.resource_names or (None,):
                    yield PolicyRule(
                        verbs=[verb],
                        api_groups=[group],
                        resources=[resource],
                        resource_names=None if name is None else [name],
                    )
    for url in rule.non_resource_urls or ():
        for verb in rule.verbs:
            yield PolicyRule(verbs=[verb], non_resource_urls=[url])


def _covers(owner: PolicyRule, part: PolicyRule) -> bool:
    """`owner` allows what the broken-down `part` says."""
    verbs = owner.verbs
    if "*" not in verbs and part.verbs[0] not in verbs:
        return False
    if part.non_resource_urls:
        return any(_url_covers(url, part.non_resource_urls[0]) for url in owner.non_resource_urls or ())
    assert part.api_groups and part.resources
    groups, resources = owner.api_groups or (), owner.resources or ()
    if "*" not in groups and part.api_groups[0] not in groups:
        return False
    resource = part.resources[0]
    if "*" not in resources and resource not in resources:
        _, slash, subresource = resource.partition("/")
        if not slash or f"*/{subresource}" not in resources:
            return False
    if not owner.resource_names:
        return True
    return bool(part.resource_names) and set(part.resource_names or ()) <= set(owner.resource_names)


def _url_covers(owner: str, wanted: str) -> bool:
    return owner in ("*", wanted) or (owner.endswith("*") and wanted.startswith(owner[:-1]))


def compact(parts: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Broken-down rules that differ only in their verb, joined; and without repetitions."""
    joined: dict[tuple[object, ...], list[str]] = {}
    for part in parts:
        key = tuple(
            tuple(value) if value else None
            for value in (part.api_groups, part.resources, part.resource_names, part.non_resource_urls)
        )
        verbs = joined.setdefault(key, [])
        for verb in part.verbs:
            if verb not in verbs:
                verbs.append(verb)
    return [
        PolicyRule(
            verbs=verbs,
            api_groups=_list(groups),
            resources=_list(resources),
            resource_names=_list(names),
            non_resource_urls=_list(urls),
        )
        for (groups, resources, names, urls), verbs in joined.items()
    ]


def _list(value: object) -> list[str] | None:
    return list(value) if isinstance(value, tuple) else None


def describe(rule: PolicyRule) -> str:
    """A rule in an escalation error: `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}`."""
    parts = []
    named = (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.non_resource_urls),
        ("ResourceNames", rule.resource_names),
        ("Verbs", rule.verbs),
    )
    for name, values in named:
        if values:
            parts.append(f"{name}:[{' '.join(quote(value) for value in values)}]")
    return "{" + ", ".join(parts) + "}"
