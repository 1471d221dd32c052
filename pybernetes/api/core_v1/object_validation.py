"""Validation of ConfigMaps, Secrets, ServiceAccounts, Namespaces, Events, ReplicationControllers and Bindings."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping

import msgspec

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.objects import Binding, ConfigMap, Event, Namespace, Secret, ServiceAccount
from pybernetes.api.core_v1.pod_validation import pod_template_spec
from pybernetes.api.core_v1.template import ReplicationController
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

MAX_SIZE = 1024 * 1024
FROZEN = "field is immutable when `immutable` is set"
DATA = Path("data")


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _decoded_size(text: str) -> int:
    return len(text) * 3 // 4 - text.count("=", len(text) - 2)


def validate_config_map(config_map: ConfigMap) -> list[FieldError]:
    errors = meta.object_meta(config_map.metadata, True)
    _config_map(config_map, errors)
    return errors


def _config_map(config_map: ConfigMap, errors: list[FieldError]) -> None:
    data, binary = config_map.data or {}, config_map.binary_data or {}
    total = 0
    for key, value in data.items():
        for text in names.config_map_key(key):
            errors.append(field.invalid(DATA.key(key), key, text))
        if key in binary:
            errors.append(field.invalid(DATA.key(key), key, "duplicate of key present in binaryData"))
        total += _size(value)
    for key, value in binary.items():
        at = Path("binaryData").key(key)
        for text in names.config_map_key(key):
            errors.append(field.invalid(at, key, text))
        if key in data:
            errors.append(field.invalid(at, key, "duplicate of key present in data"))
        total += _decoded_size(value)
    if total > MAX_SIZE:
        errors.append(field.too_long(Path(""), "", MAX_SIZE))


def validate_config_map_update(new: ConfigMap, old: ConfigMap) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if old.immutable:
        if not new.immutable:
            errors.append(field.forbidden("immutable", FROZEN))
        if (new.data or {}) != (old.data or {}):
            errors.append(field.forbidden("data", FROZEN))
        if (new.binary_data or {}) != (old.binary_data or {}):
            errors.append(field.forbidden("binaryData", FROZEN))
    _config_map(new, errors)
    return errors


def validate_secret(secret: Secret) -> list[FieldError]:
    errors = meta.object_meta(secret.metadata, True)
    _secret(secret, errors)
    return errors


def _secret(secret: Secret, errors: list[FieldError]) -> None:
    data = secret.data or {}
    total = 0
    for key, value in data.items():
        for text in names.config_map_key(key):
            errors.append(field.invalid(DATA.key(key), key, text))
        total += _decoded_size(value)
    if total > MAX_SIZE:
        errors.append(field.too_long(DATA, "", MAX_SIZE))
    kind = secret.type
    if kind == "kubernetes.io/service-account-token":
        if not (secret.metadata.annotations or {}).get("kubernetes.io/service-account.name"):
            at = Path("metadata").child("annotations").key("kubernetes.io/service-account.name")
            errors.append(field.required(at))
    elif kind == "kubernetes.io/dockercfg":
        _json_key(data, ".dockercfg", errors)
    elif kind == "kubernetes.io/dockerconfigjson":
        _json_key(data, ".dockerconfigjson", errors)
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            errors.append(field.required(DATA.key("username")))
            errors.append(field.required(DATA.key("password")))
    elif kind == "kubernetes.io/ssh-auth":
        if not data.get("ssh-privatekey"):
            errors.append(field.required(DATA.key("ssh-privatekey")))
    elif kind == "kubernetes.io/tls":
        for key in ("tls.crt", "tls.key"):
            if key not in data:
                errors.append(field.required(DATA.key(key)))


def _json_key(data: Mapping[str, str], key: str, errors: list[FieldError]) -> None:
    if key not in data:
        errors.append(field.required(DATA.key(key)))
        return
    try:
        content = msgspec.json.decode(a2b_base64(data[key]))
        if isinstance(content, dict):
            return
        message = "json: cannot unmarshal into Go value of type map[string]interface {}"
    except (ValueError, Base64Error) as error:
        message = str(error)
    errors.append(field.invalid(DATA.key(key), "<secret contents redacted>", message))


def validate_secret_update(new: Secret, old: Secret) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.type, old.type, Path("type"), errors)
    if old.immutable:
        if not new.immutable:
            errors.append(field.forbidden("immutable", FROZEN))
        if (new.data or {}) != (old.data or {}):
            errors.append(field.forbidden("data", FROZEN))
    _secret(new, errors)
    return errors


def validate_service_account(account: ServiceAccount) -> list[FieldError]:
    return meta.object_meta(account.metadata, True)


def validate_service_account_update(new: ServiceAccount, old: ServiceAccount) -> list[FieldError]:
    return meta.object_meta_update(new.metadata, old.metadata)


def validate_namespace(namespace: Namespace) -> list[FieldError]:
    errors = meta.object_meta(namespace.metadata, False, names.dns1123_label)
    _finalizer_names(namespace, errors)
    return errors


def _finalizer_names(namespace: Namespace, errors: list[FieldError]) -> None:
    for name in namespace.spec.finalizers or ():
        for text in names.qualified_name(name):
            errors.append(field.invalid("spec.finalizers", name, text))
        if "/" not in name and name != "kubernetes":
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(field.invalid("spec.finalizers", name, text))


def validate_namespace_update(new: Namespace, old: Namespace) -> list[FieldError]:
    return meta.object_meta_update(new.metadata, old.metadata)


def validate_namespace_status_update(new: Namespace, old: Namespace) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    phase = new.status.phase
    if new.metadata.deletion_timestamp is None:
        if phase != "Active":
            text = "may only be 'Active' if `deletionTimestamp` is empty"
            errors.append(field.invalid("status.Phase", phase, text))
    elif phase != "Terminating":
        text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        errors.append(field.invalid("status.Phase", phase, text))
    return errors


def validate_namespace_finalize_update(new: Namespace, old: Namespace) -> list[FieldError]:
    """namespaces/finalize."""
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _finalizer_names(new, errors)
    return errors


def validate_event(event: Event) -> list[FieldError]:
    """Events of core/v1: the namespace must be the involved object's (`default` for those without one)."""
    errors = meta.object_meta(event.metadata, True)
    namespace = event.involved_object.namespace or ""
    if not namespace:
        if event.metadata.namespace not in ("default", "kube-system"):
            text = "does not match event.namespace"
            errors.append(field.invalid("involvedObject.namespace", namespace, text))
    elif event.metadata.namespace != namespace:
        errors.append(field.invalid("involvedObject.namespace", namespace, "does not match event.namespace"))
    if event.event_time:
        if not event.reporting_component:
            errors.append(field.required("reportingController"))
        else:
            for text in names.qualified_name(event.reporting_component):
                errors.append(field.invalid("reportingController", event.reporting_component, text))
        for name, value in (("reportingInstance", event.reporting_instance), ("action", event.action)):
            if not value:
                errors.append(field.required(name))
        if not event.reason:
            errors.append(field.required("reason"))
        if len(event.message or "") > 1024:
            errors.append(field.invalid("message", "", "can have at most 1024 characters"))
    return errors


def validate_event_update(new: Event, old: Event) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if old.event_time and new.event_time != old.event_time:
        errors.append(field.invalid("eventTime", new.event_time, meta.IMMUTABLE))
    return errors


def validate_binding(binding: Binding) -> list[FieldError]:
    errors: list[FieldError] = []
    if binding.target.kind not in (None, "", "Node"):
        errors.append(field.not_supported("target.kind", binding.target.kind, ("Node", "<empty>")))
    if not binding.target.name:
        errors.append(field.required("target.name"))
    return errors


def validate_replication_controller(controller: ReplicationController) -> list[FieldError]:
    errors = meta.object_meta(controller.metadata, True)
    _replication_controller(controller, errors)
    return errors


def _replication_controller(controller: ReplicationController, errors: list[FieldError]) -> None:
    spec, path = controller.spec, Path("spec")
    meta.non_negative(spec.min_ready_seconds, path.child("minReadySeconds"), errors)
    if not spec.selector:
        errors.append(field.required(path.child("selector")))
    if spec.replicas is None:
        errors.append(field.required(path.child("replicas")))
    meta.non_negative(spec.replicas, path.child("replicas"), errors)
    template = spec.template
    if template is None:
        errors.append(field.required(path.child("template")))
        return
    at = path.child("template")
    labels = template.metadata.labels or {}
    if spec.selector and not spec.selector.items() <= labels.items():
        text = "`selector` does not match template `labels`"
        errors.append(field.invalid(at.child("metadata", "labels"), labels, text))
    pod_template_spec(template, at, errors)
    if template.spec is not None:
        if template.spec.restart_policy != "Always":
            where = at.child("spec", "restartPolicy")
            errors.append(field.not_supported(where, template.spec.restart_policy, ("Always",)))
        if template.spec.active_deadline_seconds is not None:
            text = "activeDeadlineSeconds in ReplicationController is not Supported"
            errors.append(field.forbidden(at.child("spec", "activeDeadlineSeconds"), text))


def validate_replication_controller_update(new: ReplicationController, old: ReplicationController) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec != old.spec:
        _replication_controller(new, errors)
    return errors
