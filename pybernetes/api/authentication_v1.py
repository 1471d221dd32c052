"""Types of authentication/v1: authentication_v1."""

from __future__ import annotations

from typing import Annotated

from pybernetes.machinery.meta import Object, ObjectMeta
from pybernetes.machinery.types import ATOMIC, Struct, Time, constant, field, zero_str


class BoundObjectReference(Struct):
    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    uid: str | None = None


class UserInfo(Struct):
    username: str | None = None
    uid: str | None = None
    groups: Annotated[list[str], ATOMIC] | None = None
    extra: dict[str, list[str]] | None = None


class SelfSubjectReviewStatus(Struct):
    user_info: UserInfo = field(default_factory=UserInfo)


class SelfSubjectReview(Object):
    api_version: str = field(default_factory=constant("authentication.k8s.io/v1"))
    kind: str = field(default_factory=constant("SelfSubjectReview"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    status: SelfSubjectReviewStatus = field(default_factory=SelfSubjectReviewStatus)


class TokenRequestSpec(Struct):
    audiences: Annotated[list[str], ATOMIC] | None = None
    expiration_seconds: int | None = None
    bound_object_ref: BoundObjectReference | None = None


class TokenRequestStatus(Struct):
    token: str | None = None
    expiration_timestamp: Time | None = None


class TokenRequest(Object):
    api_version: str = field(default_factory=constant("authentication.k8s.io/v1"))
    kind: str = field(default_factory=constant("TokenRequest"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: TokenRequestSpec = field(default_factory=TokenRequestSpec)
    status: TokenRequestStatus = field(default_factory=TokenRequestStatus)


class TokenReviewSpec(Struct):
    token: str = field(default_factory=zero_str)
    audiences: Annotated[list[str], ATOMIC] | None = None


class TokenReviewStatus(Struct):
    authenticated: bool | None = None
    user: UserInfo = field(default_factory=UserInfo)
    audiences: Annotated[list[str], ATOMIC] | None = None
    error: str | None = None


class TokenReview(Object):
    api_version: str = field(default_factory=constant("authentication.k8s.io/v1"))
    kind: str = field(default_factory=constant("TokenReview"))
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: TokenReviewSpec = field(default_factory=TokenReviewSpec)
    status: TokenReviewStatus = field(default_factory=TokenReviewStatus)
