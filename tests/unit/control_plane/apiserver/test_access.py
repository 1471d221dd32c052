"""Authorization inside the server: roles take effect at once, and nobody can grant what they do not have."""

from __future__ import annotations

import pytest

from pybernetes.api.authorization_v1 import ResourceAttributes, SelfSubjectAccessReview
from pybernetes.api.authorization_v1 import SelfSubjectAccessReviewSpec as Spec
from pybernetes.api.core_v1 import ConfigMap
from pybernetes.api.rbac_v1 import PolicyRule, Role, RoleBinding, RoleRef, Subject
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.machinery import errors
from pybernetes.machinery.meta import ObjectMeta
from tests.suites.api_server import client_of, running

ANN = User("ann", "", ("system:authenticated",))
_RBAC = "rbac.authorization.k8s.io"


def role(name: str, resource: str, *verbs: str, group: str = "") -> Role:
    rule = PolicyRule(verbs=list(verbs), api_groups=[group], resources=[resource])
    return Role(metadata=ObjectMeta(name=name, namespace="default"), rules=[rule])


def bound(name: str, user: str) -> RoleBinding:
    return RoleBinding(
        metadata=ObjectMeta(name=name, namespace="default"),
        role_ref=RoleRef(api_group=_RBAC, kind="Role", name=name),
        subjects=[Subject(kind="User", api_group=_RBAC, name=user)],
    )


async def test_a_role_takes_effect_with_the_write_that_binds_it() -> None:
    async with running() as server:
        admin, ann = client_of(server), client_of(server, ANN)
        with pytest.raises(errors.StatusError) as refused:
            await ann.resource(ConfigMap).list("default")
        assert refused.value.message == (
            'configmaps is forbidden: User "ann" cannot list resource "configmaps" in API group "" '
            'in the namespace "default"'
        )
        await admin.resource(Role).create(role("reader", "configmaps", "list"))
        await admin.resource(RoleBinding).create(bound("reader", "ann"))
        assert not (await ann.resource(ConfigMap).list("default")).items
        await admin.resource(RoleBinding).delete("reader", "default")
        with pytest.raises(errors.StatusError):
            await ann.resource(ConfigMap).list("default")


async def test_nobody_grants_what_they_do_not_have() -> None:
    async with running() as server:
        admin, ann = client_of(server), client_of(server, ANN)
        await admin.resource(Role).create(role("maker", "roles", "create", "update", "get", group=_RBAC))
        await admin.resource(RoleBinding).create(bound("maker", "ann"))
        with pytest.raises(errors.StatusError) as refused:
            await ann.resource(Role).create(role("mine", "secrets", "get"))
        assert errors.is_forbidden(refused.value) and "attempting to grant RBAC permissions" in refused.value.message
        made = await ann.resource(Role).create(role("same", "roles", "get", group=_RBAC))
        assert made.metadata.uid


async def test_access_reviews() -> None:
    async with running() as server:
        for user, allowed in ((ANN, False), (User("root", "", ("system:masters", "system:authenticated")), True)):
            review = SelfSubjectAccessReview(
                spec=Spec(resource_attributes=ResourceAttributes(verb="delete", resource="nodes"))
            )
            answer = await client_of(server, user).resource(SelfSubjectAccessReview).create(review)
            assert answer.status.allowed is allowed
