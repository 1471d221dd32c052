"""NodeRestriction: a kubelet writes only its own Node, its own Pods and what belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pybernetes.api.core_v1.node import Node
from pybernetes.api.core_v1.pod import Pod
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import MIRROR, refuse

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core

GROUP = "system:nodes"
PREFIX = "system:node:"
RESTRICTED_PREFIX = "node-restriction.kubernetes.io/"
KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
KUBELET_PREFIXES = ("kubelet.kubernetes.io/", "node.kubernetes.io/")


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    mutates = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: Attributes) -> bool:
        user = attributes.user
        return user is not None and user.name.startswith(PREFIX) and GROUP in user.groups

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.user is not None
        node = attributes.user.name.removeprefix(PREFIX)
        if not node:
            raise refuse(attributes, "could not determine node identity from user")
        kind = attributes.resource.kind
        key = f"{kind.resource}.{kind.group}" if kind.group else kind.resource
        check = getattr(self, "_" + key.partition(".")[0], None)
        if check is not None:
            check(attributes, node)

    def _pods(self, attributes: Attributes, node: str) -> None:
        operation, sub = attributes.operation, attributes.subresource
        if not sub and operation == "CREATE":
            self._create_pod(attributes, cast(Pod, attributes.obj), node)
        elif not sub and operation == "DELETE":
            self._own(attributes, node, "node {} can only delete pods with spec.nodeName set to itself")
        elif sub == "status" and operation == "UPDATE":
            self._own(attributes, node, "node {} can only update pod status for pods with spec.nodeName set to itself")
            new, old = cast(Pod, attributes.obj), cast(Pod, attributes.old_obj)
            if new.metadata.labels != old.metadata.labels:
                text = f'node "{node}" cannot update labels through pod status'
                raise refuse(attributes, text)
        elif sub == "eviction" and operation == "CREATE":
            pod = self._core.item("", "pods", attributes.namespace, attributes.name)
            if pod is not None and cast(Pod, pod.obj).spec.node_name != node:
                text = f'node "{node}" can only evict pods with spec.nodeName set to itself'
                raise refuse(attributes, text)
        elif sub in ("", "binding") and operation in ("CREATE", "UPDATE"):
            raise refuse(attributes, f'unexpected operation "{operation}"')

    def _own(self, attributes: Attributes, node: str, text: str) -> None:
        if cast(Pod, attributes.old_obj).spec.node_name != node:
            raise refuse(attributes, text.format(f'"{node}"'))

    def _create_pod(self, attributes: Attributes, pod: Pod, node: str) -> None:
        if MIRROR not in (pod.metadata.annotations or {}):
            text = f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
            raise refuse(attributes, text)
        if pod.spec.node_name != node:
            text = f'node "{node}" can only create pods with spec.nodeName set to itself'
            raise refuse(attributes, text)
        if pod.spec.service_account_name:
            text = f'node "{node}" can not create pods that reference a service account'
            raise refuse(attributes, text)
        owners = pod.metadata.owner_references or []
        if len(owners) > 1 or any((o.api_version, o.kind, o.name) != ("v1", "Node", node) for o in owners):
            text = f'node "{node}" can only create pods with an owner reference set to itself'
            raise refuse(attributes, text)
        for volume in pod.spec.volumes or ():
            for name, used in (
                ("secrets", volume.secret),
                ("configmaps", volume.config_map),
                ("persistentvolumeclaims", volume.persistent_volume_claim),
            ):
                if used is not None:
                    text = f'node "{node}" can not create pods that reference {name}'
                    raise refuse(attributes, text)

    def _nodes(self, attributes: Attributes, node: str) -> None:
        name = attributes.name or (attributes.obj.metadata.name if attributes.obj else "")
        if attributes.operation == "DELETE":
            raise refuse(attributes, f'node "{node}" is not allowed to delete nodes')
        if name != node:
            raise refuse(attributes, f'node "{node}" is not allowed to modify node "{name}"')
        new = cast(Node, attributes.obj)
        if attributes.operation == "CREATE":
            bad = sorted(k for k in new.metadata.labels or {} if _forbidden_label(k))
            if bad:
                text = f'node "{node}" is not allowed to set the following labels: {", ".join(bad)}'
                raise refuse(attributes, text)
            return
        old = cast(Node, attributes.old_obj)
        if attributes.operation == "UPDATE":
            if new.spec.taints != old.spec.taints:
                raise refuse(attributes, f'node "{node}" is not allowed to modify taints')
            if new.metadata.owner_references != old.metadata.owner_references:
                raise refuse(attributes, f'node "{node}" is not allowed to modify ownerReferences')
            now, was = new.metadata.labels or {}, old.metadata.labels or {}
            changed = {k for k in {*now, *was} if now.get(k) != was.get(k)}
            bad = sorted(k for k in changed if _forbidden_label(k))
            if bad:
                text = f'node "{node}" is not allowed to modify labels: {", ".join(bad)}'
                raise refuse(attributes, text)

    def _serviceaccounts(self, attributes: Attributes, node: str) -> None:
        if attributes.operation != "CREATE" or attributes.subresource != "token":
            return
        reference = cast(Any, attributes.obj).spec.bound_object_ref
        if reference is None or reference.kind != "Pod" or reference.api_version != "v1" or not reference.name:
            raise refuse(attributes, "node requested token not bound to a pod")
        if not reference.uid:
            raise refuse(attributes, "node requested token with a pod binding without a uid")
        item = self._core.item("", "pods", attributes.namespace, reference.name)
        if item is None or item.obj.metadata.uid != reference.uid:
            raise refuse(attributes, "the UID in the bound object reference does not match the UID in record")
        if cast(Pod, item.obj).spec.node_name != node:
            raise refuse(attributes, "node requested token bound to a pod scheduled on a different node")

    def _leases(self, attributes: Attributes, node: str) -> None:
        if attributes.operation == "DELETE":
            return
        name = attributes.name or (attributes.obj.metadata.name if attributes.obj else "")
        if attributes.namespace != "kube-node-lease":
            text = 'can only access leases in the "kube-node-lease" system namespace'
            raise refuse(attributes, text)
        if name != node:
            raise refuse(attributes, "can only access node lease with the same name as the requesting node")

    def _csinodes(self, attributes: Attributes, node: str) -> None:
        name = attributes.name or (attributes.obj.metadata.name if attributes.obj else "")
        if name != node:
            raise refuse(attributes, f'can only access CSINode with the same name as the requesting node ("{node}")')

    def _resourceslices(self, attributes: Attributes, node: str) -> None:
        obj = cast(Any, attributes.obj or attributes.old_obj)
        if obj is not None and obj.spec.node_name != node:
            raise refuse(
                attributes, "can only create and delete ResourceSlices with the same nodeName as the requesting node"
            )


def _forbidden_label(key: str) -> bool:
    if key.startswith(RESTRICTED_PREFIX) or ".node-restriction.kubernetes.io/" in key:
        return True
    domain = key.partition("/")[0] if "/" in key else ""
    if domain.endswith(("kubernetes.io", "k8s.io")) and key not in KUBELET_LABELS:
        return not (
            key.startswith(KUBELET_PREFIXES) or domain.endswith((".kubelet.kubernetes.io", ".node.kubernetes.io"))
        )
    return False
