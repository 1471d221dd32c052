"""Validation of containers: names, images, ports, environment, probes, hooks, mounts, security context.

Functions append to one list of errors and build paths only where something is wrong: a good container costs
attribute reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pybernetes.api.core_v1.container import (
    Container,
    ContainerPort,
    EphemeralContainer,
)
from pybernetes.api.core_v1.container_context import AnyContainer, Context
from pybernetes.api.core_v1.env_validation import env, env_from
from pybernetes.api.core_v1.mount_validation import devices, mounts
from pybernetes.api.core_v1.probe_validation import lifecycle, probes
from pybernetes.api.core_v1.resource_validation import requirements
from pybernetes.api.core_v1.security_validation import security
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
BIG_GRACE = 2**63


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
        probes(container, context, at, errors)
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
            probes(container, context, at, errors)
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
        devices(container, context, path.child("volumeDevices"), errors)
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
