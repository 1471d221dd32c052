"""Validation of containers: names, images, ports, environment, probes, hooks, mounts, security context.

Functions append to one list of errors and build paths only where something is wrong: a good container costs
attribute reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TypeAlias

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.container import (
    Container,
    ContainerPort,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    EphemeralContainer,
    HTTPGetAction,
    Lifecycle,
    LifecycleHandler,
    Probe,
    SeccompProfile,
    SecurityContext,
    VolumeMount,
)
from pybernetes.api.core_v1.references import ObjectFieldSelector, ResourceFieldSelector
from pybernetes.api.core_v1.resource_validation import requirements
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

AnyContainer: TypeAlias = Container | EphemeralContainer

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
RESOURCE_FIELDS = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
MEMORY_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
MAX_ID = 2**31 - 1
BIG_GRACE = 2**63
_SUBSCRIPT = re.compile(r"^(.*)\['(.*)'\]$")


@dataclass
class Context:
    """What a container must be judged against: the Pod around it."""

    volumes: dict[str, str] = dataclass_field(default_factory=dict)  #: name -> kind of source (wire name)
    claims: frozenset[str] = frozenset()  #: names in spec.resourceClaims
    host_network: bool = False
    host_users: bool = True
    grace: int = 30
    restart_policy: str = "Always"


def containers(listed: Sequence[Container], context: Context, path: Path, errors: list[FieldError]) -> set[str]:
    """Regular containers; returns their names."""
    seen: set[str] = set()
    if not listed:
        errors.append(field.required(path))
        return seen
    for i, container in enumerate(listed):
        at = path.index(i)
        _one(container, context, at, errors)
        if container.name in seen:
            errors.append(field.duplicate(at.child("name"), container.name))
        seen.add(container.name)
        if container.lifecycle is not None:
            lifecycle(container.lifecycle, context.grace, at.child("lifecycle"), errors)
        _probes(container, context, at, errors)
        if container.restart_policy or container.restart_policy_rules:
            _restart(container, at, errors)
    _host_ports(listed, path, errors)
    return seen


def init_containers(
    listed: Sequence[Container], regular: set[str], context: Context, path: Path, errors: list[FieldError]
) -> set[str]:
    """Init containers, among them sidecars (`restartPolicy: Always`); returns all names so far."""
    seen = set(regular)
    text = "may not be set for init containers without restartPolicy=Always"
    for i, container in enumerate(listed):
        at = path.index(i)
        _one(container, context, at, errors)
        if container.name in seen:
            errors.append(field.duplicate(at.child("name"), container.name))
        seen.add(container.name)
        if container.restart_policy or container.restart_policy_rules:
            _restart(container, at, errors)
        if container.restart_policy == "Always":
            if container.lifecycle is not None:
                lifecycle(container.lifecycle, context.grace, at.child("lifecycle"), errors)
            _probes(container, context, at, errors)
        else:
            for name, value in (
                ("lifecycle", container.lifecycle),
                ("livenessProbe", container.liveness_probe),
                ("readinessProbe", container.readiness_probe),
                ("startupProbe", container.startup_probe),
            ):
                if value is not None:
                    errors.append(field.forbidden(at.child(name), text))
        _host_ports([container], path, errors)
    return seen


def ephemeral_containers(
    listed: Sequence[EphemeralContainer],
    others: set[str],
    targets: set[str],
    context: Context,
    path: Path,
    errors: list[FieldError],
) -> None:
    """Ephemeral containers: no ports, probes, hooks or resources. `others`: the names taken by other containers."""
    seen = set(others)
    text = "cannot be set for an Ephemeral Container"
    for i, container in enumerate(listed):
        at = path.index(i)
        _one(container, context, at, errors)
        if container.name in seen:
            errors.append(field.duplicate(at.child("name"), container.name))
        seen.add(container.name)
        if container.target_container_name and container.target_container_name not in targets:
            errors.append(field.not_found(at.child("targetContainerName"), container.target_container_name))
        resources = container.resources
        for name, value in (
            ("ports", container.ports),
            ("livenessProbe", container.liveness_probe),
            ("readinessProbe", container.readiness_probe),
            ("startupProbe", container.startup_probe),
            ("lifecycle", container.lifecycle),
            ("resizePolicy", container.resize_policy),
            ("resources", resources is not None and (resources.limits or resources.requests or resources.claims)),
        ):
            if value:
                errors.append(field.forbidden(at.child(name), text))
        if container.restart_policy:
            errors.append(field.forbidden(at.child("restartPolicy"), "may not be set for ephemeral containers"))
        for j, mount in enumerate(container.volume_mounts or ()):
            where = at.child("volumeMounts").index(j)
            if mount.sub_path:
                errors.append(field.forbidden(where.child("subPath"), text))
            if mount.sub_path_expr:
                errors.append(field.forbidden(where.child("subPathExpr"), text))


def _one(container: AnyContainer, context: Context, path: Path, errors: list[FieldError]) -> None:
    """What regular, init and ephemeral containers have in common."""
    name = container.name
    if not name:
        errors.append(field.required(path.child("name")))
    else:
        for text in names.dns1123_label(name):
            errors.append(field.invalid(path.child("name"), name, text))
    image = container.image
    if not image:
        errors.append(field.required(path.child("image")))
    elif image.strip() != image:
        errors.append(field.invalid(path.child("image"), image, "must not have leading or trailing whitespace"))
    policy = container.termination_message_policy
    if policy not in ("File", "FallbackToLogsOnError"):
        at = path.child("terminationMessagePolicy")
        supported = ("FallbackToLogsOnError", "File")
        errors.append(field.not_supported(at, policy, supported) if policy else field.required(at))
    if container.ports:
        ports(container.ports, context, path.child("ports"), errors)
    if container.env:
        env(container.env, context, path.child("env"), errors)
    if container.env_from:
        env_from(container.env_from, path.child("envFrom"), errors)
    if container.volume_mounts:
        mounts(container, context, path.child("volumeMounts"), errors)
    if container.volume_devices:
        _devices(container, context, path.child("volumeDevices"), errors)
    pull = container.image_pull_policy
    if pull not in PULL_POLICIES:
        at = path.child("imagePullPolicy")
        errors.append(field.not_supported(at, pull, PULL_POLICIES) if pull else field.required(at))
    resources = container.resources
    if resources is not None and (resources.limits or resources.requests or resources.claims):
        requirements(resources, context.claims, path.child("resources"), errors)
    for i, rule in enumerate(container.resize_policy or ()):
        at = path.child("resizePolicy").index(i)
        if rule.resource_name not in ("cpu", "memory"):
            errors.append(field.not_supported(at.child("resourceName"), rule.resource_name, ("cpu", "memory")))
        if rule.restart_policy not in ("NotRequired", "RestartContainer"):
            supported = ("NotRequired", "RestartContainer")
            errors.append(field.not_supported(at.child("restartPolicy"), rule.restart_policy, supported))
        if context.restart_policy == "Never" and rule.restart_policy == "RestartContainer":
            text = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            errors.append(field.invalid(at, rule.restart_policy, text))
    if container.security_context is not None:
        security(container.security_context, path.child("securityContext"), errors)
        if not context.host_users and container.security_context.proc_mount == "Unmasked":
            pass  # allowed: a user namespace is what makes it safe
        elif container.security_context.proc_mount == "Unmasked":
            at = path.child("securityContext", "procMount")
            text = "`hostUsers` must be false to use `Unmasked`"
            errors.append(field.invalid(at, "Unmasked", text))


def _restart(container: Container, path: Path, errors: list[FieldError]) -> None:
    if container.restart_policy and container.restart_policy not in ("Always", "Never", "OnFailure"):
        supported = ("Always", "Never", "OnFailure")
        errors.append(field.not_supported(path.child("restartPolicy"), container.restart_policy, supported))
    rules = container.restart_policy_rules
    if not rules:
        return
    at = path.child("restartPolicyRules")
    if not container.restart_policy:
        errors.append(
            field.required(path.child("restartPolicy"), "must specify restartPolicy when restart rules are used")
        )
    if len(rules) > 20:
        errors.append(field.too_many(at, len(rules), 20))
    for i, rule in enumerate(rules):
        where = at.index(i)
        if rule.action not in ("Restart", "RestartAllContainers"):
            errors.append(field.not_supported(where.child("action"), rule.action, ("Restart", "RestartAllContainers")))
        if rule.exit_codes is None:
            errors.append(field.required(where.child("exitCodes"), "must be specified"))
            continue
        codes = where.child("exitCodes")
        if rule.exit_codes.operator not in ("In", "NotIn"):
            errors.append(field.not_supported(codes.child("operator"), rule.exit_codes.operator, ("In", "NotIn")))
        if len(rule.exit_codes.values or ()) > 255:
            errors.append(field.too_many(codes.child("values"), len(rule.exit_codes.values or ()), 255))


def ports(listed: Iterable[ContainerPort], context: Context, path: Path, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for i, port in enumerate(listed):
        if port.name:
            if messages := names.port_name(port.name):
                for text in messages:
                    errors.append(field.invalid(path.index(i).child("name"), port.name, text))
            elif port.name in seen:
                errors.append(field.duplicate(path.index(i).child("name"), port.name))
            seen.add(port.name)
        number = port.container_port
        if not number:
            errors.append(field.required(path.index(i).child("containerPort")))
        elif not 1 <= number <= 65535:
            errors.append(field.invalid(path.index(i).child("containerPort"), number, names.range_text(1, 65535)))
        if port.host_port and not 1 <= port.host_port <= 65535:
            errors.append(field.invalid(path.index(i).child("hostPort"), port.host_port, names.range_text(1, 65535)))
        if context.host_network and port.host_port != number:
            text = "must match `hostPort` when `hostNetwork` is true"
            errors.append(field.invalid(path.index(i).child("containerPort"), number, text))
        if port.protocol not in PROTOCOLS:
            at = path.index(i).child("protocol")
            errors.append(field.not_supported(at, port.protocol, PROTOCOLS) if port.protocol else field.required(at))
        if port.host_ip:
            for text in names.ip(port.host_ip):
                errors.append(field.invalid(path.index(i).child("hostIP"), port.host_ip, text))


def _host_ports(listed: Sequence[Container], path: Path, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for i, container in enumerate(listed):
        for j, port in enumerate(container.ports or ()):
            if not port.host_port:
                continue
            text = f"{port.protocol}/{port.host_ip or ''}/{port.host_port}"
            if text in seen:
                errors.append(field.duplicate(path.index(i).child("ports").index(j).child("hostPort"), text))
            seen.add(text)


def env(listed: Iterable[EnvVar], context: Context, path: Path, errors: list[FieldError]) -> None:
    for i, variable in enumerate(listed):
        if not variable.name:
            errors.append(field.required(path.index(i).child("name")))
        else:
            for text in names.env_var_name(variable.name):
                errors.append(field.invalid(path.index(i).child("name"), variable.name, text))
        if variable.value_from is not None:
            at = path.index(i).child("valueFrom")
            if variable.value:
                errors.append(field.invalid(at, "", "may not be specified when `value` is not empty"))
            else:
                _env_source(variable.value_from, context, at, errors)


def _env_source(source: EnvVarSource, context: Context, path: Path, errors: list[FieldError]) -> None:
    count = 0
    if source.field_ref is not None:
        count += 1
        field_ref(source.field_ref, ENV_FIELDS, path.child("fieldRef"), errors)
    if source.resource_field_ref is not None:
        count += 1
        resource_field(source.resource_field_ref, False, path.child("resourceFieldRef"), errors)
    for name, selector in (("configMapKeyRef", source.config_map_key_ref), ("secretKeyRef", source.secret_key_ref)):
        if selector is not None:
            count += 1
            at = path.child(name)
            if not selector.name:
                errors.append(field.required(at.child("name")))
            if not selector.key:
                errors.append(field.required(at.child("key")))
            else:
                for text in names.config_map_key(selector.key):
                    errors.append(field.invalid(at.child("key"), selector.key, text))
    if (file := source.file_key_ref) is not None:
        count += 1
        at = path.child("fileKeyRef")
        if not file.key:
            errors.append(field.required(at.child("key")))
        else:
            for text in names.env_var_name(file.key):
                errors.append(field.invalid(at.child("key"), file.key, text))
        if not file.volume_name:
            errors.append(field.required(at.child("volumeName")))
        elif context.volumes.get(file.volume_name) not in (None, "emptyDir"):
            text = "must be an emptyDir volume"
            errors.append(field.invalid(at.child("volumeName"), file.volume_name, text))
        elif file.volume_name not in context.volumes:
            errors.append(field.not_found(at.child("volumeName"), file.volume_name))
        if not file.path:
            errors.append(field.required(at.child("path")))
        else:
            local_path(file.path, at.child("path"), errors)
    if count == 0:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(field.invalid(path, "", text))
    elif count > 1:
        errors.append(field.invalid(path, "", "may not have more than one field specified at a time"))


def field_ref(ref: ObjectFieldSelector, supported: Sequence[str], path: Path, errors: list[FieldError]) -> None:
    if not ref.api_version:
        errors.append(field.required(path.child("apiVersion")))
        return
    if not ref.field_path:
        errors.append(field.required(path.child("fieldPath")))
        return
    at = path.child("fieldPath")
    if match := _SUBSCRIPT.match(ref.field_path):
        prefix, key = match[1], match[2]
        if prefix == "metadata.annotations":
            for text in names.qualified_name(key.lower()):
                errors.append(field.invalid(path, key, text))
        elif prefix == "metadata.labels":
            for text in names.qualified_name(key):
                errors.append(field.invalid(path, key, text))
        else:
            errors.append(field.invalid(path, prefix, "does not support subscript"))
        return
    known = {
        *ENV_FIELDS,
        *VOLUME_FIELDS,
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.hostNetwork",
        "status.phase",
    }
    if ref.api_version != "v1":
        text = f"error converting fieldPath: unsupported pod version: {ref.api_version}"
        errors.append(field.invalid(at, ref.field_path, text))
    elif ref.field_path not in known:
        text = f"error converting fieldPath: field label not supported: {ref.field_path}"
        errors.append(field.invalid(at, ref.field_path, text))
    elif ref.field_path not in supported:
        errors.append(field.not_supported(at, ref.field_path, sorted(supported)))


def resource_field(ref: ResourceFieldSelector, in_volume: bool, path: Path, errors: list[FieldError]) -> None:
    if in_volume and not ref.container_name:
        errors.append(field.required(path.child("containerName")))
        return
    if not ref.resource:
        errors.append(field.required(path.child("resource")))
        return
    if ref.resource not in RESOURCE_FIELDS and not ref.resource.startswith(
        ("requests.hugepages-", "limits.hugepages-")
    ):
        errors.append(field.not_supported(path.child("resource"), ref.resource, RESOURCE_FIELDS))
        return
    divisor = ref.divisor or "0"
    if divisor == "0":
        return
    name = ref.resource.partition(".")[2]
    if name == "cpu":
        if divisor not in ("1m", "1"):
            text = "only divisor's values 1m and 1 are supported with the cpu resource"
            errors.append(field.invalid(path.child("divisor"), ref.resource, text))
    elif divisor not in MEMORY_DIVISORS:
        what = "memory" if name == "memory" else "local ephemeral storage" if name[0] == "e" else "hugepages"
        listed = ", ".join(MEMORY_DIVISORS)
        text = f"only divisor's values {listed} are supported with the {what} resource"
        errors.append(field.invalid(path.child("divisor"), ref.resource, text))


def env_from(listed: Iterable[EnvFromSource], path: Path, errors: list[FieldError]) -> None:
    for i, source in enumerate(listed):
        at = path.index(i)
        if source.prefix:
            for text in names.env_var_name(source.prefix):
                errors.append(field.invalid(at.child("prefix"), source.prefix, text))
        count = 0
        for name, ref in (("configMapRef", source.config_map_ref), ("secretRef", source.secret_ref)):
            if ref is not None:
                count += 1
                if not ref.name:
                    errors.append(field.required(at.child(name, "name")))
        if count == 0:
            errors.append(field.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif count > 1:
            errors.append(field.invalid(path, "", "may not have more than one field specified at a time"))


def local_path(value: str, path: Path, errors: list[FieldError]) -> None:
    """A relative path that does not climb."""
    if value.startswith("/"):
        errors.append(field.invalid(path, value, "must be a relative path"))
    no_backsteps(value, path, errors)


def no_backsteps(value: str, path: Path, errors: list[FieldError]) -> None:
    if ".." in value.replace("\\", "/").split("/"):
        errors.append(field.invalid(path, value, "must not contain '..'"))


def mounts(container: AnyContainer, context: Context, path: Path, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    devices = {device.device_path for device in container.volume_devices or ()}
    for i, mount in enumerate(container.volume_mounts or ()):
        if not mount.name:
            errors.append(field.required(path.index(i).child("name")))
        elif mount.name not in context.volumes:
            errors.append(field.not_found(path.index(i).child("name"), mount.name))
        if not mount.mount_path:
            errors.append(field.required(path.index(i).child("mountPath")))
        if mount.mount_path in seen:
            errors.append(field.invalid(path.index(i).child("mountPath"), mount.mount_path, "must be unique"))
        seen.add(mount.mount_path)
        if mount.mount_path in devices:
            text = "must not already exist as a path in volumeDevices"
            errors.append(field.invalid(path.index(i).child("mountPath"), mount.mount_path, text))
        if mount.sub_path or mount.sub_path_expr:
            _sub_paths(mount, path.index(i), errors)
        if mount.mount_propagation is not None:
            _propagation(container, mount.mount_propagation, path.index(i).child("mountPropagation"), errors)
        if mount.recursive_read_only is not None:
            _recursive(mount, path.index(i).child("recursiveReadOnly"), errors)


def _sub_paths(mount: VolumeMount, path: Path, errors: list[FieldError]) -> None:
    if mount.sub_path:
        local_path(mount.sub_path, path.child("subPath"), errors)
    if mount.sub_path_expr:
        if mount.sub_path:
            text = "subPathExpr and subPath are mutually exclusive"
            errors.append(field.invalid(path.child("subPathExpr"), mount.sub_path_expr, text))
        local_path(mount.sub_path_expr, path.child("subPathExpr"), errors)


def _propagation(container: AnyContainer, value: str, path: Path, errors: list[FieldError]) -> None:
    supported = ("Bidirectional", "HostToContainer", "None")
    if value not in supported:
        errors.append(field.not_supported(path, value, supported))
    elif value == "Bidirectional" and not (container.security_context and container.security_context.privileged):
        text = "Bidirectional mount propagation is available only to privileged containers"
        errors.append(field.forbidden(path, text))


def _recursive(mount: VolumeMount, path: Path, errors: list[FieldError]) -> None:
    value = mount.recursive_read_only
    if value == "Disabled":
        return
    if value not in ("Enabled", "IfPossible"):
        errors.append(field.not_supported(path, value, ("Disabled", "Enabled", "IfPossible")))
        return
    if not mount.read_only:
        errors.append(field.forbidden(path, "may only be specified when readOnly is true"))
    if mount.mount_propagation not in (None, "None"):
        errors.append(field.forbidden(path, "may only be specified when mountPropagation is None or not specified"))


def _devices(container: AnyContainer, context: Context, path: Path, errors: list[FieldError]) -> None:
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for i, device in enumerate(container.volume_devices or ()):
        at = path.index(i)
        source = context.volumes.get(device.name)
        if not device.name:
            errors.append(field.required(at.child("name")))
        elif device.name in seen_names:
            errors.append(field.invalid(at.child("name"), device.name, "must be unique"))
        elif source is None:
            errors.append(field.not_found(at.child("name"), device.name))
        elif source not in ("persistentVolumeClaim", "ephemeral"):
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(field.invalid(at.child("name"), device.name, text))
        if not device.device_path:
            errors.append(field.required(at.child("devicePath")))
        elif device.device_path in seen_paths:
            errors.append(field.invalid(at.child("devicePath"), device.device_path, "must be unique"))
        elif ".." in device.device_path.split("/"):
            text = "can not contain backsteps ('..')"
            errors.append(field.invalid(at.child("devicePath"), device.device_path, text))
        seen_names.add(device.name)
        seen_paths.add(device.device_path)


def _probes(container: Container, context: Context, path: Path, errors: list[FieldError]) -> None:
    if container.liveness_probe is not None:
        at = path.child("livenessProbe")
        probe(container.liveness_probe, context.grace, at, errors)
        _once(container.liveness_probe, at, errors)
    if container.readiness_probe is not None:
        at = path.child("readinessProbe")
        probe(container.readiness_probe, context.grace, at, errors)
        seconds = container.readiness_probe.termination_grace_period_seconds
        if seconds is not None:
            text = "must not be set for readinessProbes"
            errors.append(field.invalid(at.child("terminationGracePeriodSeconds"), seconds, text))
    if container.startup_probe is not None:
        at = path.child("startupProbe")
        probe(container.startup_probe, context.grace, at, errors)
        _once(container.startup_probe, at, errors)


def _once(judged: Probe, path: Path, errors: list[FieldError]) -> None:
    if judged.success_threshold != 1:
        errors.append(field.invalid(path.child("successThreshold"), judged.success_threshold, "must be 1"))


def probe(judged: Probe, grace: int, path: Path, errors: list[FieldError]) -> None:
    handler = LifecycleHandler(exec=judged.exec, http_get=judged.http_get, tcp_socket=judged.tcp_socket)
    _handler(handler, judged.grpc is not None, grace, path, errors)
    if judged.grpc is not None and not 1 <= judged.grpc.port <= 65535:
        errors.append(field.invalid(path.child("grpc", "port"), judged.grpc.port, names.range_text(1, 65535)))
    meta.non_negative(judged.initial_delay_seconds, path.child("initialDelaySeconds"), errors)
    meta.non_negative(judged.timeout_seconds, path.child("timeoutSeconds"), errors)
    meta.non_negative(judged.period_seconds, path.child("periodSeconds"), errors)
    meta.non_negative(judged.success_threshold, path.child("successThreshold"), errors)
    meta.non_negative(judged.failure_threshold, path.child("failureThreshold"), errors)
    seconds = judged.termination_grace_period_seconds
    if seconds is not None and seconds <= 0:
        errors.append(field.invalid(path.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0"))


def lifecycle(hooks: Lifecycle, grace: int, path: Path, errors: list[FieldError]) -> None:
    if hooks.post_start is not None:
        _handler(hooks.post_start, False, grace, path.child("postStart"), errors)
    if hooks.pre_stop is not None:
        _handler(hooks.pre_stop, False, grace, path.child("preStop"), errors)


def _handler(handler: LifecycleHandler, has_grpc: bool, grace: int, path: Path, errors: list[FieldError]) -> None:
    count = 1 if has_grpc else 0
    text = "may not specify more than 1 handler type"
    if handler.exec is not None:
        count += 1
        if not handler.exec.command:
            errors.append(field.required(path.child("exec", "command")))
    if handler.http_get is not None:
        count += 1
        if count > 1:
            errors.append(field.forbidden(path.child("httpGet"), text))
        else:
            _http_get(handler.http_get, path.child("httpGet"), errors)
    if handler.tcp_socket is not None:
        count += 1
        if count > 1:
            errors.append(field.forbidden(path.child("tcpSocket"), text))
        else:
            port_or_name(handler.tcp_socket.port, path.child("tcpSocket", "port"), errors)
    if handler.sleep is not None:
        count += 1
        seconds = handler.sleep.seconds
        if count > 1:
            errors.append(field.forbidden(path.child("sleep"), text))
        elif not 0 <= seconds <= grace:
            said = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            errors.append(field.invalid(path.child("sleep"), seconds, said))
    if count == 0:
        errors.append(field.required(path, "must specify a handler type"))


def _http_get(action: HTTPGetAction, path: Path, errors: list[FieldError]) -> None:
    if not action.path:
        errors.append(field.required(path.child("path")))
    port_or_name(action.port, path.child("port"), errors)
    if action.scheme not in ("HTTP", "HTTPS"):
        errors.append(field.not_supported(path.child("scheme"), action.scheme or "", ("HTTP", "HTTPS")))
    for header in action.http_headers or ():
        for text in names.http_header_name(header.name):
            errors.append(field.invalid(path.child("httpHeaders"), header.name, text))


def port_or_name(port: int | str | None, path: Path, errors: list[FieldError]) -> None:
    """A port number, or the name of one."""
    if isinstance(port, str):
        for text in names.port_name(port):
            errors.append(field.invalid(path, port, text))
    else:
        for text in names.port_number(port or 0):
            errors.append(field.invalid(path, port or 0, text))


def user_id(value: int | None, path: Path, errors: list[FieldError]) -> None:
    if value is not None and not 0 <= value <= MAX_ID:
        errors.append(field.invalid(path, value, names.range_text(0, MAX_ID)))


def security(context: SecurityContext, path: Path, errors: list[FieldError]) -> None:
    user_id(context.run_as_user, path.child("runAsUser"), errors)
    user_id(context.run_as_group, path.child("runAsGroup"), errors)
    if context.proc_mount is not None and context.proc_mount not in ("Default", "Unmasked"):
        errors.append(field.not_supported(path.child("procMount"), context.proc_mount, ("Default", "Unmasked")))
    if context.seccomp_profile is not None:
        seccomp(context.seccomp_profile, path.child("seccompProfile"), errors)
    if context.app_armor_profile is not None:
        profile = context.app_armor_profile
        at = path.child("appArmorProfile")
        _profile(profile.type, profile.localhost_profile, "AppArmor", at, errors)
    if context.allow_privilege_escalation is False:
        if context.privileged:
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(field.invalid(path, context, text))
        if context.capabilities and {"SYS_ADMIN", "CAP_SYS_ADMIN"} & set(context.capabilities.add or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(field.invalid(path, context, text))


def seccomp(profile: SeccompProfile, path: Path, errors: list[FieldError]) -> None:
    _profile(profile.type, profile.localhost_profile, "seccomp", path, errors)


def _profile(type_: str, local: str | None, what: str, path: Path, errors: list[FieldError]) -> None:
    at = path.child("localhostProfile")
    if type_ == "Localhost":
        if local is None:
            text = f"must be set when {what} type is Localhost"
            errors.append(field.required(at, text))
        elif what == "seccomp":
            local_path(local, at, errors)
        elif not local.strip():
            errors.append(field.required(at, f"must be set when {what} type is Localhost"))
    elif local is not None:
        errors.append(field.invalid(at, local, f"can only be set when {what} type is Localhost"))
    if not type_:
        errors.append(field.required(path.child("type"), "type is required when seccompProfile is set"))
    elif type_ not in ("Localhost", "RuntimeDefault", "Unconfined"):
        supported = ("Localhost", "RuntimeDefault", "Unconfined")
        errors.append(field.not_supported(path.child("type"), type_, supported))
