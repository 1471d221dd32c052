"""Namespaces and the garbage collector against the real API server."""

from __future__ import annotations

from typing import Any

from pybernetes.api.apiextensions_v1 import CustomResourceDefinition
from pybernetes.api.apps_v1 import Deployment, ReplicaSet
from pybernetes.api.core_v1 import ConfigMap, Namespace, Pod, Secret, ServiceAccount
from pybernetes.client.controller import controller_reference
from pybernetes.control_plane.controllers.garbage import FOREGROUND
from pybernetes.machinery import codec
from pybernetes.machinery.meta import Object, OwnerReference

from .test_deployment import LABELS, deployment
from .world import World, template, wire

GC = "garbage-collector-controller"


def owned(name: str, *owners: Object, block: bool = False) -> ConfigMap:
    obj = wire(ConfigMap, name)
    obj.metadata.owner_references = [
        OwnerReference(
            api_version=o.api_version,
            kind=o.kind,
            name=o.metadata.name,
            uid=o.metadata.uid,
            block_owner_deletion=block or None,
        )
        for o in owners
    ]
    return obj


async def test_dependents_go_with_their_owner_all_the_way_down() -> None:
    async with World("deployment-controller", "replicaset-controller", GC) as world:
        await world.create(deployment(2))
        await world.until(Deployment, "web", lambda d: d.status.available_replicas == 2)
        await world.client.resource(Deployment).delete("web", "default")
        for pod in await world.list(Pod):
            await world.gone(Pod, pod.metadata.name)
        assert await world.list(ReplicaSet) == []


async def test_an_object_stays_while_one_of_its_owners_does() -> None:
    async with World(GC) as world:
        a, b = await world.create(wire(Secret, "a")), await world.create(wire(Secret, "b"))
        await world.create(owned("c", a, b))
        await world.client.resource(Secret).delete("a", "default")
        left = await world.until(ConfigMap, "c", lambda c: len(c.metadata.owner_references or ()) == 1)
        assert (left.metadata.owner_references or [])[0].name == "b"
        await world.client.resource(Secret).delete("b", "default")
        await world.gone(ConfigMap, "c")


async def test_an_owner_that_never_was_is_gone() -> None:
    async with World(GC) as world:
        ghost = wire(Secret, "ghost", uid="00000000-0000-0000-0000-000000000000")
        await world.create(owned("c", ghost))
        await world.gone(ConfigMap, "c")


async def test_foreground_deletion_waits_for_dependents_that_block() -> None:
    async with World(GC) as world:
        owner = await world.create(wire(Secret, "owner"))
        held = owned("held", owner, block=True)
        held.metadata.finalizers = ["example.org/wait"]
        await world.create(held)
        await world.client.resource(Secret).delete("owner", "default", propagation="Foreground")
        await world.until(ConfigMap, "held", lambda c: c.metadata.deletion_timestamp)
        await world.settle(30)
        waiting = await world.get(Secret, "owner")
        assert waiting.metadata.finalizers == [FOREGROUND]
        await world.client.resource(ConfigMap).patch("held", "default", {"metadata": {"finalizers": None}})
        await world.gone(Secret, "owner")


async def test_orphans_lose_their_owner_and_stay() -> None:
    async with World(GC) as world:
        owner = await world.create(wire(Secret, "owner"))
        await world.create(owned("c", owner))
        await world.client.resource(Secret).delete("owner", "default", propagation="Orphan")
        await world.gone(Secret, "owner")
        assert not (await world.get(ConfigMap, "c")).metadata.owner_references


async def test_circles_of_blocking_owners_are_broken() -> None:
    async with World(GC) as world:
        a = await world.create(wire(ConfigMap, "a"))
        b = await world.create(owned("b", a, block=True))
        changed = codec.copy(await world.get(ConfigMap, "a"))
        changed.metadata.owner_references = owned("x", b, block=True).metadata.owner_references
        await world.client.resource(ConfigMap).update(changed)
        await world.settle()
        await world.client.resource(ConfigMap).delete("a", "default", propagation="Foreground")
        await world.gone(ConfigMap, "a")
        await world.gone(ConfigMap, "b")


async def test_custom_resources_are_collected_too() -> None:
    definition: dict[str, Any] = {
        "metadata": {"name": "widgets.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
    async with World(GC) as world:
        await world.create(codec.from_dict(CustomResourceDefinition, definition))
        await world.settle(5)
        widgets = world.client.dynamic("example.org/v1", "widgets")
        owner = await world.create(wire(Secret, "owner"))
        reference = codec.to_dict(controller_reference(owner))
        await widgets.create(
            {
                "apiVersion": "example.org/v1",
                "kind": "Widget",
                "metadata": {"name": "w", "namespace": "default", "ownerReferences": [reference]},
            }
        )
        await world.settle(5)
        await world.client.resource(Secret).delete("owner", "default")
        await world.settle(5)
        assert (await widgets.list("default")).items == []


async def test_a_namespace_takes_its_content_along_pods_first() -> None:
    async with World("namespace-controller", "replicaset-controller", GC) as world:
        await world.client.resource(Namespace).create(codec.from_dict(Namespace, {"metadata": {"name": "n"}}))
        await world.until(ServiceAccount, "default", lambda a: True, namespace="n")
        rs = {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template(LABELS)}
        await world.create(wire(ReplicaSet, "rs", rs, namespace="n"))
        await world.create(wire(Secret, "s", namespace="n"))
        await world.until(ReplicaSet, "rs", lambda r: r.status.ready_replicas == 2, namespace="n")
        gone: list[str] = []
        world.informers.informer(Pod).on(deleted=lambda pod: gone.append("pod"))
        world.informers.informer(Secret).on(deleted=lambda secret: gone.append("secret"))
        await world.client.resource(Namespace).delete("n")
        await world.gone(Namespace, "n")
        assert gone[-1] == "secret" and gone.count("pod") >= 2


async def test_a_namespace_says_what_it_waits_for() -> None:
    async with World("namespace-controller", GC) as world:
        await world.client.resource(Namespace).create(codec.from_dict(Namespace, {"metadata": {"name": "n"}}))
        held = wire(ConfigMap, "held", namespace="n", finalizers=["example.org/wait"])
        await world.create(held)
        await world.client.resource(Namespace).delete("n")

        def remaining(namespace: Namespace) -> bool:
            found = {c.type: c for c in namespace.status.conditions or ()}
            return "NamespaceFinalizersRemaining" in found and (
                found["NamespaceFinalizersRemaining"].message
                == "Some content in the namespace has finalizers remaining: example.org/wait in 1 resource instances"
            )

        await world.until(Namespace, "n", remaining)
        await world.client.resource(ConfigMap).patch("held", "n", {"metadata": {"finalizers": None}})
        await world.gone(Namespace, "n")
