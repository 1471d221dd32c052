"""Warnings about Ingresses: the annotation that `spec.ingressClassName` replaced."""

from __future__ import annotations

from pybernetes.api.networking_v1 import Ingress

__all__ = ["warn_ingress"]

_CLASS = "kubernetes.io/ingress.class"


def warn_ingress(new: Ingress, old: Ingress | None) -> list[str]:
    if old is not None or _CLASS not in (new.metadata.annotations or {}):
        return []
    return [f"annotation \"{_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"]
