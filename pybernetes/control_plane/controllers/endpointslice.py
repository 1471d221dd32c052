"""The EndpointSlice controller: keeps the slices of every Service with a selector."""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.api.core_v1 import Node, Service
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.client.controller import Controller, controller_reference, key_of, split_key
from pybernetes.control_plane.controllers import endpoint_plan as plan
from pybernetes.control_plane.controllers import topology_hints
from pybernetes.control_plane.controllers.indexes import SLICE_SERVICE, slices_by_service
from pybernetes.control_plane.controllers.pod_control import is_namespace_terminating
from pybernetes.control_plane.controllers.service_source import ServiceSource
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

MANAGER = "endpointslice-controller.k8s.io"


class EndpointSliceController(Controller):
    """Keys are Services."""

    name = "endpointslice-controller"
    component = "endpoint-slice-controller"

    def setup(self) -> None:
        """Services, their Pods, and the slices; nodes tell the zone, and what their zone can bear."""
        #: Services that want their endpoints shared out by zones, and in which families they are.
        self._shared: dict[str, set[str]] = {}
        self._source = ServiceSource(self.informers, self.queue.add)
        self.services = self._source.services
        self.nodes = self.informers.informer(Node)
        self.slices = self.informers.informer(EndpointSlice)
        slices_by_service(self.informers)
        self.slices.on(updated=lambda old, new: self._slice(new), deleted=self._slice)
        self.nodes.on(self._node_counts, self._node_updated, self._node_counts)
        self._slices = self.client.resource(EndpointSlice)

    def _slice(self, one: EndpointSlice) -> None:
        labels = one.metadata.labels or {}
        if labels.get(plan.MANAGED_BY) == MANAGER and (name := labels.get(plan.SERVICE_NAME)):
            self.queue.add(f"{one.metadata.namespace}/{name}")

    def _node_updated(self, old: Node, new: Node) -> None:
        zone = topology_hints.ZONE
        if (old.metadata.labels or {}).get(zone) != (new.metadata.labels or {}).get(zone):
            for service in self.services.list():
                self.queue.add(key_of(service))
        elif _capacity(old) != _capacity(new):
            self._node_counts(new)

    def _node_counts(self, node: Node) -> None:
        for key in self._shared:
            self.queue.add(key)

    async def reconcile(self, key: str) -> None:
        """Write the slices that differ."""
        service = self.services.get(*split_key(key))
        if service is None or not plan.has_endpoints(service):
            self._shared.pop(key, None)
            return
        pods = self._source.pods_of(service)
        wanted = plan.groups(service, pods, lambda name: self.nodes.get("", name))
        present = [
            one
            for one in self.slices.by_index(SLICE_SERVICE, key)
            if (one.metadata.labels or {}).get(plan.MANAGED_BY) == MANAGER and one.metadata.deletion_timestamp is None
        ]
        events = self._share_out(service, key, wanted, present)
        changes = plan.arrange(wanted, present)
        labels = slice_labels(service, MANAGER)
        annotations = {plan.TRIGGER: plan.trigger(service, pods)}
        touched = {one.metadata.name for one, _ in changes.update} | {one.metadata.name for one in changes.delete}
        changes.update += [
            (one, list(one.endpoints or ()))
            for one in present
            if one.metadata.labels != labels and one.metadata.name not in touched
        ]
        try:
            for family, ports, endpoints in changes.create:
                created = await self._slices.create(
                    EndpointSlice(
                        metadata=ObjectMeta(
                            generate_name=f"{service.metadata.name}-",
                            namespace=service.metadata.namespace,
                            labels=labels,
                            annotations=annotations,
                            owner_references=[controller_reference(service)],
                        ),
                        address_type=family,
                        endpoints=endpoints,
                        ports=plan.wire_ports(ports),
                    )
                )
                await self.slices.caught_up(created)
            for one, endpoints in changes.update:
                changed = codec.copy(one)
                changed.endpoints = endpoints
                changed.metadata.labels = labels
                changed.metadata.annotations = {**(one.metadata.annotations or {}), **annotations}
                await self.slices.caught_up(await self._slices.update(changed))
            for one in changes.delete:
                await self._delete(one)
        except StatusError as error:
            if is_namespace_terminating(error):
                return
            if error.code != 409:
                message = f"Error updating Endpoint Slices for Service {key}: {error}"
                self.events.event(service, "Warning", "FailedToUpdateEndpointSlices", message)
            raise
        for kind, reason, message in events:
            self.events.event(service, kind, reason, message)

    def _share_out(
        self, service: Service, key: str, wanted: plan.Groups, present: Sequence[EndpointSlice]
    ) -> list[tuple[str, str, str]]:
        """Hints for zones, if the Service has the annotation; what there is to tell of it."""
        before = self._shared.pop(key, set())
        families = dict.fromkeys(family for family, _ in wanted)
        if not topology_hints.wanted(service.metadata.annotations):
            refused = dict.fromkeys((family for family in families if family in before), topology_hints.DISABLED)
            families = {}
        else:
            refused = plan.share_out(wanted, present, topology_hints.shares(self.nodes.list()))
            self._shared[key] = families.keys() - refused.keys()
        told = [("Warning", "TopologyAwareHintsDisabled", f"{why}, addressType: {f}") for f, why in refused.items()]
        for family in families:
            if family not in refused and not before:
                message = f"{topology_hints.ENABLED}, addressType: {family}"
                told.append(("Normal", "TopologyAwareHintsEnabled", message))
        return told

    async def _delete(self, one: EndpointSlice) -> None:
        try:
            await self._slices.delete(one.metadata.name, one.metadata.namespace, uid=one.metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise
        await self.slices.terminating(one)


def _capacity(node: Node) -> tuple[object, ...]:
    """What of a node decides how much its zone can bear."""
    ready = next((c.status for c in node.status.conditions or () if c.type == "Ready"), "")
    return ready == "True", (node.status.allocatable or {}).get("cpu")


def slice_labels(service: Service, manager: str) -> dict[str, str]:
    """The labels of a Service's slices: its own, and those that say whose they are."""
    labels = dict(service.metadata.labels or {})
    if plan.is_headless(service):
        labels[plan.HEADLESS] = ""
    else:
        labels.pop(plan.HEADLESS, None)
    labels[plan.SERVICE_NAME] = service.metadata.name
    labels[plan.MANAGED_BY] = manager
    return labels
