"""The metrics API over fake nodes, and autoscaling by it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pybernetes.client.transport import Request
from pybernetes.machinery.errors import StatusError

from .place import Place, container, refused, workload

BASE = "/apis/metrics.k8s.io/v1beta1"


async def ask(place: Place, path: str, **query: str) -> Any:
    answer = await place.client.transport.request(Request("GET", f"{BASE}/{path}", query))
    return msgspec.to_builtins(answer.body) if not isinstance(answer.body, bytes) else msgspec.json.decode(answer.body)


def busy(name: str, millicores: int, **spec: Any) -> Any:
    made = workload(app=name, **spec)
    notes = {"cpu-millicores": str(millicores), "memory-bytes": str(3 << 20)}
    made["template"]["metadata"]["annotations"] = {f"fake.pybernetes.io/{key}": value for key, value in notes.items()}
    made["template"]["spec"]["containers"] = [container(resources={"requests": {"cpu": "100m"}})]
    return made


async def test_what_pods_and_nodes_use() -> None:
    async with Place.open(nodes=2) as place:
        await place.create("Deployment", "a", spec=busy("a", 50, replicas=2))
        await place.create("Deployment", "b", spec=busy("b", 7))
        await place.running(3)
        pods = await ask(place, "namespaces/here/pods", labelSelector="app=a")
        assert (pods["kind"], pods["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
        assert [p["containers"] for p in pods["items"]] == [
            [{"name": "c", "usage": {"cpu": "50000000n", "memory": "3072Ki"}}]] * 2  # fmt: skip
        one = pods["items"][0]
        assert one["metadata"]["labels"]["app"] == "a"
        assert {"timestamp", "window"} <= {*one}
        assert len((await ask(place, "pods"))["items"]) == 3
        name = one["metadata"]["name"]
        assert (await ask(place, f"namespaces/here/pods/{name}"))["kind"] == "PodMetrics"
        assert len((await ask(place, "pods", fieldSelector=f"metadata.name={name}"))["items"]) == 1
        nodes = (await ask(place, "nodes"))["items"]
        assert sum(int(n["usage"]["cpu"].removesuffix("n")) for n in nodes) == 107_000_000
        with refused(404, 'podmetrics.metrics.k8s.io "here/none" not found'):
            await ask(place, "namespaces/here/pods/none")
        service = await place.client.dynamic("apiregistration.k8s.io/v1", "APIService").get("v1beta1.metrics.k8s.io")
        assert service["spec"]["groupPriorityMinimum"] == 100
        assert service["status"]["conditions"][0]["reason"] == "Local"


async def test_another_server_takes_its_place() -> None:
    async with Place.open(nodes=1) as place:
        services = place.client.dynamic("apiregistration.k8s.io/v1", "APIService")
        spec = {"service": {"name": "metrics-server", "namespace": "kube-system"}, "insecureSkipTLSVerify": True}
        await services.patch("v1beta1.metrics.k8s.io", "", {"spec": spec})
        with pytest.raises(StatusError, match=r"metrics-server|service unavailable"):
            await ask(place, "nodes")
        await services.delete("v1beta1.metrics.k8s.io")
        await place.until_ok(lambda: ask(place, "nodes"))


async def test_an_autoscaler_follows_the_load() -> None:
    async with Place.open(nodes=2) as place:
        await place.create("Deployment", "web", spec=busy("web", 150))
        await place.running(1)
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        cpu = {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
        }
        spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 6, "metrics": [cpu]}
        await place.create("HorizontalPodAutoscaler", "web", spec=spec)
        await place.running(6)
        hpa = await place.until("HorizontalPodAutoscaler", "web", lambda h: h["status"].get("currentReplicas") == 6)
        assert hpa["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"] == 150
