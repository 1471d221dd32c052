"""Which nodes a selector means: the requirements, terms and selectors of the API over all rows at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pybernetes.api.core_v1 import NodeAffinity as Affinity
from pybernetes.api.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from pybernetes.control_plane.scheduler.nodes import NAME, Bools, Nodes, Rows


def requirement_matches(requirement: NodeSelectorRequirement, nodes: Nodes, rows: Rows, *, field: bool) -> Bools:
    """Which rows meet a requirement. Unknown operators and malformed numbers match nothing."""
    column = nodes.label(NAME if field else requirement.key)
    values = requirement.values or []
    match requirement.operator:
        case "In":
            return column.one_of(values, rows)
        case "NotIn":
            return column.one_of(values, rows, inside=False)
        case "Exists":
            return column.present(rows)
        case "DoesNotExist":
            return ~column.present(rows)
        case "Gt" | "Lt" if len(values) == 1:
            return column.where(_bound(values[0], requirement.operator == "Gt"), False, rows)
    return np.zeros(len(column.ids[rows]), np.bool_)


def _bound(bound: str, above: bool) -> Callable[[str], bool]:
    def test(value: str) -> bool:
        try:
            return int(value) > int(bound) if above else int(value) < int(bound)
        except ValueError:
            return False

    return test


def term_matches(term: NodeSelectorTerm, nodes: Nodes, rows: Rows) -> Bools:
    """All requirements of the term; an empty term matches no node."""
    result: Bools | None = None
    for is_field, requirements in ((False, term.match_expressions), (True, term.match_fields)):
        for requirement in requirements or ():
            matches = requirement_matches(requirement, nodes, rows, field=is_field)
            result = matches if result is None else result & matches
    return result if result is not None else np.zeros(len(nodes.alive[rows]), np.bool_)


def selector_matches(selector: NodeSelector, nodes: Nodes, rows: Rows) -> Bools:
    """Any of the terms."""
    result = np.zeros(len(nodes.alive[rows]), np.bool_)
    for term in selector.node_selector_terms:
        result |= term_matches(term, nodes, rows)
    return result


def required_matches(labels: dict[str, str], affinity: Affinity | None, nodes: Nodes, rows: Rows) -> Bools:
    """The node selector and the required node affinity of a Pod."""
    result = np.ones(len(nodes.alive[rows]), np.bool_)
    for key, value in labels.items():
        result &= nodes.label(key).one_of([value], rows)
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    if required is not None:
        result &= selector_matches(required, nodes, rows)
    return result
