"""Deployments, ReplicaSets, ReplicationControllers: what the conformance descriptions ask of them."""

from __future__ import annotations

from pybernetes.aio import clock

from .place import Place, Wire, condition, owner, refused, template, workload

REVISION = "deployment.kubernetes.io/revision"


def complete(replicas: int) -> object:
    def good(d: Wire) -> bool:
        s = d["status"]
        return (
            s.get("observedGeneration", 0) >= d["metadata"]["generation"]
            and s.get("updatedReplicas") == s.get("replicas") == s.get("availableReplicas") == replicas
        )

    return good


async def test_deployment_lifecycle() -> None:
    async with Place.open() as place:
        await place.create("Deployment", "d", spec=workload(replicas=2), metadata={"labels": {"static": "true"}})
        await place.until("Deployment", "d", complete(2))
        body = {
            "metadata": {"labels": {"test": "patched"}},
            "spec": {
                "replicas": 1,
                "template": {
                    "spec": {"terminationGracePeriodSeconds": 2, "containers": [{"name": "c", "image": "web:2"}]}
                },
            },
        }
        await place.patch("Deployment", "d", body)
        found = await place.until("Deployment", "d", complete(1))
        assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
        assert [d["metadata"]["name"] for d in await place.list("Deployment", "static=true", everywhere=True)] == ["d"]

        def update(d: Wire) -> None:
            d["metadata"]["labels"]["test"] = "updated"
            d["spec"]["replicas"] = 2
            d["spec"]["template"]["spec"]["containers"][0]["image"] = "web:3"

        await place.change("Deployment", "d", update)
        await place.until("Deployment", "d", complete(2))
        status = await place.of("Deployment").get_subresource("d", "here", "status")
        assert status.status.ready_replicas == 2
        body = {"metadata": {"labels": {"test": "by-status"}}, "status": {"readyReplicas": 0, "availableReplicas": 0}}
        found = await place.patch("Deployment", "d", body, "strategic", "status")
        assert found["metadata"]["labels"]["test"] == "updated"  # not by way of the status
        found = await place.until("Deployment", "d", complete(2))
        assert found["metadata"]["generation"] == 3  # revisions noted by the controller are no changes
        await place.patch("Deployment", "d", {"metadata": {"annotations": {"note": "copied"}}})
        await place.until("Deployment", "d", lambda d: d["status"]["observedGeneration"] == 4)
        await place.until_listed("ReplicaSet", lambda sets: any("note" in s["metadata"]["annotations"] for s in sets))
        await place.of("Deployment").delete_collection("here", label_selector="static=true")
        await place.gone("Deployment", "d")


async def test_deployment_adopts_and_rolls() -> None:
    """RollingUpdateDeployment: a ReplicaSet with the selector is adopted, its Pods replaced, the revision goes on."""
    async with Place.open() as place:
        old = workload(replicas=1)
        await place.create(
            "ReplicaSet",
            "old",
            spec=old,
            metadata={"labels": {"app": "a"}, "annotations": {REVISION: "3546343826724305832"}},
        )
        await place.running(1)
        deployment = await place.create("Deployment", "d", spec=workload("other:1", replicas=1))
        done = await place.until("Deployment", "d", complete(1))
        assert done["metadata"]["annotations"][REVISION] == "3546343826724305833"
        sets = {s["metadata"]["name"]: s for s in await place.list("ReplicaSet")}
        assert len(sets) == 2
        assert all((owner(s) or {})["uid"] == deployment["metadata"]["uid"] for s in sets.values())
        assert sets["old"]["spec"]["replicas"] == 0


async def test_deployment_recreate() -> None:
    async with Place.open() as place:
        await place.create("Deployment", "d", spec=workload(replicas=2, strategy={"type": "Recreate"}))
        await place.until("Deployment", "d", complete(2))
        first = await place.names("Pod")
        await place.patch("Deployment", "d", {"spec": {"template": template("web:2")}})
        overlap = False
        for _ in range(400):
            pods = await place.list("Pod")
            images = {p["spec"]["containers"][0]["image"] for p in pods}
            overlap |= len(images) > 1
            if images == {"web:2"}:
                break
            await clock.sleep(0.05)
        assert not overlap
        await place.until("Deployment", "d", complete(2))
        assert not first & await place.names("Pod")


async def test_deployment_history_limit() -> None:
    async with Place.open() as place:
        await place.create("ReplicaSet", "old", spec=workload(replicas=1), metadata={"labels": {"app": "a"}})
        await place.running(1)
        await place.create("Deployment", "d", spec=workload("web:2", replicas=1, revisionHistoryLimit=0))
        await place.until("Deployment", "d", complete(1))
        await place.until_listed("ReplicaSet", lambda found: len(found) == 1)


async def test_deployment_rollover() -> None:
    async with Place.open() as place:
        spec = workload("never/never:404", replicas=1, minReadySeconds=10)
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        await place.create("ReplicaSet", "old", spec=workload(replicas=1), metadata={"labels": {"app": "a"}})
        await place.running(1)
        await place.create("Deployment", "d", spec=spec)
        await place.until("Deployment", "d", lambda d: d["status"].get("updatedReplicas") == 1)
        await place.patch("Deployment", "d", {"spec": {"template": template("web:2")}})
        done = await place.until("Deployment", "d", complete(1))
        assert done["metadata"]["annotations"][REVISION] == "2"
        sets = await place.until_listed(
            "ReplicaSet", lambda found: sorted(s["spec"]["replicas"] for s in found) == [0, 0, 1]
        )
        assert all(owner(s) for s in sets)


async def test_deployment_proportional_scaling() -> None:
    async with Place.open() as place:
        spec = workload(replicas=10)
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
        await place.create("Deployment", "d", spec=spec)
        await place.until("Deployment", "d", complete(10))
        # Ten Pods fill the node's places for what the new revision asks: its Pods are never ready.
        heavy = template("web:404", nodeSelector={"no": "where"})
        await place.patch("Deployment", "d", {"spec": {"template": heavy}})

        def sizes(found: list[Wire]) -> list[int]:
            return sorted(s["spec"]["replicas"] for s in found)

        await place.until_listed("ReplicaSet", lambda found: sizes(found) == [5, 8])
        await place.scale("Deployment", "d", 30)
        await place.until_listed("ReplicaSet", lambda found: sizes(found) == [13, 20])


async def test_deployment_scale_and_status() -> None:
    async with Place.open() as place:
        await place.create("Deployment", "d", spec=workload(replicas=1))
        await place.running(1)
        scale = await place.of("Deployment").get_subresource("d", "here", "scale")
        assert (scale.spec.replicas, scale.status.replicas, scale.status.selector) == (1, 1, "app=a")
        scale.spec.replicas, scale.metadata.resource_version = 2, ""
        scale = await place.of("Deployment").update_subresource("d", "here", "scale", scale)
        assert scale.spec.replicas == 2
        assert (await place.get("Deployment", "d"))["spec"]["replicas"] == 2
        await place.patch("Deployment", "d", {"spec": {"replicas": 4}}, "strategic", "scale")
        await place.running(4)
        await place.status_endpoints("Deployment", "d")


async def test_replicaset() -> None:
    async with Place.open() as place:
        await place.create("ReplicaSet", "r", spec=workload(replicas=1))
        await place.running(1)
        scale = await place.of("ReplicaSet").get_subresource("r", "here", "scale")
        scale.spec.replicas, scale.metadata.resource_version = 2, ""
        await place.of("ReplicaSet").update_subresource("r", "here", "scale", scale)
        await place.running(2)
        body = {
            "metadata": {"labels": {"test-rs": "patched"}},
            "spec": {
                "replicas": 3,
                "template": {
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "w:2"}]}
                },
            },
        }
        await place.patch("ReplicaSet", "r", body)
        await place.running(3)
        found = await place.until("ReplicaSet", "r", lambda r: r["status"].get("readyReplicas") == 3)
        assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "w:2"
        assert found["metadata"]["labels"]["test-rs"] == "patched"
        await place.status_endpoints("ReplicaSet", "r")
        await place.delete("ReplicaSet", "r")
        await place.until_listed("Pod", lambda pods: not pods)
        await place.collection("ReplicaSet", lambda name: {"spec": workload(app=name, replicas=1)})


async def test_replicaset_adopts_and_releases() -> None:
    for kind in ("ReplicaSet", "ReplicationController"):
        async with Place.open() as place:
            await place.create("Pod", "alone", metadata={"labels": {"app": "a"}}, spec=template()["spec"])
            await place.running(1)
            spec = workload(replicas=1)
            if kind == "ReplicationController":
                spec["selector"] = {"app": "a"}
            made = await place.create(kind, "r", spec=spec)
            pod = await place.until("Pod", "alone", owner)
            assert (owner(pod) or {})["uid"] == made["metadata"]["uid"]
            assert len(await place.running(1)) == 1
            await place.patch("Pod", "alone", {"metadata": {"labels": {"app": "other"}}})
            await place.until("Pod", "alone", lambda p: owner(p) is None)
            await place.running(2)


async def test_replicationcontroller_lifecycle() -> None:
    async with Place.open() as place:
        spec = {"replicas": 1, "template": template()}
        await place.create("ReplicationController", "rc", spec=spec, metadata={"labels": {"t": "1"}})
        found = await place.until("ReplicationController", "rc", lambda rc: rc["status"].get("readyReplicas") == 1)
        assert found["spec"]["selector"] == {"app": "a"}
        await place.patch("ReplicationController", "rc", {"metadata": {"labels": {"test-rc": "patched"}}})
        body = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
        await place.patch("ReplicationController", "rc", body, "merge", "status")
        assert await place.of("ReplicationController").get_subresource("rc", "here", "status")
        scale = await place.of("ReplicationController").get_subresource("rc", "here", "scale")
        assert (scale.kind, scale.api_version, scale.spec.replicas) == ("Scale", "autoscaling/v1", 1)
        body = {"spec": {"replicas": 2}}
        await place.patch("ReplicationController", "rc", body, "strategic", "scale")
        await place.until("ReplicationController", "rc", lambda rc: rc["status"].get("readyReplicas") == 2)
        scale.spec.replicas, scale.metadata.resource_version = 3, ""
        await place.of("ReplicationController").update_subresource("rc", "here", "scale", scale)
        await place.until("ReplicationController", "rc", lambda rc: rc["status"].get("readyReplicas") == 3)
        await place.of("ReplicationController").delete_collection("here", label_selector="t=1")
        await place.gone("ReplicationController", "rc")


async def test_replicationcontroller_says_that_quota_fails() -> None:
    async with Place.open() as place:
        await place.create("ResourceQuota", "q", spec={"hard": {"pods": "2"}})
        await place.until("ResourceQuota", "q", lambda q: q["status"]["hard"] == {"pods": "2"})
        await place.create("ReplicationController", "rc", spec={"replicas": 3, "template": template()})
        found = await place.until("ReplicationController", "rc", lambda rc: condition(rc, "ReplicaFailure"))
        assert found["status"]["observedGeneration"] >= found["metadata"]["generation"]
        assert "exceeded quota" in (condition(found, "ReplicaFailure") or {})["message"]
        await place.scale("ReplicationController", "rc", 2)
        await place.until("ReplicationController", "rc", lambda rc: not condition(rc, "ReplicaFailure"))
        with refused(403, "exceeded quota"):
            await place.create("Pod", "p", spec=template()["spec"])


async def test_counts_of_zero_are_left_out() -> None:
    async with Place.open(nodes=1) as place:
        left = {
            "Deployment": {"terminatingReplicas": 0},
            "ReplicaSet": {"replicas": 0, "terminatingReplicas": 0},
            "ReplicationController": {"replicas": 0},
        }
        for kind, counts in left.items():
            name = kind.lower()
            spec = workload(app=name, replicas=1)
            if kind == "ReplicationController":
                spec["selector"] = {"app": name}
            await place.create(kind, name, spec=spec)
            await place.until(kind, name, lambda o: o["status"]["readyReplicas"] == 1)
            await place.scale(kind, name, 0)
            await place.until_listed("Pod", lambda pods: not pods)
            found = await place.until(kind, name, lambda o: "readyReplicas" not in o["status"])
            await clock.sleep(1)
            found = await place.get(kind, name)
            assert {k: v for k, v in found["status"].items() if "eplicas" in k} == counts, kind
        made = await place.create("StatefulSet", "set", spec={**workload(app="set", replicas=1), "serviceName": "set"})
        assert made["status"] == {"replicas": 0, "availableReplicas": 0}
