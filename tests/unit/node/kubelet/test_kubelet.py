"""A pod's way through a kubelet, against a real API server and the fake runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.api.coordination_v1 import Lease
from pybernetes.api.core_v1 import ConfigMap, ContainerState, ContainerStateWaiting, Node, Pod, Secret
from pybernetes.api.storage_v1 import CSINode
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.node.cri import fake
from pybernetes.node.cri import types as t
from pybernetes.node.cri.fake_programs import Launch
from pybernetes.node.kubelet import handlers, metrics
from tests.unit.node.kubelet.world import NODE, World, condition, pod, ready


async def test_pod_runs_and_is_deleted(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("web"))
        found = await world.until("web", ready)
        status = found.status
        assert status.phase == "Running" and status.host_ip == "10.0.0.1" and status.pod_ip == "10.244.0.2"
        assert status.qos_class == "BestEffort" and status.start_time == "2026-01-01T00:00:00Z"
        assert [c.type for c in status.conditions or ()] == [
            "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
        ]  # fmt: skip
        assert status.container_statuses and status.container_statuses[0].started
        assert status.container_statuses[0].container_id and status.container_statuses[0].container_id.startswith(
            "fake://"
        )
        await world.delete("web")
        await world.until_gone("web")
        assert await world.runtime.list_pod_sandboxes() == []
        assert not list((tmp_path / "kubelet" / "pods").iterdir())
        reasons = [reason for reason, _ in await world.events("web")]
        assert reasons == ["Pulled", "Created", "Started", "Killing"]


async def test_on_its_way_up_changes_are_gathered_for_a_moment(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("web"))
        await world.until("web", ready)
        assert [p.status.phase for p in world.seen] == ["Pending", "Running"]
        began = clock.monotonic()
        await world.create(pod("waits", {"name": "main", "envFrom": [{"configMapRef": {"name": "none"}}]}))
        await world.until("waits", lambda p: p.status.container_statuses)
        assert clock.monotonic() - began < 0.2


async def test_an_image_seen_while_the_sandbox_starts_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World(tmp_path) as world:
        asked, status = [], world.runtime.image_status

        async def image_status(image: str) -> t.Image | None:
            asked.append(image)
            return await status(image)

        monkeypatch.setattr(world.runtime, "image_status", image_status)
        await world.create(pod("web", {"name": "one"}, {"name": "two"}))
        await world.until("web", ready)
        assert asked == ["busybox:1", "busybox:1"]


async def test_a_pod_declared_not_ready_says_again_that_it_is(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("web"))
        await world.until("web", ready)
        doubt = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        pods = world.client.resource(Pod)
        assert not ready(await pods.patch("web", "default", doubt, type="strategic", subresource="status"))
        await world.until("web", ready)


def count(found: Pod, *, init: bool = False) -> int:
    """The restart count of the first container."""
    group = found.status.init_container_statuses if init else found.status.container_statuses
    return group[0].restart_count if group else -1


async def test_a_name_too_long_for_the_kernel(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("n" * 50, subdomain="sub", setHostnameAsFQDN=True))
        await world.until("n" * 50, lambda p: p.status.container_statuses)
        full = f"{'n' * 50}.sub.default.svc.cluster.local"
        assert await world.events("n" * 50) == [(
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: failed to construct FQDN from pod hostname and cluster domain, "
            f"FQDN {full} is too long (64 characters is the max, {len(full)} characters requested)",
        )]  # fmt: skip


async def test_crash_loop(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("bad", {"name": "main", "command": ["false"]}))
        found = await world.until(
            "bad", lambda p: p.status.container_statuses and p.status.container_statuses[0].state.waiting
            and p.status.container_statuses[0].state.waiting.reason == "CrashLoopBackOff"
        )  # fmt: skip
        status = found.status.container_statuses[0]
        assert status.restart_count == 1 and found.status.phase == "Running"
        assert status.state.waiting.message == (
            f"back-off 10s restarting failed container=main pod=bad_default({found.metadata.uid})"
        )
        assert status.last_state.terminated.exit_code == 1 and status.last_state.terminated.reason == "Error"
        begin = clock.monotonic()
        await world.until("bad", lambda p: count(p) == 5)
        assert 10 + 20 + 40 + 80 <= clock.monotonic() - begin < 152
        found = await world.until("bad", lambda p: p.status.container_statuses[0].state.waiting)
        assert condition(found, "Ready") == (
            "False", "ContainersNotReady", "containers with unready status: [main]"
        )  # fmt: skip


def state_of(found: Pod, name: str) -> Any:
    """The state of a container of any class, and of ""-state when it has none yet."""
    status = found.status
    groups = (status.container_statuses, status.init_container_statuses, status.ephemeral_container_statuses)
    for group in groups:
        for one in group or ():
            if one.name == name:
                return one.state
    return ContainerState()


def reason_of(found: Pod, name: str) -> str:
    """The reason of a waiting or terminated container, "Running", or ""."""
    state = state_of(found, name)
    if state.running:
        return "Running"
    return (state.waiting or state.terminated or ContainerStateWaiting()).reason or ""


async def test_init_containers_in_order(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        init = [
            {"name": "one", "image": "busybox:1", "command": ["sleep", "5"]},
            {"name": "two", "image": "busybox:1", "command": ["true"]},
        ]
        await world.create(pod("init", initContainers=init))
        found = await world.until("init", lambda p: reason_of(p, "one") == "Running")
        assert condition(found, "Initialized") == (
            "False", "ContainersNotInitialized", "containers with incomplete status: [one two]"
        )  # fmt: skip
        assert reason_of(found, "main") == "PodInitializing" and found.status.phase == "Pending"
        found = await world.until("init", ready)
        assert clock.timestamp() - clock.parse_rfc3339(str(found.status.start_time)) >= 5
        assert reason_of(found, "one") == reason_of(found, "two") == "Completed"
        assert condition(found, "Initialized")[0] == "True"


async def test_failing_init_container(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        bad = [{"name": "bad", "image": "busybox:1", "command": ["false"]}]
        await world.create(pod("never", initContainers=bad, restartPolicy="Never"))
        found = await world.until("never", lambda p: p.status.phase == "Failed")
        assert reason_of(found, "bad") == "Error" and not found.status.container_statuses[0].container_id
        await world.create(pod("always", initContainers=bad))
        found = await world.until("always", lambda p: count(p, init=True) == 3)
        assert found.status.phase == "Pending"


async def test_job_pod_with_sidecar(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        sidecar = [{"name": "side", "image": "busybox:1", "restartPolicy": "Always"}]
        main = {"name": "main", "command": ["sleep", "7"]}
        await world.create(pod("job", main, initContainers=sidecar, restartPolicy="Never"))
        await world.until("job", ready)
        found = await world.until("job", lambda p: p.status.phase == "Succeeded")
        assert reason_of(found, "main") == "Completed"
        assert state_of(found, "side").terminated.exit_code == 0
        assert condition(found, "Ready")[:2] == ("False", "PodCompleted")
        assert [b.state.name for b in await world.runtime.list_pod_sandboxes()] == ["NOTREADY"]


@pytest.mark.parametrize(
    ("policy", "command", "phase", "restarts"),
    [
        ("Never", "true", "Succeeded", 0),
        ("Never", "false", "Failed", 0),
        ("OnFailure", "true", "Succeeded", 0),
        ("OnFailure", "false", "Running", 3),
        ("Always", "true", "Running", 3),
    ],
)
async def test_restart_policies(tmp_path: Path, policy: str, command: str, phase: str, restarts: int) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p", {"name": "main", "command": [command]}, restartPolicy=policy))
        found = await world.until("p", lambda p: p.status.phase == phase and count(p) == restarts)
        assert found.status.phase == phase


async def test_container_restart_rules(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
        main = {
            "name": "main",
            "command": ["sh", "-c", "exit 42"],
            "restartPolicy": "Never",
            "restartPolicyRules": rules,
        }
        await world.create(pod("ruled", main, restartPolicy="Never"))
        found = await world.until("ruled", lambda p: count(p) == 2)
        assert found.status.phase == "Running"


RULED = {
    "restartPolicy": "Never",
    "restartPolicyRules": [
        {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}},
        {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}},
    ],
}


def all_statuses(found: Pod) -> dict[str, Any]:
    status = found.status
    return {s.name: s for s in (*(status.init_container_statuses or ()), *(status.container_statuses or ()))}


async def test_one_exit_restarts_all_containers(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        sidecar = {"name": "sidecar", "image": "busybox:1", "restartPolicy": "Always"}
        init = [{"name": "init", "image": "busybox:1", "command": ["true"]}, sidecar]
        source = {"name": "source", "command": ["sh", "-c", "sleep 30; exit 42"], **RULED}
        await world.create(pod("p", source, {"name": "regular"}, restartPolicy="Never", initContainers=init))
        before = await world.until("p", ready)
        assert condition(before, "AllContainersRestarting")[0] == "False"
        await world.until("p", lambda p: condition(p, "AllContainersRestarting")[0] == "True")
        after = await world.until("p", lambda p: ready(p) and condition(p, "AllContainersRestarting")[0] == "False")
        statuses = all_statuses(after)
        assert {name: s.restart_count for name, s in statuses.items()} == dict.fromkeys(statuses, 1)
        assert all(s.last_state.terminated for s in statuses.values())
        assert after.status.pod_ip == before.status.pod_ip and len(await world.runtime.list_pod_sandboxes()) == 1
        assert {p.status.phase for p in world.seen} == {"Pending", "Running"}
        await world.until("p", lambda p: all(s.restart_count == 2 for s in all_statuses(p).values()))


async def test_an_init_container_restarts_those_before_it(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        sidecar = {"name": "sidecar", "image": "busybox:1", "restartPolicy": "Always"}
        source = {"name": "source", "image": "busybox:1", "command": ["sh", "-c", "exit 42"], **RULED}
        await world.create(pod("p", restartPolicy="Never", initContainers=[sidecar, source]))
        found = await world.until("p", lambda p: {"sidecar", "source"} <= {
            name for name, s in all_statuses(p).items() if s.restart_count >= 2
        })  # fmt: skip
        assert found.status.phase == "Pending" and all_statuses(found)["main"].state.waiting
        await world.delete("p")
        await world.until_gone("p")


async def test_grace_period_and_shorter_grace(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        stubborn = {"annotations": {"fake.pybernetes.io/ignores-stop": "true"}}
        await world.create(pod("slow", metadata=stubborn, terminationGracePeriodSeconds=60))
        await world.until("slow", ready)
        begin = clock.monotonic()
        await world.delete("slow")
        await asyncio.sleep(20)
        found = await world.get("slow")
        assert found.metadata.deletion_grace_period_seconds == 60 and reason_of(found, "main") == "Running"
        await world.delete("slow", grace_period=5)
        await world.until_gone("slow")
        assert 25 <= clock.monotonic() - begin < 27


async def test_status_of_a_terminated_pod_is_written_before_it_goes(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p"))
        await world.until("p", ready)
        await world.delete("p")
        await world.until_gone("p")
        last = world.seen[-1]
        assert last.status.phase == "Succeeded" and reason_of(last, "main") == "Completed"


async def test_pre_stop_and_sidecar_order(tmp_path: Path) -> None:
    calls: list[tuple[float, str]] = []

    async def on_exec(launch: Launch, command: Any) -> t.ExecResult:
        await asyncio.sleep(3)
        calls.append((clock.monotonic(), launch.container))
        return t.ExecResult()

    async with World(tmp_path, fake.Config(images=("busybox:1",), on_exec=on_exec)) as world:
        hook = {"preStop": {"exec": {"command": ["bye"]}}}
        sidecar = [{"name": "side", "image": "busybox:1", "restartPolicy": "Always"}]
        await world.create(pod("p", {"name": "main", "lifecycle": hook}, initContainers=sidecar))
        await world.until("p", ready)
        await world.delete("p")
        await world.until_gone("p")
        assert [name for _, name in calls] == ["main"]
        last = world.seen[-1]
        main, side = state_of(last, "main").terminated, state_of(last, "side").terminated
        assert main.finished_at <= side.finished_at


async def test_post_start_hook_fails(tmp_path: Path) -> None:
    def on_exec(launch: Launch, command: Any) -> t.ExecResult:
        return t.ExecResult(exit_code=1, stderr=b"no")

    async with World(tmp_path, fake.Config(images=("busybox:1",), on_exec=on_exec)) as world:
        await world.create(pod("p", {"name": "main", "lifecycle": {"postStart": {"exec": {"command": ["hi"]}}}}))
        await world.until("p", lambda p: count(p) == 1)
        found = await world.until("p", lambda p: count(p) == 1 and reason_of(p, "main") == "PostStartHookError")
        status = state_of(found, "main")
        assert status.waiting.message == (
            f'Exec lifecycle hook ([hi]) for Container "main" in Pod "p_default({found.metadata.uid})" failed - error: '
            "command 'hi' exited with 1: no, message: \"no\""
        )
        assert found.status.container_statuses[0].last_state.terminated.reason == "Completed"
        await world.until("p", lambda p: count(p) == 2 and reason_of(p, "main") == "PostStartHookError")
        await world.until("p", lambda p: count(p) == 2 and reason_of(p, "main") == "CrashLoopBackOff")
        events = await world.events("p")
        assert ("FailedPostStartHook", "PostStartHook failed") in events
        assert ("Killing", "FailedPostStartHook") in events
        await world.create(
            pod("never", {"name": "main", "lifecycle": {"postStart": {"exec": {"command": ["hi"]}}}},
                restartPolicy="Never")
        )  # fmt: skip
        found = await world.until("never", lambda p: p.status.phase == "Succeeded")
        assert state_of(found, "main").terminated.reason == "Completed", "nothing waits to be started"


async def test_images(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("none", {"name": "main", "image": "does-not-exist:1"}))
        await world.until("none", lambda p: reason_of(p, "main") == "ErrImagePull")
        found = await world.until("none", lambda p: reason_of(p, "main") == "ImagePullBackOff")
        assert state_of(found, "main").waiting.message.startswith(
            'Back-off pulling image "does-not-exist:1": ErrImagePull'
        )
        await world.create(pod("never", {"name": "main", "image": "other:1", "imagePullPolicy": "Never"}))
        found = await world.until("never", lambda p: reason_of(p, "main") == "ErrImageNeverPull")
        assert state_of(found, "main").waiting.message == (
            'Container image "other:1" is not present with pull policy of Never'
        )
        await world.create(pod("bad", {"name": "main", "image": "NOT/Valid::x"}))
        found = await world.until("bad", lambda p: reason_of(p, "main") == "InvalidImageName")
        for name, reason in (("never", "ErrImageNeverPull"), ("bad", "InvalidImageName"), ("none", "ImagePullBackOff")):
            assert ("Failed", f"Error: {reason}") in await world.events(name)
        await world.create(pod("pull", {"name": "main", "image": "other:2"}))
        await world.until("pull", ready)
        reasons = [reason for reason, _ in await world.events("pull")]
        assert reasons == ["Pulling", "Pulled", "Created", "Started"]
        for name in ("none", "never", "bad"):
            await world.delete(name)
            await world.until_gone(name)


async def test_image_volumes(tmp_path: Path) -> None:
    """Got like a container's own image; where the kubelet cannot mount it, the runtime is asked to."""
    async with World(tmp_path) as world:
        for name, reference in (("good", "data:1"), ("none", "does-not-exist:1")):
            volumes = [{"name": "v", "image": {"reference": reference, "pullPolicy": "IfNotPresent"}}]
            await world.create(pod(name, {"name": "main", "volumeMounts": [
                {"name": "v", "mountPath": "/v", "subPath": "a/b"}]}, volumes=volumes))  # fmt: skip
        found = await world.until("good", ready)
        (record,) = [
            c for c in world.runtime._containers.values() if c.config.labels["io.kubernetes.pod.name"] == "good"
        ]
        (mount,) = [m for m in record.config.mounts if m.container_path == "/v"]
        assert mount.readonly and mount.image_sub_path == "a/b" and mount.image is not None
        assert mount.image.user_specified_image == "data:1"
        found = await world.until("none", lambda p: reason_of(p, "main") == "ImagePullBackOff")
        assert 'Back-off pulling image "does-not-exist:1"' in state_of(found, "main").waiting.message


async def test_missing_config_map_then_there(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "a"}}}]
        await world.create(pod("p", {"name": "main", "env": env}))
        found = await world.until("p", lambda p: reason_of(p, "main") == "CreateContainerConfigError")
        assert state_of(found, "main").waiting.message == 'configmap "cfg" not found'
        begin = clock.monotonic()
        await world.create(ConfigMap(metadata=ObjectMeta(name="cfg", namespace="default"), data={"a": "1"}))
        await world.until("p", ready)
        assert clock.monotonic() - begin < 1


async def test_volumes_follow_their_objects(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        maps = world.client.resource(ConfigMap)
        await world.create(ConfigMap(metadata=ObjectMeta(name="cfg", namespace="default"), data={"a": "1", "b": "2"}))
        volumes = [
            {"name": "cfg", "configMap": {"name": "cfg", "items": [{"key": "a", "path": "dir/a", "mode": 256}]}},
            {"name": "all", "projected": {"sources": [
                {"configMap": {"name": "cfg"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]}},
            {"name": "tmp", "emptyDir": {}},
        ]  # fmt: skip
        await world.create(pod("p", volumes=volumes, metadata={"labels": {"x": "y"}}))
        found = await world.until("p", ready)
        root = tmp_path / "kubelet" / "pods" / found.metadata.uid / "volumes"
        one = root / "kubernetes.io~configmap" / "cfg" / "dir" / "a"
        assert one.read_text() == "1" and one.stat().st_mode & 0o777 == 0o400
        everything = root / "kubernetes.io~projected" / "all"
        assert {p.name for p in everything.iterdir() if not p.name.startswith("..")} == {"a", "b", "labels"}
        assert (everything / "labels").read_text() == 'x="y"'
        await maps.patch("cfg", "default", {"data": {"a": "new", "b": None}})
        await world.client.resource(Pod).patch("p", "default", {"metadata": {"labels": {"x": "z"}}})
        await asyncio.sleep(0.5)
        assert one.read_text() == "new" and not (everything / "b").exists()
        assert (everything / "labels").read_text() == 'x="z"'
        await world.delete("p")
        await world.until_gone("p")
        assert not root.exists()


async def test_recursive_read_only_mounts_are_refused(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        mount = {"name": "v", "mountPath": "/v", "readOnly": True}
        for mode in ("Enabled", "IfPossible"):
            container = {"name": "main", "volumeMounts": [{**mount, "recursiveReadOnly": mode}]}
            await world.create(pod(mode.lower(), container, volumes=[{"name": "v", "emptyDir": {}}]))
        found = await world.until("ifpossible", ready)
        assert found.status.container_statuses[0].volume_mounts[0].recursive_read_only == "Disabled"
        found = await world.until("enabled", lambda p: reason_of(p, "main") == "CreateContainerConfigError")
        assert "requested recursive read-only mode" in state_of(found, "main").waiting.message


async def test_sub_path_that_cannot_be(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        (tmp_path / "volume").mkdir()
        (tmp_path / "volume" / "file").touch()
        (tmp_path / "volume" / "out").symlink_to("/etc")
        for name, sub_path in (("through", "file/x"), ("away", "out")):
            volumes = [{"name": "v", "hostPath": {"path": str(tmp_path / "volume")}}]
            mount = {"name": "v", "mountPath": "/m", "subPath": sub_path}
            await world.create(pod(name, {"name": "main", "volumeMounts": [mount]}, volumes=volumes))
            found = await world.until(name, lambda p: reason_of(p, "main") == "CreateContainerConfigError")
            text = 'failed to prepare subPath for volumeMount "v" of container "main"'
            assert state_of(found, "main").waiting.message == text
            assert ("Failed", f"Error: {text}") in await world.events(name)


async def test_missing_volume_object(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p", volumes=[{"name": "s", "secret": {"secretName": "gone"}}]))
        await asyncio.sleep(5)
        assert reason_of(await world.get("p"), "main") == "ContainerCreating"
        text = 'MountVolume.SetUp failed for volume "s" : secret "gone" not found'
        assert ("FailedMount", text) in await world.events("p")
        await world.create(Secret(metadata=ObjectMeta(name="gone", namespace="default"), data={"k": "dg=="}))
        await world.until("p", ready)
        await world.create(pod("nfs", volumes=[{"name": "n", "nfs": {"server": "1.2.3.4", "path": "/x"}}]))
        await asyncio.sleep(1)
        text = 'MountVolume.SetUp failed for volume "n" : volume source nfs is not supported by this kubelet'
        assert ("FailedMount", text) in await world.events("nfs")
        await world.delete("nfs")
        await world.until_gone("nfs")


async def test_liveness_probe_restarts(tmp_path: Path) -> None:
    def on_exec(launch: Launch, command: Any) -> t.ExecResult:
        return t.ExecResult(exit_code=1 if launch.attempt < 2 else 0, stdout=b"sick")

    async with World(tmp_path, fake.Config(images=("busybox:1",), on_exec=on_exec)) as world:
        probe = {"exec": {"command": ["check"]}, "periodSeconds": 5, "failureThreshold": 2, "initialDelaySeconds": 1}
        await world.create(pod("p", {"name": "main", "livenessProbe": probe}))
        await world.until("p", lambda p: count(p) == 2)
        await asyncio.sleep(60)
        assert (await world.get("p")).status.container_statuses[0].restart_count == 2
        events = await world.events("p")
        assert ("Unhealthy", "Liveness probe failed: sick") in events
        assert ("Killing", "Container main failed liveness probe, will be restarted") in events
        states = [p.status.container_statuses[0].state for p in world.seen if p.status.container_statuses]
        assert not [state for state in states if state.terminated]  # nobody is to think that it ended by itself


async def test_a_probe_may_warn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def warns(*_: Any) -> handlers.Outcome:
        return handlers.Outcome(handlers.SUCCESS, "Probe terminated redirects, Response body: x", warning=True)

    monkeypatch.setattr(handlers, "perform", warns)
    async with World(tmp_path) as world:
        probe = {"httpGet": {"port": 80}, "periodSeconds": 1, "failureThreshold": 1}
        await world.create(pod("p", {"name": "main", "livenessProbe": probe}))
        await world.until("p", ready)
        await asyncio.sleep(5)
        assert count(await world.get("p")) == 0
        text = "Liveness probe warning: Probe terminated redirects, Response body: x"
        assert ("ProbeWarning", text) in await world.events("p")


async def test_readiness_and_startup_probes(tmp_path: Path) -> None:
    healthy = asyncio.Event()

    def on_exec(launch: Launch, command: Any) -> t.ExecResult:
        return t.ExecResult(exit_code=0 if healthy.is_set() or command == ["up"] else 1)

    async with World(tmp_path, fake.Config(images=("busybox:1",), on_exec=on_exec)) as world:
        up = {"exec": {"command": ["up"]}, "initialDelaySeconds": 4, "periodSeconds": 1}
        probe = {"exec": {"command": ["check"]}, "periodSeconds": 2}
        await world.create(pod("p", {"name": "main", "readinessProbe": probe, "startupProbe": up}))
        found = await world.until("p", lambda p: reason_of(p, "main") == "Running")
        assert found.status.container_statuses[0].started is False
        found = await world.until("p", lambda p: p.status.container_statuses[0].started)
        assert not ready(found)
        await asyncio.sleep(10)
        assert not ready(await world.get("p"))
        healthy.set()
        await world.until("p", ready, timeout=3)
        healthy.clear()
        await world.until("p", lambda p: not ready(p), timeout=8)
        assert (await world.get("p")).status.container_statuses[0].restart_count == 0


async def test_metrics(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
        made = await world.create(pod("p", {"name": "main", "readinessProbe": probe}))
        await world.until("p", ready)
        text = (await metrics.resources(world.kubelet)).decode()
        numbers = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in text.splitlines() if line[0] != "#"}
        started = numbers['container_start_time_seconds{container="main",namespace="default",pod="p"}']
        assert abs(float(started) - clock.timestamp()) < 60, "with all its digits"
        memory = numbers['container_memory_working_set_bytes{container="main",namespace="default",pod="p"}']
        assert numbers['pod_memory_working_set_bytes{namespace="default",pod="p"}'] == memory and memory.isdigit()
        labels = f'container="main",namespace="default",pod="p",pod_uid="{made.metadata.uid}",probe_type="Readiness"'
        assert f'prober_probe_total{{{labels},result="successful"}} ' in metrics.probes(world.kubelet).decode()


async def test_active_deadline(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p", activeDeadlineSeconds=10))
        found = await world.until("p", lambda p: p.status.phase == "Failed")
        assert found.status.reason == "DeadlineExceeded"
        assert found.status.message == "Pod was active on the node longer than the specified deadline"


async def test_admission(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("big", {"name": "main", "resources": {"requests": {"cpu": "3"}}}))
        await world.until("big", ready)
        await world.create(pod("more", {"name": "main", "resources": {"requests": {"cpu": "2"}}}))
        found = await world.until("more", lambda p: p.status.phase == "Failed")
        assert (found.status.reason, found.status.message) == (
            "OutOfcpu",
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000",
        )
        await world.create(pod("pick", nodeSelector={"disk": "ssd"}))
        found = await world.until("pick", lambda p: p.status.phase == "Failed")
        assert found.status.reason == "NodeAffinity"
        port = {"name": "main", "ports": [{"containerPort": 80, "hostPort": 8080}]}
        await world.create(pod("port", port))
        await world.until("port", ready)
        await world.create(pod("port2", port))
        assert (await world.until("port2", lambda p: p.status.phase == "Failed")).status.reason == "NodePorts"
        await world.create(pod("strict", securityContext={"supplementalGroupsPolicy": "Strict"}))
        found = await world.until("strict", lambda p: p.status.phase == "Failed")
        assert found.status.reason == "SupplementalGroupsPolicyNotSupported"
        await world.delete("port2")
        await world.until_gone("port2")


async def test_what_was_deleted_by_force_makes_room_at_once(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        stubborn = {"annotations": {"fake.pybernetes.io/ignores-stop": "true"}}
        wants = {"requests": {"cpu": "3"}}
        port = {"name": "main", "ports": [{"containerPort": 80, "hostPort": 8080}], "resources": wants}
        await world.create(pod("old", port, metadata=stubborn))
        await world.until("old", ready)
        await world.delete("old", grace_period=0)
        await world.create(pod("new", port))
        await world.until("new", ready)


async def test_restarted_kubelet_takes_over(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("stay"))
        await world.create(pod("leave"))
        before = await world.until("stay", ready)
        await world.until("leave", ready)
        await world.stop_kubelet()
        gone = await world.get("leave")
        await world.delete("leave", grace_period=0, uid=gone.metadata.uid)
        await world.until_gone("leave")
        await world.start_kubelet()
        await asyncio.sleep(10)
        after = await world.get("stay")
        assert after.status.container_statuses == before.status.container_statuses and ready(after)
        boxes = await world.runtime.list_pod_sandboxes()
        assert [box.metadata.name for box in boxes] == ["stay"]


async def test_sandbox_killed(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p"))
        found = await world.until("p", ready)
        first = found.status.pod_ip
        box = (await world.runtime.list_pod_sandboxes())[0]
        world.runtime.kill_sandbox(box.id)
        found = await world.until("p", lambda p: ready(p) and p.status.pod_ip != first)
        assert found.status.container_statuses[0].restart_count == 1


async def test_ephemeral_container(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p"))
        await world.until("p", ready)
        extra = {"name": "debug", "image": "busybox:1", "stdin": True, "targetContainerName": "main"}
        body = {"spec": {"ephemeralContainers": [extra]}}
        await world.client.resource(Pod).patch(
            "p", "default", body, type="strategic", subresource="ephemeralcontainers"
        )
        found = await world.until("p", lambda p: reason_of(p, "debug") == "Running")
        assert found.status.ephemeral_container_statuses and ready(found)


async def test_changed_image_restarts(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p"))
        await world.until("p", ready)
        body = {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}}
        await world.client.resource(Pod).patch("p", "default", body, type="strategic")
        found = await world.until("p", lambda p: count(p) == 1 and ready(p))
        assert found.status.container_statuses[0].image.endswith("busybox:2")
        was_ready = [ready(p) for p in world.seen]
        assert all(was_ready[was_ready.index(True) :]), "one container took the other's place at once"
        assert ("Killing", "Container main definition changed, will be restarted") in await world.events("p")


async def test_another_image_does_not_wait_for_what_the_first_one_did(tmp_path: Path) -> None:
    def pause(p: Pod) -> str:
        state = p.status.container_statuses[0].state if p.status.container_statuses else None
        return (state.waiting.message or "") if state and state.waiting else ""

    async with World(tmp_path) as world:
        await world.create(pod("p", {"name": "main", "command": ["false"]}))
        await world.until("p", lambda p: "back-off 2m40s" in pause(p), 600)
        before = clock.timestamp()
        body = {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}}
        await world.client.resource(Pod).patch("p", "default", body, type="strategic")
        await world.until("p", lambda p: "back-off 10s" in pause(p), 60)
        assert clock.timestamp() - before < 10


async def test_static_pod_and_its_mirror(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: main, image: 'busybox:1'}\n"
    )
    (manifests / "web.yaml").write_text(text)
    async with World(tmp_path, manifest_dir=manifests) as world:
        found = await world.until("web-node-1", ready)
        assert found.metadata.annotations and "kubernetes.io/config.mirror" in found.metadata.annotations
        await world.delete("web-node-1", grace_period=0)
        uid = found.metadata.uid
        await world.until("web-node-1", lambda p: p.metadata.uid != uid and ready(p))
        assert len(await world.runtime.list_containers()) == 1
        (manifests / "web.yaml").unlink()
        await world.until_gone("web-node-1")
        await asyncio.sleep(5)
        assert not await world.runtime.list_containers()


async def test_node_object_and_lease(tmp_path: Path) -> None:
    async with World(tmp_path, labels={"zone": "a"}, taints=("dedicated=x:NoSchedule",)) as world:
        node = await world.node()
        assert node.metadata.labels and node.metadata.labels["kubernetes.io/hostname"] == NODE
        assert node.metadata.labels["zone"] == "a"
        assert [(t.key, t.value, t.effect) for t in node.spec.taints or ()] == [
            ("dedicated", "x", "NoSchedule"),
            ("node.kubernetes.io/not-ready", None, "NoSchedule"),
        ]
        assert {c.type: (c.status, c.reason) for c in node.status.conditions or ()}["Ready"] == ("True", "KubeletReady")
        assert node.status.capacity and node.status.capacity["pods"] == "110"
        nodes = world.client.resource(Node)
        body = {"status": {"capacity": {"example.com/thing": "3"}}}
        await nodes.patch(NODE, "", body, type="strategic", subresource="status")
        leases = world.client.resource(Lease)
        first = await leases.get(NODE, "kube-node-lease")
        await asyncio.sleep(25)
        second = await leases.get(NODE, "kube-node-lease")
        assert first.spec.renew_time != second.spec.renew_time and second.spec.lease_duration_seconds == 40
        world.runtime.set_available(False)
        await asyncio.sleep(40)
        node = await world.node()
        ready_condition = {c.type: c for c in node.status.conditions or ()}["Ready"]
        assert ready_condition.status == "False" and ready_condition.reason == "KubeletNotReady"
        assert node.status.allocatable and node.status.allocatable.get("example.com/thing") == "3"
        world.runtime.set_available(True)
        await asyncio.sleep(40)
        assert {c.type: c.status for c in (await world.node()).status.conditions or ()}["Ready"] == "True"


async def test_the_list_of_drivers_belongs_to_the_node_that_is_there_now(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        first = await world.node()
        await world.client.resource(Node).delete(NODE)
        await asyncio.sleep(60)
        assert (await world.node()).metadata.uid != first.metadata.uid
        (owner,) = (await world.client.resource(CSINode).get(NODE, "")).metadata.owner_references or ()
        assert owner.uid == (await world.node()).metadata.uid


async def test_extended_resources_that_others_announce(tmp_path: Path) -> None:
    """What can be had of them follows what is said, up, down and away; the kubelet admits by the same figures."""
    thing = "example.com/thing"

    def asking(amount: str) -> dict[str, object]:
        return {"containers": [{"name": "main", "image": "busybox:1", "resources": {"limits": {thing: amount}}}]}

    async with World(tmp_path) as world:
        nodes = world.client.resource(Node)

        async def announce(amount: str | None) -> None:
            body = {"status": {"capacity": {thing: amount}}}
            await nodes.patch(NODE, "", body, type="strategic", subresource="status")
            await asyncio.sleep(30)
            node = await world.node()
            assert (node.status.allocatable or {}).get(thing) == amount

        await announce("1")
        await world.create(pod("small", **asking("1")))
        await world.until("small", ready)
        await announce("5")
        await world.create(pod("big", **asking("4")))
        await world.until("big", ready)
        await world.create(pod("more", **asking("1")))
        assert (await world.until("more", lambda p: p.status.phase == "Failed")).status.reason == f"OutOf{thing}"
        await announce(None)
        await world.create(pod("unknown", **asking("1")))
        await world.until("unknown", ready)


async def test_same_name_again(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        stubborn = {"annotations": {"fake.pybernetes.io/ignores-stop": "true"}}
        await world.create(pod("p", metadata=stubborn))
        await world.until("p", ready)
        await world.delete("p", grace_period=0)
        await world.until_gone("p")
        again = await world.create(pod("p"))
        await world.until("p", lambda p: p.metadata.uid == again.metadata.uid and ready(p))


async def test_readiness_gates_and_foreign_conditions(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p", readinessGates=[{"conditionType": "example.com/ok"}]))
        found = await world.until("p", lambda p: condition(p, "ContainersReady")[0] == "True")
        assert condition(found, "Ready") == (
            "False", "ReadinessGatesNotReady",
            'corresponding condition of pod readiness gate "example.com/ok" does not exist.',
        )  # fmt: skip
        body = {"status": {"conditions": [{"type": "example.com/ok", "status": "True"}]}}
        await world.client.resource(Pod).patch("p", "default", body, type="strategic", subresource="status")
        found = await world.until("p", ready)
        assert condition(found, "example.com/ok")[0] == "True"


async def test_resize_in_place(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
        await world.create(pod("p", {"name": "main", "resources": resources}))
        found = await world.until("p", ready)
        status = found.status.container_statuses[0]
        assert status.resources.limits == {"cpu": "200m"} and status.allocated_resources == {"cpu": "100m"}
        body = {"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "400m"}}}]}}
        await world.client.resource(Pod).patch("p", "default", body, type="strategic", subresource="resize")
        found = await world.until("p", lambda p: p.status.container_statuses[0].resources.limits == {"cpu": "400m"})
        assert found.status.container_statuses[0].restart_count == 0
        container = (await world.runtime.list_containers())[0]
        given = (await world.runtime.container_status(container.id)).resources
        assert given and given.linux and given.linux.cpu_quota == 40000
        body["spec"]["containers"][0]["resources"]["limits"] = {"cpu": "64"}
        body["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "64"}
        await world.client.resource(Pod).patch("p", "default", body, type="strategic", subresource="resize")
        found = await world.until("p", lambda p: condition(p, "PodResizePending")[1] == "Infeasible")
        assert found.status.container_statuses[0].resources.limits == {"cpu": "400m"}
        told = [(reason, message) for reason, message in await world.events("p") if reason.startswith("Resize")]
        assert [reason for reason, _ in told] == ["ResizeStarted", "ResizeCompleted", "ResizeInfeasible"]
        summary = '{"containers":[{"name":"main","resources":{"limits":{"cpu":"400m"},"requests":{"cpu":"100m"}}}],'
        assert told[1][1] == f'Pod resize completed: {summary}"generation":2}}'


async def test_resize_leaves_the_containers_where_they_are(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        one, two = ({"name": name, "image": "busybox:1"} for name in ("one", "two"))
        await world.create(pod("p", containers=[one, two]))
        body = [{"op": "replace", "path": f"/spec/containers/{i}/name", "value": f"new-{i}"} for i in range(2)]
        with pytest.raises(StatusError) as refused:
            await world.client.resource(Pod).patch("p", "default", body, type="json", subresource="resize")
        text = "spec.containers[{}].name: Forbidden: containers may not be renamed or reordered on resize"
        assert f"{text.format(0)}, {text.format(1)}" in str(refused.value)


async def test_resize_of_the_pod_as_a_whole(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        whole = {"limits": {"cpu": "200m", "memory": "200Mi"}, "requests": {"cpu": "100m", "memory": "100Mi"}}
        own = {"limits": {"cpu": "100m", "memory": "50Mi"}}
        await world.create(pod("p", {"name": "bounded", "resources": own}, {"name": "free"}, resources=whole))
        found = await world.until("p", ready)
        assert found.status.resources.limits == whole["limits"]
        assert found.status.allocated_resources == whole["requests"]
        more = {"limits": {"cpu": "300m", "memory": "300Mi"}, "requests": {"cpu": "100m", "memory": "100Mi"}}
        body = {"spec": {"resources": more}}
        await world.client.resource(Pod).patch("p", "default", body, type="strategic", subresource="resize")
        found = await world.until("p", lambda p: p.status.resources.limits == more["limits"])
        await world.until("p", lambda p: condition(p, "PodResizeInProgress") == ("", "", ""))
        assert all(status.restart_count == 0 for status in found.status.container_statuses)
        events = [reason for reason, _ in await world.events("p")]
        assert events[-2:] == ["ResizeStarted", "ResizeCompleted"]
        limits = {}
        for container in await world.runtime.list_containers():
            given = (await world.runtime.container_status(container.id)).resources.linux
            limits[container.metadata.name] = given.memory_limit_in_bytes >> 20, given.cpu_quota
        assert limits == {"bounded": (50, 10_000), "free": (300, 30_000)}
        await world.stop_kubelet()
        await world.start_kubelet()
        assert world.kubelet.find("default", "p").state.resources == more
        least = {"spec": {"resources": {"limits": {"memory": "60Mi"}, "requests": {"memory": "60Mi"}}}}
        await world.client.resource(Pod).patch("p", "default", least, type="strategic", subresource="resize")
        await world.until("p", lambda p: p.status.resources.limits["memory"] == "60Mi")


@pytest.mark.parametrize("limit", ["1Ki", "128Mi"])
async def test_resize_of_the_pod_restarts_those_that_ask_for_it(tmp_path: Path, limit: str) -> None:
    async with World(tmp_path) as world:
        policy = {"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
        own = {"resources": {"limits": {"memory": "32Mi"}}}
        memory = {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
        await world.create(pod("p", {"name": "whole", **policy}, {"name": "own", **policy, **own}, resources=memory))
        await world.until("p", ready)
        if limit == "1Ki":
            own_limit = {"name": "own", "resources": {"limits": {"memory": "1Ki"}, "requests": {"memory": "1Ki"}}}
            body: dict[str, Any] = {"spec": {"containers": [own_limit]}}
        else:
            body = {"spec": {}}
        body["spec"]["resources"] = {"limits": {"memory": limit}, "requests": {"memory": limit}}
        await world.client.resource(Pod).patch("p", "default", body, type="strategic", subresource="resize")
        if limit == "1Ki":
            found = await world.until("p", lambda p: condition(p, "PodResizeInProgress")[1] == "Error")
            assert "pod memory limit (1024) below current usage (" in condition(found, "PodResizeInProgress")[2]
            return
        found = await world.until("p", lambda p: p.status.container_statuses[0].restart_count == 1 and ready(p))
        assert found.status.container_statuses[1].restart_count == 0
        assert found.status.resources.limits == {"memory": "128Mi"}


async def test_ended_containers_tell_their_resources_too(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        wanted = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
        init = [{"name": "init", "image": "busybox:1", "command": ["true"], "resources": wanted}]
        main = {"name": "main", "command": ["true"], "resources": wanted}
        await world.create(pod("p", main, initContainers=init, restartPolicy="Never"))
        found = await world.until("p", lambda p: p.status.phase == "Succeeded")
        for status in (*found.status.init_container_statuses, *found.status.container_statuses):
            assert status.resources.requests == {"cpu": "100m"} and status.resources.limits == {"cpu": "200m"}
            assert status.allocated_resources == {"cpu": "100m"}


async def test_memory_limit_below_usage(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p", {"name": "main", "resources": {"limits": {"memory": "64Mi"}}}))
        await world.until("p", ready)
        for limit in ("1Ki", "128Mi"):
            resources = {"limits": {"memory": limit}, "requests": {"memory": limit}}
            body = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
            await world.client.resource(Pod).patch("p", "default", body, type="strategic", subresource="resize")
            if limit == "1Ki":
                found = await world.until("p", lambda p: condition(p, "PodResizeInProgress")[1] == "Error")
                assert "memory limit (1024) below current usage (" in condition(found, "PodResizeInProgress")[2]
        found = await world.until("p", lambda p: p.status.container_statuses[0].resources.limits["memory"] == "128Mi")
        assert "ResizeError" in [reason for reason, _ in await world.events("p")]


async def test_too_full_empty_dir(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p", volumes=[{"name": "tmp", "emptyDir": {"sizeLimit": "1Ki"}}]))
        found = await world.until("p", ready)
        path = tmp_path / "kubelet" / "pods" / found.metadata.uid / "volumes" / "kubernetes.io~empty-dir" / "tmp"
        (path / "file").write_bytes(b"x" * 10_000)
        found = await world.until("p", lambda p: p.status.phase == "Failed")
        assert found.status.reason == "Evicted"
        assert found.status.message == 'Usage of EmptyDir volume "tmp" exceeds the limit "1Ki". '
        assert condition(found, "DisruptionTarget")[:2] == ("True", "TerminationByKubelet")


@pytest.mark.parametrize("stops_well", [{}, {"command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000"]}])
async def test_resize_that_needs_a_restart(tmp_path: Path, stops_well: dict[str, Any]) -> None:
    async with World(tmp_path) as world:
        resources = {"requests": {"memory": "10Mi"}, "limits": {"memory": "20Mi"}}
        policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
        container = {"name": "main", "resources": resources, "resizePolicy": policy, **stops_well}
        await world.create(pod("p", container, restartPolicy="OnFailure"))
        await world.until("p", ready)
        body = {"spec": {"containers": [{"name": "main", "resources": {"limits": {"memory": "40Mi"}}}]}}
        await world.client.resource(Pod).patch("p", "default", body, type="strategic", subresource="resize")
        found = await world.until("p", lambda p: count(p) == 1 and ready(p))
        assert found.status.container_statuses[0].resources.limits == {"memory": "40Mi"}
        assert {p.status.phase for p in world.seen if p.metadata.name == "p"} <= {"Pending", "Running"}


async def test_runtime_away_for_a_while(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("before", {"name": "main", "command": ["sleep", "30"]}, restartPolicy="Never"))
        await world.until("before", ready)
        world.runtime.set_available(False)
        await world.create(pod("meanwhile"))
        await asyncio.sleep(45)
        world.runtime.set_available(True)
        await world.until("meanwhile", ready, 20)
        await world.until("before", lambda p: p.status.phase == "Succeeded", 20)


async def test_ended_pods_stay_as_they_are_after_a_reboot(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("good", {"name": "main", "command": ["true"]}, restartPolicy="Never"))
        await world.create(pod("bad", {"name": "main", "command": ["false"]}, restartPolicy="Never"))
        await world.until("good", lambda p: p.status.phase == "Succeeded")
        await world.until("bad", lambda p: p.status.phase == "Failed")
        await asyncio.sleep(5)
        good, bad = await world.get("good"), await world.get("bad")
        await world.stop_kubelet()
        for box in await world.runtime.list_pod_sandboxes():
            await world.runtime.remove_pod_sandbox(box.id)
        await world.start_kubelet()
        await asyncio.sleep(10)
        assert (await world.get("good")).status == good.status and (await world.get("bad")).status == bad.status
        assert not await world.runtime.list_pod_sandboxes()
        await world.delete("good")
        await world.until_gone("good", 10)
