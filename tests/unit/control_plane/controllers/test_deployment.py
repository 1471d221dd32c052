"""Deployments and ReplicaSets against the real API server."""

from __future__ import annotations

from typing import Any

from pybernetes.aio import clock
from pybernetes.api.apps_v1 import Deployment, ReplicaSet
from pybernetes.api.core_v1 import Pod
from pybernetes.control_plane.controllers import deployment_plan as plan
from pybernetes.machinery import codec

from .world import World, template, wire

CONTROLLERS = ("deployment-controller", "replicaset-controller")
LABELS = {"app": "web"}


def deployment(replicas: int = 3, image: str = "i:1", **spec: Any) -> Deployment:
    return wire(
        Deployment,
        "web",
        {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template(LABELS, image), **spec},
    )


def condition(d: Deployment, type_: str) -> Any:
    return plan.get_condition(d.status, type_)


async def set_image(world: World, image: str) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
    await world.client.resource(Deployment).patch("web", "default", patch, type="strategic")


async def test_rolls_out_and_says_so() -> None:
    async with World(*CONTROLLERS) as world:
        await world.create(deployment())
        done = await world.until(Deployment, "web", lambda d: d.status.available_replicas == 3)
        done = await world.until(
            Deployment, "web", lambda d: condition(d, "Progressing").reason == "NewReplicaSetAvailable"
        )
        [rs] = await world.list(ReplicaSet)
        assert condition(done, "Progressing").message == f'ReplicaSet "{rs.metadata.name}" has successfully progressed.'
        assert condition(done, "Available").reason == "MinimumReplicasAvailable"
        assert (done.metadata.annotations or {})[plan.REVISION] == "1"
        assert (rs.metadata.labels or {})[plan.HASH] and rs.metadata.name.startswith("web-")
        assert len(await world.list(Pod)) == 3
        await world.settle()
        assert await world.events("ScalingReplicaSet") == [f"Scaled up replica set {rs.metadata.name} from 0 to 3"]


async def test_a_new_template_replaces_pods_within_its_limits() -> None:
    async with World(*CONTROLLERS) as world:
        await world.create(deployment(4))
        await world.until(Deployment, "web", lambda d: d.status.available_replicas == 4)
        pods = world.informers.informer(Pod)
        alive: list[int] = []
        pods.on(lambda pod: alive.append(sum(p.metadata.deletion_timestamp is None for p in pods.list())))
        await set_image(world, "i:2")
        await world.until(
            Deployment,
            "web",
            lambda d: d.status.observed_generation == 2 and d.status.updated_replicas == 4 == d.status.replicas,
        )
        assert max(alive[4:], default=0) <= 5  # 25% of 4 is one more
        sets = await world.list(ReplicaSet)
        assert sorted(plan.replicas(rs) for rs in sets) == [0, 4]
        assert {plan.revision(rs) for rs in sets} == {1, 2}


async def test_going_back_makes_a_new_revision_of_the_old_set() -> None:
    async with World(*CONTROLLERS) as world:
        await world.create(deployment(1))
        await world.until(Deployment, "web", lambda d: d.status.available_replicas == 1)
        for generation, image in ((2, "i:2"), (3, "i:1")):
            await set_image(world, image)
            await world.until(
                Deployment,
                "web",
                lambda d, g=generation: (
                    d.status.observed_generation == g
                    and d.status.replicas == 1  # type: ignore[misc]
                    and d.status.updated_replicas == 1
                ),
            )
        first = next(rs for rs in await world.list(ReplicaSet) if plan.replicas(rs) == 1)
        assert (first.metadata.annotations or {})[plan.REVISION] == "3"
        assert (first.metadata.annotations or {})[plan.HISTORY] == "1"


async def test_recreate_waits_for_the_last_old_pod() -> None:
    async with World(*CONTROLLERS) as world:
        await world.create(deployment(2, strategy={"type": "Recreate"}))
        await world.until(Deployment, "web", lambda d: d.status.available_replicas == 2)
        pods = world.informers.informer(Pod)
        most = 0

        def seen(pod: Pod) -> None:
            nonlocal most
            images = {p.spec.containers[0].image for p in pods.list()}
            most = max(most, len(images))

        pods.on(seen, lambda old, new: seen(new))
        await set_image(world, "i:2")
        await world.until(Deployment, "web", lambda d: d.status.updated_replicas == 2 == d.status.available_replicas)
        assert most == 1


async def test_a_paused_deployment_scales_but_does_not_roll_out() -> None:
    async with World(*CONTROLLERS) as world:
        await world.create(deployment(2))
        await world.until(Deployment, "web", lambda d: d.status.available_replicas == 2)
        body = {"spec": {"paused": True, "replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 5}}}}
        await world.client.resource(Deployment).patch("web", "default", body)
        paused = await world.until(Deployment, "web", lambda d: d.status.available_replicas == 3)
        assert condition(paused, "Progressing").reason == "DeploymentPaused"
        assert len(await world.list(ReplicaSet)) == 1


async def test_no_progress_is_told_after_the_deadline() -> None:
    async with World(*CONTROLLERS) as world:
        world.ready = lambda pod: False
        started = clock.monotonic()
        await world.create(deployment(1, progressDeadlineSeconds=60))
        late = await world.until(
            Deployment,
            "web",
            lambda d: (c := condition(d, "Progressing")) and c.reason == "ProgressDeadlineExceeded",
        )
        assert 60 <= clock.monotonic() - started < 65
        assert condition(late, "Progressing").status == "False"
        assert condition(late, "Available").status == "False"


async def test_history_is_kept_to_its_limit() -> None:
    async with World(*CONTROLLERS) as world:
        await world.create(deployment(1, revisionHistoryLimit=1))
        for number in (2, 3, 4):
            await world.until(
                Deployment, "web", lambda d: d.status.available_replicas == 1 == d.status.updated_replicas
            )
            await set_image(world, f"i:{number}")
            await world.until(Deployment, "web", lambda d, n=number: d.status.observed_generation == n)  # type: ignore[misc]
        await world.settle(5)
        assert sorted(map(plan.revision, await world.list(ReplicaSet))) == [3, 4]


async def test_replicaset_adopts_releases_and_replaces() -> None:
    async with World("replicaset-controller") as world:
        lone = wire(Pod, "lone", template(LABELS)["spec"], labels=LABELS)
        await world.create(lone)
        spec = {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template(LABELS)}
        await world.create(wire(ReplicaSet, "rs", spec))
        await world.until(ReplicaSet, "rs", lambda rs: rs.status.ready_replicas == 2)
        pods = await world.list(Pod)
        assert len(pods) == 2 and all(p.metadata.owner_references for p in pods)
        await world.client.resource(Pod).patch("lone", "default", {"metadata": {"labels": {"app": "other"}}})
        await world.until(Pod, "lone", lambda p: not p.metadata.owner_references)
        await world.settle()
        assert len(await world.list(Pod)) == 3


async def test_proportional_scaling() -> None:
    sample = deployment(20, strategy={"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}})
    old = wire(ReplicaSet, "old", {"replicas": 8})
    new = wire(ReplicaSet, "new", {"replicas": 5})
    for rs in (old, new):
        rs.metadata.annotations = {plan.DESIRED: "10", plan.MAX: "13"}
    assert plan.scale(sample, new, [old]) == {"old": 14, "new": 9}
    assert plan.is_scaling(sample, [old, new])


async def test_templates_are_compared_without_the_hash() -> None:
    a, b = deployment().spec.template, codec.copy(deployment().spec.template)
    b.metadata.labels = {**b.metadata.labels, plan.HASH: "x"}
    assert plan.same_template(a, b)
    b.spec.containers[0].image = "i:2"
    assert not plan.same_template(a, b)
