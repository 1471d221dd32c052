"""LimitRanger: default requests and limits, and their bounds, by the LimitRanges of the namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from pybernetes.api.core_v1.container import Container, ResourceRequirements
from pybernetes.api.core_v1.objects import LimitRange, LimitRangeItem
from pybernetes.api.core_v1.persistent_volume_claim import PersistentVolumeClaim
from pybernetes.api.core_v1.pod import Pod
from pybernetes.api.core_v1.pod_defaults import effective
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import is_core, pod_of, refuse
from pybernetes.machinery import field, quantity

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name = "LimitRanger"
    mutates = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._ranges = core.cache.storage("", "limitranges")

    def handles(self, attributes: Attributes) -> bool:
        if not self._ranges.items or attributes.operation not in ("CREATE", "UPDATE"):
            return False
        if attributes.operation == "CREATE":
            return is_core(attributes, "pods") or is_core(attributes, "persistentvolumeclaims")
        return is_core(attributes, "persistentvolumeclaims") or is_core(attributes, "pods", "resize")

    def _items(self, attributes: Attributes) -> Iterable[LimitRangeItem]:
        for item in self._ranges.list(attributes.namespace):
            yield from cast(LimitRange, item.obj).spec.limits

    async def admit(self, attributes: Attributes) -> None:
        if attributes.operation != "CREATE" or not is_core(attributes, "pods"):
            return
        pod = pod_of(attributes)
        for item in self._items(attributes):
            if item.type == "Container":
                set_defaults(pod, item.default_request or {}, item.default or {})

    async def validate(self, attributes: Attributes) -> None:
        found: list[str] = []
        for item in self._items(attributes):
            if is_core(attributes, "persistentvolumeclaims"):
                if item.type == "PersistentVolumeClaim":
                    resources = cast(PersistentVolumeClaim, attributes.obj).spec.resources
                    asked = (resources.requests if resources else None) or {}
                    found += judge(item, asked, {}, claim=True)
                continue
            spec = pod_of(attributes).spec
            inits = spec.init_containers or ()
            if item.type == "Container":
                for container in (*spec.containers, *inits):
                    resources_of = container.resources or ResourceRequirements()
                    found += judge(item, resources_of.requests or {}, resources_of.limits or {})
            elif item.type == "Pod":
                requests = effective(spec.containers, inits, "requests")
                limits = effective(spec.containers, inits, "limits")
                if spec.resources is not None:
                    requests.update(spec.resources.requests or {})
                    limits.update(spec.resources.limits or {})
                found += judge(item, requests, limits)
        if found:
            raise refuse(attributes, field.aggregate(found))


def set_defaults(pod: Pod, requests: Mapping[str, str], limits: Mapping[str, str]) -> None:
    """Fill in what containers leave out, and note it in an annotation."""
    notes: list[str] = []
    spec = pod.spec
    for containers, what in ((spec.containers, "container"), (spec.init_containers or (), "init container")):
        for container in containers:
            notes += _fill(container, what, requests, limits)
    if notes:
        annotations = dict(pod.metadata.annotations or {})
        annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)
        pod.metadata.annotations = annotations


def _fill(container: Container, what: str, requests: Mapping[str, str], limits: Mapping[str, str]) -> list[str]:
    resources = container.resources
    if resources is None:
        resources = container.resources = ResourceRequirements()
    new_limits = {k: v for k, v in limits.items() if k not in (resources.limits or {})}
    new_requests = {k: v for k, v in requests.items() if k not in (resources.requests or {})}
    notes = []
    if new_limits:
        resources.limits = {**(resources.limits or {}), **new_limits}
    if new_requests:
        resources.requests = {**(resources.requests or {}), **new_requests}
        notes.append(f"{', '.join(sorted(new_requests))} request for {what} {container.name}")
    if new_limits:
        notes.append(f"{', '.join(sorted(new_limits))} limit for {what} {container.name}")
    return notes


def judge(
    item: LimitRangeItem, requests: Mapping[str, str], limits: Mapping[str, str], claim: bool = False
) -> list[str]:
    """What of one LimitRange item is not kept."""
    found = []
    kind = item.type
    for name, bound in (item.min or {}).items():
        request, limit = requests.get(name), limits.get(name)
        if request is None:
            found.append(f"minimum {name} usage per {kind} is {bound}.  No request is specified")
        elif quantity.cmp(request, bound) < 0:
            found.append(f"minimum {name} usage per {kind} is {bound}, but request is {request}")
        elif limit is not None and quantity.cmp(limit, bound) < 0:
            found.append(f"minimum {name} usage per {kind} is {bound}, but limit is {limit}")
    for name, bound in (item.max or {}).items():
        request, limit = requests.get(name), limits.get(name)
        if claim:
            if request is not None and quantity.cmp(request, bound) > 0:
                found.append(f"maximum {name} usage per {kind} is {bound}, but request is {request}")
            continue
        if limit is None:
            found.append(f"maximum {name} usage per {kind} is {bound}.  No limit is specified")
        elif quantity.cmp(limit, bound) > 0:
            found.append(f"maximum {name} usage per {kind} is {bound}, but limit is {limit}")
        elif request is not None and quantity.cmp(request, bound) > 0:
            found.append(f"maximum {name} usage per {kind} is {bound}, but request is {request}")
    for name, bound in (item.max_limit_request_ratio or {}).items():
        request, limit = requests.get(name), limits.get(name)
        head = f"{name} max limit to request ratio per {kind} is {bound}, but"
        if request is None or quantity.parse(request).nano == 0:
            found.append(f"{head} no request is specified or request is 0")
        elif limit is None or quantity.parse(limit).nano == 0:
            found.append(f"{head} no limit is specified or limit is 0")
        else:
            ratio = quantity.parse(limit).nano / quantity.parse(request).nano
            if ratio > float(quantity.parse(bound)):
                found.append(f"{head} provided ratio is {ratio:f}")
    return found
