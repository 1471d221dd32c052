"""Dynamic resource allocation: claims from templates, devices by CEL, and what becomes of both when Pods end."""

from __future__ import annotations

from typing import Any

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.control_plane.scheduler.config import Config, ProfileConfig
from pybernetes.control_plane.scheduler.loop import Scheduler

from .place import Place, Wire, condition, template

DRIVER = "gpu.example.com"
GPU = "example.com/gpu"
NOW = "2026-01-01T00:00:00Z"


def device(name: str, **attributes: Any) -> Wire:
    kinds = {bool: "bool", int: "int", str: "string"}
    return {
        "name": name,
        "attributes": {key: {kinds[type(value)]: value} for key, value in attributes.items()},
        "capacity": {"memory": {"value": "16Gi"}},
    }


async def publish(place: Place, node: str, *devices: Wire, count: int = 1, generation: int = 1) -> None:
    """The slice of a node's pool, and the class `gpu`."""
    pool = {"name": node, "generation": generation, "resourceSliceCount": count}
    spec = {"driver": DRIVER, "pool": pool, "nodeName": node, "devices": [*devices]}
    await place.create("ResourceSlice", f"{node}-{generation}", spec=spec)


async def gpu_class(place: Place, **spec: Any) -> None:
    selector = {"cel": {"expression": f'device.driver == "{DRIVER}"'}}
    await place.create("DeviceClass", "gpu", spec={"selectors": [selector], **spec})


def request(name: str = "gpu", expression: str = "", **more: Any) -> Wire:
    exactly: Wire = {"deviceClassName": "gpu", **more}
    if expression:
        exactly["selectors"] = [{"cel": {"expression": expression}}]
    return {"name": name, "exactly": exactly}


async def claim(place: Place, name: str, *requests: Wire, **devices: Any) -> Wire:
    return await place.create("ResourceClaim", name, spec={"devices": {"requests": [*requests], **devices}})


async def user(place: Place, name: str, *claims: str, **spec: Any) -> None:
    """A Pod with those claims."""
    entries = [{"name": f"c{i}", "resourceClaimName": one} for i, one in enumerate(claims)]
    await place.create("Pod", name, spec={**template()["spec"], "resourceClaims": entries, **spec})


def devices_of(obj: Wire) -> list[str]:
    return [r["device"] for r in obj["status"]["allocation"]["devices"]["results"]]


async def waiting(place: Place, pod: str, text: str) -> None:
    """The Pod is not scheduled, and that is why."""

    def told(obj: Wire) -> bool:
        return text in (condition(obj, "PodScheduled") or {}).get("message", "")

    await place.until("Pod", pod, told, seconds=20)


async def test_a_claim_from_a_template_lives_with_its_pod() -> None:
    async with Place.open(nodes=2) as place:
        await gpu_class(place, config=[{"opaque": {"driver": DRIVER, "parameters": {"mode": "shared"}}}])
        await publish(place, "fake-1", device("a"))
        inner = {"devices": {"requests": [request()]}}
        made = {"metadata": {"labels": {"team": "x"}}, "spec": inner}
        entry = {"name": "card", "resourceClaimTemplateName": "one-gpu"}
        await place.create("Pod", "p", spec={**template()["spec"], "resourceClaims": [entry]})
        await place.until_listed("Event", lambda all_: "FailedResourceClaimCreation" in {e["reason"] for e in all_})
        await place.create("ResourceClaimTemplate", "one-gpu", spec=made)
        (pod,) = await place.running(1)
        assert pod["spec"]["nodeName"] == "fake-1"
        (status,) = pod["status"]["resourceClaimStatuses"]
        name = status["resourceClaimName"]
        assert status["name"] == "card"
        assert name.startswith("p-card-")
        found = await place.get("ResourceClaim", name)
        meta = found["metadata"]
        assert meta["labels"] == {"team": "x"}
        assert meta["annotations"] == {"resource.kubernetes.io/pod-claim-name": "card"}
        assert meta["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
        assert meta["finalizers"] == ["resource.kubernetes.io/delete-protection"]
        allocation = found["status"]["allocation"]
        (result,) = allocation["devices"]["results"]
        assert result == {"request": "gpu", "driver": DRIVER, "pool": "fake-1", "device": "a"}
        assert allocation["devices"]["config"] == [
            {"source": "FromClass", "requests": ["gpu"], "opaque": {"driver": DRIVER, "parameters": {"mode": "shared"}}}
        ]
        fields = [{"key": "metadata.name", "operator": "In", "values": ["fake-1"]}]
        assert allocation["nodeSelector"] == {"nodeSelectorTerms": [{"matchFields": fields}]}
        user_ = {"resource": "pods", "name": "p", "uid": pod["metadata"]["uid"]}
        assert found["status"]["reservedFor"] == [user_]
        await place.delete("Pod", "p")
        await place.gone("ResourceClaim", name)


async def test_a_shared_claim_and_its_end() -> None:
    async with Place.open(nodes=2) as place:
        await gpu_class(place)
        await publish(place, "fake-0", device("a"))
        await claim(place, "shared", request())
        await user(place, "p", "shared")
        await user(place, "q", "shared")
        await place.running(2)
        found = await place.get("ResourceClaim", "shared")
        assert {u["name"] for u in found["status"]["reservedFor"]} == {"p", "q"}
        await claim(place, "another", request())
        await user(place, "r", "another")
        await waiting(place, "r", "0/2 nodes are available: 2 cannot allocate all claims.")
        await place.delete("Pod", "p")
        await place.delete("ResourceClaim", "shared")
        await clock.sleep(5)
        assert len((await place.get("ResourceClaim", "shared"))["status"]["reservedFor"]) == 1
        await place.delete("Pod", "q")
        await place.gone("ResourceClaim", "shared")
        await place.until("Pod", "r", lambda p: p["status"]["phase"] == "Running")


async def test_devices_are_chosen_by_expressions_and_constraints() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place)
        cards = [device(f"d{i}", model="big" if i > 1 else "small", numa=i % 2) for i in range(6)]
        await publish(place, "fake-0", *cards)
        same = {"matchAttribute": f"{DRIVER}/numa"}
        roomy = f'device.capacity["{DRIVER}"].memory.isGreaterThan(quantity("8Gi"))'
        big = f'device.attributes["{DRIVER}"].model == "big" && {roomy}'
        await claim(place, "two", request("a", big), request("b", big), constraints=[same])
        await user(place, "p", "two")
        await place.running(1)
        assert devices_of(await place.get("ResourceClaim", "two")) == ["d2", "d4"]
        await claim(
            place, "rest", request(allocationMode="All", expression=f'device.attributes["{DRIVER}"].model == "small"')
        )
        await user(place, "q", "rest")
        await place.running(2)
        assert devices_of(await place.get("ResourceClaim", "rest")) == ["d0", "d1"]
        await claim(place, "third", request(count=3))
        await user(place, "r", "third")
        await waiting(place, "r", "cannot allocate all claims")
        await claim(place, "broken", request(expression='device.attributes["gpu.example.com"].nothing == 1'))
        await user(place, "s", "broken")
        await waiting(place, "s", "CEL expression")


async def test_alternatives_are_tried_in_order() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place)
        await publish(place, "fake-0", device("small", size=1), device("small2", size=1))
        alternatives = [
            {"name": "one-big", "deviceClassName": "gpu", "selectors": [
                {"cel": {"expression": f'device.attributes["{DRIVER}"].size == 2'}}]},
            {"name": "two-small", "deviceClassName": "gpu", "count": 2},
        ]  # fmt: skip
        await claim(place, "any", {"name": "gpu", "firstAvailable": alternatives})
        await user(place, "p", "any")
        await place.running(1)
        results = (await place.get("ResourceClaim", "any"))["status"]["allocation"]["devices"]["results"]
        assert [(r["request"], r["device"]) for r in results] == [
            ("gpu/two-small", "small"), ("gpu/two-small", "small2")]  # fmt: skip


async def test_the_node_with_the_best_alternative_is_taken() -> None:
    async with Place.open(nodes=3) as place:
        await gpu_class(place)
        for i, size in enumerate(("small", "large", "small")):
            await publish(place, f"fake-{i}", device("a", size=size))
        parts = [
            {"name": size, "deviceClassName": "gpu", "selectors": [
                {"cel": {"expression": f'device.attributes["{DRIVER}"].size == "{size}"'}}]}
            for size in ("large", "small")
        ]  # fmt: skip
        await claim(place, "c", {"name": "gpu", "firstAvailable": parts})
        await user(place, "p", "c")
        pod = await place.until("Pod", "p", lambda p: p["status"]["phase"] == "Running")
        assert pod["spec"]["nodeName"] == "fake-1"


async def test_taints_pools_and_classes_that_are_missing() -> None:
    async with Place.open(nodes=1) as place:
        await claim(place, "early", request())
        await user(place, "p", "early")
        await waiting(place, "p", "request gpu: device class gpu does not exist")
        await gpu_class(place)
        await waiting(place, "p", "cannot allocate all claims")
        await publish(place, "fake-0", {**device("a"), "taints": [{"key": "broken", "effect": "NoSchedule"}]})
        await clock.sleep(5)
        await waiting(place, "p", "cannot allocate all claims")
        await claim(place, "bold", request(tolerations=[{"key": "broken", "operator": "Exists"}]))
        await user(place, "q", "bold")
        await place.until("Pod", "q", lambda p: p["status"]["phase"] == "Running")
        await publish(place, "fake-0", device("b"), generation=2)  # the older slice no longer counts
        await place.until("Pod", "p", lambda p: p["status"]["phase"] == "Running")
        assert devices_of(await place.get("ResourceClaim", "early")) == ["b"]


async def test_an_allocation_that_ties_a_pod_to_another_node_is_given_up() -> None:
    async with Place.open(nodes=2) as place:
        await gpu_class(place)
        for node in ("fake-0", "fake-1"):
            await publish(place, node, device("a"))
        await claim(place, "c", request())
        result = {"request": "gpu", "driver": DRIVER, "pool": "fake-0", "device": "a"}
        fields = [{"key": "metadata.name", "operator": "In", "values": ["fake-0"]}]
        allocation = {
            "devices": {"results": [result]},
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": fields}]},
        }
        await place.patch("ResourceClaim", "c", {"status": {"allocation": allocation}}, "merge", "status")
        await user(place, "p", "c", nodeSelector={"kubernetes.io/hostname": "fake-1"})
        (pod,) = await place.running(1)
        assert pod["spec"]["nodeName"] == "fake-1"


async def test_a_device_is_shared_until_its_capacity_is_used_up() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place)
        policy = {"default": "1Gi", "validRange": {"min": "1Gi", "step": "2Gi", "max": "9Gi"}}
        card = {
            "name": "card",
            "allowMultipleAllocations": True,
            "capacity": {"memory": {"value": "10Gi", "requestPolicy": policy}},
        }
        await publish(place, "fake-0", card, device("alone"))
        shared = "device.allowMultipleAllocations"

        def wanted(name: str, amount: str = "", **more: Any) -> Wire:
            capacity = {"capacity": {"requests": {"memory": amount}}} if amount else {}
            return request(name, shared, **capacity, **more)

        await claim(place, "five", wanted("r", "4Gi"))
        await claim(place, "two", wanted("x"), wanted("y"))
        await claim(place, "four", wanted("r", "2Gi"))  # 3 Gi, when they are free
        await claim(place, "all", request("r", f"!{shared}", capacity={"requests": {"memory": "16Gi"}}))
        await claim(place, "too-much", request("r", f"!{shared}", capacity={"requests": {"memory": "17Gi"}}))
        for name in ("five", "two", "four", "all"):
            await user(place, name, name)
            await place.until("Pod", name, lambda p: p["status"]["phase"] == "Running", 10)
        got = {}
        for name in ("five", "two", "four"):
            results = (await place.get("ResourceClaim", name))["status"]["allocation"]["devices"]["results"]
            assert {r["device"] for r in results} == {"card"}
            got[name] = [r["consumedCapacity"]["memory"] for r in results]
            assert len({r["shareID"] for r in results}) == len(results)
        assert got == {"five": ["5Gi"], "two": ["1Gi", "1Gi"], "four": ["3Gi"]}
        (whole,) = (await place.get("ResourceClaim", "all"))["status"]["allocation"]["devices"]["results"]
        assert whole["device"] == "alone" and not {"shareID", "consumedCapacity"} & whole.keys()
        await claim(place, "none-left", wanted("r"))
        for name in ("none-left", "too-much"):
            await user(place, name, name)
            await waiting(place, name, "cannot allocate all claims")
        await place.delete("Pod", "four")
        await place.until("Pod", "none-left", lambda p: p["status"]["phase"] == "Running", 60)


async def test_a_pod_waits_until_its_device_is_ready() -> None:
    async with Place.open(nodes=2) as place:
        await gpu_class(place)
        slow = {"bindingConditions": ["attached"], "bindingFailureConditions": ["broken"], "bindsToNode": True}
        pool = {"name": "fabric", "generation": 1, "resourceSliceCount": 1}
        devices = [{**device("a"), **slow}, {**device("b"), **slow}, device("z")]
        await place.create(
            "ResourceSlice", "s", spec={"driver": DRIVER, "pool": pool, "allNodes": True, "devices": devices}
        )

        async def allocated(name: str) -> Wire:
            return await place.until("ResourceClaim", name, lambda c: c["status"]["allocation"] and c)

        async def report(name: str, device: str, type_: str) -> None:
            told = {"type": type_, "status": "True", "reason": "Told", "message": "m", "lastTransitionTime": NOW}
            status = {"driver": DRIVER, "pool": "fabric", "device": device, "conditions": [told]}
            await place.patch("ResourceClaim", name, {"status": {"devices": [status]}}, "merge", "status")

        for name in ("at-once", "c"):
            await claim(place, name, request())
            await user(place, name, name)
        assert devices_of(await allocated("at-once")) == ["z"]  # what is ready goes first
        await place.until("Pod", "at-once", lambda p: p["status"]["phase"] == "Running")
        found = await allocated("c")
        assert devices_of(found) == ["a"]
        result = found["status"]["allocation"]["devices"]["results"][0]
        assert (result["bindingConditions"], result["bindingFailureConditions"]) == (["attached"], ["broken"])
        assert found["status"]["allocation"]["allocationTimestamp"]
        (term,) = found["status"]["allocation"]["nodeSelector"]["nodeSelectorTerms"]
        await clock.sleep(60)
        pod = await place.get("Pod", "c")
        assert "nodeName" not in pod["spec"]
        assert pod["status"]["nominatedNodeName"] == term["matchFields"][0]["values"][0]  # it will be there
        await report("c", "a", "attached")
        pod = await place.until("Pod", "c", lambda p: p["status"]["phase"] == "Running", 10)
        assert term["matchFields"][0]["values"] == [pod["spec"]["nodeName"]]
        assert "nominatedNodeName" not in pod["status"]
        told = [e["message"] for e in await place.list("Event") if e["reason"] == "BindingConditionsPending"]
        assert told == [f"waiting for binding conditions for device on node {pod['spec']['nodeName']}"]
        await user(place, "shares", "c")
        await place.until("Pod", "shares", lambda p: p["status"]["phase"] == "Running", 10)
        pending = [e for e in await place.list("Event") if e["reason"] == "BindingConditionsPending"]
        assert len(pending) == 1  # the device was ready already

        await claim(place, "d", request())
        await user(place, "d", "d")
        assert devices_of(await allocated("d")) == ["b"]
        await report("d", "b", "broken")
        await waiting(place, "d", 'claim d binding failed: reason=Told, message="m"')
        again = await allocated("d")
        assert "devices" not in again["status"]
        await clock.sleep(700)  # nobody gets it ready: what was allocated is given up, and tried again
        await waiting(place, "d", "device binding timeout")
        await place.delete("Pod", "d")
        await place.until("ResourceClaim", "d", lambda c: "allocation" not in c.get("status", {}))


async def test_a_driver_has_the_configured_time() -> None:
    profile = ProfileConfig("patient", args={"DynamicResources": {"bindingTimeout": "1m30s"}})
    async with Place.open(nodes=1) as place, Nursery("test") as nursery:
        nursery.start(Scheduler(Config(profiles=(profile,)), place.client).run(), "patient")
        await gpu_class(place)
        slow = {"bindingConditions": ["attached"], "bindingFailureConditions": ["broken"]}
        await publish(place, "fake-0", {**device("a"), **slow})
        await claim(place, "c", request())
        await user(place, "c", "c", schedulerName="patient")
        await place.until("ResourceClaim", "c", lambda c: c["status"]["allocation"])
        await clock.sleep(80)
        assert condition(await place.get("Pod", "c"), "PodScheduled") is None
        await waiting(place, "c", 'running PreBind plugin "DynamicResources": device binding timeout')


async def test_the_drivers_time_goes_on_when_the_scheduler_does_not() -> None:
    profile = ProfileConfig("patient", args={"DynamicResources": {"bindingTimeout": "90s"}})
    async with Place.open(nodes=1) as place:
        await gpu_class(place)
        await publish(
            place, "fake-0", {**device("a"), "bindingConditions": ["attached"], "bindingFailureConditions": ["x"]}
        )
        await claim(place, "c", request())
        await user(place, "c", "c", schedulerName="patient")
        for seconds in (60, 20):  # the second one finds the claim allocated
            async with Nursery("test") as nursery:
                nursery.start(Scheduler(Config(profiles=(profile,)), place.client).run(), "patient")
                await place.until("ResourceClaim", "c", lambda c: c["status"]["allocation"])
                await clock.sleep(seconds)
                assert condition(await place.get("Pod", "c"), "PodScheduled") is None
                if seconds == 20:
                    await clock.sleep(15)
                    await waiting(place, "c", 'running PreBind plugin "DynamicResources": device binding timeout')


async def test_what_was_ready_long_ago_takes_no_time_from_another_driver() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place)
        slow = {"bindingConditions": ["attached"], "bindingFailureConditions": ["broken"]}
        await publish(place, "fake-0", {**device("a"), **slow}, {**device("b"), **slow})

        async def attach(name: str, device: str) -> None:
            await place.until("ResourceClaim", name, lambda c: c["status"]["allocation"])
            told = {"type": "attached", "status": "True", "reason": "Told", "message": "m", "lastTransitionTime": NOW}
            status = {"driver": DRIVER, "pool": "fake-0", "device": device, "conditions": [told]}
            await place.patch("ResourceClaim", name, {"status": {"devices": [status]}}, "merge", "status")

        await claim(place, "old", request())
        await user(place, "first", "old")
        await attach("old", "a")
        await place.until("Pod", "first", lambda p: p["status"]["phase"] == "Running")
        await clock.sleep(1000)
        await claim(place, "new", request())
        await user(place, "both", "old", "new")
        await clock.sleep(60)
        assert condition(await place.get("Pod", "both"), "PodScheduled") is None
        await attach("new", "b")
        await place.until("Pod", "both", lambda p: p["status"]["phase"] == "Running")


async def test_a_search_that_would_not_end_says_so() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place)
        devices = [{"name": f"d{i}", "attributes": {"third": {"int": i % 3}}} for i in range(60)]
        await publish(place, "fake-0", *devices)
        constraint = {"matchAttribute": f"{DRIVER}/third"}
        await claim(place, "c", request(count=21), constraints=[constraint])
        await user(place, "c", "c")
        await waiting(place, "c", "0/1 nodes are available: 1 timed out trying to allocate devices.")


async def test_shared_counters_are_not_overdrawn() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place)
        sets = [{"name": "card", "counters": {"memory": {"value": "10Gi"}}}]
        pool = {"name": "fake-0", "generation": 1, "resourceSliceCount": 2}
        common = {"driver": DRIVER, "pool": pool, "nodeName": "fake-0"}
        await place.create("ResourceSlice", "counters", spec={**common, "sharedCounters": sets})
        parts = [
            {
                **device(f"part{i}"),
                "consumesCounters": [{"counterSet": "card", "counters": {"memory": {"value": "4Gi"}}}],
            }
            for i in range(4)
        ]
        await place.create("ResourceSlice", "parts", spec={**common, "devices": parts})
        for i in range(3):
            await claim(place, f"c{i}", request())
            await user(place, f"p{i}", f"c{i}")
        await place.until_listed("Pod", lambda all_: sum(p["status"]["phase"] == "Running" for p in all_) == 2)
        await clock.sleep(5)
        assert sum(p["status"]["phase"] == "Running" for p in await place.list("Pod")) == 2


async def test_pods_leave_devices_that_are_tainted() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place)
        await publish(place, "fake-0", device("a"), device("b"), device("c"))
        tolerations = {
            "refuses": [],
            "waits": [{"key": "broken", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "stays": [{"operator": "Exists"}],
        }
        for name, tolerated in tolerations.items():
            await claim(place, name, request(**({"tolerations": tolerated} if tolerated else {})))
            await user(place, name, name)
        await place.running(3)

        async def taint(*taints: Wire) -> None:
            def put(found: Wire) -> None:
                for one in found["spec"]["devices"]:
                    one["taints"] = [dict(taint) for taint in taints]

            await place.change("ResourceSlice", "fake-0-1", put)

        await taint({"key": "broken", "effect": "NoSchedule"})
        await clock.sleep(30)
        assert await place.names("Pod") == set(tolerations)
        await place.patch("Pod", "refuses", {"metadata": {"finalizers": ["example.com/look"]}})
        await taint({"key": "broken", "effect": "NoExecute"})
        gone = await place.until("Pod", "refuses", lambda p: p["metadata"]["deletionTimestamp"], 10)
        disrupted = condition(gone, "DisruptionTarget")
        assert disrupted is not None
        assert (disrupted["status"], disrupted["reason"], disrupted["message"]) == (
            "True", "DeletionByDeviceTaintManager", "Device Taint manager: deleting due to NoExecute taint",
        )  # fmt: skip
        assert disrupted["observedGeneration"] == gone["metadata"]["generation"] - 1  # then it was deleted
        await place.patch("Pod", "refuses", {"metadata": {"finalizers": None}})
        await clock.sleep(200)
        assert await place.names("Pod") == {"waits", "stays"}
        await taint()
        await clock.sleep(400)
        assert await place.names("Pod") == {"waits", "stays"}
        await taint({"key": "broken", "effect": "NoExecute"})
        await place.gone("Pod", "waits", seconds=400)
        assert await place.names("Pod") == {"stays"}
        messages = {
            (e["involvedObject"]["name"], e["message"])
            for e in await place.list("Event")
            if e["reason"] == "DeviceTaintManagerEviction"
        }
        assert messages == {
            ("refuses", "Marking for deletion"),
            ("waits", "Cancelling deletion"),
            ("waits", "Marking for deletion"),
        }


def wanting(amount: int, resource: str = GPU, **spec: Any) -> Wire:
    """A Pod that asks for an extended resource, and knows nothing of devices."""
    made = template(**spec)["spec"]
    quantities = {resource: str(amount)}
    made["containers"][0]["resources"] = {"requests": quantities, "limits": quantities}
    return dict(made)


async def test_an_extended_resource_is_had_as_devices() -> None:
    async with Place.open(nodes=2) as place:
        await place.create("Pod", "early", spec=wanting(1))
        await waiting(place, "early", f"0/2 nodes are available: 2 Insufficient {GPU}.")
        await publish(place, "fake-0", device("a"), device("b"))
        await gpu_class(place, extendedResourceName=GPU)
        pod = await place.until("Pod", "early", lambda p: p["status"]["phase"] == "Running", 60)
        assert pod["spec"]["nodeName"] == "fake-0"
        noted = pod["status"]["extendedResourceClaimStatus"]
        request = {"containerName": "c", "resourceName": GPU, "requestName": "container-0-request-0"}
        assert noted["requestMappings"] == [request]
        made = await place.get("ResourceClaim", noted["resourceClaimName"])
        assert made["metadata"]["name"].startswith("early-extended-resources-")
        assert made["metadata"]["annotations"] == {"resource.kubernetes.io/extended-resource-claim": "true"}
        assert made["metadata"]["ownerReferences"] == [
            {"apiVersion": "v1", "kind": "Pod", "name": "early", "uid": pod["metadata"]["uid"], "controller": True}
        ]
        exactly = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
        assert made["spec"]["devices"]["requests"] == [{"name": "container-0-request-0", "exactly": exactly}]
        assert (devices_of(made), made["status"]["reservedFor"][0]["name"]) == (["a"], "early")

        await place.create("Pod", "two", spec=wanting(2))
        await waiting(place, "two", "2 cannot allocate all claims. still not schedulable, preemption: ")
        assert len(await place.list("ResourceClaim")) == 1  # nothing is made before there is a node
        await place.change("Pod", "early", lambda p: p["status"].update(phase="Succeeded"), "status")
        await place.gone("ResourceClaim", made["metadata"]["name"])
        pod = await place.until("Pod", "two", lambda p: p["status"]["phase"] == "Running", 60)
        await place.delete("Pod", "two")
        await place.until_listed("ResourceClaim", lambda found: not found)


async def test_a_node_that_counts_by_itself_needs_no_devices() -> None:
    async with Place.open(nodes=2) as place:
        await gpu_class(place, extendedResourceName=GPU)
        await publish(place, "fake-0", device("a"))
        await place.patch("Node", "fake-1", {"status": {"capacity": {GPU: "1"}}}, "merge", "status")
        await place.until("Node", "fake-1", lambda n: n["status"]["allocatable"].get(GPU) == "1")
        for name in ("p1", "p2"):
            await place.create("Pod", name, spec=wanting(1))
            await place.until("Pod", name, lambda p: p["status"]["phase"] == "Running", 60)
        pods = {p["spec"]["nodeName"]: p["status"] for p in await place.list("Pod")}
        assert "extendedResourceClaimStatus" in pods["fake-0"]
        assert "extendedResourceClaimStatus" not in pods["fake-1"]
        await place.create("Pod", "p3", spec=wanting(1))
        await waiting(place, "p3", f"0/2 nodes are available: 1 Insufficient {GPU}, 1 cannot allocate all claims.")


async def test_a_class_without_a_resource_name_has_one_of_its_own() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place)
        await publish(place, "fake-0", device("a"))
        await place.create("Pod", "p", spec=wanting(1, "deviceclass.resource.kubernetes.io/gpu"))
        await place.until("Pod", "p", lambda p: p["status"]["phase"] == "Running", 60)


async def test_a_claim_of_an_interrupted_attempt_is_made_anew() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place, extendedResourceName=GPU)
        gated = wanting(1, schedulingGates=[{"name": "example.com/wait"}])
        pod = await place.create("Pod", "p", spec=gated)
        reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"], "controller": True}
        annotations = {"resource.kubernetes.io/extended-resource-claim": "true"}
        metadata = {"ownerReferences": [reference], "annotations": annotations}
        metadata["finalizers"] = ["resource.kubernetes.io/delete-protection"]  # type: ignore[assignment]
        await place.create("ResourceClaim", "old", metadata=metadata, spec={"devices": {"requests": [request()]}})
        await place.patch("Pod", "p", {"spec": {"schedulingGates": None}}, "merge")
        await place.gone("ResourceClaim", "old")
        told = "1 cannot schedule extended resource claim. deletion of ResourceClaim completed, preemption: "
        await place.until_listed("Event", lambda found: any(told in e["message"] for e in found))
        await publish(place, "fake-0", device("a"))
        await place.until("Pod", "p", lambda p: p["status"]["phase"] == "Running", 60)


async def test_nothing_is_left_of_a_claim_whose_device_does_not_get_ready() -> None:
    async with Place.open(nodes=1) as place:
        await gpu_class(place, extendedResourceName=GPU)
        slow = {"bindingConditions": ["attached"], "bindingFailureConditions": ["broken"]}
        await publish(place, "fake-0", {**device("a"), **slow})
        await place.create("Pod", "p", spec=wanting(1))
        (made,) = await place.until_listed("ResourceClaim", lambda found: found and found[0]["status"]["allocation"])
        await clock.sleep(610)
        await waiting(place, "p", 'running PreBind plugin "DynamicResources": device binding timeout')
        await place.gone("ResourceClaim", made["metadata"]["name"])
