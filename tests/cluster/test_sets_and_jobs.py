"""StatefulSets, DaemonSets, their revisions, Jobs and CronJobs: what the conformance descriptions ask of them."""

from __future__ import annotations

import json
import re

from pybernetes.aio import clock

from .place import Place, Wire, condition, owner, template, workload

HASH = "controller-revision-hash"


def images(pods: list[Wire]) -> dict[str, str]:
    return {p["metadata"]["name"]: p["spec"]["containers"][0]["image"] for p in pods}


async def test_statefulset_scale_status_and_collection() -> None:
    async with Place.open() as place:
        await place.create(
            "Service", "s", spec={"clusterIP": "None", "selector": {"app": "a"}, "ports": [{"port": 80}]}
        )
        await place.create("StatefulSet", "s", spec=workload(replicas=1, serviceName="s"))
        await place.running(1)
        scale = await place.of("StatefulSet").get_subresource("s", "here", "scale")
        assert scale.spec.replicas == 1
        scale.spec.replicas, scale.metadata.resource_version = 2, ""
        scale = await place.of("StatefulSet").update_subresource("s", "here", "scale", scale)
        assert scale.spec.replicas == 2
        await place.patch("StatefulSet", "s", {"spec": {"replicas": 4}}, "strategic", "scale")
        pods = await place.running(4)
        assert {p["metadata"]["name"] for p in pods} == {"s-0", "s-1", "s-2", "s-3"}
        await place.status_endpoints("StatefulSet", "s")
        await place.collection("StatefulSet", lambda name: {"spec": workload(app=name, replicas=1, serviceName="s")})


async def test_statefulset_canary_and_phased_update() -> None:
    async with Place.open() as place:
        await place.create("StatefulSet", "s", spec=workload(replicas=3, serviceName="s"))
        await place.running(3)
        first = (await place.get("StatefulSet", "s"))["status"]["currentRevision"]

        def partition(at: int) -> Wire:
            return {"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": at}}}}

        await place.patch("StatefulSet", "s", partition(3))
        await place.patch("StatefulSet", "s", {"spec": {"template": template("web:2")}})
        found = await place.until("StatefulSet", "s", lambda s: s["status"]["updateRevision"] != first)
        second = found["status"]["updateRevision"]
        await clock.sleep(20)
        assert set(images(await place.running(3)).values()) == {"web:1"}  # not beyond the partition
        await place.patch("StatefulSet", "s", partition(2))

        def of(*expected: str) -> object:
            def good(pods: list[Wire]) -> bool:
                found = images(pods)
                ready = all(p["status"].get("phase") == "Running" for p in pods)
                return ready and [found.get(f"s-{i}") for i in range(3)] == [f"web:{x}" for x in expected]

            return good

        await place.until_listed("Pod", of("1", "1", "2"))
        for name in ("s-0", "s-2"):
            await place.delete("Pod", name)
        await clock.sleep(1)
        pods = await place.until_listed("Pod", of("1", "1", "2"))
        hashes = {p["metadata"]["name"]: p["metadata"]["labels"][HASH] for p in pods}
        assert hashes == {"s-0": first, "s-1": first, "s-2": second}
        for at, expected in ((1, ("1", "2", "2")), (0, ("2", "2", "2"))):
            await place.patch("StatefulSet", "s", partition(at))
            await place.until_listed("Pod", of(*expected))
        await place.until(
            "StatefulSet", "s", lambda s: s["status"]["currentRevision"] == s["status"]["updateRevision"] == second
        )


async def test_daemonset_simple_complex_and_failed() -> None:
    async with Place.open(nodes=3) as place:
        await place.create("DaemonSet", "d", spec=workload())
        pods = await place.running(3)
        assert {p["spec"]["nodeName"] for p in pods} == {"fake-0", "fake-1", "fake-2"}
        await place.delete("Pod", pods[0]["metadata"]["name"])
        await place.until_listed(
            "Pod", lambda now: pods[0]["metadata"]["name"] not in [p["metadata"]["name"] for p in now]
        )
        pods = await place.running(3)

        failed = pods[0]["metadata"]["name"]
        await place.change("Pod", failed, lambda p: p["status"].update(phase="Failed"), "status")
        await place.gone("Pod", failed)
        await place.running(3)
        await place.status_endpoints("DaemonSet", "d")
        await place.of("DaemonSet").delete_collection("here")
        await place.until_listed("Pod", lambda found: not found)

        await place.create("DaemonSet", "choosy", spec=workload(template=template(nodeSelector={"color": "blue"})))
        await clock.sleep(5)
        assert not await place.list("Pod")
        await place.patch("Node", "fake-1", {"metadata": {"labels": {"color": "blue"}}})
        assert (await place.running(1))[0]["spec"]["nodeName"] == "fake-1"
        await place.patch("Node", "fake-1", {"metadata": {"labels": {"color": "green"}}})
        await place.until_listed("Pod", lambda found: not found)
        body = {
            "spec": {
                "template": {"spec": {"nodeSelector": {"color": "green"}}},
                "updateStrategy": {"type": "RollingUpdate"},
            }
        }
        await place.patch("DaemonSet", "choosy", body)
        await place.running(1)
        await place.collection("DaemonSet", lambda name: {"spec": workload(app=name)})


async def test_daemonset_update_and_rollback() -> None:
    async with Place.open(nodes=2) as place:
        await place.create("DaemonSet", "d", spec=workload())
        before = await place.running(2)
        await place.patch("DaemonSet", "d", {"spec": {"template": template("web:2")}})
        await place.until_listed("Pod", lambda p: len(p) == 2 and set(images(p).values()) == {"web:2"})
        after = await place.running(2)
        assert after[0]["metadata"]["labels"][HASH] != before[0]["metadata"]["labels"][HASH]
        assert len(await place.list("ControllerRevision")) == 2

        stuck = template("web:3", nodeSelector=None)
        stuck["spec"]["initContainers"] = [{"name": "i", "image": "busybox", "command": ["sleep", "100000"]}]
        await place.patch("DaemonSet", "d", {"spec": {"template": stuck}})
        pods = await place.until_listed("Pod", lambda p: len(p) == 2 and len(set(images(p).values())) == 2)
        kept = next(p for p in pods if p["spec"]["containers"][0]["image"] == "web:2")
        back = {"op": "replace", "path": "/spec/template", "value": template("web:2")}
        await place.patch("DaemonSet", "d", [back], "json")
        await place.until_listed("Pod", lambda p: len(p) == 2 and set(images(p).values()) == {"web:2"})
        assert kept["metadata"]["uid"] in {p["metadata"]["uid"] for p in await place.running(2)}
        revisions = {r["metadata"]["name"]: r["revision"] for r in await place.list("ControllerRevision")}
        assert len(revisions) == 3
        assert sorted(revisions.values()) == [1, 3, 4]  # the one that was gone back to is the newest


async def test_controllerrevision_api() -> None:
    async with Place.open() as place:
        await place.create("DaemonSet", "d", spec=workload())
        await place.running(1)
        (first,) = await place.list("ControllerRevision", "app=a", everywhere=True)
        name = first["metadata"]["name"]
        assert (owner(first) or {})["name"] == "d"
        made = (await place.get("DaemonSet", "d"))["spec"]["template"]
        patch = {"spec": {"template": {"$patch": "replace", **made}}}
        assert json.dumps(first["data"]) == json.dumps(patch, sort_keys=True)  # compared byte by byte by clients
        assert made["spec"]["containers"][0]["resources"] == {}
        await place.patch("ControllerRevision", name, {"metadata": {"labels": {"x": "patched"}}})
        copy = {
            "metadata": {"labels": first["metadata"]["labels"], "ownerReferences": first["metadata"]["ownerReferences"]}
        }
        await place.create("ControllerRevision", "other", data=first["data"], revision=2, **copy)
        await place.until("ControllerRevision", "other", owner)
        assert await place.names("ControllerRevision") == {name, "other"}
        await place.delete("ControllerRevision", name)
        await clock.sleep(5)
        assert await place.names("ControllerRevision") == {"other"}  # it has the same data: no need for another
        await place.change("ControllerRevision", "other", lambda r: r["metadata"]["labels"].update(x="updated"))
        await place.patch("DaemonSet", "d", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}})
        await place.until_listed("ControllerRevision", lambda found: len(found) == 2)
        await place.of("ControllerRevision").delete_collection("here", label_selector="x=updated")
        await place.until_listed("ControllerRevision", lambda found: len(found) == 1)


def job(command: list[str], **spec: object) -> Wire:
    body = template(restartPolicy="Never")
    body["spec"]["containers"][0]["command"] = command
    return {"template": body, **spec}


async def test_job_adopts_and_releases() -> None:
    async with Place.open() as place:
        made = await place.create("Job", "j", spec=job(["sleep", "100000"], parallelism=2, completions=2))
        pod = (await place.running(2))[0]["metadata"]["name"]
        await place.patch("Pod", pod, {"metadata": {"ownerReferences": None}}, "merge")
        found = await place.until("Pod", pod, owner)
        assert (owner(found) or {})["uid"] == made["metadata"]["uid"]
        await place.patch("Pod", pod, {"metadata": {"labels": None}}, "merge")
        await place.until("Pod", pod, lambda p: owner(p) is None)
        await place.running(3)


async def test_job_status_and_deletion() -> None:
    async with Place.open() as place:
        await place.create("Job", "j", spec=job(["sleep", "100000"], parallelism=2, completions=2))
        await place.running(2)
        await place.until("Job", "j", lambda j: j["status"].get("active") == 2)
        await place.status_endpoints("Job", "j")
        await place.delete("Job", "j", propagation="Background")
        await place.gone("Job", "j")
        await place.until_listed("Pod", lambda found: not found)


async def test_job_completes_and_fails() -> None:
    async with Place.open() as place:
        await place.create("Job", "good", spec=job(["sleep", "2"], parallelism=2, completions=4))
        done = await place.until("Job", "good", lambda j: condition(j, "Complete"))
        assert done["status"]["succeeded"] == 4
        await place.create("Job", "bad", spec=job(["false"], backoffLimit=1))
        failed = await place.until("Job", "bad", lambda j: condition(j, "Failed"), 300)
        assert (condition(failed, "Failed") or {})["reason"] == "BackoffLimitExceeded"
        indexed = job(["sleep", "1"], parallelism=2, completions=3, completionMode="Indexed")
        await place.create("Job", "indexed", spec=indexed)
        done = await place.until("Job", "indexed", lambda j: condition(j, "Complete"))
        assert done["status"]["completedIndexes"] == "0-2"


def cron(schedule: str = "*/1 * * * ?", seconds: int = 300, **spec: object) -> Wire:
    return {"schedule": schedule, "jobTemplate": {"spec": job(["sleep", str(seconds)])}, **spec}


async def test_cronjob_allows_forbids_replaces() -> None:
    async with Place.open() as place:
        for policy in ("Allow", "Forbid", "Replace"):
            await place.create("CronJob", policy.lower(), spec=cron(concurrencyPolicy=policy))
        await place.until("CronJob", "allow", lambda c: len(c["status"].get("active", ())) > 1, 200)
        await place.until("CronJob", "forbid", lambda c: len(c["status"]["active"]) == 1)
        first = (await place.get("CronJob", "forbid"))["status"]["active"][0]["name"]
        replaced = (await place.get("CronJob", "replace"))["status"]["active"][0]["name"]
        await clock.sleep(70)
        assert [a["name"] for a in (await place.get("CronJob", "forbid"))["status"]["active"]] == [first]
        now = await place.until("CronJob", "replace", lambda c: len(c["status"]["active"]) == 1)
        assert now["status"]["active"][0]["name"] != replaced
        jobs = await place.list("Job")
        assert all(re.fullmatch(r"(allow|forbid|replace)-\d{8}", j["metadata"]["name"]) for j in jobs)
        await place.gone("Job", replaced)


async def test_cronjob_suspended_and_api() -> None:
    async with Place.open() as place:
        await place.create("CronJob", "idle", spec=cron(suspend=True))
        await clock.sleep(300)
        assert not await place.list("Job")
        assert (await place.get("CronJob", "idle"))["spec"]["suspend"]
        await place.status_endpoints_plain("CronJob", "idle", {"lastScheduleTime": "2026-01-01T00:00:00Z"})
        await place.collection("CronJob", lambda name: {"spec": cron("0 0 1 1 *")})


async def test_pods_that_are_cut_short_have_failed() -> None:
    async with Place.open(nodes=1) as place:
        await place.create(
            "Job", "late", spec=job(["sleep", "500"], parallelism=2, completions=2, activeDeadlineSeconds=3)
        )
        late = await place.until("Job", "late", lambda j: condition(j, "Failed"))
        assert (condition(late, "Failed") or {})["reason"] == "DeadlineExceeded"
        assert late["status"]["failed"] == 2 and "succeeded" not in late["status"]


async def test_daemonset_counts_its_templates() -> None:
    async with Place.open(nodes=1) as place:
        annotation = "deprecated.daemonset.template.generation"
        await place.create("DaemonSet", "d", spec=workload(app="d"))
        (pod,) = await place.running(1)
        assert pod["metadata"]["labels"]["pod-template-generation"] == "1"
        await place.patch(
            "DaemonSet", "d", {"spec": {"minReadySeconds": 1}, "metadata": {"annotations": {annotation: "7"}}}
        )
        assert (await place.get("DaemonSet", "d"))["metadata"]["annotations"] == {annotation: "1"}
        await place.patch("DaemonSet", "d", {"spec": {"template": {"metadata": {"labels": {"more": "x"}}}}})
        changed = await place.get("DaemonSet", "d")
        assert changed["metadata"]["annotations"] == {annotation: "2"}
        await place.until_listed(
            "Pod", lambda pods: [p["metadata"]["labels"].get("pod-template-generation") for p in pods] == ["2"]
        )
        revisions = await place.list("ControllerRevision")
        assert {r["metadata"]["annotations"][annotation] for r in revisions} == {"1", "2"}
