"""Disruption budgets, evictions, taints that evict: what the conformance descriptions ask of them."""

from __future__ import annotations

from typing import Any

from pybernetes.aio import clock
from pybernetes.api.policy_v1 import Eviction
from pybernetes.machinery.meta import ObjectMeta

from .place import Place, Wire, condition, refused, template, workload

SELECTOR = {"matchLabels": {"app": "a"}}


async def evict(place: Place, pod: str) -> None:
    eviction = Eviction(metadata=ObjectMeta(name=pod, namespace=place.namespace))
    await place.of("Pod").create_subresource(pod, place.namespace, "eviction", eviction)


async def test_budget_api() -> None:
    async with Place.open(nodes=0) as place:
        await place.create("PodDisruptionBudget", "b", spec={"minAvailable": 1, "selector": SELECTOR})
        await place.until("PodDisruptionBudget", "b", lambda b: b["status"]["observedGeneration"] == 1)
        await place.change("PodDisruptionBudget", "b", lambda b: b["spec"].update(minAvailable="2%"))
        await place.patch("PodDisruptionBudget", "b", {"spec": {"minAvailable": "3%"}})
        found = await place.until("PodDisruptionBudget", "b", lambda b: b["status"]["observedGeneration"] == 3)
        assert found["spec"]["minAvailable"] == "3%"
        await place.delete("PodDisruptionBudget", "b")
        await place.gone("PodDisruptionBudget", "b")
        await place.collection("PodDisruptionBudget", lambda name: {"spec": {"minAvailable": 1, "selector": SELECTOR}})


async def test_budget_status() -> None:
    async with Place.open() as place:
        for name in ("p0", "p1", "p2"):
            await place.create("Pod", name, spec=template()["spec"], metadata={"labels": {"app": "a"}})
        await place.running(3)
        await place.create("PodDisruptionBudget", "b", spec={"minAvailable": 1, "selector": SELECTOR})

        def settled(b: Wire) -> bool:
            s = b["status"]
            return bool(
                (s["currentHealthy"], s["expectedPods"], s["disruptionsAllowed"], s["desiredHealthy"]) == (3, 3, 2, 1)
            )

        found = await place.until("PodDisruptionBudget", "b", settled)
        assert (condition(found, "DisruptionAllowed") or {})["status"] == "True"

        def disrupt(name: str) -> Any:
            return lambda b: b["status"].update(disruptedPods={name: clock.rfc3339()})

        changed = await place.change("PodDisruptionBudget", "b", disrupt("p0"), "status")
        assert "p0" in changed["status"]["disruptedPods"]
        body = {"status": {"disruptedPods": {"p1": clock.rfc3339()}}}
        changed = await place.patch("PodDisruptionBudget", "b", body, "merge", "status")
        assert "p1" in changed["status"]["disruptedPods"]


async def test_an_eviction_waits_for_the_budget() -> None:
    async with Place.open() as place:
        await place.create("Pod", "p", spec=template()["spec"], metadata={"labels": {"app": "a"}})
        await place.running(1)
        with refused(404):
            await evict(place, "nobody")
        await place.create("PodDisruptionBudget", "b", spec={"minAvailable": 2, "selector": SELECTOR})
        await place.until("PodDisruptionBudget", "b", lambda b: b["status"]["expectedPods"] == 1)
        with refused(429, "disruption budget") as caught:
            await evict(place, "p")
        causes = caught.value.status.details.causes
        assert causes[0].reason == "DisruptionBudget"
        await place.create("Pod", "q", spec=template()["spec"], metadata={"labels": {"app": "a"}})
        await place.running(2)
        await place.until("PodDisruptionBudget", "b", lambda b: b["status"]["currentHealthy"] == 2)
        with refused(429):
            await evict(place, "p")
        await place.patch("PodDisruptionBudget", "b", {"spec": {"minAvailable": 1}})
        await place.until("PodDisruptionBudget", "b", lambda b: b["status"]["disruptionsAllowed"] == 1)
        await evict(place, "p")
        await place.gone("Pod", "p")
        with refused(429):
            await evict(place, "q")
        await place.delete("PodDisruptionBudget", "b")
        await place.gone("PodDisruptionBudget", "b")
        await evict(place, "q")
        await place.gone("Pod", "q")


async def test_a_budget_in_percent_counts_what_the_controller_wants() -> None:
    async with Place.open() as place:
        await place.create("ReplicaSet", "r", spec=workload(replicas=10))
        await place.running(10)
        await place.create("PodDisruptionBudget", "b", spec={"minAvailable": "90%", "selector": SELECTOR})
        found = await place.until("PodDisruptionBudget", "b", lambda b: b["status"]["disruptionsAllowed"] == 1)
        assert found["status"]["desiredHealthy"] == 9
        (pod, *_) = await place.names("Pod")
        await evict(place, pod)
        await place.gone("Pod", pod)
        await place.until("PodDisruptionBudget", "b", lambda b: b["status"]["disruptionsAllowed"] == 1)


TAINT = {"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal", "effect": "NoExecute"}


def tolerating(seconds: int) -> Wire:
    toleration = {"key": TAINT["key"], "operator": "Equal", "value": TAINT["value"], "effect": "NoExecute"}
    spec = template(nodeName="fake-0", terminationGracePeriodSeconds=1)["spec"]
    return {**spec, "tolerations": [{**toleration, "tolerationSeconds": seconds}]}


async def test_taints_evict_in_time() -> None:
    async with Place.open() as place:
        await place.create("Pod", "short", spec=tolerating(5))
        await place.create("Pod", "long", spec=tolerating(75))
        await place.create("Pod", "none", spec=template(nodeName="fake-0")["spec"])
        await place.running(3)
        start = clock.monotonic()
        await place.change("Node", "fake-0", lambda n: n["spec"].update(taints=[TAINT]))
        await place.gone("Pod", "none", 5)
        await place.gone("Pod", "short", 20)
        assert 5 <= clock.monotonic() - start < 15
        await clock.sleep(55)
        await place.get("Pod", "long")
        await place.gone("Pod", "long", 30)
        assert 75 <= clock.monotonic() - start < 85


async def test_a_taint_removed_cancels() -> None:
    async with Place.open() as place:
        await place.create("Pod", "p", spec=tolerating(65))
        await place.running(1)
        await place.change("Node", "fake-0", lambda n: n["spec"].update(taints=[TAINT]))
        await clock.sleep(30)
        await place.change("Node", "fake-0", lambda n: n["spec"].pop("taints"))
        await clock.sleep(120)
        assert not (await place.get("Pod", "p"))["metadata"].get("deletionTimestamp")
