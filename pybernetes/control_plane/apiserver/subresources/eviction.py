"""`pods/eviction`: a deletion that asks the Pod's disruption budget first."""

from __future__ import annotations

from typing import cast

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod
from pybernetes.api.policy_v1 import Eviction as EvictionObject
from pybernetes.api.policy_v1 import PodDisruptionBudget
from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.control_plane.apiserver.body import read_as
from pybernetes.control_plane.apiserver.cache import Item
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.resource import Subresource
from pybernetes.control_plane.apiserver.resources import pods
from pybernetes.control_plane.apiserver.verbs.change import ATTEMPTS
from pybernetes.control_plane.apiserver.verbs.delete import check_delete_options, delete_item
from pybernetes.machinery import codec, errors, labels
from pybernetes.machinery.meta import DeleteOptions, Status
from pybernetes.store import RevisionConflict

_MAX_DISRUPTED = 2000
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_TWO_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_RETRY = 10


class Eviction(Subresource):
    name = "eviction"
    api_version = "policy/v1"
    kind = "Eviction"
    verbs = ("create",)

    async def handle(self, call: Call) -> Result | None:
        eviction = read_as(call, EvictionObject)
        if eviction is None:
            raise errors.bad_request("the body is empty")
        name = call.info.name
        if eviction.metadata.name and eviction.metadata.name != name:
            raise errors.bad_request("name in URL does not match name in Eviction object")
        options = eviction.delete_options or DeleteOptions()
        check_delete_options(options)
        core, resource = self.core, self.resource
        attributes = Attributes(
            "CREATE", resource, call.info.namespace, name, eviction, None, call.user, "eviction", None, call.dry_run
        )
        attributes.annotations = call.annotations
        await core.admission.admit(attributes)
        await core.admission.validate(attributes)
        storage = resource.storage
        assert storage is not None
        item = storage.items.get(resource.key(call.info.namespace, name))
        if item is None:
            raise errors.not_found(resource.group_resource, name)
        pod = cast(Pod, item.obj)
        _check_preconditions(pod, options)
        dry_run = call.dry_run or bool(options.dry_run)
        if not _ignores_budgets(pod):
            budgets = self._budgets(pod)
            if len(budgets) > 1:
                raise errors.StatusError(500, "InternalError", _TWO_BUDGETS)
            if budgets:
                await self._ask(budgets[0], pod, dry_run)
            if not dry_run:
                item = await self._announce(item)
        if options.preconditions is not None:
            options.preconditions.resource_version = None  # it has just been looked at, and our own write changed it
        await delete_item(core, call, resource, item, options)
        return Result(201, obj=Status(status="Success", code=201))

    def _budgets(self, pod: Pod) -> list[Item]:
        storage = self.core.cache.storage("policy", "poddisruptionbudgets")
        found = []
        for item in storage.list(pod.metadata.namespace):
            selector = cast(PodDisruptionBudget, item.obj).spec.selector
            if labels.from_struct(selector).matches(pod.metadata.labels):
                found.append(item)
        return found

    async def _ask(self, item: Item, pod: Pod, dry_run: bool) -> None:
        """Take one of the allowed disruptions. Raises 429 when there is none."""
        storage = item.storage
        for _ in range(ATTEMPTS):
            budget = cast(PodDisruptionBudget, item.obj)
            if not _is_ready(pod) and _lets_unhealthy_go(budget):
                return
            changed = decrement(budget, pod.metadata.name)
            if dry_run:
                return
            try:
                await storage.update(item.key, changed, item.revision)
                return
            except RevisionConflict:
                await self.core.cache.fresh()
                current = storage.items.get(item.key)
                if current is None:
                    return
                item = current
        raise errors.conflict(("policy", "poddisruptionbudgets"), item.name)

    async def _announce(self, item: Item) -> Item:
        """Leave the condition that tells why the Pod went."""
        for _ in range(ATTEMPTS):
            pod: Pod = codec.copy(item.obj)
            pods.set_condition(pod, "DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting")
            try:
                return await item.storage.update(item.key, pod, item.revision)
            except RevisionConflict:
                await self.core.cache.fresh()
                current = item.storage.items.get(item.key)
                if current is None:
                    raise errors.not_found(self.resource.group_resource, item.name) from None
                item = current
        raise errors.conflict(self.resource.group_resource, item.name)


def _check_preconditions(pod: Pod, options: DeleteOptions) -> None:
    wanted = options.preconditions
    if wanted is None:
        return
    if wanted.uid is not None and wanted.uid != pod.metadata.uid:
        text = f"Precondition failed: UID in precondition: {wanted.uid}, UID in object meta: {pod.metadata.uid}"
        raise errors.conflict(("", "pods"), pod.metadata.name, text)
    if wanted.resource_version is not None and wanted.resource_version != pod.metadata.resource_version:
        text = (
            f"Precondition failed: ResourceVersion in precondition: {wanted.resource_version}, "
            f"ResourceVersion in object meta: {pod.metadata.resource_version}"
        )
        raise errors.conflict(("", "pods"), pod.metadata.name, text)


def _ignores_budgets(pod: Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed", "Pending") or pod.metadata.deletion_timestamp is not None


def _is_ready(pod: Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())


def _lets_unhealthy_go(budget: PodDisruptionBudget) -> bool:
    status = budget.status
    if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
        return True
    healthy, wanted = status.current_healthy or 0, status.desired_healthy or 0
    return healthy >= wanted and wanted > 0


def decrement(budget: PodDisruptionBudget, pod: str) -> PodDisruptionBudget:
    """The budget after one more disruption, as a copy. Raises 429 or 403. Pure."""
    status, name = budget.status, budget.metadata.name
    if (status.observed_generation or 0) < (budget.metadata.generation or 0):
        text = f"The disruption budget {name} is still being processed by the server."
        raise errors.eviction_blocked(_REFUSED, text, _RETRY)
    gr = ("policy", "poddisruptionbudgets")
    allowed = status.disruptions_allowed or 0
    if allowed < 0:
        raise errors.forbidden(gr, name, "pdb disruptions allowed is negative")
    if len(status.disrupted_pods or {}) > _MAX_DISRUPTED:
        text = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden(gr, name, text)
    if allowed == 0:
        text = (
            f"The disruption budget {name} needs {status.desired_healthy} healthy pods "
            f"and has {status.current_healthy} currently"
        )
        raise errors.eviction_blocked(_REFUSED, text)
    changed: PodDisruptionBudget = codec.copy(budget)
    changed.status.disruptions_allowed = allowed - 1
    changed.status.disrupted_pods = {**(changed.status.disrupted_pods or {}), pod: clock.rfc3339()}
    return changed
