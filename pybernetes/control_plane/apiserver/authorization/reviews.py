"""SubjectAccessReviews and their kin: questions to the authorizer, answered in the status of the review given."""

from __future__ import annotations

from pybernetes.api.authorization_v1 import (
    LocalSubjectAccessReview,
    NonResourceAttributes,
    NonResourceRule,
    ResourceAttributes,
    ResourceRule,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    SubjectAccessReviewStatus,
    SubjectRulesReviewStatus,
)
from pybernetes.control_plane.apiserver.authentication.user import MASTERS, User
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes, Authorizer
from pybernetes.control_plane.apiserver.authorization.node import node_of
from pybernetes.control_plane.apiserver.authorization.rbac import RBAC
from pybernetes.machinery import errors
from pybernetes.machinery.field import FieldError, Path, invalid, required

_GROUP = "authorization.k8s.io"
_OPERATORS = {"In": "=", "NotIn": "!="}


def review(authorizer: Authorizer, question: SubjectAccessReview | LocalSubjectAccessReview) -> None:
    """May that user? Raises the 422 Status for a question without a subject or without an action."""
    spec = question.spec
    found = _check_action(spec.resource_attributes, spec.non_resource_attributes)
    if not spec.user and not spec.groups:
        detail = "at least one of user or group must be specified"
        found.append(invalid(Path("spec").child("user"), spec.user or "", detail))
    if isinstance(question, LocalSubjectAccessReview) and spec.non_resource_attributes is not None:
        detail = "disallowed on this kind of request"
        found.append(invalid(Path("spec").child("nonResourceAttributes"), {}, detail))
    if found:
        raise errors.invalid(_GROUP, question.kind, "", found)
    extra = {key.lower(): tuple(values) for key, values in (spec.extra or {}).items()}
    user = User(spec.user or "", spec.uid or "", tuple(spec.groups or ()), extra)
    question.status = _ask(authorizer, user, spec.resource_attributes, spec.non_resource_attributes)


def review_self(authorizer: Authorizer, user: User, question: SelfSubjectAccessReview) -> None:
    """May I? Raises the 422 Status for a question without an action."""
    spec = question.spec
    found = _check_action(spec.resource_attributes, spec.non_resource_attributes)
    if found:
        raise errors.invalid(_GROUP, "SelfSubjectAccessReview", "", found)
    question.status = _ask(authorizer, user, spec.resource_attributes, spec.non_resource_attributes)


def review_rules(rbac: RBAC, user: User, question: SelfSubjectRulesReview) -> None:
    """What may I, in a namespace? Incomplete where other authorizers than RBAC have a say. Raises the 400 Status."""
    if not question.spec.namespace:
        raise errors.bad_request("no namespace on request")
    status = SubjectRulesReviewStatus(resource_rules=[], non_resource_rules=[])
    if MASTERS in user.groups:
        status.resource_rules.append(ResourceRule(verbs=["*"], api_groups=["*"], resources=["*"]))
        status.non_resource_rules.append(NonResourceRule(verbs=["*"], non_resource_urls=["*"]))
    if node_of(user):
        status.incomplete = True
        status.evaluation_error = "node authorizer does not support user rule resolution"
    for rule in rbac.rules(user, question.spec.namespace):
        if rule.non_resource_urls:
            found = NonResourceRule(verbs=list(rule.verbs), non_resource_urls=list(rule.non_resource_urls))
            status.non_resource_rules.append(found)
        if rule.resources:
            status.resource_rules.append(
                ResourceRule(
                    verbs=list(rule.verbs),
                    api_groups=list(rule.api_groups or ()),
                    resources=list(rule.resources),
                    resource_names=list(rule.resource_names) if rule.resource_names else None,
                )
            )
    question.status = status


def _check_action(resource: ResourceAttributes | None, other: NonResourceAttributes | None) -> list[FieldError]:
    path = Path("spec")
    if resource is not None and other is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        return [invalid(path.child("nonResourceAttributes"), {}, detail)]
    if resource is None and other is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [invalid(path.child("resourceAttributes"), None, detail)]
    found = []
    if resource is not None:
        for name, selector in (("fieldSelector", resource.field_selector), ("labelSelector", resource.label_selector)):
            if selector is None:
                continue
            place = path.child("resourceAttributes").child(name)
            if selector.raw_selector and selector.requirements:
                detail = "may not specified at the same time as requirements"
                found.append(invalid(place.child("rawSelector"), selector.raw_selector, detail))
            elif not selector.raw_selector and not selector.requirements:
                detail = f"when {name} is specified, requirements or rawSelector is required"
                found.append(required(place.child("requirements"), detail))
    return found


def _ask(
    authorizer: Authorizer, user: User, resource: ResourceAttributes | None, other: NonResourceAttributes | None
) -> SubjectAccessReviewStatus:
    if resource is not None:
        attributes = Attributes(
            resource.verb or "",
            resource.group or "",
            resource.resource or "",
            resource.namespace or "",
            resource.name or "",
            resource.subresource or "",
            "",
            resource.version or "*",
            _field_selector(resource),
        )
    else:
        assert other is not None
        attributes = Attributes(other.verb or "", path=other.path or "")
    decision = authorizer.explain(user, attributes)
    return SubjectAccessReviewStatus(
        allowed=decision.allowed, denied=decision.denied or None, reason=decision.reason or None
    )


def _field_selector(resource: ResourceAttributes) -> str:
    """The selector as text; what cannot be said so (several values) restricts nothing, which never allows more."""
    selector = resource.field_selector
    if selector is None:
        return ""
    if selector.raw_selector:
        return selector.raw_selector
    terms = []
    for requirement in selector.requirements or ():
        operator = _OPERATORS.get(requirement.operator)
        if operator and requirement.values and len(requirement.values) == 1:
            terms.append(f"{requirement.key}{operator}{requirement.values[0]}")
    return ",".join(terms)
