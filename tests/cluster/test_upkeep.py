"""Garbage collection, namespaces, quotas, limits: what the conformance descriptions ask of them."""

from __future__ import annotations

from typing import Any

from pybernetes.aio import clock

from .place import Place, Wire, condition, refused, template, workload


async def test_owned_objects_go_or_stay() -> None:
    """Background and orphan deletion of a Deployment and a ReplicationController."""
    async with Place.open(nodes=0) as place:
        await place.create("Deployment", "d", spec=workload(replicas=2))
        await place.until_listed("Pod", lambda pods: len(pods) == 2)
        await place.delete("Deployment", "d", propagation="Background")
        for kind in ("ReplicaSet", "Pod"):
            await place.until_listed(kind, lambda found: not found)

        await place.create("Deployment", "d", spec=workload(replicas=2))
        (owned,) = await place.until_listed("ReplicaSet", lambda found: len(found) == 1)
        await place.delete("Deployment", "d", propagation="Orphan")
        await place.gone("Deployment", "d")
        await clock.sleep(30)
        left = await place.get("ReplicaSet", owned["metadata"]["name"])
        assert not left["metadata"].get("ownerReferences")
        await place.delete("ReplicaSet", owned["metadata"]["name"])
        await place.until_listed("Pod", lambda found: not found)

        await place.create("ReplicationController", "rc", spec={"replicas": 10, "template": template()})
        await place.until_listed("Pod", lambda pods: len(pods) == 10)
        await place.delete("ReplicationController", "rc", propagation="Background")
        await place.until_listed("Pod", lambda found: not found)
        await place.create("ReplicationController", "rc", spec={"replicas": 20, "template": template()})
        await place.until_listed("Pod", lambda pods: len(pods) == 20)
        await place.delete("ReplicationController", "rc", propagation="Orphan")
        await place.gone("ReplicationController", "rc")
        await clock.sleep(30)
        assert len(await place.list("Pod")) == 20


async def test_foreground_deletion_and_two_owners() -> None:
    async with Place.open(nodes=1) as place:
        await place.create("ReplicationController", "rc", spec={"replicas": 10, "template": template()})
        await place.running(10)
        await place.delete("ReplicationController", "rc", propagation="Foreground")
        found = await place.get("ReplicationController", "rc")
        assert "foregroundDeletion" in found["metadata"]["finalizers"]
        await place.gone("ReplicationController", "rc")
        assert not await place.list("Pod")

        dying = await place.create("ReplicationController", "dying", spec={"replicas": 6, "template": template()})
        spec = {"replicas": 0, "selector": {"x": "y"}, "template": template()}
        spec["template"]["metadata"]["labels"] = {"x": "y"}  # type: ignore[index]
        staying = await place.create("ReplicationController", "staying", spec=spec)
        pods = await place.running(6)
        reference = {"apiVersion": "v1", "kind": "ReplicationController", "name": "staying"}
        reference["uid"] = staying["metadata"]["uid"]
        body = {"metadata": {"ownerReferences": [reference]}}
        for pod in pods[:3]:
            await place.patch("Pod", pod["metadata"]["name"], body)
        await place.delete("ReplicationController", "dying", propagation="Foreground", uid=dying["metadata"]["uid"])
        await place.gone("ReplicationController", "dying")
        left = await place.list("Pod")
        assert {p["metadata"]["name"] for p in left} == {p["metadata"]["name"] for p in pods[:3]}
        assert all([o["name"] for o in p["metadata"]["ownerReferences"]] == ["staying"] for p in left)
        assert not any(p["metadata"].get("deletionTimestamp") for p in left)


async def test_a_circle_of_owners() -> None:
    async with Place.open(nodes=0) as place:
        uids = {}
        for name in ("p1", "p2", "p3"):
            pod = await place.create("Pod", name, spec=template()["spec"])
            uids[name] = pod["metadata"]["uid"]
        for name, of in (("p1", "p3"), ("p2", "p1"), ("p3", "p2")):
            reference = {"apiVersion": "v1", "kind": "Pod", "name": of, "uid": uids[of]}
            reference |= {"controller": True, "blockOwnerDeletion": True}  # type: ignore[dict-item]
            await place.patch("Pod", name, {"metadata": {"ownerReferences": [reference]}})
        await place.delete("Pod", "p1", propagation="Foreground")
        await place.until_listed("Pod", lambda pods: not pods)


async def test_namespace_api() -> None:
    async with Place.open(nodes=0) as place:
        await place.create("Namespace", "n")
        await place.patch("Namespace", "n", {"metadata": {"labels": {"testLabel": "testValue"}}})
        assert (await place.get("Namespace", "n"))["metadata"]["labels"]["testLabel"] == "testValue"
        await place.change("Namespace", "n", lambda n: n["metadata"]["labels"].update(n="updated"))
        assert (await place.get("Namespace", "n"))["metadata"]["labels"]["kubernetes.io/metadata.name"] == "n"
        body = {"metadata": {"annotations": {"e2e": "p"}}, "status": {"conditions": [{"type": "P", "status": "True"}]}}
        patched = await place.patch("Namespace", "n", body, "merge", "status")
        assert condition(patched, "P")
        assert patched["metadata"]["annotations"]["e2e"] == "p"
        new = {"type": "U", "status": "True", "reason": "E2E"}
        updated = await place.change("Namespace", "n", lambda n: n["status"]["conditions"].append(new), "status")
        assert condition(updated, "U")

        finalizer = "e2e.example.com/fake"
        changed = await place.change(
            "Namespace", "n", lambda n: n["spec"].update(finalizers=[*n["spec"]["finalizers"], finalizer]), "finalize"
        )
        assert changed["spec"]["finalizers"] == ["kubernetes", finalizer]
        changed = await place.change(
            "Namespace", "n", lambda n: n["spec"].update(finalizers=["kubernetes"]), "finalize"
        )
        await place.delete("Namespace", "n")
        await place.gone("Namespace", "n")


async def test_namespace_deletion_takes_pods_first() -> None:
    async with Place.open(nodes=1) as place:
        for _ in range(2):  # the name is free again afterwards
            await place.create("Namespace", "n")
            inside = Place(place.cluster, place.client, "n")
            await inside.until("ServiceAccount", "default", lambda a: True)
            await inside.create("Service", "s", spec={"ports": [{"port": 80}], "selector": {"a": "b"}})
            await inside.create("Pod", "p", spec=template()["spec"])
            await inside.running(1)
            await place.delete("Namespace", "n")
            await place.gone("Namespace", "n")
            assert not await inside.list("Service")
            assert not await inside.list("Pod")

        await place.create("Namespace", "n")
        inside = Place(place.cluster, place.client, "n")
        await inside.until("ServiceAccount", "default", lambda a: True)
        await inside.create("ConfigMap", "cm", data={"k": "v"})
        held = {"finalizers": ["e2e.example.com/hold"]}
        await inside.create("Pod", "p", spec=template()["spec"], metadata=held)
        await inside.running(1)
        await place.delete("Namespace", "n")
        found = await place.until("Namespace", "n", lambda n: condition(n, "NamespaceDeletionContentFailure"))
        assert found["status"]["phase"] == "Terminating"
        await clock.sleep(30)
        assert (await inside.get("Pod", "p"))["metadata"]["deletionTimestamp"]
        assert await inside.get("ConfigMap", "cm")
        with refused(403, "because it is being terminated"):
            await inside.create("ConfigMap", "late")
        await inside.patch("Pod", "p", {"metadata": {"finalizers": None}}, "merge")
        await place.gone("Namespace", "n")


HARD = {
    "pods": "5", "services": "10", "services.nodeports": "1", "services.loadbalancers": "1",
    "replicationcontrollers": "10", "resourcequotas": "1", "cpu": "1", "memory": "500Mi", "configmaps": "10",
    "secrets": "10", "persistentvolumeclaims": "10", "requests.storage": "10Gi", "ephemeral-storage": "50Gi",
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "10", "count/replicasets.apps": "5",
    "gold.storageclass.storage.k8s.io/requests.storage": "10Gi", "requests.example.com/dongle": "3",
}  # fmt: skip


async def used(place: Place, name: str = "q", **expected: str) -> None:
    """Wait until the quota says so; `__` is `/` and `_` is `.`."""
    wanted = {key.replace("__", "/").replace("_", "."): value for key, value in expected.items()}
    await place.until("ResourceQuota", name, lambda q: all(q["status"]["used"][k] == v for k, v in wanted.items()), 60)


def resources(requests: Wire, limits: Wire | None = None) -> Wire:
    container = {"name": "c", "image": "i", "resources": {"requests": requests, "limits": limits or {}}}
    return {"containers": [container]}


async def test_quota_counts_objects() -> None:
    async with Place.open(nodes=0) as place:
        await place.create("ResourceQuota", "q", spec={"hard": HARD})
        await used(place, resourcequotas="1", configmaps="1", secrets="0")
        ports = {"ports": [{"port": 80, "targetPort": 80}]}
        await place.create("Service", "s", spec=ports)
        await place.create("Service", "np", spec={**ports, "type": "NodePort"})
        with refused(403, "exceeded quota"):
            await place.create("Service", "lb", spec={**ports, "type": "LoadBalancer"})
        await used(place, services="2", services_nodeports="1", resourcequotas="1")
        await place.create("Secret", "s", data={"k": "dmFsdWU="})
        await place.create("ConfigMap", "c", data={"k": "v"})
        await place.create("ReplicationController", "rc", spec={"replicas": 0, "template": template()})
        await place.create("ReplicaSet", "rs", spec=workload(replicas=0))
        await used(place, secrets="1", configmaps="2", replicationcontrollers="1", count__replicasets_apps="1")
        await place.delete("Service", "s")
        await place.delete("Service", "np")
        await place.delete("Secret", "s")
        await place.delete("ConfigMap", "c")
        await place.delete("ReplicationController", "rc")
        await place.delete("ReplicaSet", "rs")
        await used(place, services="0", services_nodeports="0", secrets="0", configmaps="1")
        await used(place, replicationcontrollers="0", count__replicasets_apps="0")


async def test_quota_of_a_pod() -> None:
    async with Place.open(nodes=0) as place:
        await place.create("ResourceQuota", "q", spec={"hard": HARD})
        await used(place, resourcequotas="1")
        dongle = {"example.com/dongle": "2"}
        requests = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", **dongle}
        await place.create("Pod", "p", spec=resources(requests, dongle))
        counted: dict[str, Any] = {"pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi"}
        await used(place, **counted, requests_example_com__dongle="2")
        with refused(403, "exceeded quota"):
            await place.create("Pod", "q", spec=resources({"cpu": "600m", "memory": "100Mi"}))
        with refused(403, "requests.example.com/dongle"):
            much = {"cpu": "500m", "memory": "100Mi", "ephemeral-storage": "20Gi", **dongle}
            await place.create("Pod", "q", spec=resources(much, dongle))
        with refused(422):
            smaller = resources({"cpu": "100m", "memory": "100Mi", "ephemeral-storage": "10Gi"})
            await place.change("Pod", "p", lambda p: p["spec"]["containers"][0].update(smaller["containers"][0]))
        await used(place, **counted)
        await place.delete("Pod", "p", grace_period=0)
        await used(place, pods="0", cpu="0", memory="0", requests_example_com__dongle="0")


async def test_quota_scopes() -> None:
    async with Place.open(nodes=0) as place:
        for scope in ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort"):
            await place.create("ResourceQuota", scope.lower(), spec={"hard": {"pods": "5"}, "scopes": [scope]})
            await used(place, scope.lower(), pods="0")

        async def counts(*names: str) -> None:
            for name in ("terminating", "notterminating", "besteffort", "notbesteffort"):
                await used(place, name, pods="1" if name in names else "0")

        await place.create("Pod", "p", spec={"containers": [{"name": "c", "image": "i"}]})
        await counts("notterminating", "besteffort")
        await place.patch("Pod", "p", {"spec": {"activeDeadlineSeconds": 3600}})
        await counts("terminating", "besteffort")
        await place.delete("Pod", "p", grace_period=0)
        await counts()
        spec = resources({"cpu": "500m"}, {"cpu": "1"}) | {"activeDeadlineSeconds": 3600}
        await place.create("Pod", "p", spec=spec)
        await counts("terminating", "notbesteffort")
        await place.delete("Pod", "p", grace_period=0)
        await counts()


async def test_quota_of_volume_attributes_classes() -> None:
    """A claim counts for the class that it has and for the one that it asks for."""
    async with Place.open(nodes=0) as place:
        hard = {"requests.storage": "5Gi", "persistentvolumeclaims": "1"}
        for name in ("gold", "silver"):
            chosen = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": [name]}
            spec = {"hard": hard, "scopeSelector": {"matchExpressions": [chosen]}}
            await place.create("ResourceQuota", name, spec=spec)
            await used(place, name, persistentvolumeclaims="0")
        claim = {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "sc", "volumeAttributesClassName": "gold",
            "resources": {"requests": {"storage": "1Gi"}},
        }  # fmt: skip
        await place.create("PersistentVolumeClaim", "c", spec=claim)
        await used(place, "gold", persistentvolumeclaims="1", requests_storage="1Gi")
        with refused(403, "exceeded quota: gold"):
            await place.create("PersistentVolumeClaim", "d", spec=claim)
        csi = {"driver": "d.example.com", "volumeHandle": "h"}
        volume = {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": csi, "storageClassName": "sc",
            "volumeAttributesClassName": "gold",
        }  # fmt: skip
        await place.create("PersistentVolume", "v", spec=volume)
        await place.until("PersistentVolumeClaim", "c", lambda c: c["status"]["phase"] == "Bound")
        await place.change("PersistentVolumeClaim", "c", lambda c: c["spec"].update(volumeAttributesClassName="silver"))
        await used(place, "silver", persistentvolumeclaims="1", requests_storage="1Gi")
        await used(place, "gold", persistentvolumeclaims="1", requests_storage="1Gi")


async def test_quota_of_devices() -> None:
    """By class, with what alternatives come to at most; Pods may ask for the same by a name."""
    one, all_ = "gpu.deviceclass.resource.k8s.io/devices", "nic.deviceclass.resource.k8s.io/devices"
    named, count = "requests.deviceclass.resource.kubernetes.io/gpu", "count/resourceclaims.resource.k8s.io"

    def claim(*requests: Wire) -> Wire:
        return {"devices": {"requests": [*requests]}}

    exactly = {"name": "a", "exactly": {"deviceClassName": "gpu", "count": 2}}
    any_of = [{"name": "x", "deviceClassName": "gpu", "count": 3}, {"name": "y", "deviceClassName": "gpu", "count": 1}]
    async with Place.open(nodes=0) as place:
        hard = {one: "6", all_: "64", named: "6", count: "5"}
        await place.create("ResourceQuota", "q", spec={"hard": hard})
        await place.until("ResourceQuota", "q", lambda q: q["status"]["used"] == dict.fromkeys(hard, "0"))
        await place.create("ResourceClaim", "c", spec=claim(exactly, {"name": "b", "firstAvailable": any_of}))
        every = {"name": "a", "exactly": {"deviceClassName": "nic", "allocationMode": "All"}}
        await place.create("ResourceClaim", "d", spec=claim(every))
        expected = {one: "5", all_: "32", named: "5", count: "2"}
        await place.until("ResourceQuota", "q", lambda q: q["status"]["used"] == expected)
        with refused(403, f"exceeded quota: q, requested: {one}=2,{named}=2, used: {one}=5,{named}=5"):
            await place.create("ResourceClaim", "e", spec=claim(exactly))
        wanted = {named.removeprefix("requests."): "1"}
        await place.create("Pod", "p", spec=resources(wanted, wanted))
        await place.until("ResourceQuota", "q", lambda q: q["status"]["used"] == {**expected, named: "6"})
        await place.delete("ResourceClaim", "c")
        await place.until(
            "ResourceQuota", "q", lambda q: q["status"]["used"][one] == "0" and q["status"]["used"][named] == "1"
        )


async def test_quota_of_devices_that_have_another_name() -> None:
    """A claim counts by the extended resource of the class as well; one that was made for a Pod that asked by one of
    the names does not count by that again."""
    explicit, implicit = "requests.example.com/gpu", "requests.deviceclass.resource.kubernetes.io/gpu"
    async with Place.open(nodes=1) as place:
        await place.create("DeviceClass", "gpu", spec={"extendedResourceName": "example.com/gpu"})
        devices = [{"name": f"d{i}"} for i in range(3)]
        pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
        sliced = {"driver": "gpu.example.com", "pool": pool, "nodeName": "fake-0", "devices": devices}
        await place.create("ResourceSlice", "s", spec=sliced)
        hard = {explicit: "3", implicit: "3"}
        await place.create("ResourceQuota", "q", spec={"hard": hard})
        await place.until("ResourceQuota", "q", lambda q: q["status"]["used"] == dict.fromkeys(hard, "0"))
        request = {"name": "a", "exactly": {"deviceClassName": "gpu", "count": 1}}
        await place.create("ResourceClaim", "c", spec={"devices": {"requests": [request]}})
        await place.until("ResourceQuota", "q", lambda q: q["status"]["used"] == dict.fromkeys(hard, "1"))
        wanted = {"example.com/gpu": "1"}
        await place.create("Pod", "p", spec=resources(wanted, wanted))
        await place.until("Pod", "p", lambda p: p["status"].get("extendedResourceClaimStatus"))
        await place.until("ResourceQuota", "q", lambda q: q["status"]["used"] == dict.fromkeys(hard, "2"))
        more = {**request, "exactly": {"deviceClassName": "gpu", "count": 2}}
        with refused(403, f"exceeded quota: q, requested: {implicit}=2,{explicit}=2"):
            await place.create("ResourceClaim", "d", spec={"devices": {"requests": [more]}})


async def test_quota_of_custom_resources() -> None:
    """The definition may come after the quota, and go, and come again."""
    names = {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"}
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}

    async with Place.open(nodes=0) as place:
        await place.create("ResourceQuota", "q", spec={"hard": {"count/foos.example.com": "1", "secrets": "5"}})
        await used(place, secrets="0")
        await place.create("Secret", "s")
        await used(place, secrets="1")
        for _ in range(2):
            await place.create("CustomResourceDefinition", "foos.example.com", spec=spec)
            await used(place, count__foos_example_com="0", secrets="1")
            foos = place.client.dynamic("example.com/v1", "Foo")
            body = {"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a", "namespace": "here"}}
            await place.until_ok(lambda: foos.create(body))  # noqa: B023
            await used(place, count__foos_example_com="1")
            with refused(403, "exceeded quota: q"):
                await foos.create({**body, "metadata": {"name": "b", "namespace": "here"}})
            await foos.delete("a", "here")
            await used(place, count__foos_example_com="0")
            await place.delete("CustomResourceDefinition", "foos.example.com")
            await place.gone("CustomResourceDefinition", "foos.example.com")


async def test_quota_api_and_status() -> None:
    async with Place.open(nodes=0) as place:
        await place.create("ResourceQuota", "q", spec={"hard": {"cpu": "1", "memory": "500Mi"}})
        await used(place, cpu="0", memory="0")
        await place.change("ResourceQuota", "q", lambda q: q["spec"]["hard"].update(cpu="2"))
        await place.until("ResourceQuota", "q", lambda q: q["status"]["hard"] == {"cpu": "2", "memory": "500Mi"})
        await place.delete("ResourceQuota", "q")
        await place.gone("ResourceQuota", "q")

        await place.create("ResourceQuota", "q", spec={"hard": {"cpu": "500m", "memory": "500Mi"}})
        await used(place, cpu="0")
        other = {"cpu": "400m", "memory": "400Mi"}
        await place.change("ResourceQuota", "q", lambda q: q["status"].update(hard=other), "status")
        await clock.sleep(10)
        assert (await place.get("ResourceQuota", "q"))["status"]["hard"] == other  # only the resync sets it back
        body = {"metadata": {"annotations": {"a": "b"}}, "status": {"hard": {"cpu": "300m"}}}
        await place.patch("ResourceQuota", "q", body, "merge", "status")
        assert (await place.get("ResourceQuota", "q"))["status"]["hard"] == {"cpu": "300m", "memory": "400Mi"}
        await place.until("ResourceQuota", "q", lambda q: q["status"]["hard"] == q["spec"]["hard"], 360)
        await place.delete("ResourceQuota", "q")
        await place.collection("ResourceQuota", lambda name: {"spec": {"hard": {"cpu": "1"}}})


def limits(lowest: str = "50m") -> Wire:
    one = {
        "type": "Container",
        "min": {"cpu": lowest, "memory": "100Mi", "ephemeral-storage": "100Gi"},
        "max": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
        "default": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
        "defaultRequest": {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"},
    }
    return {"limits": [one]}


async def test_limit_range() -> None:
    async with Place.open(nodes=0) as place:
        await place.create("LimitRange", "l", spec=limits())
        pod = await place.create("Pod", "plain", spec={"containers": [{"name": "c", "image": "i"}]})
        assert pod["spec"]["containers"][0]["resources"] == {
            "limits": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
            "requests": {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"},
        }
        some = {"cpu": "300m", "memory": "150Mi", "ephemeral-storage": "150Gi"}
        pod = await place.create("Pod", "some", spec=resources(some, {"cpu": "300m"}))
        assert pod["spec"]["containers"][0]["resources"]["requests"] == some
        assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "500Mi"
        with refused(403, "minimum cpu usage per Container is 50m, but request is 10m"):
            await place.create("Pod", "little", spec=resources({"cpu": "10m", "memory": "50Mi"}))
        with refused(403, "maximum cpu usage per Container is 500m, but limit is 600m"):
            await place.create("Pod", "much", spec=resources({}, {"cpu": "600m"}))
        await place.change("LimitRange", "l", lambda o: o["spec"].update(limits("9m")))
        await place.create("Pod", "little", spec=resources({"cpu": "10m", "memory": "150Mi"}))
        await place.delete("LimitRange", "l")
        await place.gone("LimitRange", "l")
        await place.create("Pod", "free", spec=resources({}, {"cpu": "600m"}))
        await place.collection("LimitRange", lambda name: {"spec": limits()})
