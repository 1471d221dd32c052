"""Objects that a phase wants to be there: created, or replaced where they are there already."""

from __future__ import annotations

from collections.abc import Iterable

from pybernetes.api.core_v1 import ConfigMap
from pybernetes.api.rbac_v1 import PolicyRule, Role, RoleBinding, RoleRef, Subject
from pybernetes.client.client import Client
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, ObjectMeta

RBAC = "rbac.authorization.k8s.io"


async def put(client: Client, objects: Iterable[Object]) -> None:
    """Make the objects what they are given as, in order."""
    for obj in objects:
        resource = client.resource(type(obj))
        try:
            await resource.create(obj)
        except StatusError as error:
            if error.code != 409:
                raise
            present = await resource.get(obj.metadata.name, obj.metadata.namespace)
            obj.metadata.resource_version = present.metadata.resource_version
            await resource.update(obj)


def config_map(namespace: str, name: str, data: dict[str, str]) -> ConfigMap:
    """A ConfigMap."""
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data=data)


def readers(name: str, namespace: str, resource: str, of: str, subjects: Iterable[str]) -> list[Object]:
    """A Role that allows to get one object, and who has it: `g:GROUP` or `u:USER`."""
    role = Role(
        metadata=ObjectMeta(name=name, namespace=namespace),
        rules=[PolicyRule(api_groups=[""], resources=[resource], resource_names=[of], verbs=["get"])],
    )
    kinds = {"g": "Group", "u": "User"}
    binding = RoleBinding(
        metadata=ObjectMeta(name=name, namespace=namespace),
        role_ref=RoleRef(api_group=RBAC, kind="Role", name=name),
        subjects=[Subject(kind=kinds[text[0]], api_group=RBAC, name=text[2:]) for text in subjects],
    )
    return [role, binding]
