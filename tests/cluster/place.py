"""Words for whole-cluster tests: one namespace of a LocalCluster, and its objects in wire form.

async with Place.open(nodes=2) as place:
    await place.create("Deployment", "web", spec=workload(replicas=2))
    await place.until("Deployment", "web", lambda d: d["status"].get("readyReplicas") == 2)
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.client.client import Client, Resource
from pybernetes.machinery.errors import StatusError
from pybernetes.testing import LocalCluster

Wire = dict[str, Any]

VERSIONS = {
    "apps/v1": "Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision",
    "batch/v1": "Job CronJob",
    "policy/v1": "PodDisruptionBudget",
    "resource.k8s.io/v1": "DeviceClass ResourceSlice ResourceClaim ResourceClaimTemplate",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "coordination.k8s.io/v1": "Lease",
    "node.k8s.io/v1": "RuntimeClass",
    "certificates.k8s.io/v1": "CertificateSigningRequest",
    "discovery.k8s.io/v1": "EndpointSlice",
    "networking.k8s.io/v1": "Ingress",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition",
    "storage.k8s.io/v1": "StorageClass VolumeAttachment CSIDriver",
    "admissionregistration.k8s.io/v1": "ValidatingAdmissionPolicy",
}
VERSION_OF = {kind: version for version, kinds in VERSIONS.items() for kind in kinds.split()}
CLUSTER_WIDE = {
    "Namespace", "Node", "PersistentVolume", "RuntimeClass", "CertificateSigningRequest", "CustomResourceDefinition",
    "StorageClass", "VolumeAttachment", "CSIDriver", "DeviceClass", "ResourceSlice", "ValidatingAdmissionPolicy",
}  # fmt: skip


def container(image: str = "web:1", **more: Any) -> Wire:
    return {"name": "c", "image": image, **more}


def template(image: str = "web:1", app: str = "a", **spec: Any) -> Wire:
    """A Pod template with label `app`."""
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container(image)], **spec}}


def workload(image: str = "web:1", app: str = "a", **spec: Any) -> Wire:
    """The spec of a Deployment, ReplicaSet, StatefulSet or DaemonSet."""
    return {"selector": {"matchLabels": {"app": app}}, "template": template(image, app), **spec}


def condition(obj: Wire, type_: str) -> Wire | None:
    """The condition of that type in the status."""
    found = (obj.get("status") or {}).get("conditions") or []
    return next((one for one in found if one["type"] == type_), None)


def owner(obj: Wire) -> Wire | None:
    """The controlling owner reference."""
    references = obj["metadata"].get("ownerReferences") or []
    return next((one for one in references if one.get("controller")), None)


class Place:
    """One namespace of a running cluster."""

    def __init__(self, cluster: LocalCluster, client: Client, namespace: str) -> None:
        self.cluster, self.client, self.namespace = cluster, client, namespace

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, nodes: int = 1, **options: Any) -> AsyncIterator[Place]:
        """A fresh cluster and namespace `here`, with its ServiceAccount."""
        async with LocalCluster(nodes=nodes, **options) as cluster:
            place = cls(cluster, cluster.client, "here")
            await place.create("Namespace", "here")
            await place.until("ServiceAccount", "default", lambda account: True)
            yield place

    def of(self, kind: str) -> Resource[Wire]:
        return self.client.dynamic(VERSION_OF.get(kind, "v1"), kind)

    def where(self, kind: str) -> str:
        return "" if kind in CLUSTER_WIDE else self.namespace

    async def create(self, kind: str, name: str, *, dry_run: bool = False, **body: Any) -> Wire:
        """`metadata` in the body is merged with the name."""
        metadata: Wire = {"name": name, **body.pop("metadata", {})}
        if self.where(kind):
            metadata.setdefault("namespace", self.namespace)
        obj = {"apiVersion": VERSION_OF.get(kind, "v1"), "kind": kind, "metadata": metadata, **body}
        return await self.of(kind).create(obj, dry_run=dry_run)

    async def get(self, kind: str, name: str) -> Wire:
        return await self.of(kind).get(name, self.where(kind))

    async def list(self, kind: str, selector: str = "", *, everywhere: bool = False, fields: str = "") -> list[Wire]:
        namespace = "" if everywhere else self.where(kind)
        return list((await self.of(kind).list(namespace, label_selector=selector, field_selector=fields)).items)

    async def names(self, kind: str, selector: str = "") -> set[str]:
        return {one["metadata"]["name"] for one in await self.list(kind, selector)}

    async def patch(self, kind: str, name: str, body: Any, type_: Any = "strategic", subresource: str = "") -> Wire:
        return await self.of(kind).patch(name, self.where(kind), body, type=type_, subresource=subresource)

    async def change(self, kind: str, name: str, edit: Callable[[Wire], None], subresource: str = "") -> Wire:
        """Read, edit, replace; again after a conflict."""
        for _ in range(20):
            obj = await self.get(kind, name)
            edit(obj)
            try:
                return await self.of(kind).update(obj, subresource)
            except StatusError as error:
                if error.code != 409:
                    raise
        raise AssertionError("always a conflict")

    async def delete(self, kind: str, name: str, **options: Any) -> None:
        await self.of(kind).delete(name, self.where(kind), **options)

    async def until(self, kind: str, name: str, good: Callable[[Wire], Any], seconds: float = 120) -> Wire:
        """The object once it is as wanted."""
        last: Wire | None = None
        for _ in range(int(seconds * 4)):
            try:
                last = await self.get(kind, name)
                if good(last):
                    return last
            except StatusError as error:
                if error.code != 404:
                    raise
            except KeyError:
                pass
            await clock.sleep(0.25)
        raise AssertionError(f"{kind} {name} is not as wanted: {(last or {}).get('status', last)}")

    async def until_ok(self, ask: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
        """The first answer that is no refusal."""
        for _ in range(int(seconds * 4)):
            with contextlib.suppress(StatusError):
                return await ask()
            await clock.sleep(0.25)
        return await ask()

    async def gone(self, kind: str, name: str, seconds: float = 120) -> None:
        for _ in range(int(seconds * 4)):
            try:
                await self.get(kind, name)
            except StatusError as error:
                if error.code == 404:
                    return
                raise
            await clock.sleep(0.25)
        raise AssertionError(f"{kind} {name} is still there: {await self.get(kind, name)}")

    async def until_listed(
        self, kind: str, good: Callable[[list[Wire]], Any], selector: str = "", seconds: float = 120
    ) -> list[Wire]:
        found: list[Wire] = []
        for _ in range(int(seconds * 4)):
            found = await self.list(kind, selector)
            with contextlib.suppress(KeyError):
                if good(found):
                    return found
            await clock.sleep(0.25)
        raise AssertionError([(one["metadata"]["name"], one.get("status")) for one in found])

    async def running(self, count: int, selector: str = "") -> list[Wire]:
        """That many Pods, all Running, and no other."""
        return await self.until_listed(
            "Pod",
            lambda pods: (
                len(pods) == count
                and all(
                    p["status"].get("phase") == "Running" and not p["metadata"].get("deletionTimestamp") for p in pods
                )
            ),
            selector,
        )

    async def lose_node(self, name: str) -> None:
        """The node falls silent, and is found out."""
        fakes = self.cluster.control_plane.fakes
        assert fakes is not None
        await fakes.remove(name)
        await self.until("Node", name, lambda n: (condition(n, "Ready") or {})["status"] == "Unknown")

    async def events_of(self, kind: str, version: str, act: Callable[[], Awaitable[Any]]) -> list[tuple[str, Wire]]:
        """What a watch from `version` on shows after `act`, up to then."""
        await act()
        await clock.sleep(1)
        seen: list[tuple[str, Wire]] = []
        stream = await self.of(kind).watch_batches(self.where(kind), resource_version=version, timeout=2)
        async with stream:
            async for batch in stream:
                seen += [(type_, obj) for type_, obj in batch if type_ != "BOOKMARK"]
        return seen

    async def scale(self, kind: str, name: str, replicas: int) -> Wire:
        """PATCH of the scale subresource."""
        return await self.patch(kind, name, {"spec": {"replicas": replicas}}, "merge", "scale")

    async def status_endpoints(self, kind: str, name: str) -> None:
        """Read, update and patch the status; both stay visible."""

        def add(obj: Wire) -> None:
            new = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from a test"}
            obj["status"].setdefault("conditions", []).append(new)

        assert (await self.of(kind).get_subresource(name, self.where(kind), "status")) is not None
        updated = await self.change(kind, name, add, "status")
        assert condition(updated, "StatusUpdate")
        body = {
            "metadata": {"annotations": {"patched": "yes"}},
            "status": {"conditions": [{"type": "StatusPatched", "status": "True"}]},
        }
        patched = await self.patch(kind, name, body, "merge", "status")
        assert condition(patched, "StatusPatched")
        assert patched["metadata"]["annotations"]["patched"] == "yes"
        assert (await self.get(kind, name))["metadata"]["annotations"]["patched"] == "yes"

    async def status_endpoints_plain(self, kind: str, name: str, status: Wire) -> None:
        """As `status_endpoints`, for a status without conditions."""
        patched = await self.patch(
            kind, name, {"metadata": {"annotations": {"p": "1"}}, "status": status}, "merge", "status"
        )
        assert {key: patched["status"].get(key) for key in status} == status
        assert patched["metadata"]["annotations"]["p"] == "1"
        again = await self.change(kind, name, lambda obj: obj["status"].update(status), "status")
        assert {key: again["status"].get(key) for key in status} == status
        assert await self.of(kind).get_subresource(name, self.where(kind), "status")

    async def collection(self, kind: str, make: Callable[[str], Wire], count: int = 3) -> None:
        """Create some with a label, list, patch one, watch, delete one, delete the rest as a collection."""
        before = (await self.of(kind).list(self.where(kind))).resource_version
        for i in range(count):
            body = make(f"c{i}")
            await self.create(kind, f"c{i}", **{**body, "metadata": {"labels": {"group": "test"}}})
        assert len(await self.list(kind, "group=test", everywhere=True)) == count
        await self.patch(kind, "c0", {"metadata": {"labels": {"patched": "yes"}}})
        assert await self.names(kind, "patched=yes") == {"c0"}

        async def end() -> None:
            await self.of(kind).delete_collection(self.where(kind), label_selector="group=test")
            await self.until_listed(kind, lambda found: not found, "group=test")

        seen = await self.events_of(kind, before, end)
        of_first = [type_ for type_, obj in seen if obj["metadata"]["name"] == "c0"]
        assert (of_first[0], of_first[-1]) == ("ADDED", "DELETED")
        assert "MODIFIED" in of_first


@contextlib.contextmanager
def refused(code: int, text: str = ".") -> Any:
    """The API refuses with this code."""
    with pytest.raises(StatusError, match=text) as caught:
        yield caught
    assert caught.value.code == code, caught.value
