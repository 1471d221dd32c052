"""Reviews: kinds that are questions (`create` answers, nothing is stored)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pybernetes.control_plane.apiserver.body import check_kind, read_object
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.negotiate import JSON, PROTOBUF, YAML
from pybernetes.control_plane.apiserver.render import format_of
from pybernetes.control_plane.apiserver.resource import Subresource
from pybernetes.machinery import errors

if TYPE_CHECKING:
    from pybernetes.api import authentication_v1, authorization_v1
    from pybernetes.control_plane.apiserver.core import Core
    from pybernetes.control_plane.apiserver.objects import AnyObject
    from pybernetes.control_plane.apiserver.resource import Resource


class Review(Subresource):
    """Reads the question, lets the subclass answer it."""

    verbs = ("create",)

    async def handle(self, call: Call) -> Result | None:
        if format_of(call, self.resource).shape:  # an answer has no metadata to show in a table
            raise errors.not_acceptable([JSON, YAML, PROTOBUF])
        review = read_object(call, self.resource)
        check_kind(review, self.resource)
        if self.resource.kind.namespaced and not review.metadata.namespace:
            review.metadata.namespace = call.info.namespace
        return Result(201, resource=self.resource, obj=await self.answer(review, call))

    async def answer(self, review: AnyObject, call: Call) -> Any:
        """The review with its status."""
        raise NotImplementedError


class SelfSubjectReview(Review):
    async def answer(self, review: AnyObject, call: Call) -> Any:
        from pybernetes.api.authentication_v1 import SelfSubjectReviewStatus

        if call.user is None:
            raise errors.bad_request("no user present on request")
        mine = cast("authentication_v1.SelfSubjectReview", review)
        mine.metadata.creation_timestamp = mine.metadata.creation_timestamp or _now()
        mine.status = SelfSubjectReviewStatus(user_info=call.user.info())
        return mine


class TokenReview(Review):
    async def answer(self, review: AnyObject, call: Call) -> Any:
        if self.core.authenticator is None:
            raise errors.service_unavailable("this server has no authenticators")
        return await self.core.authenticator.review(cast("authentication_v1.TokenReview", review), call)


class AccessReview(Review):
    """SubjectAccessReview and its kin."""

    async def answer(self, review: AnyObject, call: Call) -> Any:
        from pybernetes.control_plane.apiserver.authorization import reviews
        from pybernetes.control_plane.apiserver.authorization.webhook import Undecided, settled

        if self.core.authorizer is None:
            raise errors.service_unavailable("this server has no authorizer")
        user = call.user
        if user is None:
            raise errors.bad_request("no user present on request")
        question: Any = review
        kind = self.resource.kind.kind
        if kind == "SelfSubjectRulesReview":
            reviews.review_rules(self.core.rbac, user, question)
            return question
        if kind == "LocalSubjectAccessReview":
            _check_local(question, call.info.namespace)
        authorizer = self.core.patient_authorizer or self.core.authorizer

        def ask() -> None:
            if kind == "SelfSubjectAccessReview":
                reviews.review_self(authorizer, user, question)
            else:
                reviews.review(authorizer, question)

        try:
            ask()
        except Undecided as missing:
            await settled(ask, missing)
        return question


def _check_local(review: authorization_v1.LocalSubjectAccessReview, namespace: str) -> None:
    attributes = review.spec.resource_attributes
    if attributes is not None and (attributes.namespace or "") != namespace:
        raise errors.bad_request(f"spec.resourceAttributes.namespace must match namespace: {namespace}")


def _now() -> str:
    from pybernetes.aio import clock

    return clock.rfc3339()


_REVIEWS: dict[str, type[Review]] = {
    "selfsubjectreviews": SelfSubjectReview,
    "tokenreviews": TokenReview,
    "subjectaccessreviews": AccessReview,
    "selfsubjectaccessreviews": AccessReview,
    "localsubjectaccessreviews": AccessReview,
    "selfsubjectrulesreviews": AccessReview,
}


def of(core: Core, resource: Resource) -> Subresource | None:
    """The review of a resource, if it is one."""
    cls = _REVIEWS.get(resource.kind.resource)
    return cls(core, resource) if cls is not None and resource.kind.verbs == ("create",) else None
