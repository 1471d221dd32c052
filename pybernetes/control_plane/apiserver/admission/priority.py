"""Priority: a Pod's priority comes from its PriorityClass; and at most one class is the default."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pybernetes.api.scheduling_v1 import PriorityClass
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import creates_pod, is_core, pod_of, refuse

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core

GROUP = "scheduling.k8s.io"
#: Classes that exist in every cluster, also before they were made.
SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class Priority(Plugin):
    name = "Priority"
    fixed = True
    mutates = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._core = core
        self._classes = core.cache.storage(GROUP, "priorityclasses")

    def handles(self, attributes: Attributes) -> bool:
        if attributes.operation not in ("CREATE", "UPDATE") or attributes.subresource:
            return False
        kind = attributes.resource.kind
        return is_core(attributes, "pods") or (kind.group == GROUP and kind.resource == "priorityclasses")

    async def admit(self, attributes: Attributes) -> None:
        if attributes.operation == "UPDATE" and is_core(attributes, "pods"):
            spec, old = pod_of(attributes).spec, attributes.old_obj
            before = old.spec if old is not None else None  # type: ignore[union-attr]
            if before is not None and spec.priority is None:  # an update that leaves them out changes nothing
                spec.priority = before.priority
            if before is not None and spec.preemption_policy is None:
                spec.preemption_policy = before.preemption_policy
            return
        if not creates_pod(attributes):
            return
        spec = pod_of(attributes).spec
        value, policy = 0, "PreemptLowerPriority"
        if not spec.priority_class_name:
            default = self._default()
            if default is not None:
                spec.priority_class_name = default.metadata.name
                value = default.value or 0
                policy = default.preemption_policy or policy
        else:
            item = self._core.item(GROUP, "priorityclasses", "", spec.priority_class_name)
            if item is not None:
                found = cast(PriorityClass, item.obj)
                value, policy = found.value or 0, found.preemption_policy or policy
            elif spec.priority_class_name in SYSTEM:
                value = SYSTEM[spec.priority_class_name]
            else:
                raise refuse(attributes, f"no PriorityClass with name {spec.priority_class_name} was found")
        if spec.priority is not None and spec.priority != value:
            text = (
                f"the integer value of priority ({spec.priority}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
            raise refuse(attributes, text)
        if spec.preemption_policy is not None and spec.preemption_policy != policy:
            text = (
                f"the string value of PreemptionPolicy ({spec.preemption_policy}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name"
            )
            raise refuse(attributes, text)
        spec.priority = value
        spec.preemption_policy = policy

    def _default(self) -> PriorityClass | None:
        """The class marked as default; of several the one with the lowest value."""
        best: PriorityClass | None = None
        for item in self._classes.items.values():
            found = cast(PriorityClass, item.obj)
            if found.global_default and (best is None or (found.value or 0) < (best.value or 0)):
                best = found
        return best

    async def validate(self, attributes: Attributes) -> None:
        if attributes.resource.kind.resource != "priorityclasses":
            return
        new = cast(PriorityClass, attributes.obj)
        if not new.global_default:
            return
        default = self._default()
        if default is not None and default.metadata.name != new.metadata.name:
            text = f"PriorityClass {default.metadata.name} is already marked as default. Only one default can exist"
            raise refuse(attributes, text)
