"""Pods with claims: existing volumes, volumes made on demand, and what is said when there are none."""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.api.core_v1 import (
    Container,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource,
    PersistentVolumeSpec,
    Pod,
    PodCondition,
    PodSpec,
    Volume,
    VolumeNodeAffinity,
    VolumeResourceRequirements,
)
from pybernetes.api.core_v1.persistent_volume import LocalVolumeSource
from pybernetes.api.storage_v1 import StorageClass
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.testing import LocalCluster


def a_pod(name: str, claim: str) -> Pod:
    source = PersistentVolumeClaimVolumeSource(claim_name=claim)
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=PodSpec(
            containers=[Container(name="c", image="db:1")],
            volumes=[Volume(name="data", persistent_volume_claim=source)],
        ),
    )


def a_claim(name: str, class_name: str, size: str = "1Gi", mode: str = "ReadWriteOnce") -> PersistentVolumeClaim:
    return PersistentVolumeClaim(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=PersistentVolumeClaimSpec(
            access_modes=[mode],
            storage_class_name=class_name,
            resources=VolumeResourceRequirements(requests={"storage": size}),
        ),
    )


def a_volume(name: str, node: str, size: str, mode: str = "ReadWriteOnce") -> PersistentVolume:
    term = NodeSelectorTerm(
        match_expressions=[NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=[node])]
    )
    return PersistentVolume(
        metadata=ObjectMeta(name=name),
        spec=PersistentVolumeSpec(
            capacity={"storage": size},
            access_modes=[mode],
            storage_class_name="local",
            local=LocalVolumeSource(path="/data"),
            node_affinity=VolumeNodeAffinity(required=NodeSelector(node_selector_terms=[term])),
        ),
    )


def a_class(name: str, provisioner: str) -> StorageClass:
    return StorageClass(
        metadata=ObjectMeta(name=name), provisioner=provisioner, volume_binding_mode="WaitForFirstConsumer"
    )


async def condition_of(cluster: LocalCluster, name: str) -> tuple[str, PodCondition | None]:
    pod = await cluster.client.resource(Pod).get(name, "default")
    found = next((c for c in pod.status.conditions or [] if c.type == "PodScheduled"), None)
    return pod.spec.node_name or "", found


async def test_a_local_volume_decides_the_node() -> None:
    async with LocalCluster(nodes=3) as cluster:
        client = cluster.client
        await client.resource(StorageClass).create(a_class("local", "kubernetes.io/no-provisioner"))
        await client.resource(PersistentVolume).create(a_volume("large", "fake-0", "10Gi"))
        await client.resource(PersistentVolume).create(a_volume("small", "fake-2", "2Gi"))
        await client.resource(PersistentVolumeClaim).create(a_claim("data", "local", "5Gi"))
        await client.resource(Pod).create(a_pod("db", "data"))
        await clock.sleep(5)
        node, _ = await condition_of(cluster, "db")
        assert node == "fake-0"
        claim = await client.resource(PersistentVolumeClaim).get("data", "default")
        assert (claim.status.phase, claim.spec.volume_name) == ("Bound", "large")
        # A second claim of that size finds nothing.
        await client.resource(PersistentVolumeClaim).create(a_claim("more", "local", "5Gi"))
        await client.resource(Pod).create(a_pod("second", "more"))
        await clock.sleep(5)
        node, found = await condition_of(cluster, "second")
        assert node == "" and found is not None
        assert found.message == (
            "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind. "
            "no new claims to deallocate, "
            "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
        )
        await client.resource(PersistentVolume).create(a_volume("another", "fake-1", "5Gi"))
        await clock.sleep(15)
        assert (await condition_of(cluster, "second"))[0] == "fake-1"


async def test_a_missing_claim_is_named_and_waited_for() -> None:
    async with LocalCluster(nodes=1) as cluster:
        client = cluster.client
        await client.resource(Pod).create(a_pod("db", "data"))
        await clock.sleep(2)
        node, found = await condition_of(cluster, "db")
        assert node == "" and found is not None
        assert found.message == (
            '0/1 nodes are available: persistentvolumeclaim "data" not found. not found'  # of devices, that is
        )
        immediate = StorageClass(metadata=ObjectMeta(name="now"), provisioner="example.com/disk")
        await client.resource(StorageClass).create(immediate)
        await client.resource(PersistentVolumeClaim).create(a_claim("data", "now"))
        await clock.sleep(15)
        node, found = await condition_of(cluster, "db")
        assert found is not None and found.message is not None
        assert "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims." in found.message


async def test_a_volume_is_made_on_the_chosen_node() -> None:
    async with LocalCluster(nodes=2) as cluster:
        client = cluster.client
        await client.resource(StorageClass).create(a_class("fast", "example.com/disk"))
        await client.resource(PersistentVolumeClaim).create(a_claim("data", "fast"))
        await client.resource(Pod).create(a_pod("db", "data"))
        await clock.sleep(2)
        claims = client.resource(PersistentVolumeClaim)
        claim = await claims.get("data", "default")
        node = (claim.metadata.annotations or {}).get("volume.kubernetes.io/selected-node", "")
        assert node in ("fake-0", "fake-1")
        assert (await condition_of(cluster, "db"))[0] == ""  # not before the volume is there
        made = a_volume("made", node, "1Gi")
        made.spec.storage_class_name = "fast"
        await client.resource(PersistentVolume).create(made)
        await claims.patch("data", "default", {"spec": {"volumeName": "made"}})
        await clock.sleep(10)
        assert (await condition_of(cluster, "db"))[0] == node


async def test_read_write_once_pod_is_for_one() -> None:
    async with LocalCluster(nodes=2) as cluster:
        client = cluster.client
        await client.resource(StorageClass).create(a_class("local", "kubernetes.io/no-provisioner"))
        mode = "ReadWriteOncePod"
        await client.resource(PersistentVolume).create(a_volume("one", "fake-0", "1Gi", mode))
        await client.resource(PersistentVolumeClaim).create(a_claim("data", "local", mode=mode))
        await client.resource(Pod).create(a_pod("first", "data"))
        await clock.sleep(5)
        assert (await condition_of(cluster, "first"))[0] == "fake-0"
        await client.resource(Pod).create(a_pod("second", "data"))
        await clock.sleep(5)
        node, found = await condition_of(cluster, "second")
        assert node == "" and found is not None and found.message is not None
        text = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
        assert text in found.message
        await client.resource(Pod).delete("first", "default", grace_period=0)
        await clock.sleep(15)
        assert (await condition_of(cluster, "second"))[0] == "fake-0"
