"""What scheduling needs to know of a Pod, computed once.

A `PodClass` is all that follows from the spec: requests, ports, selectors, affinity terms. Pods of one Deployment have
one class, and what the planner finds out for a class it keeps, so the thousandth replica costs next to nothing. A class
is found by the encoded bytes of the parts of the spec that matter; names of Pods, labels, volumes and claims are no
part of it, because they would make each Pod of a StatefulSet a class of its own.

A `PodFacts` is one Pod: its class, its labels (interned as a `Group`), priority, volumes. No numpy here, and no I/O.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from pybernetes.api.core_v1 import Container, Pod, ResourceRequirements
from pybernetes.control_plane.scheduler.extended_resources import may_be_devices
from pybernetes.machinery import quantity

if TYPE_CHECKING:
    from pybernetes.api.core_v1 import (
        NodeAffinity,
        PodAffinityTerm,
        Toleration,
        TopologySpreadConstraint,
        Volume,
        WeightedPodAffinityTerm,
    )

#: What a container without a request counts as when nodes are scored: milli CPU and bytes.
DEFAULT_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode

Requests = dict[str, int]


def amount(resource: str, text: str) -> int:
    """A quantity in the unit the scheduler counts in: milli for CPU, whole units for all else, rounded up."""
    return quantity.milli(text) if resource == "cpu" else quantity.value(text)


class PodClass:
    """Facts that follow from the spec alone. Immutable; `number` is unique for the life of the process."""

    __slots__ = (
        "affinity",
        "anti_affinity",
        "host_ports",
        "images",
        "local",
        "maybe_devices",
        "node_affinity",
        "node_selector",
        "nonzero",
        "number",
        "preferred_affinity",
        "preferred_anti_affinity",
        "requests",
        "spread",
        "tolerations",
    )

    def __init__(self, number: int, pod: Pod) -> None:
        spec = pod.spec
        affinity = spec.affinity
        between = affinity.pod_affinity if affinity else None
        apart = affinity.pod_anti_affinity if affinity else None
        self.number = number
        #: Equal for classes that differ only in what they want of other Pods; `number` of one of them.
        self.local: int = number
        #: resource -> amount, only what is not zero.
        self.requests: Requests = {k: v for k, v in pod_requests(pod).items() if v}
        #: Of these, those that devices may stand for.
        self.maybe_devices: tuple[str, ...] = tuple(filter(may_be_devices, self.requests))
        #: (milli CPU, bytes) with defaults for containers that request nothing: for scores only.
        self.nonzero: tuple[int, int] = _nonzero(pod)
        #: (address, protocol, port), address "0.0.0.0" for all.
        self.host_ports: tuple[tuple[str, str, int], ...] = tuple(_ports(pod))
        self.node_selector: dict[str, str] = spec.node_selector or {}
        self.node_affinity: NodeAffinity | None = affinity.node_affinity if affinity else None
        self.tolerations: list[Toleration] = spec.tolerations or []
        self.images: tuple[str, ...] = tuple(
            normal_image(c.image or "") for c in [*(spec.init_containers or ()), *spec.containers]
        )
        self.spread: list[TopologySpreadConstraint] = spec.topology_spread_constraints or []
        self.affinity: list[PodAffinityTerm] = (
            between.required_during_scheduling_ignored_during_execution or [] if between else []
        )
        self.anti_affinity: list[PodAffinityTerm] = (
            apart.required_during_scheduling_ignored_during_execution or [] if apart else []
        )
        self.preferred_affinity: list[WeightedPodAffinityTerm] = (
            between.preferred_during_scheduling_ignored_during_execution or [] if between else []
        )
        self.preferred_anti_affinity: list[WeightedPodAffinityTerm] = (
            apart.preferred_during_scheduling_ignored_during_execution or [] if apart else []
        )


class PodFacts:
    """One Pod as the planner sees it. `pod` is the newest version known and may be replaced; the rest stays."""

    __slots__ = ("created", "group", "name", "namespace", "pod", "pod_class", "priority", "started", "uid", "volumes")

    def __init__(self, pod: Pod, pod_class: PodClass, group: Group) -> None:
        metadata = pod.metadata
        self.pod = pod
        self.pod_class = pod_class
        self.group = group
        self.uid = metadata.uid
        self.namespace = metadata.namespace
        self.name = metadata.name
        self.priority: int = pod.spec.priority or 0
        self.created: str = metadata.creation_timestamp or ""
        #: RFC 3339, sorts as text; "" while it has not started.
        self.started: str = pod.status.start_time or ""
        #: Volumes that may restrict the choice of node.
        self.volumes: list[Volume] | tuple[()] = _mattering(pod)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def __repr__(self) -> str:
        return f"PodFacts({self.key})"


class Group:
    """Pods that selectors cannot tell apart: same namespace, same labels, terminating or not.

    `rows` counts the placed ones per node row; the snapshot keeps it. What selectors say about a group is remembered
    per selector, so a selector is matched once for thousands of Pods.
    """

    __slots__ = ("labels", "namespace", "number", "rows", "terminating")

    def __init__(self, number: int, namespace: str, labels: dict[str, str], terminating: bool) -> None:
        self.number = number
        self.namespace = namespace
        self.labels = labels
        self.terminating = terminating
        self.rows: dict[int, int] = {}


class Interner:
    """Finds the class and the group of a Pod, making them when they are new.

    Classes nobody asked for in a long time are dropped in bulk; a Pod placed long ago keeps its own alive.
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._classes: dict[bytes, PodClass] = {}
        self._locals: dict[bytes, int] = {}
        self._numbers = 0
        self.groups: dict[Hashable, Group] = {}

    def facts(self, pod: Pod) -> PodFacts:
        """The facts of a Pod."""
        return PodFacts(pod, self.pod_class(pod), self.group(pod))

    def pod_class(self, pod: Pod) -> PodClass:
        key = class_key(pod)
        found = self._classes.get(key)
        if found is None:
            if len(self._classes) >= self._limit:
                for old in list(self._classes)[: self._limit // 2]:
                    del self._classes[old]
            self._numbers += 1
            found = self._classes[key] = PodClass(self._numbers, pod)
            found.local = self._local(pod, found)
        return found

    def _local(self, pod: Pod, facts: PodClass) -> int:
        """The same number for classes that differ only in what they want of other Pods."""
        if len(self._locals) >= self._limit:
            self._locals.clear()
        affinity = pod.spec.affinity
        return self._locals.setdefault(_encode(_parts(pod, affinity.node_affinity if affinity else None)), facts.number)

    def group(self, pod: Pod) -> Group:
        metadata = pod.metadata
        labels = metadata.labels
        terminating = metadata.deletion_timestamp is not None
        key = (metadata.namespace, frozenset(labels.items()) if labels else None, terminating)
        found = self.groups.get(key)
        if found is None:
            if len(self.groups) >= self._limit:  # those that have no placed Pod any more are of no use
                for old in [k for k, g in self.groups.items() if not g.rows]:
                    del self.groups[old]
            self._numbers += 1
            found = self.groups[key] = Group(self._numbers, metadata.namespace, labels or {}, terminating)
        return found


def class_key(pod: Pod) -> bytes:
    """Equal for Pods whose specs are the same to the scheduler."""
    spec = pod.spec
    if spec.topology_spread_constraints:
        return _encode([_parts(pod, spec.affinity), spec.topology_spread_constraints])
    return _encode(_parts(pod, spec.affinity))


def _parts(pod: Pod, affinity: Any) -> list[Any]:
    spec = pod.spec
    parts: list[Any] = [
        spec.node_selector,
        affinity,
        spec.tolerations,
        spec.overhead,
        spec.resources,
        [(c.resources, c.image, c.ports) for c in spec.containers],
    ]
    if spec.init_containers:
        parts.append([(c.resources, c.image, c.ports, c.restart_policy) for c in spec.init_containers])
    if (statuses := pod.status.container_statuses) and any(s.resources or s.allocated_resources for s in statuses):
        parts.append([(s.name, s.resources, s.allocated_resources) for s in statuses])
    return parts


def _mattering(pod: Pod) -> list[Volume] | tuple[()]:
    volumes = pod.spec.volumes
    return [v for v in volumes if _matters(v)] or () if volumes else ()


def _matters(volume: Volume) -> bool:
    return (
        volume.persistent_volume_claim is not None
        or volume.ephemeral is not None
        or volume.gce_persistent_disk is not None
        or volume.aws_elastic_block_store is not None
        or volume.iscsi is not None
        or volume.rbd is not None
    )


def pod_requests(pod: Pod) -> Requests:
    """The Pod's total requests: containers and sidecars together, or the largest moment of initialisation; overhead.

    Requests of the Pod as a whole replace the sum for the resources they name. For a Pod whose containers are being
    resized the larger of wanted and allocated counts.
    """
    return _total(pod, _requests_with_status(pod), {})


def _requests_with_status(pod: Pod) -> dict[str, Requests]:
    """Per container name, requests raised to what the node has allocated (KEP-1287)."""
    found: dict[str, Requests] = {}
    statuses = [*(pod.status.container_statuses or ()), *(pod.status.init_container_statuses or ())]
    by_name = {s.name: s for s in statuses if s.resources is not None or s.allocated_resources}
    if not by_name:
        return found
    infeasible = any(c.type == "PodResizePending" and c.reason == "Infeasible" for c in pod.status.conditions or ())
    for container in [*pod.spec.containers, *(pod.spec.init_containers or ())]:
        status = by_name.get(container.name)
        if status is None:
            continue
        allocated = _amounts(status.allocated_resources or {})
        actual = _amounts(status.resources.requests or {}) if status.resources else {}
        total = _larger(allocated, actual)
        found[container.name] = total if infeasible else _larger(_requested(container.resources), total)
    return found


def _amounts(quantities: dict[str, str]) -> Requests:
    return {name: amount(name, text) for name, text in quantities.items()}


def _requested(resources: ResourceRequirements | None) -> Requests:
    return _amounts(resources.requests) if resources is not None and resources.requests else {}


def _larger(a: Requests, b: Requests) -> Requests:
    result = dict(a)
    for name, value in b.items():
        if value > result.get(name, 0):
            result[name] = value
    return result


def _add(total: Requests, more: Requests) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _total(pod: Pod, overrides: dict[str, Requests], defaults: Requests) -> Requests:
    spec = pod.spec
    total: Requests = {}
    whole = _requested(spec.resources)

    def of(container: Container) -> Requests:
        found = overrides.get(container.name)
        if found is None:
            found = _requested(container.resources)
        for name, value in defaults.items():
            if name not in found:
                found = {**found, name: value}
        return found

    for container in spec.containers:
        _add(total, of(container))
    sidecars: Requests = {}
    peak: Requests = {}
    for container in spec.init_containers or ():
        requests = of(container)
        if container.restart_policy == "Always":
            _add(total, requests)
            _add(sidecars, requests)
            peak = _larger(peak, sidecars)
        else:
            now = dict(sidecars)
            _add(now, requests)
            peak = _larger(peak, now)
    total = _larger(total, peak)
    for name, value in whole.items():
        if name in ("cpu", "memory") or name.startswith("hugepages-"):
            total[name] = value
    if spec.overhead:
        _add(total, _amounts(spec.overhead))
    return total


def _nonzero(pod: Pod) -> tuple[int, int]:
    total = _total(pod, _requests_with_status(pod), {"cpu": DEFAULT_CPU, "memory": DEFAULT_MEMORY})
    return total.get("cpu", 0), total.get("memory", 0)


def _ports(pod: Pod) -> Iterable[tuple[str, str, int]]:
    sidecars = [c for c in pod.spec.init_containers or () if c.restart_policy == "Always"]
    for container in [*pod.spec.containers, *sidecars]:
        for port in container.ports or ():
            if port.host_port:
                yield port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port


def normal_image(name: str) -> str:
    """An image name with its tag, `latest` when it has none."""
    if name.rfind(":") <= name.rfind("/"):
        return name + ":latest"
    return name
