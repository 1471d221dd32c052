"""Defaults of the core kinds other than Pods."""

from __future__ import annotations

from base64 import b64encode

from pybernetes.api.core_v1.node import DaemonEndpoint, Node, NodeDaemonEndpoints, NodeSystemInfo
from pybernetes.api.core_v1.objects import Event, EventSource, LimitRange, Namespace, Secret
from pybernetes.api.core_v1.persistent_volume import PersistentVolume
from pybernetes.api.core_v1.persistent_volume_claim import PersistentVolumeClaim, VolumeResourceRequirements
from pybernetes.api.core_v1.pod_defaults import default_pod_template_spec
from pybernetes.api.core_v1.service import (
    ClientIPConfig,
    Endpoints,
    LoadBalancerStatus,
    Service,
    SessionAffinityConfig,
)
from pybernetes.api.core_v1.template import ReplicationController

CLIENT_IP_SECONDS = 10800
METADATA_NAME = "kubernetes.io/metadata.name"


def default_service(service: Service) -> None:
    spec = service.spec
    if not spec.session_affinity:
        spec.session_affinity = "None"
    if spec.session_affinity == "None":
        spec.session_affinity_config = None
    elif spec.session_affinity == "ClientIP":
        config = spec.session_affinity_config
        if config is None or config.client_ip is None or config.client_ip.timeout_seconds is None:
            spec.session_affinity_config = SessionAffinityConfig(
                client_ip=ClientIPConfig(timeout_seconds=CLIENT_IP_SECONDS)
            )
    if not spec.type:
        spec.type = "ClusterIP"
    for port in spec.ports or ():
        if not port.protocol:
            port.protocol = "TCP"
        if not port.target_port:
            port.target_port = port.port
    external = spec.type in ("NodePort", "LoadBalancer") or (spec.type == "ClusterIP" and bool(spec.external_ips))
    if external and not spec.external_traffic_policy:
        spec.external_traffic_policy = "Cluster"
    if spec.internal_traffic_policy is None and spec.type in ("NodePort", "LoadBalancer", "ClusterIP"):
        spec.internal_traffic_policy = "Cluster"
    if service.status.load_balancer is None:
        service.status.load_balancer = LoadBalancerStatus()
    if spec.type == "LoadBalancer":
        if spec.allocate_load_balancer_node_ports is None:
            spec.allocate_load_balancer_node_ports = True
        for ingress in service.status.load_balancer.ingress or ():
            if ingress.ip and ingress.ip_mode is None:
                ingress.ip_mode = "VIP"


def default_secret(secret: Secret) -> None:
    if not secret.type:
        secret.type = "Opaque"
    if secret.string_data is not None:  # write-only: it goes into `data`
        if secret.string_data and secret.data is None:
            secret.data = {}
        for key, text in secret.string_data.items():
            secret.data[key] = b64encode(text.encode()).decode()  # type: ignore[index]
        secret.string_data = None


def default_namespace(namespace: Namespace) -> None:
    if name := namespace.metadata.name:
        labels = namespace.metadata.labels
        if labels is None:
            labels = namespace.metadata.labels = {}
        labels[METADATA_NAME] = name
    if not namespace.status.phase:
        namespace.status.phase = "Active"


def default_node(node: Node) -> None:
    status = node.status
    if status.allocatable is None and status.capacity is not None:
        status.allocatable = dict(status.capacity)
    if status.daemon_endpoints is None:
        status.daemon_endpoints = NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint())
    if status.node_info is None:
        status.node_info = NodeSystemInfo()


def default_endpoints(endpoints: Endpoints) -> None:
    for subset in endpoints.subsets or ():
        for port in subset.ports or ():
            if not port.protocol:
                port.protocol = "TCP"


def default_event(event: Event) -> None:
    if event.source is None:
        event.source = EventSource()
    if event.reporting_component is None:
        event.reporting_component = ""
    if event.reporting_instance is None:
        event.reporting_instance = ""


def default_limit_range(limit_range: LimitRange) -> None:
    for item in limit_range.spec.limits:
        if item.type != "Container":
            continue
        default = dict(item.default or {})
        request = dict(item.default_request or {})
        for name, amount in (item.max or {}).items():
            default.setdefault(name, amount)
        for name, amount in default.items():
            request.setdefault(name, amount)
        for name, amount in (item.min or {}).items():
            request.setdefault(name, amount)
        item.default = default or None
        item.default_request = request or None


def default_persistent_volume(volume: PersistentVolume) -> None:
    spec = volume.spec
    if not volume.status.phase:
        volume.status.phase = "Pending"
    if not spec.persistent_volume_reclaim_policy:
        spec.persistent_volume_reclaim_policy = "Retain"
    if spec.volume_mode is None:
        spec.volume_mode = "Filesystem"
    if spec.host_path is not None and spec.host_path.type is None:
        spec.host_path.type = ""
    if spec.iscsi is not None and not spec.iscsi.iscsi_interface:
        spec.iscsi.iscsi_interface = "default"
    if (rbd := spec.rbd) is not None:
        rbd.pool = rbd.pool or "rbd"
        rbd.user = rbd.user or "admin"
        rbd.keyring = rbd.keyring or "/etc/ceph/keyring"
    if (disk := spec.azure_disk) is not None:
        disk.caching_mode = disk.caching_mode or "ReadWrite"
        disk.kind = disk.kind or "Shared"
        disk.fs_type = disk.fs_type or "ext4"
        if disk.read_only is None:
            disk.read_only = False
    if (scale_io := spec.scale_io) is not None:
        scale_io.storage_mode = scale_io.storage_mode or "ThinProvisioned"
        scale_io.fs_type = scale_io.fs_type or "xfs"


def default_persistent_volume_claim(claim: PersistentVolumeClaim) -> None:
    if not claim.status.phase:
        claim.status.phase = "Pending"
    if claim.spec.volume_mode is None:
        claim.spec.volume_mode = "Filesystem"
    if claim.spec.resources is None:
        claim.spec.resources = VolumeResourceRequirements()


def default_replication_controller(controller: ReplicationController) -> None:
    spec = controller.spec
    if spec.template is not None:
        default_pod_template_spec(spec.template)
        labels = spec.template.metadata.labels if spec.template.metadata else None
        if labels:
            if not spec.selector:
                spec.selector = dict(labels)
            if not controller.metadata.labels:
                controller.metadata.labels = dict(labels)
    if spec.replicas is None:
        spec.replicas = 1
