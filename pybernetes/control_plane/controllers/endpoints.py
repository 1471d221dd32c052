"""The Endpoints controller: the older form of a Service's addresses, one object of up to 1000 addresses a Service."""

from __future__ import annotations

from pybernetes.api.core_v1 import EndpointAddress, Endpoints, EndpointSubset, Pod, Service
from pybernetes.api.core_v1 import EndpointPort as CorePort
from pybernetes.client.controller import Controller, split_key
from pybernetes.control_plane.controllers import endpoint_plan as plan
from pybernetes.control_plane.controllers.pod_control import is_namespace_terminating
from pybernetes.control_plane.controllers.pods import is_ready
from pybernetes.control_plane.controllers.service_source import ServiceSource
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES = 1000


def subsets(service: Service, pods: list[Pod]) -> tuple[list[EndpointSubset], bool]:
    """The subsets of a Service, grouped by ports and sorted; and whether some had to be left out."""
    families = service.spec.ip_families or ["IPv4"]
    publish = bool(service.spec.publish_not_ready_addresses)
    found: dict[plan.Ports, tuple[list[EndpointAddress], list[EndpointAddress]]] = {}
    rows: list[tuple[bool, plan.Ports, EndpointAddress]] = []
    for pod in pods:
        if not plan.belongs(pod, terminating=publish):
            continue
        ip = plan.address(pod, families[0])
        ports = plan.ports_of(service, pod)
        if ip is None or (service.spec.ports and not ports):
            continue
        address = EndpointAddress(
            ip=ip, hostname=plan.hostname(service, pod), node_name=pod.spec.node_name, target_ref=plan.target(pod)
        )
        rows.append((publish or is_ready(pod), ports, address))
    rows.sort(key=lambda row: (not row[0], row[2].ip))
    for ready, ports, address in rows[:MAX_ADDRESSES]:
        found.setdefault(ports, ([], []))[0 if ready else 1].append(address)
    result = [
        EndpointSubset(
            addresses=ready or None,
            not_ready_addresses=not_ready or None,
            ports=[
                CorePort(name=name or None, port=port, protocol=protocol, app_protocol=app)
                for name, protocol, port, app in ports
            ]
            or None,
        )
        for ports, (ready, not_ready) in sorted(found.items(), key=lambda item: [p[:3] for p in item[0]])
    ]
    return result, len(rows) > MAX_ADDRESSES


class EndpointsController(Controller):
    """Keys are Services."""

    name = "endpoint-controller"

    def setup(self) -> None:
        """Services, their Pods, and the Endpoints."""
        self._source = ServiceSource(self.informers, self.queue.add)
        self.services = self._source.services
        self.endpoints = self.informers.informer(Endpoints)
        self.endpoints.on(self._endpoints, lambda old, new: self.enqueue(new), self.enqueue)
        self._endpoints_resource = self.client.resource(Endpoints)

    def _endpoints(self, endpoints: Endpoints) -> None:
        if (endpoints.metadata.labels or {}).get(MANAGED_BY) == MANAGER:
            self.enqueue(endpoints)  # its Service may have gone while nobody looked

    async def reconcile(self, key: str) -> None:
        """Write the Endpoints of a Service, or remove them with it."""
        namespace, name = split_key(key)
        service, present = self.services.get(namespace, name), self.endpoints.get(namespace, name)
        resource = self._endpoints_resource
        if service is None:
            if present is not None and (present.metadata.labels or {}).get(MANAGED_BY) == MANAGER:
                try:
                    await resource.delete(name, namespace, uid=present.metadata.uid)
                except StatusError as error:
                    if error.code != 404:
                        raise
            return
        if not plan.has_endpoints(service):
            return
        pods = [*self._source.pods_of(service)]
        wanted, truncated = subsets(service, pods)
        labels = {**(service.metadata.labels or {}), MANAGED_BY: MANAGER}
        if plan.is_headless(service):
            labels[plan.HEADLESS] = ""
        before = (present.metadata.annotations if present else None) or {}
        annotations = {k: v for k, v in before.items() if k != OVER_CAPACITY}
        if truncated:
            annotations[OVER_CAPACITY] = "truncated"
        try:
            trigger = {plan.TRIGGER: plan.trigger(service, pods)}
            if present is None:
                annotations |= trigger
                metadata = ObjectMeta(name=name, namespace=namespace, labels=labels, annotations=annotations)
                created = await resource.create(Endpoints(metadata=metadata, subsets=wanted or None))
                await self.endpoints.caught_up(created)
            elif (present.subsets or []) != wanted or present.metadata.labels != labels or before != annotations:
                changed = codec.copy(present)
                changed.subsets = wanted or None
                changed.metadata.labels, changed.metadata.annotations = labels, annotations | trigger
                await self.endpoints.caught_up(await resource.update(changed))
        except StatusError as error:
            if is_namespace_terminating(error):
                return
            if error.code != 409:
                reason = "FailedToCreateEndpoint" if present is None else "FailedToUpdateEndpoint"
                verb = "create" if present is None else "update"
                message = f"Failed to {verb} endpoint for service {key}: {error}"
                self.events.event(present or service, "Warning", reason, message)
            raise
