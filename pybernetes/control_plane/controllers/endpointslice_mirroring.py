"""EndpointSlice mirroring: Endpoints that people write by hand, for Services without selectors, as slices."""

from __future__ import annotations

from pybernetes.api.core_v1 import EndpointAddress, Endpoints, Service
from pybernetes.api.discovery_v1 import Endpoint, EndpointConditions, EndpointSlice
from pybernetes.client.controller import Controller, controller_reference, key_of, split_key
from pybernetes.control_plane.controllers import endpoint_plan as plan
from pybernetes.control_plane.controllers.indexes import SLICE_SERVICE, slices_by_service
from pybernetes.control_plane.controllers.pod_control import is_namespace_terminating
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MAX_ADDRESSES = 1000


def mirrored(endpoints: Endpoints) -> plan.Groups:
    """The groups of hand-written Endpoints."""
    found: plan.Groups = {}
    for subset in endpoints.subsets or ():
        ports = tuple((p.name or "", p.protocol or "TCP", p.port, p.app_protocol) for p in subset.ports or ())
        addresses = [(a, True) for a in subset.addresses or ()] + [(a, False) for a in subset.not_ready_addresses or ()]
        for address, ready in addresses[:_MAX_ADDRESSES]:
            family = "IPv6" if ":" in address.ip else "IPv4"
            found.setdefault((family, ports), []).append(_endpoint(address, ready))
    return found


def _endpoint(address: EndpointAddress, ready: bool) -> Endpoint:
    return Endpoint(
        addresses=[address.ip],
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname,
        node_name=address.node_name,
        target_ref=address.target_ref,
    )


class EndpointSliceMirroringController(Controller):
    """Keys are Endpoints, which bear the names of their Services."""

    name = "endpointslice-mirroring-controller"

    def setup(self) -> None:
        """Endpoints, Services and slices."""
        self.endpoints = self.informers.informer(Endpoints)
        self.services = self.informers.informer(Service)
        self.slices = self.informers.informer(EndpointSlice)
        slices_by_service(self.informers)
        self.endpoints.on(self.enqueue, self.enqueue_updated, self.enqueue)
        self.services.on(self.enqueue, self._service_updated, self.enqueue)
        self.slices.on(updated=lambda old, new: self._slice(new), deleted=self._slice)

    def _service_updated(self, old: Service, new: Service) -> None:
        if bool(old.spec.selector) != bool(new.spec.selector):
            self.queue.add(key_of(new))

    def _slice(self, one: EndpointSlice) -> None:
        labels = one.metadata.labels or {}
        if labels.get(plan.MANAGED_BY) == MANAGER and (name := labels.get(plan.SERVICE_NAME)):
            self.queue.add(f"{one.metadata.namespace}/{name}")

    def _wanted(self, key: str) -> Endpoints | None:
        namespace, name = split_key(key)
        endpoints, service = self.endpoints.get(namespace, name), self.services.get(namespace, name)
        if endpoints is None or service is None or service.spec.selector:
            return None
        if (endpoints.metadata.labels or {}).get(SKIP) == "true" or _LEADER in (endpoints.metadata.annotations or {}):
            return None
        return endpoints

    async def reconcile(self, key: str) -> None:
        """Write the slices that mirror, and remove those that no longer should."""
        present = [
            one
            for one in self.slices.by_index(SLICE_SERVICE, key)
            if (one.metadata.labels or {}).get(plan.MANAGED_BY) == MANAGER
        ]
        endpoints = self._wanted(key)
        changes = plan.arrange(mirrored(endpoints) if endpoints is not None else {}, present)
        resource = self.client.resource(EndpointSlice)
        try:
            for family, ports, rows in changes.create if endpoints is not None else ():
                assert endpoints is not None
                metadata = endpoints.metadata
                annotations = {k: v for k, v in (metadata.annotations or {}).items() if k != _LAST_APPLIED}
                created = await resource.create(
                    EndpointSlice(
                        metadata=ObjectMeta(
                            generate_name=f"{metadata.name}-",
                            namespace=metadata.namespace,
                            labels={
                                **(metadata.labels or {}),
                                plan.SERVICE_NAME: metadata.name,
                                plan.MANAGED_BY: MANAGER,
                            },
                            annotations=annotations or None,
                            owner_references=[controller_reference(endpoints)],
                        ),
                        address_type=family,
                        endpoints=rows,
                        ports=plan.wire_ports(ports),
                    )
                )
                await self.slices.caught_up(created)
        except StatusError as error:
            if is_namespace_terminating(error):
                return
            raise
        for one, rows in changes.update:
            changed = codec.copy(one)
            changed.endpoints = rows
            await self.slices.caught_up(await resource.update(changed))
        for one in changes.delete:
            try:
                await resource.delete(one.metadata.name, one.metadata.namespace, uid=one.metadata.uid)
            except StatusError as error:
                if error.code != 404:
                    raise
            await self.slices.terminating(one)
