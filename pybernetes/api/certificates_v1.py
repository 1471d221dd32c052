"""Types of certificates/v1: certificates_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    Base64,
    Int32,
    Merge,
    Struct,
    Time,
    constant,
    field,
    null,
    zero_str,
)


class CertificateSigningRequestSpec(Struct):
    request: Base64 = field(default_factory=zero_str)
    signer_name: str = field(default_factory=zero_str)
    expiration_seconds: Int32 | None = None
    usages: Annotated[list[str], ATOMIC] | None = None
    username: str | None = None
    uid: str | None = None
    groups: Annotated[list[str], ATOMIC] | None = None
    extra: dict[str, list[str]] | None = None


class CertificateSigningRequestCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    reason: str | None = None
    message: str | None = None
    last_update_time: Time | None = field(default_factory=null)
    last_transition_time: Time | None = field(default_factory=null)


class CertificateSigningRequestStatus(Struct):
    conditions: Annotated[list[CertificateSigningRequestCondition], Merge(keys=("type",))] | None = None
    certificate: Base64 | None = None


class CertificateSigningRequest(Object):
    api_version: str = field(default_factory=constant("certificates.k8s.io/v1"))
    kind: str = field(default_factory=constant("CertificateSigningRequest"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: CertificateSigningRequestSpec = field(default_factory=CertificateSigningRequestSpec)
    status: CertificateSigningRequestStatus = field(default_factory=CertificateSigningRequestStatus)
