"""Types of apiregistration/v1: apiregistration_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import (
    ATOMIC,
    BY_TYPE,
    Base64,
    Int32,
    Struct,
    Time,
    constant,
    field,
    null,
    zero_int,
    zero_str,
)


class ServiceReference(Struct):
    namespace: str | None = None
    name: str | None = None
    port: Int32 | None = None


class APIServiceSpec(Struct):
    service: ServiceReference | None = None
    group: str | None = None
    version: str | None = None
    insecure_skip_tls_verify: bool | None = field(name="insecureSkipTLSVerify", default=None)
    ca_bundle: Annotated[Base64, ATOMIC] | None = None
    group_priority_minimum: Int32 = field(default_factory=zero_int)
    version_priority: Int32 = field(default_factory=zero_int)


class APIServiceCondition(Struct):
    type: str = field(default_factory=zero_str)
    status: str = field(default_factory=zero_str)
    last_transition_time: Time | None = field(default_factory=null)
    reason: str | None = None
    message: str | None = None


class APIServiceStatus(Struct):
    conditions: Annotated[list[APIServiceCondition], BY_TYPE] | None = None


class APIService(Object):
    api_version: str = field(default_factory=constant("apiregistration.k8s.io/v1"))
    kind: str = field(default_factory=constant("APIService"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: APIServiceSpec = field(default_factory=APIServiceSpec)
    status: APIServiceStatus = field(default_factory=APIServiceStatus)
