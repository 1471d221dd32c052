"""Types of coordination/v1: coordination_v1."""

from __future__ import annotations

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import Int32, MicroTime, Struct, constant, field


class LeaseSpec(Struct):
    holder_identity: str | None = None
    lease_duration_seconds: Int32 | None = None
    acquire_time: MicroTime | None = None
    renew_time: MicroTime | None = None
    lease_transitions: Int32 | None = None
    strategy: str | None = None
    preferred_holder: str | None = None


class Lease(Object):
    api_version: str = field(default_factory=constant("coordination.k8s.io/v1"))
    kind: str = field(default_factory=constant("Lease"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: LeaseSpec = field(default_factory=LeaseSpec)
