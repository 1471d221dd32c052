"""Volume binding, ephemeral volumes and node address ranges against the real API server."""

from __future__ import annotations

from typing import Any

from pybernetes.api.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod
from pybernetes.api.storage_v1 import StorageClass
from pybernetes.control_plane.controllers import node_ipam, volume_binding
from pybernetes.machinery import codec

from .world import World, template, wire

BINDER = "persistentvolume-binder-controller"


def volume(name: str, size: str = "1Gi", **spec: Any) -> PersistentVolume:
    body = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": f"/{name}"},
        "persistentVolumeReclaimPolicy": "Retain",
        **spec,
    }
    return codec.from_dict(PersistentVolume, {"metadata": {"name": name}, "spec": body})


def claim(name: str, size: str = "1Gi", **spec: Any) -> PersistentVolumeClaim:
    body = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        "storageClassName": "",
        **spec,
    }
    return wire(PersistentVolumeClaim, name, body)


async def test_a_claim_takes_the_smallest_that_fits_and_releases_it() -> None:
    async with World(BINDER) as world:
        for name, size in (("small", "1Gi"), ("fits", "5Gi"), ("large", "50Gi")):
            await world.create(volume(name, size))
        await world.create(claim("c", "2Gi"))
        bound = await world.until(PersistentVolumeClaim, "c", lambda c: c.status.phase == "Bound")
        assert bound.spec.volume_name == "fits" and bound.status.capacity == {"storage": "5Gi"}
        assert (bound.metadata.annotations or {})[volume_binding.BIND_COMPLETED] == "yes"
        volumes = {v.metadata.name: v.status.phase for v in await world.list(PersistentVolume, "")}
        assert volumes == {"small": "Available", "fits": "Bound", "large": "Available"}
        await world.client.resource(PersistentVolumeClaim).delete("c", "default")
        await world.client.resource(PersistentVolumeClaim).patch("c", "default", {"metadata": {"finalizers": None}})
        await world.settle(5)
        assert (await world.client.resource(PersistentVolume).get("fits")).status.phase == "Released"


async def test_a_claim_waits_for_a_volume() -> None:
    async with World(BINDER) as world:
        await world.create(claim("c"))
        await world.until(PersistentVolumeClaim, "c", lambda c: c.status.phase == "Pending")
        await world.create(volume("v"))
        await world.until(PersistentVolumeClaim, "c", lambda c: c.status.phase == "Bound")


async def test_provisioners_are_called_and_consumers_waited_for() -> None:
    async with World(BINDER) as world:
        for name, mode in (("now", "Immediate"), ("later", "WaitForFirstConsumer")):
            body = {"metadata": {"name": name}, "provisioner": "example.org/p", "volumeBindingMode": mode}
            await world.create(codec.from_dict(StorageClass, body))
            await world.create(claim(name, storageClassName=name))
        called = await world.until(
            PersistentVolumeClaim, "now", lambda c: volume_binding.PROVISIONER in (c.metadata.annotations or {})
        )
        assert (called.metadata.annotations or {})[volume_binding.PROVISIONER] == "example.org/p"
        await world.settle()
        later = await world.get(PersistentVolumeClaim, "later")
        assert volume_binding.PROVISIONER not in (later.metadata.annotations or {})
        assert await world.events("WaitForFirstConsumer")
        chosen = {"metadata": {"annotations": {volume_binding.SELECTED_NODE: "n"}}}
        await world.create(codec.from_dict(Node, {"metadata": {"name": "n"}}))
        await world.client.resource(PersistentVolumeClaim).patch("later", "default", chosen)
        await world.until(
            PersistentVolumeClaim, "later", lambda c: volume_binding.PROVISIONER in (c.metadata.annotations or {})
        )


async def test_pods_get_the_claims_they_bring_along() -> None:
    async with World("ephemeral-volume-controller") as world:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]
        pod = await world.create(wire(Pod, "p", {**template({})["spec"], "volumes": volumes}))
        made = await world.until(PersistentVolumeClaim, "p-v", lambda c: True)
        assert (made.metadata.owner_references or [])[0].uid == pod.metadata.uid


async def test_each_node_has_its_own_range() -> None:
    config = node_ipam.Config(cluster_cidrs=("10.244.0.0/16", "fd00::/48"))
    async with World("node-ipam-controller", node_ipam=config) as world:
        for name in ("a", "b"):
            await world.create(codec.from_dict(Node, {"metadata": {"name": name}}))
            await world.until(Node, name, lambda n: n.spec.pod_cidrs)
        assert (await world.get(Node, "a")).spec.pod_cidrs == ["10.244.0.0/24", "fd00::/64"]
        assert (await world.get(Node, "b")).spec.pod_cidrs == ["10.244.1.0/24", "fd00:0:0:1::/64"]
        await world.client.resource(Node).delete("a")
        await world.settle()
        await world.create(codec.from_dict(Node, {"metadata": {"name": "c"}}))
        await world.until(Node, "c", lambda n: n.spec.pod_cidr == "10.244.0.0/24")


def test_ranges_run_out() -> None:
    ranges = node_ipam.CidrSet("10.0.0.0/30", 31)
    assert [ranges.take("a"), ranges.take("b"), ranges.take("c")] == ["10.0.0.0/31", "10.0.0.2/31", None]
    ranges.release("a")
    assert ranges.take("c") == "10.0.0.0/31"
