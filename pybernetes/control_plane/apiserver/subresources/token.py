"""`serviceaccounts/token`: a signed, expiring token, bound to an object if asked. The issuer knows the rules."""

from __future__ import annotations

from typing import Any

from pybernetes.api.authentication_v1 import TokenRequest
from pybernetes.api.authentication_v1_defaults import default_token_request
from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.control_plane.apiserver.body import read_as
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.resource import Subresource
from pybernetes.machinery import errors


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
        attributes = Attributes(
            "CREATE", self.resource, namespace, name, request, None, call.user, "token", None, call.dry_run
        )
        await core.admission.admit(attributes)
        await core.admission.validate(attributes)
        await core.cache.fresh()

        def get(resource: str, in_namespace: str, wanted: str) -> Any:
            item = core.item("", resource, in_namespace, wanted)
            return item.obj if item is not None else None

        return Result(201, obj=issuer.answer(request, namespace, name, get))
