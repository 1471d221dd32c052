"""Validation of PodDisruptionBudgets."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.apps_v1_validation import amount_or_percent, percent_at_most_100
from pybernetes.api.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec
from pybernetes.machinery import field
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")


def _spec(spec: PodDisruptionBudgetSpec, errors: list[FieldError]) -> None:
    if spec.min_available is not None and spec.max_unavailable is not None:
        text = "minAvailable and maxUnavailable cannot be both set"
        errors.append(field.invalid(SPEC, spec, text))
    for name, value in (("minAvailable", spec.min_available), ("maxUnavailable", spec.max_unavailable)):
        amount_or_percent(value, SPEC.child(name), errors)
        percent_at_most_100(value, SPEC.child(name), errors)
    meta.label_selector(spec.selector, SPEC.child("selector"), errors)
    policy = spec.unhealthy_pod_eviction_policy
    if policy is not None and policy not in ("AlwaysAllow", "IfHealthyBudget"):
        supported = ("AlwaysAllow", "IfHealthyBudget")
        errors.append(field.not_supported(SPEC.child("unhealthyPodEvictionPolicy"), policy, supported))


def validate_pod_disruption_budget(budget: PodDisruptionBudget) -> list[FieldError]:
    errors = meta.object_meta(budget.metadata, True)
    _spec(budget.spec, errors)
    return errors


def validate_pod_disruption_budget_update(new: PodDisruptionBudget, old: PodDisruptionBudget) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec != old.spec:
        _spec(new.spec, errors)
    return errors


def validate_pod_disruption_budget_status_update(
    new: PodDisruptionBudget, old: PodDisruptionBudget
) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    for name, value in (
        ("disruptionsAllowed", new.status.disruptions_allowed),
        ("currentHealthy", new.status.current_healthy),
        ("desiredHealthy", new.status.desired_healthy),
        ("expectedPods", new.status.expected_pods),
    ):
        meta.non_negative(value, Path("status", name), errors)
    meta.conditions(new.status.conditions, Path("status", "conditions"), errors)
    return errors
