"""Whether a Pod's node selector, node affinity and tolerations fit a node: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pybernetes.api.core_v1 import (
    Node,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PodSpec,
    Taint,
    Toleration,
)
from pybernetes.api.resource_v1 import DeviceTaint, DeviceToleration


def tolerates(toleration: Toleration | DeviceToleration, taint: Taint | DeviceTaint) -> bool:
    """Whether it tolerates the taint (operators Exists and Equal; an empty key or effect matches all)."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")


def untolerated(taints: Sequence[Taint] | None, tolerations: Sequence[Toleration] | None, *effects: str) -> bool:
    """Whether a taint of these effects is not tolerated."""
    return any(
        taint.effect in effects and not any(tolerates(t, taint) for t in tolerations or ()) for taint in taints or ()
    )


def fits_affinity(spec: PodSpec, node: Node) -> bool:
    """The node selector, and the required node affinity."""
    labels = node.metadata.labels or {}
    if not (spec.node_selector or {}).items() <= labels.items():
        return False
    affinity = spec.affinity.node_affinity if spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    return required is None or any(term_matches(term, node) for term in required.node_selector_terms)


def term_matches(term: NodeSelectorTerm, node: Node) -> bool:
    """All requirements of a term; an empty term matches nothing."""
    if not term.match_expressions and not term.match_fields:
        return False
    labels = node.metadata.labels or {}
    fields = {"metadata.name": node.metadata.name}
    return all(_matches(r, labels) for r in term.match_expressions or ()) and all(
        _matches(r, fields) for r in term.match_fields or ()
    )


def _matches(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(requirement.key), requirement.values or []
    match requirement.operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" if value is not None and len(values) == 1:
            try:
                return int(value) > int(values[0]) if requirement.operator == "Gt" else int(value) < int(values[0])
            except ValueError:
                return False
    return False
