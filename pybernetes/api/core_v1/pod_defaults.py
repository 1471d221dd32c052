"""Defaults of Pods and of everything that contains a Pod template.

On the path of every Pod that is created, so the common case (one container, no volumes) does a few dozen attribute
reads. `default_pod_spec` is what a template gets; `default_pod` adds what upstream gives to Pods alone (requests from
limits, service links, host ports), because a default in a template would change its hash and restart workloads.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybernetes.api.core_v1.container import (
    Container,
    EphemeralContainer,
    HTTPGetAction,
    Lifecycle,
    Probe,
    ResourceRequirements,
)
from pybernetes.api.core_v1.pod import Pod, PodSecurityContext, PodSpec
from pybernetes.api.core_v1.references import ObjectFieldSelector, ResourceFieldSelector
from pybernetes.api.core_v1.template import PodTemplate, PodTemplateSpec
from pybernetes.api.core_v1.volume import DownwardAPIVolumeFile, EmptyDirVolumeSource, Volume, VolumeProjection
from pybernetes.machinery import quantity
from pybernetes.machinery.meta import ObjectMeta

__all__ = ["default_pod", "default_pod_spec", "default_pod_template", "default_pod_template_spec", "pull_policy"]

VOLUME_MODE = 0o644


def default_pod(pod: Pod) -> None:
    """Defaults of a Pod: those of its spec, then what only Pods get."""
    spec = pod.spec
    default_pod_spec(spec)
    if (spec.termination_grace_period_seconds or 0) < 0:  # once allowed, and always meant as "at once"
        spec.termination_grace_period_seconds = 1
    for container in spec.containers:
        _requests_from_limits(container)
    for container in spec.init_containers or ():
        _requests_from_limits(container)
    if spec.resources is not None:
        _pod_level_resources(spec)
    if spec.enable_service_links is None:
        spec.enable_service_links = True
    if spec.host_network:
        for container in (*spec.containers, *(spec.init_containers or ())):
            for port in container.ports or ():
                if not port.host_port:
                    port.host_port = port.container_port
    status = pod.status
    if not status.phase:
        status.phase = "Pending"


def default_pod_template(template: PodTemplate) -> None:
    default_pod_template_spec(template.template)


def default_pod_template_spec(template: PodTemplateSpec) -> None:
    """Defaults of the template in a workload."""
    default_pod_spec(template.spec)


def default_pod_spec(spec: PodSpec) -> None:
    """What a Pod and a template have in common."""
    if not spec.dns_policy:
        spec.dns_policy = "ClusterFirst"
    if not spec.restart_policy:
        spec.restart_policy = "Always"
    if spec.security_context is None:
        spec.security_context = PodSecurityContext()
    if spec.termination_grace_period_seconds is None:
        spec.termination_grace_period_seconds = 30
    if not spec.scheduler_name:
        spec.scheduler_name = "default-scheduler"
    if spec.service_account_name != spec.service_account:  # the old name of the field mirrors the new one
        spec.service_account_name = spec.service_account = spec.service_account_name or spec.service_account
    for container in spec.containers:
        _container(container)
    for container in spec.init_containers or ():
        _container(container)
    for ephemeral in spec.ephemeral_containers or ():
        _container(ephemeral)
    for volume in spec.volumes or ():
        _volume(volume)
    if spec.overhead:
        _round_up(spec.overhead)


def pull_policy(image: str | None) -> str:
    """Always for `latest` (also when neither tag nor digest is given), else IfNotPresent."""
    if not image:
        return "Always"
    name, at, _digest = image.partition("@")
    _, colon, tag = name[name.rfind("/") + 1 :].partition(":")
    if not colon and not at:
        return "Always"
    return "Always" if tag == "latest" else "IfNotPresent"


def _container(container: Container | EphemeralContainer) -> None:
    if not container.image_pull_policy:
        container.image_pull_policy = pull_policy(container.image)
    if not container.termination_message_path:
        container.termination_message_path = "/dev/termination-log"
    if not container.termination_message_policy:
        container.termination_message_policy = "File"
    if container.resources is None:
        container.resources = ResourceRequirements()
    else:
        if container.resources.limits:
            _round_up(container.resources.limits)
        if container.resources.requests:
            _round_up(container.resources.requests)
    if container.ports:
        for port in container.ports:
            if not port.protocol:
                port.protocol = "TCP"
    if container.env:
        for variable in container.env:
            if (source := variable.value_from) is not None:
                _field_refs(source.field_ref, source.resource_field_ref)
                if source.file_key_ref is not None and source.file_key_ref.optional is None:
                    source.file_key_ref.optional = False
    if container.liveness_probe is not None:
        _probe(container.liveness_probe)
    if container.readiness_probe is not None:
        _probe(container.readiness_probe)
    if container.startup_probe is not None:
        _probe(container.startup_probe)
    if container.lifecycle is not None:
        _lifecycle(container.lifecycle)


def _round_up(resources: dict[str, str]) -> None:
    """Amounts are kept in thousandths at most; finer ones are rounded up, as upstream does."""
    for name, amount in resources.items():
        if not amount.isdecimal() and amount[-1:] in "un" and amount:
            resources[name] = quantity.canonical(f"{quantity.milli(amount)}m")


def _field_refs(field_ref: ObjectFieldSelector | None, resource: ResourceFieldSelector | None) -> None:
    if field_ref is not None and not field_ref.api_version:
        field_ref.api_version = "v1"
    if resource is not None and not resource.divisor:
        resource.divisor = "0"


def _http_get(action: HTTPGetAction) -> None:
    if not action.path:
        action.path = "/"
    if not action.scheme:
        action.scheme = "HTTP"


def _probe(probe: Probe) -> None:
    if not probe.timeout_seconds:
        probe.timeout_seconds = 1
    if not probe.period_seconds:
        probe.period_seconds = 10
    if not probe.success_threshold:
        probe.success_threshold = 1
    if not probe.failure_threshold:
        probe.failure_threshold = 3
    if probe.http_get is not None:
        _http_get(probe.http_get)
    if probe.grpc is not None and probe.grpc.service is None:
        probe.grpc.service = ""


def _lifecycle(lifecycle: Lifecycle) -> None:
    for handler in (lifecycle.post_start, lifecycle.pre_stop):
        if handler is not None and handler.http_get is not None:
            _http_get(handler.http_get)


def _requests_from_limits(container: Container) -> None:
    resources = container.resources
    if resources is None or not resources.limits:
        return
    if resources.requests is None:
        resources.requests = {}
    for name, amount in resources.limits.items():
        resources.requests.setdefault(name, amount)


def _pod_level_supported(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def effective(containers: Iterable[Container], init_containers: Iterable[Container], what: str) -> dict[str, str]:
    """What all containers together need of each resource: sidecars add up, other init containers run alone.

    `what` is "requests" or "limits".
    """
    total: dict[str, quantity.Quantity] = {}
    for container in containers:
        for name, amount in (getattr(container.resources, what, None) or {}).items():
            total[name] = total.get(name, quantity.parse("0")) + quantity.parse(amount)
    sidecars: dict[str, quantity.Quantity] = {}
    peak: dict[str, quantity.Quantity] = {}
    for container in init_containers:
        sidecar = container.restart_policy == "Always"
        for name, amount in (getattr(container.resources, what, None) or {}).items():
            if sidecar:
                sidecars[name] = sidecars.get(name, quantity.parse("0")) + quantity.parse(amount)
                total[name] = total.get(name, quantity.parse("0")) + quantity.parse(amount)
                need = sidecars[name]
            else:
                need = sidecars.get(name, quantity.parse("0")) + quantity.parse(amount)
            if name not in peak or need > peak[name]:
                peak[name] = need
    for name, need in peak.items():
        if name not in total or need > total[name]:
            total[name] = need
    return {name: str(amount) for name, amount in total.items()}


def _pod_level_resources(spec: PodSpec) -> None:
    resources = spec.resources
    if resources is None:
        return
    inits = spec.init_containers or ()
    if resources.limits or resources.requests:
        huge_limits = effective(spec.containers, inits, "limits")
        for name, amount in huge_limits.items():
            if name.startswith("hugepages-") and name not in (resources.requests or {}):
                if resources.limits is None:
                    resources.limits = {}
                resources.limits.setdefault(name, amount)
    if not resources.limits:
        return
    requests = dict(resources.requests or {})
    for name, amount in effective(spec.containers, inits, "requests").items():
        if name in ("cpu", "memory"):
            requests.setdefault(name, amount)
    for name, amount in resources.limits.items():
        if _pod_level_supported(name):
            requests.setdefault(name, amount)
    if requests:
        resources.requests = requests


def _volume(volume: Volume) -> None:
    if volume.config_map is not None:
        if volume.config_map.default_mode is None:
            volume.config_map.default_mode = VOLUME_MODE
    elif volume.secret is not None:
        if volume.secret.default_mode is None:
            volume.secret.default_mode = VOLUME_MODE
    elif volume.projected is not None:
        if volume.projected.default_mode is None:
            volume.projected.default_mode = VOLUME_MODE
        for source in volume.projected.sources or ():
            _projection(source)
    elif volume.downward_api is not None:
        if volume.downward_api.default_mode is None:
            volume.downward_api.default_mode = VOLUME_MODE
        _downward(volume.downward_api.items)
    elif volume.host_path is not None:
        if volume.host_path.type is None:
            volume.host_path.type = ""
    elif volume.empty_dir is None and volume.persistent_volume_claim is None:
        _rare_volume(volume)


def _downward(items: list[DownwardAPIVolumeFile] | None) -> None:
    for item in items or ():
        _field_refs(item.field_ref, item.resource_field_ref)


def _projection(source: VolumeProjection) -> None:
    if source.service_account_token is not None and source.service_account_token.expiration_seconds is None:
        source.service_account_token.expiration_seconds = 3600
    if source.downward_api is not None:
        _downward(source.downward_api.items)
    if source.pod_certificate is not None and source.pod_certificate.max_expiration_seconds is None:
        source.pod_certificate.max_expiration_seconds = 86400


def _rare_volume(volume: Volume) -> None:
    if all(getattr(volume, name) is None for name in volume.__struct_fields__ if name != "name"):
        volume.empty_dir = EmptyDirVolumeSource()
        return
    if volume.image is not None and not volume.image.pull_policy:
        volume.image.pull_policy = pull_policy(volume.image.reference)
    if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
        claim = volume.ephemeral.volume_claim_template
        if claim.metadata is None:
            claim.metadata = ObjectMeta()
        if claim.spec.volume_mode is None:
            claim.spec.volume_mode = "Filesystem"
    if volume.iscsi is not None and not volume.iscsi.iscsi_interface:
        volume.iscsi.iscsi_interface = "default"
    if (rbd := volume.rbd) is not None:
        rbd.pool = rbd.pool or "rbd"
        rbd.user = rbd.user or "admin"
        rbd.keyring = rbd.keyring or "/etc/ceph/keyring"
    if (disk := volume.azure_disk) is not None:
        disk.caching_mode = disk.caching_mode or "ReadWrite"
        disk.kind = disk.kind or "Shared"
        disk.fs_type = disk.fs_type or "ext4"
        if disk.read_only is None:
            disk.read_only = False
    if (scale_io := volume.scale_io) is not None:
        scale_io.storage_mode = scale_io.storage_mode or "ThinProvisioned"
        scale_io.fs_type = scale_io.fs_type or "xfs"
