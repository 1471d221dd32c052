"""Pods on nodes that only say that they run them: what the conformance descriptions ask of their API."""

from __future__ import annotations

from typing import Any

from .place import Place, Wire, condition, refused, template


def of_pods(**labels: str) -> Wire:
    return {"spec": template(terminationGracePeriodSeconds=1)["spec"], "metadata": {"labels": labels}}


async def test_a_pod_from_creation_to_deletion() -> None:
    """Submitted, found, updated, removed, and all of it seen by a watch."""
    async with Place.open() as place:
        before = (await place.of("Pod").list("here")).resource_version
        await place.create("Pod", "p", **of_pods(name="foo", time="1"))
        pod = await place.until("Pod", "p", lambda p: p["status"]["phase"] == "Running")
        assert [p["metadata"]["name"] for p in await place.list("Pod", "time=1", everywhere=True)] == ["p"]
        assert pod["status"]["hostIP"] == pod["status"]["hostIPs"][0]["ip"]
        node = await place.get("Node", pod["spec"]["nodeName"])
        assert pod["status"]["hostIP"] in {a["address"] for a in node["status"]["addresses"]}
        await place.change("Pod", "p", lambda p: p["metadata"]["labels"].update(time="2"))
        assert await place.names("Pod", "time=2") == {"p"}
        changed = await place.patch("Pod", "p", {"spec": {"containers": [{"name": "c", "image": "web:2"}]}})
        assert changed["spec"]["containers"][0]["image"] == "web:2"

        async def end() -> None:
            await place.delete("Pod", "p")
            await place.gone("Pod", "p")

        seen = await place.events_of("Pod", before, end)
        assert (seen[0][0], seen[-1][0]) == ("ADDED", "DELETED")
        last = seen[-1][1]
        assert last["metadata"]["deletionTimestamp"] and last["spec"]["terminationGracePeriodSeconds"] == 1
        assert any(o["metadata"].get("deletionGracePeriodSeconds") == 1 for _, o in seen)


async def test_the_status_is_patched_and_replaced() -> None:
    async with Place.open() as place:
        await place.create("Pod", "p", **of_pods(t="1"))
        await place.running(1)
        new = {"type": "TestCondition", "status": "True", "reason": "E2E", "message": "Set from a test"}
        patched = await place.patch("Pod", "p", {"status": {"conditions": [new]}}, "strategic", "status")
        assert (condition(patched, "TestCondition") or {})["message"] == "Set from a test"
        assert condition(patched, "Ready")  # conditions are merged by their types

        def unready(pod: Wire) -> None:
            for one in pod["status"]["conditions"]:
                if one["type"] == "TestCondition":
                    one["status"] = "False"

        changed = await place.change("Pod", "p", unready, "status")
        assert (condition(changed, "TestCondition") or {})["status"] == "False"
        whole = await place.of("Pod").get_subresource("p", "here", "status")
        assert whole.metadata.name == "p"


async def test_a_collection_of_pods_is_deleted() -> None:
    async with Place.open() as place:
        for i in range(3):
            await place.create("Pod", f"p{i}", **of_pods(type="Testing"))
        await place.create("Pod", "other", **of_pods(type="Other"))
        await place.running(4)
        await place.of("Pod").delete_collection("here", label_selector="type=Testing")
        await place.until_listed("Pod", lambda pods: [p["metadata"]["name"] for p in pods] == ["other"])


async def test_generations() -> None:
    """Each change of the spec counts one, nothing else does; the node says up to which it has come."""
    async with Place.open() as place:
        spec = of_pods()["spec"]
        spec["containers"][0]["resources"] = {"requests": {"cpu": "5m"}}
        made = await place.create("Pod", "p", spec=spec, metadata={"generation": 100})
        assert made["metadata"]["generation"] == 1
        await place.until("Pod", "p", lambda p: p["status"].get("observedGeneration") == 1)
        toleration = {"key": "foo", "operator": "Exists", "effect": "NoExecute"}
        debug = {"ephemeralContainers": [{"name": "debug", "image": "web:1"}]}
        for count, (change, part) in enumerate(
            (
                ({"spec": {"activeDeadlineSeconds": 5000}}, ""),
                ({"spec": {"containers": [{"name": "c", "image": "web:2"}]}}, ""),
                ({"spec": {"tolerations": [*made["spec"]["tolerations"], toleration]}}, ""),
                ({"spec": debug}, "ephemeralcontainers"),
                ({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "10m"}}}]}}, "resize"),
            ),
            2,
        ):
            changed = await place.patch("Pod", "p", change, "strategic", part)
            assert changed["metadata"]["generation"] == count, change
            await place.until("Pod", "p", lambda p, count=count: p["status"].get("observedGeneration") == count)
        await place.patch("Pod", "p", {"metadata": {"annotations": {"key": "value"}}})
        unchanged = await place.patch("Pod", "p", {"status": {"message": "m"}}, "merge", "status")
        assert unchanged["metadata"]["generation"] == 6
        keep = {"metadata": {"finalizers": ["example.com/keep"]}}
        await place.patch("Pod", "p", keep)
        await place.delete("Pod", "p", grace_period=10)
        assert (await place.get("Pod", "p"))["metadata"]["generation"] == 7  # the end is wanted, too
        await place.patch("Pod", "p", {"metadata": {"finalizers": None}}, "merge")
        await place.gone("Pod", "p")


async def test_five_hundred_changes_are_all_counted_and_seen() -> None:
    async with Place.open() as place:
        await place.create("Pod", "p", **of_pods(t="1"))
        await place.running(1)

        async def change(i: int) -> None:
            await place.patch("Pod", "p", {"spec": {"activeDeadlineSeconds": 10000 - i}}, "merge")

        for i in range(500):
            await change(i)
        assert (await place.get("Pod", "p"))["metadata"]["generation"] == 501
        await place.until("Pod", "p", lambda p: p["status"].get("observedGeneration") == 501)


async def test_quality_of_service() -> None:
    async with Place.open(nodes=0) as place:
        same = {"cpu": "100m", "memory": "100Mi"}
        for name, resources, expected in (
            ("guaranteed", {"requests": same, "limits": same}, "Guaranteed"),
            ("burstable", {"requests": same}, "Burstable"),
            ("best", {}, "BestEffort"),
        ):
            spec = template()["spec"]
            spec["containers"][0]["resources"] = resources
            assert (await place.create("Pod", name, spec=spec))["status"]["qosClass"] == expected


async def test_own_labels_become_part_of_selectors() -> None:
    def pod(keys: list[str], other_keys: list[str] | None = None, **selector: Any) -> Wire:
        term = {"topologyKey": "zone", "labelSelector": selector, "matchLabelKeys": keys}
        spread = {**term, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        affinity = {"podAntiAffinity": {required: [{**term, "mismatchLabelKeys": other_keys}]}}
        return template(topologySpreadConstraints=[spread], affinity=affinity)["spec"]  # type: ignore[no-any-return]

    labels = {"labels": {"app": "a", "version": "7", "tenant": "t"}}
    async with Place.open(nodes=0) as place:
        wanted = pod(["version", "absent"], ["tenant"], matchLabels={"app": "a"})
        made = (await place.create("Pod", "p", spec=wanted, metadata=labels))["spec"]
        match = {"key": "version", "operator": "In", "values": ["7"]}
        mismatch = {"key": "tenant", "operator": "NotIn", "values": ["t"]}
        (spread,) = made["topologySpreadConstraints"]
        (term,) = made["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert spread["labelSelector"] == {"matchLabels": {"app": "a"}, "matchExpressions": [match]}
        assert term["labelSelector"] == {"matchLabels": {"app": "a"}, "matchExpressions": [match, mismatch]}
        assert spread["matchLabelKeys"] == ["version", "absent"]
        await place.patch("Pod", "p", {"metadata": {"labels": {"version": "8"}}})
        again = (await place.get("Pod", "p"))["spec"]["topologySpreadConstraints"]
        assert again == [spread]  # as it was created
        both = r'Constraints\[0\]\[0\]: Invalid value: "app": exists in both matchLabelKeys and labelSelector'
        with refused(422, both):
            await place.create("Pod", "q", spec=pod(["app"], matchLabels={"app": "a"}), metadata=labels)
        with refused(422, "exists in both matchLabelKeys and mismatchLabelKeys"):
            await place.create("Pod", "q", spec=pod(["app"], ["app"], matchLabels={"x": "y"}), metadata=labels)
