"""Groups whose kinds differ from the ordinary in a flag or two, and certificates."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from pybernetes.aio import clock
from pybernetes.api import meta_validation
from pybernetes.api.certificates_v1 import CertificateSigningRequest
from pybernetes.control_plane.apiserver.authorization import escalation
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Strategy
from pybernetes.machinery import names
from pybernetes.machinery.field import FieldError

if TYPE_CHECKING:
    from pybernetes.api.apiregistration_v1 import APIService


@cache
def _has_rules() -> bool:
    """Whether rbac/v1 has validation of its own yet."""
    return find_spec("pybernetes.api.rbac_v1_validation") is not None


class Counted(Strategy):
    counts_generation = True


class CountedWithStatus(Strategy):
    has_status = True
    counts_generation = True


class CountedStrict(Strategy):
    """An update needs the resourceVersion."""

    counts_generation = True
    unconditional_update = False


class CountedStrictWithStatus(Strategy):
    has_status = True
    counts_generation = True
    unconditional_update = False


class StrictWithStatus(Strategy):
    has_status = True
    unconditional_update = False


class Strict(Strategy):
    unconditional_update = False


class Lease(Strategy):
    create_on_update = True
    unconditional_update = False


class Rbac(Strategy):
    """Names of roles only have to fit into a path; nobody grants what they do not have."""

    create_on_update = True

    def validate(self, obj: AnyObject) -> list[FieldError]:
        if _has_rules():
            return super().validate(obj)
        return meta_validation.object_meta(obj.metadata, self.kind.namespaced, names.path_segment)

    def validate_update(self, new: AnyObject, old: AnyObject) -> list[FieldError]:
        if _has_rules():
            return super().validate_update(new, old)
        return meta_validation.object_meta_update(new.metadata, old.metadata)

    async def before_create(self, obj: AnyObject, call: Call) -> Callable[[], None] | None:
        self._check(obj, None, call)
        return None

    async def before_update(self, new: AnyObject, old: AnyObject, call: Call) -> Callable[[], None] | None:
        self._check(new, old, call)
        return None

    def _check(self, new: Any, old: Any, call: Call) -> None:
        core = self.core
        if call.user is None or core.rbac is None:
            return
        check = escalation.check_role if self.kind.kind.endswith("Role") else escalation.check_binding
        check(call.user, new, old, core.rbac, core.authorizer)


class PriorityClass(Strategy):
    create_on_update = True
    counts_generation = True


class ReturnsDeleted(Strategy):
    returns_deleted = True


class ReturnsDeletedStatus(Strategy):
    has_status = True
    returns_deleted = True
    unconditional_update = False


class ReturnsDeletedCounted(Strategy):
    returns_deleted = True
    counts_generation = True
    unconditional_update = False


class ResourceSlice(Strategy):
    counts_generation = True
    fields = {"spec.nodeName": lambda s: s.spec.node_name or "", "spec.driver": lambda s: s.spec.driver or ""}


class Csr(Strategy):
    """The requester's identity is the server's word, not the client's."""

    has_status = True
    fields = {"spec.signerName": lambda c: c.spec.signer_name or ""}

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        csr = cast(CertificateSigningRequest, obj)
        self.reset_status(csr)
        user = call.user
        spec = csr.spec
        if user is not None:
            spec.username = user.name or None
            spec.uid = user.uid or None
            spec.groups = list(user.groups) or None
            spec.extra = {key: list(values) for key, values in (user.extra or {}).items()} or None

    def prepare_update(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_update(new, old, call)
        cast(CertificateSigningRequest, new).spec = cast(CertificateSigningRequest, old).spec

    def prepare_status(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        super().prepare_status(new, old, call)
        csr, before = cast(CertificateSigningRequest, new), cast(CertificateSigningRequest, old)
        kept = [c for c in before.status.conditions or () if c.type in ("Approved", "Denied")]
        others: list[Any] = [c for c in csr.status.conditions or () if c.type not in ("Approved", "Denied")]
        csr.status.conditions = [*kept, *others] or None


class APIServiceStrategy(StrictWithStatus):
    """Those without a Service are ours, and there from the start."""

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        from pybernetes.control_plane.apiserver.aggregation.local import condition

        super().prepare_create(obj, call)
        api = cast("APIService", obj)
        if api.spec.service is None:
            api.status.conditions = [condition(clock.rfc3339())]


#: By module of the kinds table.
STRATEGIES_BY_MODULE: dict[str, dict[str, type[Strategy]]] = {
    "networking_v1": {
        "Ingress": CountedWithStatus,
        "IngressClass": Counted,
        "NetworkPolicy": Counted,
    },
    "policy_v1": {"PodDisruptionBudget": CountedStrictWithStatus},
    "rbac_v1": {"Role": Rbac, "RoleBinding": Rbac, "ClusterRole": Rbac, "ClusterRoleBinding": Rbac},
    "scheduling_v1": {"PriorityClass": PriorityClass},
    "coordination_v1": {"Lease": Lease},
    "node_v1": {"RuntimeClass": Strict},
    "discovery_v1": {"EndpointSlice": Counted},
    "flowcontrol_v1": {"FlowSchema": CountedWithStatus, "PriorityLevelConfiguration": CountedWithStatus},
    "admissionregistration_v1": {
        "MutatingWebhookConfiguration": CountedStrict,
        "ValidatingWebhookConfiguration": CountedStrict,
        "ValidatingAdmissionPolicy": CountedStrictWithStatus,
        "ValidatingAdmissionPolicyBinding": CountedStrict,
        "MutatingAdmissionPolicy": CountedStrict,
        "MutatingAdmissionPolicyBinding": CountedStrict,
    },
    "apiextensions_v1": {"CustomResourceDefinition": CountedStrictWithStatus},
    "apiregistration_v1": {"APIService": APIServiceStrategy},
    "certificates_v1": {"CertificateSigningRequest": Csr},
    "storage_v1": {
        "StorageClass": ReturnsDeleted,
        "CSIDriver": ReturnsDeletedCounted,
        "CSINode": ReturnsDeleted,
        "VolumeAttachment": ReturnsDeletedStatus,
    },
    "resource_v1": {"DeviceClass": Counted, "ResourceSlice": ResourceSlice},
}
