"""NodeDeclaredFeatureValidator: a running Pod is not changed in a way that its node's kubelet cannot follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pybernetes.api.core_v1 import Pod
from pybernetes.api.core_v1 import declared_features as features
from pybernetes.api.core_v1.node import Node
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import is_core, pod_of, refuse

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core


class NodeDeclaredFeatureValidator(Plugin):
    name = "NodeDeclaredFeatureValidator"
    fixed = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: Attributes) -> bool:
        return attributes.operation == "UPDATE" and is_core(attributes, "pods", "resize")

    async def validate(self, attributes: Attributes) -> None:
        pod = pod_of(attributes)
        node = pod.spec.node_name
        needed = features.needed_to_change(pod, cast(Pod, attributes.old_obj)) if node else []
        if not needed or not node:
            return
        item = self._core.item("", "nodes", "", node)
        if item is None:
            raise refuse(attributes, f'node "{node}" not found')
        if missing := features.missing(needed, cast(Node, item.obj)):
            text = f'pod update requires features {", ".join(missing)} which are not available on node "{node}"'
            raise refuse(attributes, text)
