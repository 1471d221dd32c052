"""Warnings about workloads: their names, their templates, settings that are read otherwise than they look."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.api.apps_v1 import DaemonSet, Deployment, ReplicaSet, StatefulSet
from pybernetes.api.core_v1.object_warnings import claim_spec
from pybernetes.api.core_v1.pod_warnings import name_in_pods, template_warnings
from pybernetes.machinery.field import Path

__all__ = ["warn_daemon_set", "warn_deployment", "warn_replica_set", "warn_stateful_set"]

SPEC = Path("spec")
TEMPLATE = Path("spec", "template")

Workload = Deployment | DaemonSet | ReplicaSet | StatefulSet


def _same(new: Workload, old: Workload | None) -> bool:
    """Whether nothing was changed that is looked at."""
    return old is not None and new.metadata.generation == old.metadata.generation


def warn_deployment(new: Deployment, old: Deployment | None) -> list[str]:
    if _same(new, old):
        return []
    names = name_in_pods(new.metadata.name) if old is None else []
    return [*names, *template_warnings(new.spec.template, TEMPLATE)]


def warn_replica_set(new: ReplicaSet, old: ReplicaSet | None) -> list[str]:
    if _same(new, old):
        return []
    names = name_in_pods(new.metadata.name) if old is None else []
    return [*names, *template_warnings(new.spec.template, TEMPLATE)]


def warn_daemon_set(new: DaemonSet, old: DaemonSet | None) -> list[str]:
    return [] if _same(new, old) else list(template_warnings(new.spec.template, TEMPLATE))


def warn_stateful_set(new: StatefulSet, old: StatefulSet | None) -> list[str]:
    return [] if _same(new, old) else list(_stateful_set(new))


def _stateful_set(stateful_set: StatefulSet) -> Iterator[str]:
    spec = stateful_set.spec
    yield from template_warnings(spec.template, TEMPLATE)
    for i, claim in enumerate(spec.volume_claim_templates or ()):
        yield from claim_spec(claim.spec, SPEC.child("volumeClaimTemplates").index(i))
    if spec.revision_history_limit is not None and spec.revision_history_limit < 0:
        text = "a negative value retains all historical revisions; a value >= 0 is recommended"
        yield f"spec.revisionHistoryLimit: {text}"
