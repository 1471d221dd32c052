"""RuntimeClass: what a runtime costs and where it runs goes into the Pods that ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pybernetes.api.node_v1 import RuntimeClass as Class
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import creates_pod, pod_of, refuse

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core


class RuntimeClass(Plugin):
    name = "RuntimeClass"
    fixed = True
    mutates = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: Attributes) -> bool:
        return creates_pod(attributes)

    def _find(self, attributes: Attributes) -> Class | None:
        name = pod_of(attributes).spec.runtime_class_name
        if not name:
            return None
        item = self._core.item("node.k8s.io", "runtimeclasses", "", name)
        if item is None:
            raise refuse(attributes, f'pod rejected: RuntimeClass "{name}" not found')
        return cast(Class, item.obj)

    async def admit(self, attributes: Attributes) -> None:
        found = self._find(attributes)
        if found is None:
            return
        spec = pod_of(attributes).spec
        if found.overhead is not None and found.overhead.pod_fixed:
            if spec.overhead and spec.overhead != found.overhead.pod_fixed:
                text = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                raise refuse(attributes, text)
            spec.overhead = dict(found.overhead.pod_fixed)
        if found.scheduling is not None:
            selector = dict(spec.node_selector or {})
            for key, value in (found.scheduling.node_selector or {}).items():
                if selector.get(key, value) != value:
                    text = (
                        f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                        f"pod.spec.nodeSelector[{key}] = {selector[key]}"
                    )
                    raise refuse(attributes, text)
                selector[key] = value
            if selector:
                spec.node_selector = selector
            more = [t for t in found.scheduling.tolerations or () if t not in (spec.tolerations or ())]
            if more:
                spec.tolerations = [*(spec.tolerations or ()), *more]

    async def validate(self, attributes: Attributes) -> None:
        spec = pod_of(attributes).spec
        if not spec.runtime_class_name:
            if spec.overhead:
                raise refuse(
                    attributes, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                )
            return
        found = self._find(attributes)
        defined = (found.overhead.pod_fixed if found is not None and found.overhead is not None else None) or {}
        if (spec.overhead or {}) != defined:
            text = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            if not defined:
                text = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise refuse(attributes, text)
