"""Validation of probes and lifecycle hooks."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.container import Container, HTTPGetAction, Lifecycle, LifecycleHandler, Probe
from pybernetes.api.core_v1.container_context import Context
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path


def probes(container: Container, context: Context, path: Path, errors: list[FieldError]) -> None:
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
