"""VolumeBinding: a Pod goes where its volumes are, or where volumes for it can be found or made.

Claims that are bound tie the Pod to the nodes their volumes allow. Claims of a class with WaitForFirstConsumer are
bound now: to the smallest existing volume that fits, per node, or by asking for one to be provisioned on the chosen
node. What has to be written for that is handed out by `reserve`; the loop writes it and waits before it binds the Pod.

Volumes of in-tree plugins that upstream translates to CSI drivers are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybernetes.api.core_v1 import NodeSelectorRequirement, PersistentVolume, PersistentVolumeClaim
from pybernetes.api.storage_v1 import CSIStorageCapacity, StorageClass
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.node_selectors import requirement_matches, selector_matches
from pybernetes.control_plane.scheduler.nodes import Bools, Ints, Nodes, Rows
from pybernetes.control_plane.scheduler.plugins.base import UNRESOLVABLE, Plugin, Refused, Scope
from pybernetes.control_plane.scheduler.snapshot import Snapshot
from pybernetes.control_plane.scheduler.storage import (
    NO_PROVISIONER,
    Objects,
    Storage,
    VolumeWork,
    claim_name,
    fully_bound,
)
from pybernetes.machinery import labels, quantity
from pybernetes.machinery.meta import LabelSelector

_AFFINITY, _NO_VOLUME, _NO_SPACE, _LOST = 1, 2, 4, 8
_REASONS = (
    (_AFFINITY, "node(s) didn't match PersistentVolume's node affinity"),
    (_NO_VOLUME, "node(s) didn't find available persistent volumes to bind"),
    (_NO_SPACE, "node(s) did not have enough free storage"),
    (_LOST, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
)


@dataclass(slots=True)
class _State:
    pod: PodFacts
    bound: list[PersistentVolumeClaim]
    open: list[PersistentVolumeClaim]  #: to be bound now, smallest first


class VolumeBinding(Plugin):
    """See the module."""

    name = "VolumeBinding"
    scope = Scope.CLUSTER
    wakes_on = frozenset(
        {"Node/added", "Node/labels", "PersistentVolumeClaim", "PersistentVolume", "StorageClass", "CSINode",
         "CSIDriver", "CSIStorageCapacity"}
    )  # fmt: skip

    def prepare(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        if not pod.volumes:
            return None
        claims = pod_claims(pod, snapshot.storage)
        if not claims:
            return None
        objects = _objects(snapshot)
        state = _State(pod, [], [])
        for claim in claims:
            if fully_bound(claim):
                state.bound.append(claim)
            elif not claim.spec.volume_name and _waits(claim, objects):
                state.open.append(claim)
            else:
                raise Refused("pod has unbound immediate PersistentVolumeClaims")
        state.open.sort(key=_size)
        return state

    def filter(self, state: Any, snapshot: Snapshot, rows: Rows) -> Ints:
        nodes, objects = snapshot.nodes, _objects(snapshot)
        codes = np.zeros(len(nodes.alive[rows]), np.int64)
        for claim in state.bound:
            volume = objects.volume(claim.spec.volume_name or "")
            if volume is None:
                codes |= _LOST
            elif (mask := _allowed(volume, nodes, rows)) is not None:
                codes |= np.where(mask, 0, _AFFINITY)
        if state.open:
            for found in _choose(state, snapshot, rows):
                codes |= np.where(found.chosen >= 0, 0, found.without)
        return np.where(codes == 0, 0, codes | UNRESOLVABLE)

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        return [text for bit, text in _REASONS if code & bit]

    def reserve(self, state: Any, snapshot: Snapshot, row: int) -> Any:
        if not state.open:
            return None
        bind: list[tuple[PersistentVolume, PersistentVolumeClaim]] = []
        provision: list[PersistentVolumeClaim] = []
        for found in _choose(state, snapshot, np.array([row])):
            index = int(found.chosen[0])
            if index < len(found.volumes):
                bind.append((found.volumes[index], found.claim))
            else:
                provision.append(found.claim)
        return VolumeWork(tuple(bind), tuple(provision))


def pod_claims(pod: PodFacts, storage: Storage) -> list[PersistentVolumeClaim]:
    """The Pod's claims. Raises Refused when one is missing, lost or being deleted."""
    assert storage.objects is not None
    found = []
    for volume in pod.volumes:
        name = claim_name(pod, volume)
        if not name:
            continue
        claim = storage.objects.claim(pod.namespace, name)
        if claim is None:
            if volume.ephemeral is not None:
                text = f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
                raise Refused(text)
            raise Refused(f'persistentvolumeclaim "{name}" not found')
        if claim.status.phase == "Lost":
            volume_name = claim.spec.volume_name or ""
            raise Refused(f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume_name}"')
        if claim.metadata.deletion_timestamp is not None:
            raise Refused(f'persistentvolumeclaim "{name}" is being deleted')
        if volume.ephemeral is not None and not any(
            o.controller and o.uid == pod.uid for o in claim.metadata.owner_references or ()
        ):
            full = f"{pod.namespace}/{name}"
            raise Refused(f"PVC {full} was not created for pod {pod.key} (pod is not owner)")
        found.append(claim)
    return found


def _objects(snapshot: Snapshot) -> Objects:
    assert snapshot.storage.objects is not None, "Pods with volumes need storage objects"
    return snapshot.storage.objects


def _waits(claim: PersistentVolumeClaim, objects: Objects) -> bool:
    one = objects.storage_class(claim.spec.storage_class_name or "")
    return one is not None and one.volume_binding_mode == "WaitForFirstConsumer"


def _size(claim: PersistentVolumeClaim) -> int:
    requests = (claim.spec.resources.requests if claim.spec.resources else None) or {}
    return quantity.value(requests.get("storage", "0"))


def _allowed(volume: PersistentVolume, nodes: Nodes, rows: Rows) -> Bools | None:
    """Where a volume can be used; None: everywhere."""
    required = volume.spec.node_affinity.required if volume.spec.node_affinity else None
    return None if required is None else selector_matches(required, nodes, rows)


@dataclass(slots=True)
class _Choice:
    """For one claim, per row: index of the volume, `len(volumes)` to provision one, -1 for neither (then why)."""

    claim: PersistentVolumeClaim
    volumes: list[PersistentVolume]
    chosen: Ints
    without: Ints


def _choose(state: _State, snapshot: Snapshot, rows: Rows) -> list[_Choice]:
    nodes, objects, storage = snapshot.nodes, _objects(snapshot), snapshot.storage
    size = len(nodes.alive[rows])
    choices: list[_Choice] = []
    for claim in state.open:
        selected = storage.selected_node(claim)
        volumes = [] if selected else _candidates(claim, objects, storage)
        chosen = np.full(size, -1, np.int64)
        for index, volume in enumerate(volumes):
            free = chosen < 0
            if not free.any():
                break
            if (mask := _allowed(volume, nodes, rows)) is not None:
                free &= mask
            for earlier in choices:
                if volume in earlier.volumes:
                    free &= earlier.chosen != earlier.volumes.index(volume)
            chosen[free] = index
        possible, roomy = _provisionable(claim, snapshot, rows)
        if selected:
            there = np.zeros(size, np.bool_)
            row = nodes.rows.get(selected)
            if row is not None:
                there = (np.arange(size) if isinstance(rows, slice) else rows) == row
            possible = possible & there
        chosen = np.where((chosen < 0) & possible & roomy, len(volumes), chosen)
        choices.append(_Choice(claim, volumes, chosen, np.where(possible, _NO_SPACE, _NO_VOLUME)))
    return choices


def _candidates(claim: PersistentVolumeClaim, objects: Objects, storage: Storage) -> list[PersistentVolume]:
    """Volumes that satisfy a claim, one that names it first, then the smallest."""
    spec = claim.spec
    wanted = _size(claim)
    selector = labels.from_struct(spec.selector) if spec.selector is not None else None
    fitting: list[tuple[bool, int, str, PersistentVolume]] = []
    for volume in objects.volumes():
        v = volume.spec
        promised = storage.promised_to(volume)
        if volume.metadata.deletion_timestamp is not None or (promised and promised != claim.metadata.uid):
            continue
        size = quantity.value((v.capacity or {}).get("storage", "0"))
        if size < wanted or (v.volume_mode or "Filesystem") != (spec.volume_mode or "Filesystem"):
            continue
        reference = v.claim_ref
        ours = reference is not None and (
            (reference.namespace, reference.name) == (claim.metadata.namespace, claim.metadata.name)
            and reference.uid in (None, "", claim.metadata.uid)
        )
        if not ours:
            if reference is not None or volume.status.phase not in (None, "", "Available"):
                continue
            if (v.storage_class_name or "") != (spec.storage_class_name or ""):
                continue
            if not {*(spec.access_modes or ())} <= {*(v.access_modes or ())}:
                continue
            if selector is not None and not selector.matches(volume.metadata.labels):
                continue
        fitting.append((not ours, size, volume.metadata.name, volume))
    return [row[3] for row in sorted(fitting, key=lambda row: row[:3])]


def _provisionable(claim: PersistentVolumeClaim, snapshot: Snapshot, rows: Rows) -> tuple[Bools, Bools]:
    """(where the class makes volumes, where the driver has room)."""
    nodes, objects = snapshot.nodes, _objects(snapshot)
    size = len(nodes.alive[rows])
    one = objects.storage_class(claim.spec.storage_class_name or "")
    if one is None or not one.provisioner or one.provisioner == NO_PROVISIONER:
        return np.zeros(size, np.bool_), np.ones(size, np.bool_)
    possible = np.ones(size, np.bool_)
    if one.allowed_topologies:
        possible = np.zeros(size, np.bool_)
        for term in one.allowed_topologies:
            mask = np.ones(size, np.bool_)
            for expression in term.match_label_expressions or ():
                mask &= nodes.label(expression.key).one_of(expression.values, rows)
            possible |= mask
    return possible, _has_room(claim, one, snapshot, rows)


def _has_room(claim: PersistentVolumeClaim, one: StorageClass, snapshot: Snapshot, rows: Rows) -> Bools:
    nodes, objects = snapshot.nodes, _objects(snapshot)
    size = len(nodes.alive[rows])
    driver = objects.csi_driver(one.provisioner)
    if driver is None or not driver.spec.storage_capacity:
        return np.ones(size, np.bool_)
    wanted = _size(claim)
    room = np.zeros(size, np.bool_)
    for capacity in objects.capacities():
        if capacity.storage_class_name == one.metadata.name and _enough(capacity, wanted):
            room |= _reachable(capacity.node_topology, nodes, rows)
    return room


def _enough(capacity: CSIStorageCapacity, wanted: int) -> bool:
    limit = capacity.maximum_volume_size or capacity.capacity
    return limit is not None and quantity.value(limit) >= wanted


def _reachable(topology: LabelSelector | None, nodes: Nodes, rows: Rows) -> Bools:
    mask = np.full(len(nodes.alive[rows]), topology is not None)
    if topology is None:
        return mask
    for key, value in (topology.match_labels or {}).items():
        mask &= nodes.label(key).one_of([value], rows)
    for e in topology.match_expressions or ():
        requirement = NodeSelectorRequirement(key=e.key, operator=e.operator, values=e.values)
        mask &= requirement_matches(requirement, nodes, rows, field=False)
    return mask
