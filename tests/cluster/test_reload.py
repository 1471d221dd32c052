"""`pybernetes.io/reload`: Pods are replaced when what they read changes, and only then."""

from __future__ import annotations

import pytest

from pybernetes.aio import clock

from .place import Place, Wire, workload

ASK = {"annotations": {"pybernetes.io/reload": "true"}}


def reading(kind: str) -> Wire:
    replicas = {} if kind == "DaemonSet" else {"replicas": 1}
    spec = workload(**replicas)
    container = spec["template"]["spec"]["containers"][0]
    container["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    container["env"] = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k", "optional": True}}}]
    return spec


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
async def test_pods_roll_when_content_changes(kind: str) -> None:
    async with Place.open() as place:

        async def pod() -> str:
            await clock.sleep(60)
            return str((await place.running(1))[0]["metadata"]["uid"])

        await place.create("ConfigMap", "settings", data={"a": "1"})
        await place.create(kind, "w", spec=reading(kind), metadata=ASK)
        first = await pod()
        await place.patch("ConfigMap", "settings", {"metadata": {"labels": {"not": "content"}}})
        assert await pod() == first
        await place.patch("ConfigMap", "settings", {"data": {"a": "2"}})
        second = await pod()
        assert second != first
        await place.create("Secret", "key", data={"k": "dg=="})
        third = await pod()
        assert third != second
        await place.delete("ConfigMap", "settings")  # required: Pods without it could not start
        assert await pod() == third
        await place.create("ConfigMap", "settings", data={"a": "2"})
        assert await pod() == third


async def test_nobody_else_rolls() -> None:
    async with Place.open() as place:
        await place.create("ConfigMap", "settings", data={"a": "1"})
        await place.create("Deployment", "w", spec=reading("Deployment"))
        (before,) = await place.running(1)
        await place.patch("ConfigMap", "settings", {"data": {"a": "2"}})
        await clock.sleep(60)
        (after,) = await place.running(1)
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
