"""The controller manager: the ordered list of all controllers, and the process that runs them.

The garbage collector is last on purpose: it uses the informers the others have asked for, and starts its own only for
the rest. Which controllers run is a list of names, `*` for all that are on by default, `-name` to leave one out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pybernetes.aio.tasks import Ready
from pybernetes.client import leader
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.manager import Manager
from pybernetes.control_plane.controllers import (
    certificates,
    legacy_tokens,
    local_path,
    node_ipam,
    node_lifecycle,
    pod_gc,
    resource_quota,
    root_ca,
    serviceaccount_tokens,
)
from pybernetes.control_plane.controllers.attach_detach import AttachDetachController
from pybernetes.control_plane.controllers.autoscaling import HorizontalPodAutoscalerController
from pybernetes.control_plane.controllers.bootstrap_tokens import BootstrapSigner, TokenCleaner
from pybernetes.control_plane.controllers.certificates import (
    CSRApprovingController,
    CSRCleanerController,
    CSRSigningController,
)
from pybernetes.control_plane.controllers.clusterrole_aggregation import ClusterRoleAggregationController
from pybernetes.control_plane.controllers.cronjob import CronJobController
from pybernetes.control_plane.controllers.daemonset import DaemonSetController
from pybernetes.control_plane.controllers.deployment import DeploymentController
from pybernetes.control_plane.controllers.device_taint_eviction import DeviceTaintEvictionController
from pybernetes.control_plane.controllers.disruption import DisruptionController
from pybernetes.control_plane.controllers.endpoints import EndpointsController
from pybernetes.control_plane.controllers.endpointslice import EndpointSliceController
from pybernetes.control_plane.controllers.endpointslice_mirroring import EndpointSliceMirroringController
from pybernetes.control_plane.controllers.ephemeral_volumes import EphemeralVolumeController
from pybernetes.control_plane.controllers.garbage import GarbageCollector
from pybernetes.control_plane.controllers.job import JobController
from pybernetes.control_plane.controllers.legacy_tokens import LegacyTokenCleaner
from pybernetes.control_plane.controllers.local_path import LocalPathProvisioner
from pybernetes.control_plane.controllers.namespace import NamespaceController
from pybernetes.control_plane.controllers.node_ipam import NodeIPAMController
from pybernetes.control_plane.controllers.node_lifecycle import NodeLifecycleController
from pybernetes.control_plane.controllers.pod_gc import PodGarbageCollector
from pybernetes.control_plane.controllers.policy_status import ValidatingAdmissionPolicyStatusController
from pybernetes.control_plane.controllers.reload import ReloadController
from pybernetes.control_plane.controllers.replicaset import ReplicaSetController
from pybernetes.control_plane.controllers.replication import ReplicationManager
from pybernetes.control_plane.controllers.resource_claims import ResourceClaimController
from pybernetes.control_plane.controllers.resource_quota import ResourceQuotaController
from pybernetes.control_plane.controllers.root_ca import RootCAPublisher
from pybernetes.control_plane.controllers.service_cidrs import ServiceCIDRController
from pybernetes.control_plane.controllers.serviceaccount import ServiceAccountController
from pybernetes.control_plane.controllers.serviceaccount_tokens import ServiceAccountTokenController
from pybernetes.control_plane.controllers.stale_disruption import StaleDisruptionController
from pybernetes.control_plane.controllers.statefulset import StatefulSetController
from pybernetes.control_plane.controllers.taint_eviction import TaintEvictionController
from pybernetes.control_plane.controllers.ttl_after_finished import TTLAfterFinishedController
from pybernetes.control_plane.controllers.volume_binding import VolumeBinder
from pybernetes.control_plane.controllers.volume_protection import (
    PVCProtectionController,
    PVProtectionController,
    VACProtectionController,
)

#: Those without a configuration of their own, in the order they start.
PLAIN: tuple[type[Controller], ...] = (
    NamespaceController,
    ServiceAccountController,
    ReplicaSetController,
    ReplicationManager,
    DeploymentController,
    StatefulSetController,
    DaemonSetController,
    ReloadController,
    JobController,
    CronJobController,
    EndpointsController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    ServiceCIDRController,
    DisruptionController,
    StaleDisruptionController,
    HorizontalPodAutoscalerController,
    TaintEvictionController,
    DeviceTaintEvictionController,
    TTLAfterFinishedController,
    PVCProtectionController,
    PVProtectionController,
    VACProtectionController,
    VolumeBinder,
    EphemeralVolumeController,
    AttachDetachController,
    ResourceClaimController,
    ClusterRoleAggregationController,
    CSRApprovingController,
    CSRCleanerController,
    ValidatingAdmissionPolicyStatusController,
    BootstrapSigner,
    TokenCleaner,
)


@dataclass(frozen=True)
class Config:
    """What the controllers need to know beside the API."""

    #: Which run: names, `*` for all, `-name` for not this one.
    controllers: Sequence[str] = ("*",)
    #: Which lease to hold while working. None: there is no other copy of this process.
    leader_election: leader.Config | None = None
    #: PEM of the authority that signed the API server's certificate; "" publishes none.
    root_ca: str = ""
    node_lifecycle: node_lifecycle.Config = field(default_factory=node_lifecycle.Config)
    #: Ranges of Pod addresses for nodes. None: somebody else hands them out (or nodes need none).
    node_ipam: node_ipam.Config | None = None
    pod_gc: pod_gc.Config = field(default_factory=pod_gc.Config)
    legacy_tokens: legacy_tokens.Config = field(default_factory=legacy_tokens.Config)
    #: Signs what is approved. None: no certificates are signed.
    certificates: certificates.Config | None = None
    #: Signs token Secrets. None: they stay empty.
    serviceaccount_tokens: serviceaccount_tokens.Config | None = None
    #: How quotas count, as admission does. None: quotas are not recounted.
    resource_quota: resource_quota.Config | None = None
    #: Volumes of the built-in StorageClass. None: nobody makes them.
    local_path: local_path.Config | None = None


class ControllerManager:
    """`run()` until cancelled; `ready` is set when all caches are filled and the controllers run."""

    def __init__(self, config: Config, client: Client) -> None:
        self.config = config
        self.client = client.named("kube-controller-manager")
        self.informers = InformerFactory(self.client)
        self.events = EventRecorder(self.client, "controllermanager")
        self.manager = Manager(self.informers, self.events, self._controllers())

    @property
    def ready(self) -> Ready[None]:
        return self.manager.ready

    async def run(self) -> None:
        """See the class. With leader election: stand by until elected; raises LeadershipLost when the lease is lost."""
        if self.config.leader_election is None:
            await self.manager.run()
        else:
            await leader.LeaderElector(self.config.leader_election, self.client).run(self.manager.run)

    def _controllers(self) -> list[Controller]:
        config, client, informers = self.config, self.client, self.informers
        found: list[Controller] = [
            kind(client, informers, self._recorder(kind)) for kind in PLAIN if self._wanted(kind.name)
        ]
        configured: list[tuple[Any, Any]] = [
            (RootCAPublisher, root_ca.Config(root_ca=config.root_ca) if config.root_ca else None),
            (ServiceAccountTokenController, config.serviceaccount_tokens),
            (NodeIPAMController, config.node_ipam),
            (NodeLifecycleController, config.node_lifecycle),
            (PodGarbageCollector, config.pod_gc),
            (LegacyTokenCleaner, config.legacy_tokens),
            (CSRSigningController, config.certificates),
            (ResourceQuotaController, config.resource_quota),
            (LocalPathProvisioner, config.local_path),
        ]
        for kind, own in configured:
            if own is not None and self._wanted(kind.name):
                found.append(kind(own, client, informers, self._recorder(kind)))
        if self._wanted(GarbageCollector.name):
            found.append(GarbageCollector(client, informers, self.events.named(GarbageCollector.name)))
        return found

    def _recorder(self, kind: type[Controller]) -> EventRecorder:
        return self.events.named(kind.component or kind.name)

    def _wanted(self, name: str) -> bool:
        listed = self.config.controllers
        return f"-{name}" not in listed and (name in listed or "*" in listed)
