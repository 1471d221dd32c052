"""Validation of RuntimeClasses."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.pod_validation import tolerations
from pybernetes.api.core_v1.resource_validation import amounts
from pybernetes.api.node_v1 import RuntimeClass
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path


def validate_runtime_class(runtime_class: RuntimeClass) -> list[FieldError]:
    errors = meta.object_meta(runtime_class.metadata, False)
    for text in names.dns1123_label(runtime_class.handler):
        errors.append(field.invalid("handler", runtime_class.handler, text))
    if runtime_class.overhead is not None:
        amounts(runtime_class.overhead.pod_fixed, Path("overhead", "podFixed"), errors)
    if runtime_class.scheduling is not None:
        at = Path("scheduling")
        if runtime_class.scheduling.node_selector:
            meta.labels(runtime_class.scheduling.node_selector, at.child("nodeSelector"), errors)
        tolerations(runtime_class.scheduling.tolerations or (), at.child("tolerations"), errors)
    return errors


def validate_runtime_class_update(new: RuntimeClass, old: RuntimeClass) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.handler, old.handler, Path("handler"), errors)
    return errors
