"""Validation of CertificateSigningRequests."""

from __future__ import annotations

from base64 import b64decode

from pybernetes.api import meta_validation as meta
from pybernetes.api.certificates_v1 import CertificateSigningRequest
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
USAGES = frozenset(
    {
        "signing",
        "digital signature",
        "content commitment",
        "key encipherment",
        "key agreement",
        "data encipherment",
        "cert sign",
        "crl sign",
        "encipher only",
        "decipher only",
        "any",
        "server auth",
        "client auth",
        "code signing",
        "email protection",
        "s/mime",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "timestamping",
        "ocsp signing",
        "microsoft sgc",
        "netscape sgc",
    }
)


def validate_certificate_signing_request(request: CertificateSigningRequest) -> list[FieldError]:
    errors = meta.object_meta(request.metadata, False, names.path_segment)
    spec = request.spec
    if (text := _request_error(spec.request)) is not None:
        errors.append(field.invalid(SPEC.child("request"), spec.request, text))
    if not spec.usages:
        errors.append(field.required(SPEC.child("usages")))
    seen: set[str] = set()
    for i, usage in enumerate(spec.usages or ()):
        at = SPEC.child("usages").index(i)
        if usage not in USAGES:
            errors.append(field.not_supported(at, usage, sorted(USAGES)))
        if usage in seen:
            errors.append(field.duplicate(at, usage))
        seen.add(usage)
    signer_name(spec.signer_name, SPEC.child("signerName"), errors)
    if spec.expiration_seconds is not None and spec.expiration_seconds < 600:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(field.invalid(SPEC.child("expirationSeconds"), spec.expiration_seconds, text))
    _conditions(request, errors)
    return errors


def _request_error(request: str) -> str | None:
    from cryptography import x509

    try:
        data = b64decode(request)
    except ValueError as error:
        return str(error)
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in data:
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        x509.load_pem_x509_csr(data)
    except ValueError as error:
        return str(error)
    return None


def signer_name(name: str, path: Path, errors: list[FieldError]) -> None:
    """`domain/path`: the domain has a dot, the path at most 253 characters."""
    if not name:
        errors.append(field.required(path))
        return
    domain, slash, rest = name.partition("/")
    if not slash or not rest:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.append(field.invalid(path, name, text))
        return
    for text in names.dns1123_subdomain(domain):
        errors.append(field.invalid(path, domain, f'validating label "{domain}": {text}'))
    if "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        errors.append(field.invalid(path, domain, text))
    for text in names.dns1123_subdomain(rest):
        errors.append(field.invalid(path, rest, text))


def _conditions(request: CertificateSigningRequest, errors: list[FieldError]) -> None:
    path = Path("status", "conditions")
    seen: set[str] = set()
    for i, condition in enumerate(request.status.conditions or ()):
        at = path.index(i)
        if not condition.type:
            errors.append(field.required(at.child("type")))
        if condition.type in ("Approved", "Denied", "Failed") and condition.status != "True":
            wrong = field.not_supported(at.child("status"), condition.status, ("True",))
            errors.append(wrong if condition.status else field.required(at.child("status")))
        if condition.type in seen:
            errors.append(field.duplicate(at.child("type"), condition.type))
        seen.add(condition.type)
    if {"Approved", "Denied"} <= seen:
        text = "Approved and Denied conditions are mutually exclusive"
        errors.append(field.invalid(path, "Denied", text))


def validate_certificate_signing_request_update(
    new: CertificateSigningRequest, old: CertificateSigningRequest
) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    before = {c.type for c in old.status.conditions or ()}
    after = {c.type for c in new.status.conditions or ()}
    for kind in ("Approved", "Denied"):
        if kind in before and kind not in after:
            text = f'updates may not remove a condition of type "{kind}"'
            errors.append(field.forbidden("status.conditions", text))
    _conditions(new, errors)
    if old.status.certificate and new.status.certificate != old.status.certificate:
        text = "updates may not set certificate content"
        errors.append(field.forbidden("status.certificate", text))
    return errors


validate_certificate_signing_request_status_update = validate_certificate_signing_request_update
validate_certificate_signing_request_approval_update = validate_certificate_signing_request_update
