"""Claims for devices: who may ask for admin access, and who may write which part of a claim's status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from pybernetes.api.core_v1 import NodeSelector
from pybernetes.api.resource_v1 import (
    AllocatedDeviceStatus,
    DeviceRequest,
    ResourceClaim,
    ResourceClaimStatus,
    ResourceClaimTemplate,
)
from pybernetes.control_plane.apiserver.authentication import service_accounts
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes, Decision, forbidden
from pybernetes.control_plane.apiserver.authorization.webhook import Undecided, settled
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Strategy
from pybernetes.machinery import errors, field
from pybernetes.machinery.field import FieldError, Path

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.core import Core

ADMIN = "resource.kubernetes.io/admin-access"
_GROUP = "resource.k8s.io"
_NODE_NAME = "authentication.kubernetes.io/node-name"
_STATUS = Path("status")


def _admin_refused(core: Core, namespace: str, at: Path) -> list[FieldError]:
    """Admin access, wanted there, is for namespaces that say so."""
    item = core.namespaces.items.get(core.namespaces.prefix + namespace)
    if item is not None and (item.obj.metadata.labels or {}).get(ADMIN) == "true":
        return []
    text = f"admin access to devices requires the `{ADMIN}: true` label on the containing namespace"
    return [field.forbidden(at, text)]


def _admin_wanted(core: Core, requests: Sequence[DeviceRequest] | None, namespace: str) -> list[FieldError]:
    for i, request in enumerate(requests or ()):
        if request.exactly is not None and request.exactly.admin_access:
            return _admin_refused(core, namespace, Path("spec", "devices", "requests").index(i).child("adminAccess"))
    return []


class ResourceClaimTemplateStrategy(Strategy):
    def validate(self, obj: AnyObject) -> list[FieldError]:
        template = cast(ResourceClaimTemplate, obj)
        devices = template.spec.spec.devices
        wrong = _admin_wanted(self.core, devices.requests if devices else None, template.metadata.namespace)
        return [*wrong, *super().validate(obj)]


class ResourceClaimStrategy(Strategy):
    has_status = True

    def validate(self, obj: AnyObject) -> list[FieldError]:
        claim = cast(ResourceClaim, obj)
        devices = claim.spec.devices
        wrong = _admin_wanted(self.core, devices.requests if devices else None, claim.metadata.namespace)
        return [*wrong, *super().validate(obj)]

    def prepare_status(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        """What drivers have told of a device goes with its allocation."""
        super().prepare_status(new, old, call)
        claim, before = cast(ResourceClaim, new), cast(ResourceClaim, old)
        gone = _allocated(before.status) - _allocated(claim.status)
        if gone and claim.status.devices:
            claim.status.devices = [d for d in claim.status.devices if (d.driver, d.pool, d.device) not in gone] or None

    def validate_status(self, new: AnyObject, old: AnyObject) -> list[FieldError]:
        claim, before = cast(ResourceClaim, new), cast(ResourceClaim, old)
        wrong: list[FieldError] = []
        at = _admin_given(claim.status)
        if at is not None and _admin_given(before.status) is None:
            wrong = _admin_refused(self.core, claim.metadata.namespace, at)
        return [*wrong, *super().validate_status(new, old)]

    async def before_update(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        """The right to write the status is not enough: allocations are the schedulers', and of what is told of devices
        each driver's part is that driver's.
        """
        authorizer = self.core.patient_authorizer or self.core.authorizer
        user = call.user
        if call.info.subresource != "status" or authorizer is None or user is None:
            return
        claim, before = cast(ResourceClaim, new), cast(ResourceClaim, old)

        async def refusal(verbs: list[str], subresource: str, namespace: str, name: str) -> str:
            """ "" if one of the verbs is allowed, else why the first is not."""
            first = ""
            for verb in verbs:
                action = Attributes(verb, _GROUP, "resourceclaims", namespace, name, subresource, "", call.info.version)
                decision = await _decision(authorizer, user, action)
                if decision.allowed:
                    return ""
                first = first or forbidden(user, action, decision.reason).message
            return first

        verb = call.info.verb
        wrong: list[FieldError] = []
        if _binding(claim.status) != _binding(before.status) and (why := await refusal([verb], "binding", "", "")):
            text = "changing status.allocation or status.reservedFor requires resource="
            wrong.append(field.forbidden(_STATUS, f'{text}"resourceclaims/binding", verb="{verb}" permission: {why}'))
        verbs = [f"arbitrary-node:{verb}"]
        if _is_on(user, _node_of(claim.status)):
            verbs.insert(0, f"associated-node:{verb}")
        for driver in _drivers(claim.status, before.status):
            if why := await refusal(verbs, "driver", claim.metadata.namespace, driver):
                text = f'changing status.devices requires resource="resourceclaims/driver", verb="[{" ".join(verbs)}]"'
                wrong.append(field.forbidden(_STATUS.child("devices"), f"{text} permission: {why}"))
        if wrong:
            raise errors.invalid(_GROUP, "ResourceClaim", claim.metadata.name, wrong)


async def _decision(authorizer: Any, user: User, action: Attributes) -> Decision:
    def decide() -> Decision:
        return cast(Decision, authorizer.authorize(user, action))

    try:
        return decide()
    except Undecided as missing:
        return cast(Decision, await settled(decide, missing))


def _binding(status: ResourceClaimStatus) -> tuple[object, object]:
    return status.allocation, status.reserved_for or None


def _admin_given(status: ResourceClaimStatus) -> Path | None:
    devices = status.allocation.devices if status.allocation is not None else None
    for i, result in enumerate((devices.results if devices else None) or ()):
        if result.admin_access:
            return _STATUS.child("allocation", "devices", "results").index(i).child("adminAccess")
    return None


def _allocated(status: ResourceClaimStatus) -> set[tuple[str, str, str]]:
    devices = status.allocation.devices if status.allocation is not None else None
    return {(r.driver, r.pool, r.device) for r in (devices.results if devices else None) or ()}


def _drivers(new: ResourceClaimStatus, old: ResourceClaimStatus) -> list[str]:
    """Whose devices something else is told of; not counting what went because it is not allocated any more."""
    gone = _allocated(old) - _allocated(new)
    then, now = (
        {_key(d): d for d in status.devices or () if (d.driver, d.pool, d.device) not in gone} for status in (old, new)
    )
    return sorted({key[0] for key in {*then, *now} if then.get(key) != now.get(key)})


def _key(device: AllocatedDeviceStatus) -> tuple[str, str, str, str]:
    return device.driver, device.pool, device.device, device.share_id or ""


def _node_of(status: ResourceClaimStatus) -> str:
    """The one node that the allocation is for; "" if there are more."""
    selector: NodeSelector | None = status.allocation.node_selector if status.allocation is not None else None
    terms = selector.node_selector_terms if selector is not None else None
    if not terms or len(terms) != 1:
        return ""
    (term,) = terms
    fields = term.match_fields or []
    if term.match_expressions or len(fields) != 1:
        return ""
    one, values = fields[0], fields[0].values or []
    return values[0] if one.key == "metadata.name" and one.operator == "In" and len(values) == 1 else ""


def _is_on(user: User, node: str) -> bool:
    """Whether it is the ServiceAccount of a Pod there, by its token."""
    return (
        bool(node) and service_accounts.split_username(user.name) is not None and user.extra.get(_NODE_NAME) == (node,)
    )


#: By kind.
STRATEGIES: dict[str, type[Strategy]] = {
    "ResourceClaim": ResourceClaimStrategy,
    "ResourceClaimTemplate": ResourceClaimTemplateStrategy,
}
