"""The service controller: every Service of type LoadBalancer has one in the cloud, and tells its address.

The finalizer goes onto the Service before anything is made in the cloud, and off it after all of it is gone: a Service
cannot vanish while it still costs money. What the provider was last told is remembered only to spare it repetitions;
after a start everything is ensured once more.
"""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.aio.backoff import ItemBackoff
from pybernetes.api.core_v1 import LoadBalancerStatus, Node, Service
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, Retry, key_of
from pybernetes.client.events import NORMAL, WARNING, EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.queue import Queue
from pybernetes.control_plane.cloud import balancing
from pybernetes.control_plane.cloud.provider import CloudError, Provider
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

SERVICE_LABEL = "kubernetes.io/service-name"
_BY_SERVICE = "cloud-service"


@dataclass
class _Known:
    """What the provider was told: the Service as it was then, and the nodes."""

    service: Service
    nodes: tuple[tuple[str, str], ...]


class ServiceController(Controller):
    """Keys are `namespace/name` of Services."""

    name = "service-controller"
    workers = 4

    def __init__(self, provider: Provider, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self.provider = provider
        # Upstream's: a cloud that refuses is asked again after 5 s, then less and less often.
        self.queue = Queue(backoff=ItemBackoff(5.0, 300.0))
        self._known: dict[str, _Known] = {}

    def setup(self) -> None:
        """Services and nodes; endpoints only where they decide which nodes serve."""
        self.services = self.informers.informer(Service)
        self.services.on(self._added, self._updated, self._deleted)
        self.nodes = self.informers.informer(Node)
        self.nodes.on(self._node, self._node_changed, self._node)
        if self.provider.by_node:
            self.slices = self.informers.informer(EndpointSlice)
            self.slices.add_index(_BY_SERVICE, _service_of)
            self.slices.on(self._slice, lambda _, new: self._slice(new), self._slice)
        self.provider.start(self._again)

    # -- events --------------------------------------------------------------------------------------------------------

    def _added(self, service: Service) -> None:
        if balancing.wants(service) or balancing.needs_cleanup(service):
            self.enqueue(service)

    def _updated(self, old: Service, new: Service) -> None:
        found = list(balancing.changes(old, new))
        for reason, message in found:
            if reason:
                self.events.event(new, NORMAL, reason, message)
        if found or balancing.needs_cleanup(new):
            self.queue.forget(key_of(new))
            self.enqueue(new)

    def _deleted(self, service: Service) -> None:
        if key_of(service) in self._known:  # somebody took the finalizer away
            self.enqueue(service)

    def _node(self, node: Node) -> None:
        for service in self.services.list():
            if balancing.wants(service):
                self.enqueue(service)

    def _node_changed(self, old: Node, new: Node) -> None:
        ready = self.provider.by_node and balancing.is_ready(old) != balancing.is_ready(new)
        if ready or _seen(old) != _seen(new) or bool(balancing.candidates([old])) != bool(balancing.candidates([new])):
            self._node(new)

    def _slice(self, one: EndpointSlice) -> None:
        for key in _service_of(one):
            service = self.services.by_key(key)
            if service is not None and balancing.wants(service) and service.spec.external_traffic_policy == "Local":
                self.enqueue(service)

    def _again(self) -> None:
        for service in self.services.list():
            if balancing.wants(service) and not _ingress(service.status.load_balancer):
                self.enqueue(service)

    # -- reconcile -----------------------------------------------------------------------------------------------------

    async def reconcile(self, key: str) -> None:
        """Make, follow or remove the load balancer of one Service."""
        service = self.services.by_key(key)
        known = self._known.get(key)
        if service is None or (known and known.service.metadata.uid != service.metadata.uid):
            if known:
                await self._remove_orphan(known.service, key)
            if service is None:
                return
        try:
            if not balancing.wants(service) or balancing.needs_cleanup(service):
                await self._remove(service, key)
            elif service.metadata.deletion_timestamp is None:
                await self._ensure(service, key)
        except CloudError as error:
            message = f"Error syncing load balancer: {error}"
            self.events.event(service, WARNING, "SyncLoadBalancerFailed", message)
            raise Retry(message) from error

    async def _ensure(self, service: Service, key: str) -> None:
        nodes = self._nodes_for(service)
        seen = tuple(_seen(node) for node in nodes)
        known = self._known.get(key)
        following = known is not None and not list(balancing.changes(known.service, service))
        if known is not None and following and known.nodes == seen:
            return
        if not nodes:
            message = "There are no available nodes for LoadBalancer"
            self.events.event(service, WARNING, "UnAvailableLoadBalancer", message)
        if following:
            status = await self._follow(service, nodes)
        else:
            self.events.event(service, NORMAL, "EnsuringLoadBalancer", "Ensuring load balancer")
            service = await self._finalizer(service, present=True)
            try:
                status = await self.provider.ensure_load_balancer(service, nodes)
            except CloudError as error:
                if self.provider.by_node:  # it may have had one before it wanted something else
                    await self._write(service, LoadBalancerStatus())
                    self._known.pop(key, None)
                raise CloudError(f"failed to ensure load balancer: {error}") from error
            self.events.event(service, NORMAL, "EnsuredLoadBalancer", "Ensured load balancer")
        await self._write(service, status)
        self._known[key] = _Known(service, seen)

    async def _follow(self, service: Service, nodes: list[Node]) -> LoadBalancerStatus:
        try:
            status = await self.provider.update_load_balancer(service, nodes)
        except CloudError as error:
            names = " ".join(node.metadata.name for node in nodes)
            message = f"Error updating load balancer with new hosts [{names}]: {error}"
            self.events.event(service, WARNING, "UpdateLoadBalancerFailed", message)
            raise Retry(message) from error
        if nodes:
            self.events.event(service, NORMAL, "UpdatedLoadBalancer", "Updated load balancer with new hosts")
        return status

    async def _remove(self, service: Service, key: str) -> None:
        try:
            exists = await self.provider.load_balancer(service) is not None
        except CloudError as error:
            raise CloudError(f"failed to check if load balancer exists before cleanup: {error}") from error
        if exists:
            self.events.event(service, NORMAL, "DeletingLoadBalancer", "Deleting load balancer")
            try:
                await self.provider.delete_load_balancer(service)
            except CloudError as error:
                raise CloudError(f"failed to delete load balancer: {error}") from error
        self._known.pop(key, None)
        # The status first: once the finalizer is off, a Service that is being deleted is no more.
        await self._write(service, LoadBalancerStatus())
        await self._finalizer(service, present=False)
        self.events.event(service, NORMAL, "DeletedLoadBalancer", "Deleted load balancer")

    async def _remove_orphan(self, service: Service, key: str) -> None:
        """Its Service is gone already, finalizer or not."""
        try:
            await self.provider.delete_load_balancer(service)
        except CloudError as error:
            message = f"Error deleting load balancer (will retry): {error}"
            self.events.event(service, WARNING, "DeleteLoadBalancerFailed", message)
            raise Retry(message) from error
        self._known.pop(key, None)

    def _nodes_for(self, service: Service) -> list[Node]:
        nodes = balancing.candidates(self.nodes.list())
        if not self.provider.by_node:
            return nodes
        return balancing.serving(service, nodes, self.slices.by_index(_BY_SERVICE, key_of(service)))

    async def _finalizer(self, service: Service, *, present: bool) -> Service:
        """The Service with our finalizer on or off."""
        current = service.metadata.finalizers or []
        if (balancing.FINALIZER in current) == present:
            return service
        wanted = [*current, balancing.FINALIZER] if present else [one for one in current if one != balancing.FINALIZER]
        metadata = {"finalizers": wanted or None, "resourceVersion": service.metadata.resource_version}
        return await self._patch(service, {"metadata": metadata}, "")

    async def _write(self, service: Service, status: LoadBalancerStatus) -> None:
        if _ingress(self._latest(service).status.load_balancer) == _ingress(status):
            return
        ingress = [codec.to_dict(one) for one in status.ingress or ()]
        await self._patch(service, {"status": {"loadBalancer": {"ingress": ingress or None}}}, "status")

    def _latest(self, service: Service) -> Service:
        found = self.services.by_key(key_of(service))
        return found if found is not None and found.metadata.uid == service.metadata.uid else service

    async def _patch(self, service: Service, body: dict[str, object], subresource: str) -> Service:
        metadata = service.metadata
        body = {**body, "metadata": {**body.get("metadata", {}), "uid": metadata.uid}}  # type: ignore[dict-item]
        try:
            written = await self.client.resource(Service).patch(
                metadata.name, metadata.namespace, body, subresource=subresource
            )
        except StatusError as error:
            if error.code == 404:
                return service
            raise
        await self.services.caught_up(written)
        return written


def _seen(node: Node) -> tuple[str, str]:
    """What of a node a load balancer follows."""
    addresses = " ".join(f"{one.type}={one.address}" for one in node.status.addresses or ())
    return node.metadata.name, f"{node.spec.provider_id or ''} {addresses}"


def _ingress(status: LoadBalancerStatus | None) -> list[object]:
    return [*((status and status.ingress) or ())]


def _service_of(one: EndpointSlice) -> tuple[str, ...]:
    name = (one.metadata.labels or {}).get(SERVICE_LABEL)
    return (f"{one.metadata.namespace}/{name}",) if name else ()
