"""Volumes of CSI drivers: attached where Pods use them, once at a time, and never pulled from under a running node."""

from __future__ import annotations

from pybernetes.aio import clock

from .place import Place, Wire, template

DRIVER = "disk.example.com"
NAME = f"kubernetes.io/csi/{DRIVER}^h1"


async def disk(place: Place, *modes: str) -> None:
    """A volume of the driver and a claim that is bound to it."""
    spec: Wire = {"accessModes": [*modes] or ["ReadWriteOnce"], "storageClassName": ""}
    source = {"csi": {"driver": DRIVER, "volumeHandle": "h1"}, "capacity": {"storage": "1Gi"}}
    await place.create("PersistentVolume", "v1", spec={**spec, **source})
    wanted = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": "v1"}
    await place.create("PersistentVolumeClaim", "data", spec={**spec, **wanted})
    await place.until("PersistentVolumeClaim", "data", lambda c: c["status"]["phase"] == "Bound")


async def pod_on(place: Place, name: str, node: str) -> None:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    await place.create("Pod", name, spec={**template()["spec"], "nodeName": node, "volumes": volumes})


async def attached(place: Place, node: str) -> Wire:
    """Play the driver's attacher: say that it is done."""
    await place.until_listed("VolumeAttachment", lambda all_: [a for a in all_ if a["spec"]["nodeName"] == node])
    (one,) = [a for a in await place.list("VolumeAttachment") if a["spec"]["nodeName"] == node]
    name = one["metadata"]["name"]
    return await place.patch("VolumeAttachment", name, {"status": {"attached": True}}, "merge", "status")


async def in_use(place: Place, node: str, *names: str) -> None:
    await place.patch("Node", node, {"status": {"volumesInUse": [*names]}}, "merge", "status")


async def reasons(place: Place) -> dict[str, str]:
    return {e["reason"]: e["message"] for e in await place.list("Event")}


async def test_a_volume_follows_its_pods() -> None:
    async with Place.open(nodes=2) as place:
        await disk(place)
        await place.create("VolumeAttachment", "of-somebody-else", spec={
            "attacher": DRIVER, "nodeName": "fake-0", "source": {"persistentVolumeName": "v1"}})  # fmt: skip
        await place.delete("VolumeAttachment", "of-somebody-else")
        await pod_on(place, "p", "fake-0")
        one = await attached(place, "fake-0")
        assert one["metadata"]["name"].startswith("csi-")
        assert one["spec"] == {
            "attacher": DRIVER, "nodeName": "fake-0", "source": {"persistentVolumeName": "v1"}}  # fmt: skip
        node = await place.until("Node", "fake-0", lambda n: n["status"].get("volumesAttached"))
        assert node["status"]["volumesAttached"] == [{"name": NAME, "devicePath": ""}]
        await place.until_listed("Event", lambda all_: "SuccessfulAttachVolume" in {e["reason"] for e in all_})
        assert (await reasons(place))["SuccessfulAttachVolume"] == 'AttachVolume.Attach succeeded for volume "v1" '

        await pod_on(place, "q", "fake-1")  # ReadWriteOnce: it waits, and is told why
        await place.until_listed("Event", lambda all_: "FailedAttachVolume" in {e["reason"] for e in all_})
        text = 'Multi-Attach error for volume "v1" Volume is already used by pod(s) p'
        assert (await reasons(place))["FailedAttachVolume"] == text
        await place.delete("Pod", "p")
        await attached(place, "fake-1")
        await place.until("Node", "fake-0", lambda n: not n["status"].get("volumesAttached"))
        await place.until("Node", "fake-1", lambda n: n["status"].get("volumesAttached"))


async def test_a_shared_volume_is_attached_twice() -> None:
    async with Place.open(nodes=2) as place:
        await disk(place, "ReadWriteMany")
        await pod_on(place, "p", "fake-0")
        await pod_on(place, "q", "fake-1")
        await attached(place, "fake-0")
        await attached(place, "fake-1")


async def test_drivers_that_attach_nothing_are_left_alone() -> None:
    async with Place.open(nodes=1) as place:
        await place.create("CSIDriver", DRIVER, spec={"attachRequired": False})
        await disk(place)
        await pod_on(place, "p", "fake-0")
        await place.running(1)
        await clock.sleep(30)
        assert not await place.list("VolumeAttachment")


async def test_a_failed_attachment_is_told() -> None:
    async with Place.open(nodes=1) as place:
        await disk(place)
        await pod_on(place, "p", "fake-0")
        (one,) = await place.until_listed("VolumeAttachment", lambda all_: len(all_) == 1)
        error = {"time": "2030-01-01T00:00:00Z", "message": "rpc error: no such disk"}
        name = one["metadata"]["name"]
        await place.patch("VolumeAttachment", name, {"status": {"attachError": error}}, "merge", "status")
        await place.until_listed("Event", lambda all_: "FailedAttachVolume" in {e["reason"] for e in all_})
        text = 'AttachVolume.Attach failed for volume "v1" : rpc error: no such disk'
        assert (await reasons(place))["FailedAttachVolume"] == text


async def mounted(place: Place) -> None:
    """A volume that its node has mounted, and whose Pod has just been removed."""
    await disk(place)
    await pod_on(place, "p", "fake-0")
    await attached(place, "fake-0")
    await in_use(place, "fake-0", NAME)
    await place.delete("Pod", "p", grace_period=0)
    await place.gone("Pod", "p")


async def test_a_healthy_node_keeps_what_it_has_mounted() -> None:
    async with Place.open(nodes=1) as place:
        await mounted(place)
        await clock.sleep(3600)
        assert len(await place.list("VolumeAttachment")) == 1
        await in_use(place, "fake-0")
        await place.until_listed("VolumeAttachment", lambda all_: not all_)


async def test_a_silent_node_loses_it_after_six_minutes() -> None:
    async with Place.open(nodes=1) as place:
        await mounted(place)
        begin = clock.monotonic()
        await place.lose_node("fake-0")
        await clock.sleep(250)
        assert len(await place.list("VolumeAttachment")) == 1
        await place.until_listed("VolumeAttachment", lambda all_: not all_, seconds=300)
        assert clock.monotonic() - begin > 355


async def test_a_node_out_of_service_loses_it_at_once() -> None:
    async with Place.open(nodes=1) as place:
        await mounted(place)
        taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
        await place.patch("Node", "fake-0", {"spec": {"taints": [taint]}}, "merge")
        await place.until_listed("VolumeAttachment", lambda all_: not all_, seconds=5)
