"""Warnings about RuntimeClasses: labels of nodes that are no longer used."""

from __future__ import annotations

from pybernetes.api.core_v1.pod_warnings import DEPRECATED_NODE_LABELS
from pybernetes.api.node_v1 import RuntimeClass

__all__ = ["warn_runtime_class"]


def warn_runtime_class(new: RuntimeClass, old: RuntimeClass | None) -> list[str]:
    selector = new.scheduling.node_selector if new.scheduling is not None else None
    found = (DEPRECATED_NODE_LABELS.get(label) for label in selector or ())
    return [f"scheduling.nodeSelector: {text}" for text in found if text]
