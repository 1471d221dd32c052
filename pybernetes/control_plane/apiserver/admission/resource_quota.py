"""ResourceQuota: reserve what a request uses in every quota of the namespace that counts it, or refuse.

The reservation is a conditional write of the quota's status before the object itself is written, as upstream does it;
what is reserved and then not used comes back when the quota controller recounts. Requests in one namespace go one after
the other through a lock, so that they do not lose races against each other within this server; against others the
conditional write decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakValueDictionary

from pybernetes.api.core_v1.objects import ResourceQuota as Quota
from pybernetes.api.core_v1.objects import ScopedResourceSelectorRequirement
from pybernetes.api.core_v1.persistent_volume_claim import PersistentVolumeClaim
from pybernetes.api.core_v1.pod import Pod
from pybernetes.api.core_v1.pod_defaults import effective
from pybernetes.api.core_v1.pod_update_validation import qos_class
from pybernetes.api.core_v1.resource_validation import is_extended, is_huge_page
from pybernetes.api.core_v1.service import Service
from pybernetes.api.resource_v1 import ResourceClaim
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import is_core, refuse
from pybernetes.machinery import quantity
from pybernetes.store import RevisionConflict

if TYPE_CHECKING:
    from pybernetes.api.resource_v1 import DeviceClass
    from pybernetes.control_plane.apiserver.cache import Item
    from pybernetes.control_plane.apiserver.core import Core

Usage = dict[str, quantity.Quantity]

ATTEMPTS = 32
ONE = quantity.parse("1")
#: Core resources that are also counted under their bare name.
_ALIASES = frozenset(
    {"configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services", "persistentvolumeclaims", "pods"}
)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
#: Before a class: the extended resource that stands for its devices.
_CLASS = "deviceclass.resource.kubernetes.io/"
_FOR_POD = "resource.kubernetes.io/extended-resource-claim"
_ALL_DEVICES = 32


def pod_usage(pod: Pod) -> Usage:
    """What a Pod counts for: itself, requests and limits; a finished one only as an object."""
    usage: Usage = {"count/pods": ONE}
    if pod.status.phase in ("Succeeded", "Failed"):
        return usage
    usage["pods"] = ONE
    spec = pod.spec
    inits = spec.init_containers or ()
    requests, limits = effective(spec.containers, inits, "requests"), effective(spec.containers, inits, "limits")
    if spec.resources is not None:
        requests.update(spec.resources.requests or {})
        limits.update(spec.resources.limits or {})
    for name, amount in (spec.overhead or {}).items():
        requests[name] = quantity.add(requests.get(name, "0"), amount)
        if name in limits:
            limits[name] = quantity.add(limits[name], amount)
    for name, amount in requests.items():
        value = quantity.parse(amount)
        if name in _COMPUTE or is_huge_page(name):
            usage[name] = value
            usage[f"requests.{name}"] = value
        elif is_extended(name) or name.startswith(_CLASS):
            usage[f"requests.{name}"] = value
    for name, amount in limits.items():
        if name in _COMPUTE:
            usage[f"limits.{name}"] = quantity.parse(amount)
    return usage


def service_usage(service: Service) -> Usage:
    usage: Usage = {"count/services": ONE, "services": ONE}
    spec = service.spec
    ports = quantity.of(len(spec.ports or ()))
    if spec.type == "NodePort":
        usage["services.nodeports"] = ports
    elif spec.type == "LoadBalancer":
        usage["services.loadbalancers"] = ONE
        if spec.allocate_load_balancer_node_ports is not False:
            usage["services.nodeports"] = ports
        else:
            usage["services.nodeports"] = quantity.of(sum(1 for port in spec.ports or () if port.node_port))
    return usage


def claim_usage(claim: PersistentVolumeClaim) -> Usage:
    usage: Usage = {"count/persistentvolumeclaims": ONE, "persistentvolumeclaims": ONE}
    asked = ((claim.spec.resources.requests if claim.spec.resources else None) or {}).get("storage")
    kind = claim.spec.storage_class_name or ""
    if kind:
        usage[f"{kind}.storageclass.storage.k8s.io/persistentvolumeclaims"] = ONE
    if asked is not None:
        usage["requests.storage"] = quantity.parse(asked)
        if kind:
            usage[f"{kind}.storageclass.storage.k8s.io/requests.storage"] = quantity.parse(asked)
    return usage


class Around(NamedTuple):
    """What else there is that decides what a claim counts for: the extended resource that a class stands for, and a Pod
    by namespace and name."""

    extended: Callable[[str], str | None]
    pod: Callable[[str, str], Pod | None]


_NOTHING = Around(lambda name: None, lambda namespace, name: None)


def device_usage(claim: ResourceClaim, around: Around = _NOTHING) -> Usage:
    """By class the most devices that a claim may be given: of alternatives the largest counts, of `All` a whole result.
    They count by each name that Pods may ask for them by; of a claim that was made for a Pod that did, not by the name
    that the Pod counts for.
    """
    usage: Usage = {"count/resourceclaims.resource.k8s.io": ONE}
    for request in (claim.spec.devices.requests if claim.spec.devices else None) or ():
        most: dict[str, int] = {}
        for part in [request.exactly] if request.exactly is not None else request.first_available or ():
            count = _ALL_DEVICES if part.allocation_mode == "All" else part.count or 1
            most[part.device_class_name] = max(count, most.get(part.device_class_name, 0))
        for name, count in most.items():
            devices = quantity.of(count)
            implicit, explicit = f"{_CLASS}{name}", around.extended(name)
            names = [implicit, *([explicit] if explicit else ())]
            if asked := _asked(claim, around) & {*names}:
                names.remove(implicit if implicit in asked else explicit or "")
            for counted in (f"{name}.deviceclass.resource.k8s.io/devices", *(f"requests.{each}" for each in names)):
                usage[counted] = usage.get(counted, quantity.ZERO) + devices
    return usage


def _asked(claim: ResourceClaim, around: Around) -> set[str]:
    """What the Pod asks for that the claim was made for, because of that."""
    if (claim.metadata.annotations or {}).get(_FOR_POD) != "true":
        return set()
    owner = next((o for o in claim.metadata.owner_references or () if o.controller and o.kind == "Pod"), None)
    pod = around.pod(claim.metadata.namespace, owner.name) if owner is not None else None
    if pod is None or owner is None or pod.metadata.uid != owner.uid:
        return set()
    containers = (*(pod.spec.init_containers or ()), *pod.spec.containers)
    return {name for c in containers if c.resources is not None for name in c.resources.requests or ()}


#: By group and resource.
_EVALUATORS: dict[tuple[str, str], Callable[[Any], Usage]] = {
    ("", "pods"): pod_usage,
    ("", "services"): service_usage,
    ("", "persistentvolumeclaims"): claim_usage,
    ("resource.k8s.io", "resourceclaims"): device_usage,
}


def usage_of(group: str, resource: str, obj: Any, around: Around = _NOTHING) -> Usage:
    """What an object counts for in quotas: name of the quota's resource -> amount."""
    if resource == "resourceclaims" and group == "resource.k8s.io":
        return device_usage(obj, around)
    evaluator = _EVALUATORS.get((group, resource))
    if evaluator is not None:
        return evaluator(obj)
    usage: Usage = {f"count/{resource}.{group}" if group else f"count/{resource}": ONE}
    if not group and resource in _ALIASES:
        usage[resource] = ONE
    return usage


def in_scopes(quota: Quota, obj: object) -> bool:
    """Whether a quota with scopes counts an object; Pods and claims alone are ever in a scope."""
    scopes = [ScopedResourceSelectorRequirement(scope_name=s, operator="Exists") for s in quota.spec.scopes or ()]
    if quota.spec.scope_selector is not None:
        scopes += quota.spec.scope_selector.match_expressions or []
    return all(_in_scope(requirement, obj) for requirement in scopes)


def _in_scope(requirement: ScopedResourceSelectorRequirement, obj: object) -> bool:
    scope = requirement.scope_name
    if isinstance(obj, PersistentVolumeClaim):
        return scope == "VolumeAttributesClass" and any(_chooses(requirement, name) for name in _classes(obj))
    if not isinstance(obj, Pod):
        return False
    pod = obj
    if scope in ("Terminating", "NotTerminating"):
        return (pod.spec.active_deadline_seconds is not None) is (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return (qos_class(pod) == "BestEffort") is (scope == "BestEffort")
    if scope == "CrossNamespacePodAffinity":
        return _crosses(pod)
    return scope == "PriorityClass" and _chooses(requirement, pod.spec.priority_class_name or "")


def _chooses(requirement: ScopedResourceSelectorRequirement, name: str) -> bool:
    match requirement.operator:
        case "In":
            return name in (requirement.values or ())
        case "NotIn":
            return name not in (requirement.values or ())
        case "Exists":
            return bool(name)
        case _:
            return not name


def _classes(claim: PersistentVolumeClaim) -> set[str]:
    """The VolumeAttributesClasses a claim asks for, has, and is being changed to: it counts for each of them."""
    names = {claim.spec.volume_attributes_class_name, claim.status.current_volume_attributes_class_name}
    if claim.status.modify_volume_status is not None:
        names.add(claim.status.modify_volume_status.target_volume_attributes_class_name)
    return {name for name in names if name} or {""}


def _crosses(pod: Pod) -> bool:
    affinity = pod.spec.affinity
    if affinity is None:
        return False
    for part in (affinity.pod_affinity, affinity.pod_anti_affinity):
        if part is None:
            continue
        terms = list(part.required_during_scheduling_ignored_during_execution or ())
        terms += [w.pod_affinity_term for w in part.preferred_during_scheduling_ignored_during_execution or ()]
        if any(term.namespaces or term.namespace_selector is not None for term in terms):
            return True
    return False


class ResourceQuota(Plugin):
    name = "ResourceQuota"
    validates = True

    def __init__(self, core: Core) -> None:
        self._quotas = core.cache.storage("", "resourcequotas")

        def extended(name: str) -> str | None:
            item = core.item("resource.k8s.io", "deviceclasses", "", name)
            return cast("DeviceClass", item.obj).spec.extended_resource_name if item is not None else None

        def pod(namespace: str, name: str) -> Pod | None:
            item = core.item("", "pods", namespace, name)
            return cast(Pod, item.obj) if item is not None else None

        self._around = Around(extended, pod)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def handles(self, attributes: Attributes) -> bool:
        if not self._quotas.items or not attributes.namespace:
            return False
        if attributes.subresource:
            return is_core(attributes, "pods", "resize")
        if attributes.operation == "CREATE":
            return True
        kind = attributes.resource.kind
        return attributes.operation == "UPDATE" and (kind.group, kind.resource) in _EVALUATORS

    async def validate(self, attributes: Attributes) -> None:
        if not self._quotas.list(attributes.namespace):
            return
        lock = self._locks.get(attributes.namespace)
        if lock is None:
            lock = self._locks[attributes.namespace] = asyncio.Lock()
        async with lock:
            for _ in range(ATTEMPTS):
                if await self._reserve(attributes):
                    return
        raise refuse(attributes, "unable to record the use of quotas: too many writers")

    async def _reserve(self, attributes: Attributes) -> bool:
        """One attempt; False when another writer was faster."""
        kind = attributes.resource.kind
        usage = usage_of(kind.group, kind.resource, attributes.obj, self._around)
        old = attributes.old_obj if attributes.operation == "UPDATE" else None
        before = usage_of(kind.group, kind.resource, old, self._around) if old is not None else {}
        delta = {name: usage.get(name, quantity.ZERO) - before.get(name, quantity.ZERO) for name in {**usage, **before}}
        pod = cast(Pod, attributes.obj) if kind.resource == "pods" and not kind.group else None
        writes: list[tuple[Item, Quota]] = []
        for item in self._quotas.list(attributes.namespace):
            quota = cast(Quota, item.obj)
            if not in_scopes(quota, attributes.obj):
                continue
            enters = old is not None and not in_scopes(quota, old)
            if pod is not None and attributes.operation == "CREATE":
                self._specified(attributes, quota, pod)
            if (changed := self._charge(attributes, quota, usage if enters else delta)) is not None:
                fresh = cast(Quota, self._quotas.codec.copy(quota))
                fresh.status.used = changed
                writes.append((item, fresh))
        if attributes.dry_run:
            return True
        for item, fresh in writes:
            try:
                await self._quotas.update(item.key, fresh, item.revision)
            except RevisionConflict:
                return False
        return True

    def _charge(self, attributes: Attributes, quota: Quota, delta: Usage) -> dict[str, str] | None:
        """The quota's usage with the request in it; None when it does not count. Raises 403."""
        wanted = {n: a for n, a in delta.items() if a.nano and n in (quota.spec.hard or {})}
        if not wanted:
            return None
        hard, used = quota.status.hard or {}, quota.status.used or {}
        unknown = sorted(n for n in wanted if n not in hard or n not in used)
        if unknown:
            text = f"status unknown for quota: {quota.metadata.name}, resources: {','.join(unknown)}"
            raise refuse(attributes, text)
        new = dict(used)
        exceeded = []
        for name, amount in wanted.items():
            total = quantity.parse(used[name]) + amount
            new[name] = str(total)
            if amount.nano > 0 and total > quantity.parse(hard[name]):
                exceeded.append(name)
        if exceeded:
            exceeded.sort()
            text = (
                f"exceeded quota: {quota.metadata.name}, requested: {_show(exceeded, wanted)}, "
                f"used: {_show(exceeded, used)}, limited: {_show(exceeded, hard)}"
            )
            raise refuse(attributes, text)
        return new

    def _specified(self, attributes: Attributes, quota: Quota, pod: Pod) -> None:
        """A quota of compute resources demands that every container says what it needs."""
        missing: dict[str, list[str]] = {}
        level = pod.spec.resources
        for name in quota.spec.hard or {}:
            if name in _COMPUTE:
                what, bare = "requests", name
            elif name.startswith(("requests.", "limits.")) and name.partition(".")[2] in _COMPUTE:
                what, _, bare = name.partition(".")
            else:
                continue
            if bare == "ephemeral-storage" or bare in ((getattr(level, what) if level else None) or {}):
                continue
            for container in (*(pod.spec.init_containers or ()), *pod.spec.containers):
                if bare not in (getattr(container.resources, what, None) or {}):
                    missing.setdefault(name, []).append(container.name)
        if missing:
            listed = "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
            raise refuse(attributes, f"failed quota: {quota.metadata.name}: must specify {listed}")


def _show(wanted: list[str], amounts: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in wanted)
