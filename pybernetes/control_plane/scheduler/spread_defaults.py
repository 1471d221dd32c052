"""What the Services and the owner of a Pod select: the selector that default topology spread counts by.

Remembered per group of equal Pods and owner; forgotten when any Service changes its selector. Selectors of ReplicaSets
and StatefulSets do not change, and a ReplicationController's is looked at every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pybernetes.api.apps_v1 import ReplicaSet, StatefulSet
from pybernetes.api.core_v1 import ReplicationController, Service
from pybernetes.client.informer import Informer
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.machinery import labels
from pybernetes.machinery.labels import Selector


class SpreadDefaults:
    """Over informers that must be synced."""

    def __init__(
        self,
        services: Informer[Service],
        replication_controllers: Informer[ReplicationController],
        replica_sets: Informer[ReplicaSet],
        stateful_sets: Informer[StatefulSet],
    ) -> None:
        self._services = services
        self._replication_controllers = replication_controllers
        self._workloads: dict[tuple[str, str], Callable[[str, str], ReplicaSet | StatefulSet | None]] = {
            ("apps", "ReplicaSet"): replica_sets.get,
            ("apps", "StatefulSet"): stateful_sets.get,
        }
        self._known: dict[tuple[int, str], Selector] = {}
        services.on(added=self._changed, updated=self._updated, deleted=self._changed)

    def selector(self, pod: PodFacts) -> Selector:
        """Empty when nothing selects the Pod."""
        owner = next((o for o in pod.pod.metadata.owner_references or () if o.controller), None)
        key = (pod.group.number, owner.uid if owner else "")
        found = self._known.get(key)
        if found is not None:
            return found
        merged: dict[str, str] = {}
        for service in self._services.list(pod.namespace):
            wanted = service.spec.selector
            if wanted and labels.from_map(wanted).matches(pod.group.labels):
                merged.update(wanted)
        selector = labels.from_map(merged)
        if owner is not None:
            group = owner.api_version.rpartition("/")[0]
            if (group, owner.kind) == ("", "ReplicationController"):
                controller = self._replication_controllers.get(pod.namespace, owner.name)
                if controller is not None:
                    merged.update(controller.spec.selector or {})
                return labels.from_map(merged)
            if (get := self._workloads.get((group, owner.kind))) is not None:
                workload = get(pod.namespace, owner.name)
                if workload is None:
                    return selector  # not remembered: it will be there soon
                selector = _joined([selector, labels.from_struct(workload.spec.selector)])
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[key] = selector
        return selector

    def _changed(self, service: Service) -> None:
        self._known.clear()

    def _updated(self, old: Service, new: Service) -> None:
        if old.spec.selector != new.spec.selector:
            self._known.clear()


def _joined(selectors: Sequence[Selector]) -> Selector:
    seen: set[str] = set()
    requirements = []
    for selector in selectors:
        for requirement in selector.requirements:
            if str(requirement) not in seen:
                seen.add(str(requirement))
                requirements.append(requirement)
    return Selector(requirements)
