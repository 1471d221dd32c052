"""From a changed Pod to the Services that select it, cheaply: what both endpoint controllers listen to.

Services are indexed by one pair of their selector; a Pod asks for each of its labels. With ten thousand Services a
Pod's change still looks at a handful.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pybernetes.api.core_v1 import Pod, Service
from pybernetes.client.controller import key_of
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.controllers.endpoint_plan import selects
from pybernetes.control_plane.controllers.pods import condition, is_terminal

_INDEX = "selector"


def _selector_pair(service: Service) -> Iterable[str]:
    selector = service.spec.selector
    if not selector:
        return ()
    key = min(selector)
    return (f"{service.metadata.namespace}/{key}={selector[key]}",)


class ServiceSource:
    """Calls `enqueue(service key)` for Services and Pods that change."""

    def __init__(self, informers: InformerFactory, enqueue: Callable[[str], object]) -> None:
        self.services = informers.informer(Service)
        self.pods = informers.informer(Pod)
        self._enqueue = enqueue
        self.services.add_index(_INDEX, _selector_pair)
        self.services.on(self._service, lambda old, new: self._service(new), self._service)
        self.pods.on(self._pod, self._pod_updated, self._pod)

    def pods_of(self, service: Service) -> Sequence[Pod]:
        """The Pods it selects."""
        return [pod for pod in self.pods.list(service.metadata.namespace) if selects(service, pod.metadata.labels)]

    def _service(self, service: Service) -> None:
        self._enqueue(key_of(service))

    def _pod(self, pod: Pod) -> None:
        for key, value in (pod.metadata.labels or {}).items():
            for service in self.services.by_index(_INDEX, f"{pod.metadata.namespace}/{key}={value}"):
                if selects(service, pod.metadata.labels):
                    self._enqueue(key_of(service))

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if _facts(old) != _facts(new):
            self._pod(new)
            if old.metadata.labels != new.metadata.labels:
                self._pod(old)


def _facts(pod: Pod) -> tuple[object, ...]:
    """What of a Pod its endpoints depend on."""
    ready = condition(pod, "Ready")
    return (
        pod.metadata.labels,
        pod.metadata.deletion_timestamp is None,
        pod.spec.node_name,
        pod.status.pod_ip,
        pod.status.pod_ips,
        is_terminal(pod),
        ready.status if ready else None,
    )
