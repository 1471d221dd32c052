"""The test of ten lines that the README shows, and what else LocalCluster promises."""

from __future__ import annotations

import pytest

from pybernetes.aio import clock
from pybernetes.api.apps_v1 import Deployment, DeploymentSpec
from pybernetes.api.core_v1 import Container, Namespace, Node, Pod, PodSpec, PodTemplateSpec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import LabelSelector, ObjectMeta
from pybernetes.testing import LocalCluster


def deployment(name: str, namespace: str, replicas: int) -> Deployment:
    labels = {"app": name}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="c", image="web:1")])
    )
    return Deployment(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=DeploymentSpec(replicas=replicas, selector=LabelSelector(match_labels=labels), template=template),
    )


async def eventually_running(cluster: LocalCluster, namespace: str, count: int) -> list[Pod]:
    """The Pods of a namespace, when so many run; virtual time makes the pauses free."""
    pods: list[Pod] = []
    for _ in range(200):
        pods = list((await cluster.client.resource(Pod).list(namespace)).items)
        if len(pods) == count and all(pod.status.phase == "Running" for pod in pods):
            return pods
        await clock.sleep(0.1)
    raise AssertionError([(pod.metadata.name, pod.status.phase) for pod in pods])


async def test_a_deployment_on_three_nodes() -> None:
    async with LocalCluster(nodes=3) as cluster:
        client = cluster.client
        await client.resource(Namespace).create(Namespace(metadata=ObjectMeta(name="shop")))
        await client.resource(Deployment).create(deployment("web", "shop", 6))
        pods = await eventually_running(cluster, "shop", 6)
        assert {pod.spec.node_name for pod in pods} == {"fake-0", "fake-1", "fake-2"}
        assert all(pod.status.pod_ip for pod in pods)
        await client.resource(Namespace).delete("shop")
        for _ in range(600):
            if not (await client.resource(Pod).list("shop")).items:
                break
            await clock.sleep(0.1)
        with pytest.raises(StatusError, match="not found"):
            for _ in range(600):
                await client.resource(Namespace).get("shop")
                await clock.sleep(0.1)


async def test_a_deleted_pod_is_replaced() -> None:
    async with LocalCluster(nodes=1) as cluster:
        await cluster.client.resource(Deployment).create(deployment("web", "default", 2))
        first, second = await eventually_running(cluster, "default", 2)
        await cluster.client.resource(Pod).delete(first.metadata.name, "default")
        await clock.sleep(60)
        names = {pod.metadata.name for pod in await eventually_running(cluster, "default", 2)}
        assert first.metadata.name not in names
        assert second.metadata.name in names


async def test_nodes_stay_ready_for_a_day() -> None:
    async with LocalCluster(nodes=2) as cluster:
        await clock.sleep(24 * 3600)
        for node in (await cluster.client.resource(Node).list()).items:
            ready = next(c for c in node.status.conditions or [] if c.type == "Ready")
            assert ready.status == "True"
            assert not node.spec.taints


async def test_another_user_may_not() -> None:
    async with LocalCluster(nodes=0) as cluster:
        with pytest.raises(StatusError, match='User "eve" cannot list resource "pods"'):
            await cluster.client_of("eve").resource(Pod).list("default")
