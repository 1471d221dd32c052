"""`pods/ephemeralcontainers` and `pods/resize`: parts of a Pod's spec that can change while it runs."""

from __future__ import annotations

from typing import cast

from pybernetes.api.core_v1 import Pod, PodSpec
from pybernetes.api.core_v1 import pod_update_validation as rules
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.subresources.parts import Part
from pybernetes.machinery import codec
from pybernetes.machinery.field import FieldError


class EphemeralContainers(Part):
    name = "ephemeralcontainers"

    def prepare(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        pod, before = cast(Pod, new), cast(Pod, old)
        wanted = pod.spec.ephemeral_containers
        pod.spec = codec.copy(before.spec)
        pod.status = before.status
        pod.spec.ephemeral_containers = wanted
        _count(pod, before)

    def validate(self, new: AnyObject, old: AnyObject) -> list[FieldError]:
        return rules.validate_pod_ephemeral_containers_update(cast(Pod, new), cast(Pod, old))


class Resize(Part):
    name = "resize"

    def prepare(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        pod, before = cast(Pod, new), cast(Pod, old)
        wanted = pod.spec
        pod.status = before.status
        if _names(wanted) != _names(before.spec):
            return  # containers come, go or change places: as it is, for the validation to refuse
        pod.spec = codec.copy(before.spec)
        for now, then in ((wanted.containers, pod.spec.containers), (wanted.init_containers, pod.spec.init_containers)):
            for change, container in zip(now or (), then or (), strict=True):
                container.resources = change.resources
                container.resize_policy = change.resize_policy
        pod.spec.resources = wanted.resources
        _count(pod, before)

    def validate(self, new: AnyObject, old: AnyObject) -> list[FieldError]:
        return rules.validate_pod_resize(cast(Pod, new), cast(Pod, old))


def _names(spec: PodSpec) -> list[list[str]]:
    return [[container.name for container in group or ()] for group in (spec.containers, spec.init_containers)]


def _count(pod: Pod, before: Pod) -> None:
    pod.metadata.generation = before.metadata.generation
    if pod.spec != before.spec:
        pod.metadata.generation = (before.metadata.generation or 0) + 1
