"""Validation of APIServices."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.apiregistration_v1 import APIService
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")


def validate_api_service(service: APIService) -> list[FieldError]:
    spec = service.spec
    wanted = f"{spec.version or ''}.{spec.group or ''}"

    def name_check(name: str) -> list[str]:
        return [] if name == wanted else [f'must be `spec.version+"."+spec.group`: "{wanted}"']

    errors = meta.object_meta(service.metadata, False, name_check)
    if spec.group:
        for text in names.dns1123_subdomain(spec.group):
            errors.append(field.invalid(SPEC.child("group"), spec.group, text))
    elif spec.version != "v1":
        errors.append(
            field.required(SPEC.child("group"), "only v1 may have an empty group and it better be legacy kube")
        )
    for text in names.dns1035_label(spec.version or ""):
        errors.append(field.invalid(SPEC.child("version"), spec.version or "", text))
    if not 0 < spec.group_priority_minimum <= 20000:
        text = "must be positive and less than 20000"
        errors.append(field.invalid(SPEC.child("groupPriorityMinimum"), spec.group_priority_minimum, text))
    if not 0 < spec.version_priority <= 1000:
        text = "must be positive and less than 1000"
        errors.append(field.invalid(SPEC.child("versionPriority"), spec.version_priority, text))
    if spec.service is None:
        if spec.ca_bundle:
            text = "local APIServices may not have a caBundle"
            errors.append(field.invalid(SPEC.child("caBundle"), f"{len(spec.ca_bundle)} bytes", text))
        if spec.insecure_skip_tls_verify:
            text = "local APIServices may not have insecureSkipTLSVerify"
            errors.append(field.invalid(SPEC.child("insecureSkipTLSVerify"), True, text))
        return errors
    for name, value in (("namespace", spec.service.namespace), ("name", spec.service.name)):
        if not value:
            errors.append(field.required(SPEC.child("service", name)))
    if spec.service.port is not None:
        for text in names.port_number(spec.service.port):
            shown = f"port is not valid: {text}"
            errors.append(field.invalid(SPEC.child("service", "port"), spec.service.port, shown))
    if spec.insecure_skip_tls_verify and spec.ca_bundle:
        text = "may not be true if caBundle is present"
        errors.append(field.invalid(SPEC.child("insecureSkipTLSVerify"), True, text))
    return errors
