"""The control plane in one process: API server, controllers and scheduler over the in-process transport.

Start order, and why: the API server first, for the others only talk to it; then controllers and scheduler side by side.
Each has its own identity and passes the same authorisation as over the network.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybernetes.aio.tasks import Ready
from pybernetes.bootstrap import apiserver_flags, cloud, elected, ingress, node_volumes, renewal
from pybernetes.bootstrap.cluster import Cluster, find
from pybernetes.client.client import Client
from pybernetes.control_plane.apiserver.admission.resource_quota import Around, in_scopes, usage_of
from pybernetes.control_plane.apiserver.authentication import service_accounts
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import APIServer
from pybernetes.control_plane.apiserver.server import Config as APIServerConfig
from pybernetes.control_plane.controllers import (
    certificates,
    local_path,
    node_ipam,
    node_lifecycle,
    resource_quota,
    serviceaccount_tokens,
)
from pybernetes.control_plane.controllers.manager import Config as ControllerManagerConfig
from pybernetes.control_plane.controllers.manager import ControllerManager
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object

if TYPE_CHECKING:
    from pybernetes.api.core_v1 import Node, Secret, ServiceAccount
    from pybernetes.control_plane.cloud.manager import Config as CloudConfig
    from pybernetes.control_plane.scheduler import Scheduler
    from pybernetes.node.kubelet.fake_nodes import FakeNodes

CONTROLLER_MANAGER = User("system:kube-controller-manager", "", ("system:authenticated",), {})
CLOUD_CONTROLLER_MANAGER = User("system:cloud-controller-manager", "", ("system:authenticated",), {})
SCHEDULER = User("system:kube-scheduler", "", ("system:authenticated",), {})
#: The assembly's own identity: everything is allowed to it.
ADMIN = User("kubernetes-admin", "", ("system:masters", "system:authenticated"), {})


@dataclass(frozen=True)
class Config:
    """What the parts need; each documents its own."""

    apiserver: APIServerConfig = field(default_factory=APIServerConfig)
    controllers: ControllerManagerConfig = field(default_factory=ControllerManagerConfig)
    #: Make the IngressClass of our own controller, as the default one.
    ingress_class: bool = False
    #: The cloud that the machines belong to. None: nobody looks after load balancers.
    cloud: CloudConfig | None = None
    #: Run a scheduler. Off: Pods stay unassigned unless somebody binds them.
    scheduler: bool = True
    #: Nodes that only play running Pods, in this process.
    fake_nodes: int = 0
    #: Who we are where several control planes share a store, and one of each part works at a time. "": there is none.
    identity: str = ""
    #: Makes certificates anew that are due, and names the files written. None: somebody else does.
    renew: Callable[[], list[str]] | None = None


class ControlPlane:
    """`run()` until cancelled; `ready` carries the API server's (host, port) once all parts are ready."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ready: Ready[tuple[str, int]] = Ready()
        self.apiserver = APIServer(config.apiserver)
        #: The nodes that only play, once ready; None when there are none.
        self.fakes: FakeNodes | None = None
        #: Where the API server listens, once ready.
        self.address = ("", 0)

    def client(self, user: User = ADMIN) -> Client:
        """A client of this control plane, in process."""
        return Client(self.apiserver.transport(user))

    async def run(self) -> None:
        """See the class."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.apiserver.run(), name="apiserver")
            self.address = await self.apiserver.ready.wait()
            if self.config.controllers.local_path is not None:
                await self._ensure(local_path.standard_class())
            if self.config.ingress_class:
                await self._ensure(ingress.standard_class())
            parts = []
            for name, client, make in self._parts():
                if self.config.identity:
                    group.create_task(elected.run(name, self.config.identity, client, make), name=name)
                else:
                    parts.append(make())
                    group.create_task(parts[-1].run(), name=name)
            if self.config.fake_nodes:
                from pybernetes.node.kubelet import fake_nodes

                self.fakes = fake_nodes.FakeNodes(fake_nodes.Config(count=self.config.fake_nodes), self.client(ADMIN))
                group.create_task(self.fakes.run(), name="fake-nodes")
                await self.fakes.ready.wait()
            for part in parts:
                await part.ready.wait()
            if self.config.renew is not None:
                group.create_task(renewal.Renewal(self.config.renew).run(), name="certificate-renewal")
            self.ready.set(self.address)

    def _parts(self) -> list[tuple[str, Client, Callable[[], Any]]]:
        """What runs beside the API server: name (of its Lease too), client, and how it is made."""
        controllers, scheduler = self.client(CONTROLLER_MANAGER), self.client(SCHEDULER)
        found: list[tuple[str, Client, Callable[[], Any]]] = [
            ("kube-controller-manager", controllers, lambda: ControllerManager(self._controllers(), controllers))
        ]
        if self.config.cloud is not None:
            config = replace(self.config.cloud, leader_election=None)  # the election is ours
            from pybernetes.control_plane.cloud.manager import CloudControllerManager

            cloud_client = self.client(CLOUD_CONTROLLER_MANAGER)
            found.append(
                ("cloud-controller-manager", cloud_client, lambda: CloudControllerManager(config, cloud_client))
            )
        if self.config.scheduler:
            found.append(("kube-scheduler", scheduler, lambda: self._scheduler(scheduler)))
        return found

    async def _ensure(self, obj: Object) -> None:
        try:
            await self.client(ADMIN).resource(type(obj)).create(obj)
        except StatusError as error:
            if error.code != 409:
                raise

    def _controllers(self) -> ControllerManagerConfig:
        """The controllers' configuration, with what only the API server of this process knows."""
        config = self.config.controllers
        if config.resource_quota is None:
            config = replace(config, resource_quota=resource_quota.Config(usage_of, Around, in_scopes))
        issuer = self.apiserver.access.issuer
        if config.serviceaccount_tokens is None and issuer is not None:

            def sign(account: ServiceAccount, secret: Secret) -> str:
                meta = account.metadata
                return issuer.legacy(meta.namespace, meta.name, meta.uid, secret.metadata.name)

            tokens = serviceaccount_tokens.Config(sign=sign, root_ca=config.root_ca)
            config = replace(config, serviceaccount_tokens=tokens)
        return config

    def _scheduler(self, client: Client) -> Scheduler:
        from pybernetes.control_plane.scheduler import Config as SchedulerConfig  # numpy: not for who needs none
        from pybernetes.control_plane.scheduler import Scheduler

        return Scheduler(SchedulerConfig(), client)


def signer(pki: Path) -> Callable[[bytes, str, tuple[str, ...], int], bytes]:
    """What signs certificate requests with the authority in `pki` (`ca.crt`, `ca.key`), for every built-in signer."""

    def sign(request: bytes, signer_name: str, usages: tuple[str, ...], seconds: int) -> bytes:
        from pybernetes.bootstrap import pki as authority  # cryptography: only when something is signed

        pair = authority.KeyPair((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes())
        try:
            return authority.sign_request(pair, request, usages, seconds)
        except authority.PKIError as error:
            raise ValueError(str(error)) from error

    return sign


def node_ranges(cluster: Cluster) -> node_ipam.Config:
    """Ranges of Pod addresses: this machine's nodes have theirs, now or later, and nobody gets those of the nodes."""
    state = cluster.state

    def assigned(node: str) -> tuple[str, ...]:
        current = find("", str(cluster.directory))  # nodes come while we run
        known = {found.name for found in current.state.nodes} if current else set()
        cidrs = current.state.node_pod_cidrs(node) if current and node in known else ()
        return cidrs if all(cidrs) else ()

    return node_ipam.Config(
        cluster_cidrs=state.pod_cidrs,
        assigned=assigned,
        reserved=state.reserved_ranges,
        skip=_is_fake,
    )


def _is_fake(node: Node) -> bool:
    return (node.metadata.labels or {}).get("type") == "fake"


def configure(cluster: Cluster) -> Config:
    """The configuration of the control plane of a cluster on this machine."""
    state, pki = cluster.state, cluster.pki
    shared = state.member is not None and state.store.startswith("etcd")
    server = APIServerConfig(
        shared=shared,
        store=state.store,
        host=state.api_host,
        port=state.api_port,
        advertise_address=state.node_address(state.nodes[0].name) if state.nodes else "",
        dns_address=state.machine_address if state.nodes else "",
        node_dns=state.dns,
        pki=pki,
        service_cidrs=state.service_cidrs,
        # Pods fetch the keys there: the name must be one that the cluster's DNS has and the certificate is for.
        service_accounts=service_accounts.Config(issuer=f"https://kubernetes.default.svc.{state.domain}"),
    )
    server = apiserver_flags.apply(server, state.apiserver_flags)
    controllers = ControllerManagerConfig(
        root_ca=(pki / "ca.crt").read_text(),
        certificates=certificates.Config(sign=signer(pki)),
        node_ipam=node_ranges(cluster),
        node_lifecycle=node_lifecycle.Config(grace_period=state.node_grace),
        local_path=node_volumes.config(cluster),
    )
    return Config(
        apiserver=server,
        controllers=controllers,
        ingress_class=state.ingress,
        cloud=cloud.of_machine(state),
        fake_nodes=state.fake_nodes,
        renew=lambda: renewal.renew(cluster),
        identity=f"{socket.gethostname()}_{uuid.uuid4()}" if shared else "",
    )
