"""`serviceaccounts/token`: a signed, expiring token, bound to an object if asked."""

from __future__ import annotations

from typing import cast

from pybernetes.api.authentication_v1 import TokenRequest, TokenRequestStatus
from pybernetes.api.authentication_v1_defaults import default_token_request
from pybernetes.api.core_v1 import Pod, ServiceAccount
from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.control_plane.apiserver.body import read_as
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.resource import Subresource
from pybernetes.machinery import errors, field
from pybernetes.machinery.meta import Object

_BINDABLE = {("v1", "Pod"): "pods", ("v1", "Secret"): "secrets", ("v1", "Node"): "nodes"}
_SHORTEST, _LONGEST = 600, 1 << 32


class Token(Subresource):
    name = "token"
    api_version = "authentication.k8s.io/v1"
    kind = "TokenRequest"
    verbs = ("create",)

    async def handle(self, call: Call) -> Result | None:
        core = self.core
        issuer = core.token_issuer
        if issuer is None:
            raise errors.service_unavailable("this server has no key to sign tokens with")
        request = read_as(call, TokenRequest) or TokenRequest()
        name, namespace = call.info.name, call.info.namespace
        if request.metadata.name and request.metadata.name != name:
            raise errors.bad_request(
                f"the name of the object ({request.metadata.name}) does not match the name on the URL ({name})"
            )
        request.metadata.name, request.metadata.namespace = name, namespace
        default_token_request(request)
        _check(request)
        attributes = Attributes(
            "CREATE", self.resource, namespace, name, request, None, call.user, "token", None, call.dry_run
        )
        attributes.annotations = call.annotations
        await core.admission.admit(attributes)
        await core.admission.validate(attributes)
        await core.cache.fresh()
        item = core.item("", "serviceaccounts", namespace, name)
        if item is None:
            raise errors.not_found(("", "serviceaccounts"), name)
        account = cast(ServiceAccount, item.obj)
        bound = self._bound(request, account)
        if not request.spec.audiences:
            request.spec.audiences = list(issuer.config.api_audiences)
        token, expires = issuer.mint(account, request.spec, bound)
        request.status = TokenRequestStatus(token=token, expiration_timestamp=expires)
        return Result(201, obj=request)

    def _bound(self, request: TokenRequest, account: ServiceAccount) -> Object | None:
        """The object that the token is to be bound to, as it exists."""
        ref = request.spec.bound_object_ref
        if ref is None:
            return None
        resource = _BINDABLE.get((ref.api_version or "", ref.kind or ""))
        if resource is None:
            group, _, version = (ref.api_version or "").rpartition("/")
            raise errors.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={ref.kind}")
        name = ref.name or ""
        item = self.core.item("", resource, "" if resource == "nodes" else account.metadata.namespace, name)
        if item is None:
            raise errors.not_found(("", resource), name)
        obj = cast(Object, item.obj)
        if ref.uid and ref.uid != obj.metadata.uid:
            text = (
                f"the UID in the bound object reference ({ref.uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise errors.conflict(("", resource), name, text)
        if isinstance(obj, Pod) and (obj.spec.service_account_name or "default") != account.metadata.name:
            raise errors.bad_request(
                f'cannot bind token for serviceaccount "{account.metadata.name}" '
                "to pod running with different serviceaccount name."
            )
        return obj


def _check(request: TokenRequest) -> None:
    seconds = request.spec.expiration_seconds or 0
    path = "spec.expirationSeconds"
    wrong: list[field.FieldError] = []
    if seconds < _SHORTEST:
        wrong.append(field.invalid(path, seconds, "may not specify a duration less than 10 minutes"))
    if seconds > _LONGEST:
        wrong.append(field.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds"))
    if wrong:
        raise errors.invalid("authentication.k8s.io", "TokenRequest", request.metadata.name, wrong)
