"""Types of metrics.k8s.io/v1beta1: what nodes and Pods use. Not in the table of kinds, for another server may have
them."""

from __future__ import annotations

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import Quantity, Struct, Time, constant, field, zero_str


class ContainerMetrics(Struct):
    name: str = field(default_factory=zero_str)
    usage: dict[str, Quantity] | None = None


class NodeMetrics(Object):
    api_version: str = field(default_factory=constant("metrics.k8s.io/v1beta1"))
    kind: str = field(default_factory=constant("NodeMetrics"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    timestamp: Time | None = None
    window: str = field(default_factory=zero_str)
    usage: dict[str, Quantity] | None = None


class PodMetrics(Object):
    api_version: str = field(default_factory=constant("metrics.k8s.io/v1beta1"))
    kind: str = field(default_factory=constant("PodMetrics"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    timestamp: Time | None = None
    window: str = field(default_factory=zero_str)
    containers: list[ContainerMetrics] | None = None
