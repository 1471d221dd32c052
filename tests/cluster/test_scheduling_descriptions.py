"""Scheduling and preemption as the conformance descriptions tell it, step by step."""

from __future__ import annotations

from collections import Counter

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import Pod
from pybernetes.client.informer import Informer

from .place import Place, Wire, condition, container, refused, template

FAKE = "example.com/fakecpu"


async def offer(place: Place, node: str, amount: str) -> None:
    """Capacity alone: what can be had of it is the node's to say."""
    await place.patch("Node", node, {"status": {"capacity": {FAKE: amount}}}, "strategic", "status")
    await place.until("Node", node, lambda n: n["status"]["allocatable"].get(FAKE) == n["status"]["capacity"][FAKE])


def asking(amount: str, priority: str, app: str, **spec: object) -> Wire:
    made = template(app=app, priorityClassName=priority, nodeSelector={"kubernetes.io/hostname": "fake-0"}, **spec)
    made["spec"]["containers"] = [container(resources={"requests": {FAKE: amount}, "limits": {FAKE: amount}})]
    return made


async def priorities(place: Place, count: int) -> None:
    for value in range(1, count + 1):
        body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": value}
        await place.client.dynamic("scheduling.k8s.io/v1", "PriorityClass").create(
            {**body, "metadata": {"name": f"p{value}"}}
        )


async def test_replicasets_are_preempted_once() -> None:
    async with Place.open(nodes=2) as place, Nursery("test") as nursery:
        await offer(place, "fake-0", "1000")
        await priorities(place, 4)
        seen: Counter[str] = Counter()
        pods: Informer[Pod] = Informer(place.client.resource(Pod))
        pods.on(added=lambda pod: seen.update([(pod.metadata.labels or {}).get("app", "")]))
        nursery.start(pods.run(), "pods")
        for i, amount in enumerate(("200", "300", "450"), 1):
            spec = {"replicas": 1, "selector": {"matchLabels": {"app": f"pod{i}"}}}
            spec["template"] = asking(amount, f"p{i}", f"pod{i}")
            await place.create("ReplicaSet", f"rs-pod{i}", spec=spec)
            await place.until("ReplicaSet", f"rs-pod{i}", lambda r: r["status"].get("availableReplicas") == 1)
        await place.create("Pod", "pod4", spec=asking("500", "p4", "pod4")["spec"])
        await place.until("Pod", "pod4", lambda p: p["spec"].get("nodeName"))
        await clock.sleep(60)
        assert {app: seen[app] for app in ("pod1", "pod2", "pod3")} == {"pod1": 2, "pod2": 2, "pod3": 1}


async def test_the_victim_with_a_finalizer_says_why_it_goes() -> None:
    async with Place.open(nodes=1) as place:
        await offer(place, "fake-0", "1")
        await priorities(place, 2)
        keep = {"finalizers": ["example.com/test-finalizer"]}
        await place.create("Pod", "victim", spec=asking("1", "p1", "a")["spec"], metadata=keep)
        await place.until("Pod", "victim", lambda p: p["status"]["phase"] == "Running")
        await place.create("Pod", "preemptor", spec=asking("1", "p2", "a")["spec"])
        victim = await place.until("Pod", "victim", lambda p: p["metadata"].get("deletionTimestamp"))
        disrupted = condition(victim, "DisruptionTarget") or {}
        assert (disrupted["status"], disrupted["reason"]) == ("True", "PreemptionByScheduler")
        await place.patch("Pod", "victim", {"metadata": {"finalizers": None}}, "merge")
        await place.until("Pod", "preemptor", lambda p: p["status"]["phase"] == "Running")


async def test_a_critical_pod_of_the_system_pushes_out_the_lowest() -> None:
    async with Place.open(nodes=2) as place:
        await priorities(place, 2)
        for name, priority in (("fake-0", "p1"), ("fake-1", "p2")):
            await offer(place, name, "5")
            spec = asking("4", priority, "a")["spec"]
            await place.create("Pod", f"on-{name}", spec={**spec, "nodeSelector": {"kubernetes.io/hostname": name}})
            await place.until("Pod", f"on-{name}", lambda p: p["status"]["phase"] == "Running")
        system = Place(place.cluster, place.client, "kube-system")
        spec = asking("4", "system-cluster-critical", "a")["spec"]
        await system.create("Pod", "critical", spec={**spec, "nodeSelector": None})
        placed = await system.until("Pod", "critical", lambda p: p["status"]["phase"] == "Running")
        assert (placed["spec"]["nodeName"], placed["spec"]["priority"]) == ("fake-0", 2000000000)
        await place.gone("Pod", "on-fake-0")
        assert not (await place.get("Pod", "on-fake-1"))["metadata"].get("deletionTimestamp")


async def test_priority_classes() -> None:
    async with Place.open(nodes=0) as place:
        await priorities(place, 1)
        classes = place.client.dynamic("scheduling.k8s.io/v1", "PriorityClass")
        with refused(422):
            await classes.patch("p1", "", {"value": 10})
        changed = await classes.patch("p1", "", {"description": "updated description"})
        with refused(422):
            await classes.update({**changed, "value": 10})
        assert (await classes.get("p1"))["description"] == "updated description"


async def test_host_ports() -> None:
    """Same port, different address or protocol: all fit; with the address of everything, one is too many."""

    def with_port(address: str, protocol: str = "TCP") -> Wire:
        port: Wire = {"containerPort": 8080, "hostPort": 54323, "protocol": protocol}
        if address:
            port["hostIP"] = address
        return {"containers": [container(ports=[port])], "nodeSelector": {"kubernetes.io/hostname": "fake-0"}}

    async with Place.open(nodes=2) as place:
        host = (await place.get("Node", "fake-0"))["status"]["addresses"][0]["address"]
        for name, spec in (
            ("pod1", with_port("127.0.0.1")), ("pod2", with_port(host)), ("pod3", with_port(host, "UDP")),
            ("sctp", with_port("", "SCTP")),
        ):  # fmt: skip
            await place.create("Pod", name, spec=spec)
            await place.until("Pod", name, lambda p: p["status"]["phase"] == "Running")
        for name, spec in (("all", with_port("")), ("same", with_port("127.0.0.1")), ("udp", with_port("", "UDP"))):
            await place.create("Pod", name, spec=spec)
            pod = await place.until("Pod", name, lambda p: condition(p, "PodScheduled"))
            assert "1 node(s) didn't have free ports" in (condition(pod, "PodScheduled") or {})["message"]
        await place.delete("Pod", "pod3")
        await place.until("Pod", "udp", lambda p: p["status"]["phase"] == "Running")
