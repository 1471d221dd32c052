"""Defaults of API priority and fairness."""

from __future__ import annotations

from pybernetes.api.flowcontrol_v1 import (
    ExemptPriorityLevelConfiguration,
    FlowSchema,
    PriorityLevelConfiguration,
)


def default_flow_schema(schema: FlowSchema) -> None:
    if not schema.spec.matching_precedence:
        schema.spec.matching_precedence = 1000


def default_priority_level_configuration(level: PriorityLevelConfiguration) -> None:
    spec = level.spec
    if spec.type == "Exempt" and spec.exempt is None and level.metadata.name == "exempt":
        spec.exempt = ExemptPriorityLevelConfiguration()
    if spec.exempt is not None:
        if spec.exempt.nominal_concurrency_shares is None:
            spec.exempt.nominal_concurrency_shares = 0
        if spec.exempt.lendable_percent is None:
            spec.exempt.lendable_percent = 0
    if (limited := spec.limited) is not None:
        if limited.nominal_concurrency_shares is None:
            limited.nominal_concurrency_shares = 30
        if limited.lendable_percent is None:
            limited.lendable_percent = 0
        if limited.limit_response is not None and limited.limit_response.queuing is not None:
            queuing = limited.limit_response.queuing
            queuing.hand_size = queuing.hand_size or 8
            queuing.queues = queuing.queues or 64
            queuing.queue_length_limit = queuing.queue_length_limit or 50
