"""Which rules and subjects a role or binding lacks, for `auth reconcile`. Pure: rule lists in, rule lists out.

Rules are compared by what they allow, not by how they are written: each is taken apart into single permissions, and one
is missing when no rule of the other side covers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Rule = dict[str, Any]

_FIELDS = (("verbs", "Verbs"), ("apiGroups", "APIGroups"), ("resources", "Resources"))
_SHOWN = (*_FIELDS, ("resourceNames", "ResourceNames"), ("nonResourceURLs", "NonResourceURLs"))


def _singles(rules: list[Rule]) -> Iterator[Rule]:
    for rule in rules:
        for verb in rule.get("verbs") or ():
            for url in rule.get("nonResourceURLs") or ():
                yield {"verbs": [verb], "nonResourceURLs": [url]}
            for group in rule.get("apiGroups") or ():
                for resource in rule.get("resources") or ():
                    single: Rule = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                    names = rule.get("resourceNames") or ()
                    yield from ({**single, "resourceNames": [n]} for n in names) if names else [single]


def _covers(rule: Rule, single: Rule) -> bool:
    def has(name: str) -> bool:
        have = rule.get(name) or ()
        return "*" in have or single[name][0] in have

    if not has("verbs"):
        return False
    if "nonResourceURLs" in single:
        url = single["nonResourceURLs"][0]
        urls = rule.get("nonResourceURLs") or ()
        return any(u == url or (u.endswith("*") and url.startswith(u[:-1])) for u in urls)
    if not (has("apiGroups") and has("resources")):
        return False
    names = rule.get("resourceNames") or ()
    return not names or ("resourceNames" in single and single["resourceNames"][0] in names)


def missing_rules(have: list[Rule], wanted: list[Rule]) -> list[Rule]:
    """The single permissions of `wanted` that `have` does not give."""
    return [single for single in _singles(wanted) if not any(_covers(rule, single) for rule in have)]


def missing_subjects(have: list[Rule], wanted: list[Rule]) -> list[Rule]:
    """The subjects of `wanted` that `have` does not name."""

    def identity(subject: Rule) -> tuple[str, ...]:
        return tuple(str(subject.get(name) or "") for name in ("kind", "name", "namespace"))

    known = {identity(s) for s in have}
    return [s for s in wanted if identity(s) not in known]


def shown_rule(rule: Rule) -> str:
    """A rule as Go prints the struct."""
    return "{" + " ".join(f"{go}:[{' '.join(rule.get(name) or ())}]" for name, go in _SHOWN) + "}"


def shown_subject(subject: Rule) -> str:
    """A subject as Go prints the struct."""
    fields = (("kind", "Kind"), ("apiGroup", "APIGroup"), ("name", "Name"), ("namespace", "Namespace"))
    return "{" + " ".join(f"{go}:{subject.get(name) or ''}" for name, go in fields) + "}"
