"""Plugins of a few lines each: tolerations, taints, finalizers and the default classes.

TaintNodesByCondition, DefaultTolerationSeconds, DefaultStorageClass, StorageObjectInUseProtection,
PersistentVolumeClaimResize, DefaultIngressClass, PodTopologyLabels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar, cast

from pybernetes.api.core_v1 import Binding
from pybernetes.api.core_v1.node import Node, Taint
from pybernetes.api.core_v1.persistent_volume_claim import PersistentVolumeClaim
from pybernetes.api.core_v1.pod import Toleration
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import is_core, pod_of, refuse
from pybernetes.machinery import quantity
from pybernetes.machinery.meta import Object

if TYPE_CHECKING:
    from pybernetes.api.networking_v1 import Ingress
    from pybernetes.api.storage_v1 import StorageClass
    from pybernetes.control_plane.apiserver.core import Core

T = TypeVar("T", bound=Object)

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
TOLERATION_SECONDS = 300


class TaintNodesByCondition(Plugin):
    """A new Node is not ready until its controller says so."""

    name = "TaintNodesByCondition"
    fixed = True
    mutates = True

    def handles(self, attributes: Attributes) -> bool:
        return attributes.operation == "CREATE" and is_core(attributes, "nodes")

    async def admit(self, attributes: Attributes) -> None:
        spec = cast(Node, attributes.obj).spec
        taints = list(spec.taints or ())
        if not any(taint.key == NOT_READY and taint.effect == "NoSchedule" for taint in taints):
            spec.taints = [*taints, Taint(key=NOT_READY, effect="NoSchedule")]


class DefaultTolerationSeconds(Plugin):
    """Pods stay five minutes on a node that is gone, unless they say otherwise."""

    name = "DefaultTolerationSeconds"
    fixed = True
    mutates = True

    def handles(self, attributes: Attributes) -> bool:
        return attributes.operation in ("CREATE", "UPDATE") and is_core(attributes, "pods")

    async def admit(self, attributes: Attributes) -> None:
        spec = pod_of(attributes).spec
        missing = [NOT_READY, UNREACHABLE]
        for toleration in spec.tolerations or ():
            if toleration.effect in (None, "", "NoExecute"):
                if not toleration.key:
                    return
                if toleration.key in missing:
                    missing.remove(toleration.key)
        if not missing:
            return
        added = [
            Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=TOLERATION_SECONDS)
            for key in missing
        ]
        spec.tolerations = [*(spec.tolerations or ()), *added]


def newest_default(found: Iterable[T], annotation: str) -> T | None:
    """Of the objects marked as default the newest; of those made in the same second the first by name."""
    marked = [o for o in found if (o.metadata.annotations or {}).get(annotation) == "true"]
    if not marked:
        return None
    marked.sort(key=lambda o: o.metadata.name)
    return max(marked, key=lambda o: o.metadata.creation_timestamp or "")


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"
    fixed = True
    mutates = True

    def __init__(self, core: Core) -> None:
        self._classes = core.cache.storage("storage.k8s.io", "storageclasses")

    def handles(self, attributes: Attributes) -> bool:
        return attributes.operation == "CREATE" and is_core(attributes, "persistentvolumeclaims")

    async def admit(self, attributes: Attributes) -> None:
        claim = cast(PersistentVolumeClaim, attributes.obj)
        if claim.spec.storage_class_name is not None:
            return
        if "volume.beta.kubernetes.io/storage-class" in (claim.metadata.annotations or {}):
            return
        classes = [cast("StorageClass", item.obj) for item in self._classes.items.values()]
        found = newest_default(classes, "storageclass.kubernetes.io/is-default-class") or newest_default(
            classes, "storageclass.beta.kubernetes.io/is-default-class"
        )
        if found is not None:
            claim.spec.storage_class_name = found.metadata.name


class StorageObjectInUseProtection(Plugin):
    """Volumes, claims and attribute classes bear a finalizer until nobody uses them."""

    name = "StorageObjectInUseProtection"
    fixed = True
    mutates = True
    _FINALIZERS = {
        "persistentvolumes": "kubernetes.io/pv-protection",
        "persistentvolumeclaims": "kubernetes.io/pvc-protection",
        "volumeattributesclasses": "kubernetes.io/vac-protection",
    }

    def handles(self, attributes: Attributes) -> bool:
        if attributes.operation != "CREATE" or attributes.subresource:
            return False
        return attributes.resource.kind.resource in self._FINALIZERS

    async def admit(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        metadata = attributes.obj.metadata
        finalizer = self._FINALIZERS[attributes.resource.kind.resource]
        if finalizer not in (metadata.finalizers or ()):
            metadata.finalizers = [*(metadata.finalizers or ()), finalizer]


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"
    fixed = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: Attributes) -> bool:
        return attributes.operation == "UPDATE" and is_core(attributes, "persistentvolumeclaims")

    async def validate(self, attributes: Attributes) -> None:
        new, old = cast(PersistentVolumeClaim, attributes.obj), cast(PersistentVolumeClaim, attributes.old_obj)
        asked = ((new.spec.resources.requests if new.spec.resources else None) or {}).get("storage", "0")
        had = ((old.spec.resources.requests if old.spec.resources else None) or {}).get("storage", "0")
        if quantity.cmp(asked, had) <= 0:
            return
        if old.status.phase != "Bound":
            raise refuse(attributes, "Only bound persistent volume claims can be expanded")
        name = new.spec.storage_class_name
        item = self._core.item("storage.k8s.io", "storageclasses", "", name) if name else None
        if item is None or not cast("StorageClass", item.obj).allow_volume_expansion:
            text = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
                "must support resize"
            )
            raise refuse(attributes, text)


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"
    fixed = True
    mutates = True

    def __init__(self, core: Core) -> None:
        self._classes = core.cache.storage("networking.k8s.io", "ingressclasses")

    def handles(self, attributes: Attributes) -> bool:
        kind = attributes.resource.kind
        return (
            attributes.operation == "CREATE"
            and kind.resource == "ingresses"
            and kind.group == "networking.k8s.io"
            and not attributes.subresource
        )

    async def admit(self, attributes: Attributes) -> None:
        ingress = cast("Ingress", attributes.obj)
        if ingress.spec.ingress_class_name is not None:
            return
        if "kubernetes.io/ingress.class" in (ingress.metadata.annotations or {}):
            return
        found = newest_default(
            [cast(Object, item.obj) for item in self._classes.items.values()],
            "ingressclass.kubernetes.io/is-default-class",
        )
        if found is not None:
            ingress.spec.ingress_class_name = found.metadata.name


class PodTopologyLabels(Plugin):
    """A Pod tells the zone and the region of its node: labels of the node go along with the binding."""

    name = "PodTopologyLabels"
    fixed = True
    mutates = True
    _KEYS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: Attributes) -> bool:
        if attributes.operation != "CREATE":
            return False
        return is_core(attributes, "pods") or is_core(attributes, "pods", "binding")

    async def admit(self, attributes: Attributes) -> None:
        if attributes.subresource:
            binding = cast(Binding, attributes.obj)
            if binding.target.kind != "Node":
                return
            metadata, node = binding.metadata, binding.target.name
        else:
            pod = pod_of(attributes)
            metadata, node = pod.metadata, pod.spec.node_name
        item = self._core.item("", "nodes", "", node) if node else None
        labels = cast(Node, item.obj).metadata.labels if item is not None else None
        if not labels:
            return
        own = metadata.labels or {}
        told = {key: labels[key] for key in self._KEYS if key in labels and key not in own}
        if told:
            metadata.labels = {**own, **told}
