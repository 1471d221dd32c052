"""Types of node/v1: node_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.pod import Toleration
from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import ATOMIC, Quantity, Struct, constant, field, zero_str


class Overhead(Struct):
    pod_fixed: dict[str, Quantity] | None = None


class Scheduling(Struct):
    node_selector: Annotated[dict[str, str], ATOMIC] | None = None
    tolerations: Annotated[list[Toleration], ATOMIC] | None = None


class RuntimeClass(Object):
    api_version: str = field(default_factory=constant("node.k8s.io/v1"))
    kind: str = field(default_factory=constant("RuntimeClass"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    handler: str = field(default_factory=zero_str)
    overhead: Overhead | None = None
    scheduling: Scheduling | None = None
