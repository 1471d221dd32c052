"""`matchLabelKeys` and `mismatchLabelKeys`: the Pod's own values of some labels, as part of its selectors.

They are worked into the selectors once, when the Pod is created: whoever reads the Pod needs to know selectors only,
and a label that is changed later does not change whom the Pod is spread over. A key that a selector has twice is how
validation finds out that it was given in both places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pybernetes.api.core_v1.pod import Pod, PodAffinityTerm
from pybernetes.machinery.meta import LabelSelector, LabelSelectorRequirement


def merge(pod: Pod) -> None:
    """Do it to a Pod that is being created."""
    own = pod.metadata.labels or {}
    for constraint in pod.spec.topology_spread_constraints or ():
        _add(constraint.label_selector, constraint.match_label_keys, "In", own)
    for term in _terms(pod):
        _add(term.label_selector, term.match_label_keys, "In", own)
        _add(term.label_selector, term.mismatch_label_keys, "NotIn", own)


def _terms(pod: Pod) -> Iterator[PodAffinityTerm]:
    affinity = pod.spec.affinity
    for part in (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity is not None else ():
        if part is not None:
            yield from part.required_during_scheduling_ignored_during_execution or ()
            for weighted in part.preferred_during_scheduling_ignored_during_execution or ():
                yield weighted.pod_affinity_term


def _add(selector: LabelSelector | None, keys: list[str] | None, operator: str, own: Mapping[str, str]) -> None:
    if selector is None:  # selects nothing, and no more with the keys
        return
    added = [LabelSelectorRequirement(key=k, operator=operator, values=[own[k]]) for k in keys or () if k in own]
    if added:
        selector.match_expressions = [*(selector.match_expressions or ()), *added]


def twice(keys: list[str], selector: LabelSelector) -> Iterator[tuple[int, str]]:
    """(place, key) of keys that a selector had before they were worked in."""
    seen = set(selector.match_labels or ())
    for requirement in selector.match_expressions or ():
        if requirement.key in keys and requirement.key in seen:
            yield keys.index(requirement.key), requirement.key
        seen.add(requirement.key)
