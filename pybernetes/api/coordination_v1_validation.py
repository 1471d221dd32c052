"""Validation of Leases."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.coordination_v1 import Lease, LeaseSpec
from pybernetes.machinery import field
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")


def _spec(spec: LeaseSpec, errors: list[FieldError]) -> None:
    seconds = spec.lease_duration_seconds
    if seconds is not None and seconds <= 0:
        errors.append(field.invalid(SPEC.child("leaseDurationSeconds"), seconds, "must be greater than 0"))
    if spec.lease_transitions is not None and spec.lease_transitions < 0:
        text = "must be greater than or equal to 0"
        errors.append(field.invalid(SPEC.child("leaseTransitions"), spec.lease_transitions, text))
    if spec.preferred_holder and not spec.strategy:
        errors.append(field.forbidden(SPEC.child("preferredHolder"), "may only be specified if `strategy` is defined"))


def validate_lease(lease: Lease) -> list[FieldError]:
    errors = meta.object_meta(lease.metadata, True)
    _spec(lease.spec, errors)
    return errors


def validate_lease_update(new: Lease, old: Lease) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _spec(new.spec, errors)
    return errors
