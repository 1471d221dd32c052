"""The StorageClass `standard`: volumes on the node that the scheduler chose, their growth and their end."""

from __future__ import annotations

from pybernetes.aio import clock

from .place import Place, Wire, template

CLAIM: Wire = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def consumer(claim: str) -> Wire:
    spec = template()["spec"]
    return {**spec, "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}


async def test_a_claim_gets_its_volume_where_its_pod_runs() -> None:
    async with Place.open(nodes=2) as place:
        made = await place.create("PersistentVolumeClaim", "data", spec=CLAIM)
        assert made["spec"]["storageClassName"] == "standard"
        await place.until("PersistentVolumeClaim", "data", lambda c: c["status"]["phase"] == "Pending")
        assert not await place.list("PersistentVolume")
        await place.create("Pod", "p", spec=consumer("data"))
        (pod,) = await place.running(1)
        claim = await place.until("PersistentVolumeClaim", "data", lambda c: c["status"]["phase"] == "Bound")
        name = f"pvc-{made['metadata']['uid']}"
        assert claim["spec"]["volumeName"] == name
        volume = await place.get("PersistentVolume", name)
        assert volume["spec"]["hostPath"]["path"] == f"/{pod['spec']['nodeName']}/{name}"
        terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert terms[0]["matchExpressions"][0]["values"] == [pod["spec"]["nodeName"]]

        larger = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
        await place.patch("PersistentVolumeClaim", "data", larger)
        await place.until("PersistentVolumeClaim", "data", lambda c: c["status"]["capacity"] == {"storage": "3Gi"})
        assert (await place.get("PersistentVolume", name))["spec"]["capacity"] == {"storage": "3Gi"}

        await place.delete("PersistentVolumeClaim", "data")
        assert (await place.get("PersistentVolumeClaim", "data"))["metadata"]["deletionTimestamp"]  # still used
        await place.delete("Pod", "p")
        await place.gone("PersistentVolumeClaim", "data")
        await place.gone("PersistentVolume", name)


async def test_what_a_directory_cannot_be_is_refused_by_name() -> None:
    async with Place.open() as place:
        await place.create("PersistentVolumeClaim", "shared", spec={**CLAIM, "accessModes": ["ReadWriteMany"]})
        await place.create("Pod", "p", spec=consumer("shared"))
        events = await place.until_listed("Event", lambda found: "ProvisioningFailed" in {e["reason"] for e in found})
        (message,) = {e["message"] for e in events if e["reason"] == "ProvisioningFailed"}
        assert "only ReadWriteOnce and ReadWriteOncePod are supported, not ReadWriteMany" in message


async def test_a_path_that_was_not_made_here_stays() -> None:
    async with Place.open() as place:
        await place.create("PersistentVolumeClaim", "data", spec=CLAIM)
        await place.create("Pod", "p", spec=consumer("data"))
        await place.running(1)
        volume = (await place.list("PersistentVolume"))[0]
        metadata = {"annotations": {"pv.kubernetes.io/provisioned-by": "pybernetes.io/local-path"}}
        spec = {
            **volume["spec"],
            "hostPath": {"path": "/etc"},
            "claimRef": {"namespace": "here", "name": "x", "uid": "u"},
        }
        await place.create("PersistentVolume", "forged", spec=spec, metadata=metadata)
        await place.until("PersistentVolume", "forged", lambda v: v["status"]["phase"] == "Released")
        events = place.client.dynamic("v1", "Event")
        for _ in range(100):
            found = (await events.list("default", field_selector="reason=VolumeFailedDelete")).items
            if found:
                break
            await clock.sleep(0.1)
        assert "it was not made here" in found[0]["message"]
        assert await place.get("PersistentVolume", "forged")
