"""The effects: performs the operations that a pod's state machine asks for, one `match` over the commands.

Each operation changes the pod's `PodState` as its steps succeed. A failure is an exception; the worker remembers it as
`Trouble` under the operation's key, so that the state machine knows when to ask again.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

import msgspec

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import ConfigMap, Pod, Secret
from pybernetes.machinery.errors import StatusError
from pybernetes.node.cri import AlreadyExists, CRIError, Unsupported
from pybernetes.node.cri import types as t
from pybernetes.node.kubelet import commands as do
from pybernetes.node.kubelet import hooks, hosts, mounts, qos
from pybernetes.node.kubelet.cgroups import pod_limits
from pybernetes.node.kubelet.configs import (
    POD_UID,
    Surroundings,
    container_config,
    container_resources,
    sandbox_config,
    signal_number,
)
from pybernetes.node.kubelet.environment import ConfigError, References, build
from pybernetes.node.kubelet.host import Host, offload, write_file
from pybernetes.node.kubelet.images import ImageTrouble
from pybernetes.node.kubelet.observe import read_run
from pybernetes.node.kubelet.resize import resources_of
from pybernetes.node.kubelet.restarts import (
    AnyContainer,
    back_off,
    ephemeral_containers,
    find_container,
    init_containers,
    next_back_off,
    spec_hash,
)
from pybernetes.node.kubelet.state import CREATED, EXITED, POST_START_HOOK, RUNNING, Kill, Op, PodState, Run, Sandbox
from pybernetes.node.kubelet.volumes.context import VolumeError


class OperationError(Exception):
    """An operation failed: waiting reason, message, and when to ask again (None: with growing pauses).

    `config`: a change of the pod or of what it refers to asks again at once.
    """

    def __init__(self, reason: str, message: str, retry_at: float | None = None, *, config: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_at = retry_at
        self.config = config


class Executor:
    """Effects for one pod. `pod()` is the current object, `wake()` asks the worker to look again."""

    def __init__(
        self, host: Host, pod: Callable[[], Pod], state: PodState, wake: Callable[[], None],
        started: Callable[[AnyContainer, Run], None], tell: Callable[[str, str, str, str], None],
    ) -> None:  # fmt: skip
        self.host = host
        self.pod = pod
        self.state = state
        self.wake = wake
        self._started = started
        #: tell(type, reason, message, container name or "")
        self.tell = tell
        self._sandbox_config: t.PodSandboxConfig | None = None
        #: What the pod's cgroup was last given; None: not known since this process began.
        self._limits: tuple[int, int, int] | None = None

    async def perform(self, command: do.Operation, op: Op) -> None:
        """Carry out one operation."""
        match command:
            case do.SetUpVolumes():
                await self._set_up_volumes(op)
            case do.CreateSandbox():
                await self._create_sandbox(command.attempt)
            case do.StartContainer():
                await self._start_container(command, op)
            case do.RunPreStop():
                await self._pre_stop(command)
            case do.StopContainer():
                await self._stop_container(command)
            case do.RemoveContainer():
                await self._remove_container(command)
            case do.StopSandbox():
                await self._stop_sandbox(command)
            case do.ResizeContainer():
                await self._resize(command)
            case do.ResizePod():
                await self._resize_pod()
            case do.TearDown():
                await self._tear_down()
            case do.DeleteObject():
                await self._delete_object()
            case do.CleanUp():
                await self._clean_up()
            case _ as unknown:
                assert_never(unknown)

    # --- sandbox and volumes ---

    async def _set_up_volumes(self, op: Op) -> None:
        pod = self.pod()
        op.interruptible = True
        try:
            await self.host.volumes.set_up(pod, lambda kind, reason, text: self.tell(kind, reason, text, ""))
        except VolumeError as error:
            raise OperationError("ContainerCreating", "", config=True) from error
        self.state.volumes_ready = True

    def sandbox_config(self, attempt: int) -> t.PodSandboxConfig:
        """The pod's sandbox as it is (to be) configured. Raises OperationError."""
        pod, host = self.pod(), self.host
        try:
            name = hosts.hostname(pod, host.config.cluster_domain)
        except ValueError as error:
            self.tell("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}", "")
            raise OperationError("CreatePodSandboxError", str(error)) from None
        resolver = hosts.resolver(pod, host.resolver(), host.config.cluster_dns, host.config.cluster_domain)
        return sandbox_config(pod, host.config, host.paths, attempt, name, resolver, host.cgroups.path(pod))

    async def _create_sandbox(self, attempt: int) -> None:
        pod, host, state = self.pod(), self.host, self.state
        if text := unsupported(pod):
            self.tell("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {text}", "")
            raise OperationError("CreatePodSandboxError", text, clock.timestamp() + 60, config=True)
        config = self.sandbox_config(attempt)
        await offload(host.config, self._prepare, pod, config.log_directory)
        self._limits = pod_limits(pod)
        state.resources = resources_of(pod.spec) if pod.spec.resources else None
        handler = await self._runtime_handler(pod)
        try:
            async with Nursery("sandbox") as meanwhile:
                first = next(iter(init_containers(pod)), pod.spec.containers[0])
                meanwhile.start(host.images.glimpse(pod, first.image or ""), "image")
                try:
                    sandbox_id = await host.runtime.run_pod_sandbox(config, handler)
                except AlreadyExists:  # left by a failed attempt: the next number is free
                    config = self.sandbox_config(attempt + 1)
                    sandbox_id = await host.runtime.run_pod_sandbox(config, handler)
            status = await host.runtime.pod_sandbox_status(sandbox_id)
        except CRIError as error:
            text = f"Failed to create pod sandbox: {error.message}"
            self.tell("Warning", "FailedCreatePodSandBox", text, "")
            raise OperationError("CreatePodSandboxError", text) from None
        if state.sandbox is not None:
            state.old_sandboxes.append(state.sandbox)
        state.sandbox = Sandbox(sandbox_id, config.metadata.attempt, True, status.ips, status.created_at / 1e9)
        self._sandbox_config = config

    def _prepare(self, pod: Pod, log_directory: str) -> None:
        directory = self.host.paths.pod(pod.metadata.uid)
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        Path(log_directory).mkdir(parents=True, exist_ok=True)
        self.host.cgroups.ensure(pod)

    async def _runtime_handler(self, pod: Pod) -> str:
        name = pod.spec.runtime_class_name
        if not name:
            return ""
        from pybernetes.api.node_v1 import RuntimeClass

        try:
            return (await self.host.client.resource(RuntimeClass).get(name)).handler
        except StatusError as error:
            text = f'failed to get sandbox runtime: RuntimeClass "{name}": {error}'
            self.tell("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {text}", "")
            raise OperationError("CreatePodSandboxError", text) from None

    # --- starting ---

    async def _start_container(self, command: do.StartContainer, op: Op) -> None:
        pod, host, state = self.pod(), self.host, self.state
        container = find_container(pod, command.name)
        box = state.sandbox
        if container is None or box is None:
            return
        say = self._say(container.name)
        op.interruptible = True
        try:
            image = await host.images.ensure(
                pod, container.image or "", container.image_pull_policy or "", self._pull_secrets, say
            )
            volume_images = await self._volume_images(pod, container, say)
        except ImageTrouble as error:
            say("Warning", "Failed", f"Error: {error.reason}")
            raise OperationError(error.reason, error.message, error.retry_at) from None
        try:
            config = await self._configure(pod, container, image, command.restart_count, box, volume_images)
        except (ConfigError, OSError, TimeoutError) as error:
            text = str(error) or "timed out waiting for the API server"
            say("Warning", "Failed", f"Error: {text}")
            raise OperationError("CreateContainerConfigError", text, config=True) from None
        except mounts.MissingSubPath as error:
            say("Warning", "Failed", f"Error: {error}")
            raise OperationError("CreateContainerError", str(error)) from None
        op.interruptible = False
        await self._fit_cgroup(pod)
        last = state.latest(container.name)
        if last is not None and last.state == EXITED:
            entry = back_off(state, container, last)
            state.back_off[container.name] = next_back_off(entry, last.finished_at, clock.timestamp())
        sandbox = self._sandbox_config or self.sandbox_config(box.attempt)
        try:
            try:
                container_id = await host.runtime.create_container(box.id, config, sandbox)
            except AlreadyExists:  # a create whose answer was lost
                for left in await host.runtime.list_containers(pod_sandbox_id=box.id):
                    if left.metadata == config.metadata and state.find(left.id) is None:
                        await host.runtime.remove_container(left.id)
                container_id = await host.runtime.create_container(box.id, config, sandbox)
        except CRIError as error:
            say("Warning", "Failed", f"Error: {error.message}")
            raise OperationError("CreateContainerError", error.message) from None
        run = Run(
            container_id, container.name, command.restart_count, box.id,
            created_at=clock.timestamp(), spec_hash=spec_hash(container), log_path=config.log_path,
            image=image.repo_tags[0] if image.repo_tags else container.image or "",
            image_id=image.repo_digests[0] if image.repo_digests else image.id,
            resources=resources_of(container),
        )  # fmt: skip
        runs = state.runs.setdefault(container.name, [])
        if runs and runs[-1].state == CREATED:  # never started: nothing to remember
            await self._forget(runs.pop().id)
        runs.append(run)
        say("Normal", "Created", "Container created")
        if state.terminating_since is not None:
            return
        await self._launch(pod, container, run, op)

    async def _launch(self, pod: Pod, container: AnyContainer, run: Run, op: Op) -> None:
        say = self._say(container.name)
        hook = container.lifecycle.post_start if container.lifecycle else None
        run.post_started = hook is None
        try:
            await self.host.runtime.start_container(run.id)
        except CRIError as error:
            now = clock.timestamp()
            if run.state == CREATED:
                run.state, run.exit_code, run.reason = EXITED, 128, "StartError"
                run.message, run.started_at, run.finished_at = error.message, 0.0, now
            say("Warning", "Failed", f"Error: {error.message}")
            raise OperationError("RunContainerError", error.message, now + 1) from None
        if run.state == CREATED:
            run.state, run.started_at = RUNNING, clock.timestamp()
        self.state.trouble.pop(container.name, None)
        say("Normal", "Started", "Container started")
        self._started(container, run)
        self.wake()
        if hook is None:
            return
        op.interruptible = True
        problem = await hooks.perform(self.host.runtime, pod, container, run.id, self.pod_ip(), hook, 0, say)
        run.post_started = True
        if problem:
            say("Warning", "FailedPostStartHook", "PostStartHook failed")  # what it printed is not for everybody
            now = clock.timestamp()
            if run.state == RUNNING:
                usual = pod.spec.termination_grace_period_seconds
                run.kill = Kill(now + (30 if usual is None else usual), "FailedPostStartHook")
                say("Normal", "Killing", "FailedPostStartHook")
            raise OperationError(POST_START_HOOK, problem, now)

    def _say(self, container: str) -> Callable[[str, str, str], None]:
        return lambda kind, reason, text: self.tell(kind, reason, text, container)

    def pod_ip(self) -> str:
        """The address that probes and hooks speak to."""
        if self.pod().spec.host_network:
            return self.host.facts.ips[0] if self.host.facts.ips else "127.0.0.1"
        return self.state.sandbox.ips[0] if self.state.sandbox and self.state.sandbox.ips else ""

    async def _pull_secrets(self) -> Sequence[Secret]:
        pod, found = self.pod(), []
        for reference in pod.spec.image_pull_secrets or ():
            secret = await self.host.watches.get(Secret, pod.metadata.namespace, reference.name or "")
            if secret is None:
                self.tell(
                    "Warning",
                    "FailedToRetrieveImagePullSecret",
                    f"Unable to retrieve some image pull secrets ({reference.name}); "
                    "attempting to pull the image may not succeed.",
                    "",
                )
            else:
                found.append(secret)
        return found

    async def _volume_images(
        self, pod: Pod, container: AnyContainer, say: Callable[[str, str, str], None]
    ) -> dict[str, t.ImageSpec]:
        """Mount the image volumes of a container; those that the runtime must mount itself. Raises ImageTrouble."""
        wanted = {m.name for m in container.volume_mounts or ()}
        host, uid, found = self.host, pod.metadata.uid, {}
        for volume in pod.spec.volumes or ():
            source = volume.image
            if source is None or volume.name not in wanted:
                continue
            image = await host.images.ensure(
                pod, source.reference or "", source.pull_policy or "", self._pull_secrets, say
            )
            try:
                host.volumes.of(uid).paths[volume.name] = await host.volumes.images.mount(uid, image)
            except Unsupported:
                found[volume.name] = t.ImageSpec(image=image.id, user_specified_image=source.reference or "")
        return found

    async def _configure(
        self, pod: Pod, container: AnyContainer, image: t.Image, count: int, box: Sandbox,
        volume_images: dict[str, t.ImageSpec],
    ) -> t.ContainerConfig:  # fmt: skip
        host, namespace = self.host, pod.metadata.namespace
        await host.watches.synced(pod.metadata.uid)
        if pod.spec.enable_service_links is not False:
            await host.services_synced()
        volumes = host.volumes.of(pod.metadata.uid).paths
        pod_ips = tuple(host.facts.ips if pod.spec.host_network else box.ips)

        def file(volume: str, path: str) -> bytes | None:
            with contextlib.suppress(OSError, KeyError):
                return (volumes[volume] / path).read_bytes()
            return None

        env = build(
            pod,
            container,
            References(
                config_map=lambda name: host.watches.known(ConfigMap, namespace, name),
                secret=lambda name: host.watches.known(Secret, namespace, name),
                services=host.services(),
                host_ips=host.facts.ips,
                pod_ips=pod_ips,
                allocatable=host.facts.allocatable,
                file=file,
            ),
        )
        hosts_file = self._write_hosts(pod, container, pod_ips)
        found = mounts.container_mounts(
            pod, container, volumes, env, host.paths, count, hosts_file, host.config.real_mounts, volume_images
        )
        target = ""
        if (name := getattr(container, "target_container_name", None)) and (run := self.state.latest(name)):
            target = run.id
        return container_config(
            pod,
            container,
            host.config,
            Surroundings(
                image=image,
                image_ref=image.id,
                env=env,
                mounts=found,
                restart_count=count,
                node_memory=host.facts.memory,
                cgroup_v2=host.cgroups.v2,
                target=target,
                resources=msgspec.json.encode(resources_of(container)).decode(),
            ),
        )

    def _write_hosts(self, pod: Pod, container: AnyContainer, ips: Sequence[str]) -> Path | None:
        config = self.host.config
        path = self.host.paths.hosts_file(pod.metadata.uid)
        own = ""
        if pod.spec.host_network:
            with contextlib.suppress(OSError):
                own = Path("/etc/hosts").read_text()
        text = hosts.hosts_file(pod, ips, hosts.hostname(pod, config.cluster_domain), config.cluster_domain, own)
        write_file(path, text)
        return path

    # --- stopping ---

    async def _pre_stop(self, command: do.RunPreStop) -> None:
        pod, run = self.pod(), self.state.find(command.id)
        container = find_container(pod, command.name)
        if run is None or run.kill is None or container is None:
            return
        hook = container.lifecycle.pre_stop if container.lifecycle else None
        if hook is not None:
            left = max(command.deadline - clock.timestamp(), 0.001)
            say = self._say(run.name)
            problem = await hooks.perform(self.host.runtime, pod, container, run.id, self.pod_ip(), hook, left, say)
            if problem and run.state == RUNNING:
                say("Warning", "FailedPreStopHook", "PreStopHook failed")
        run.kill.hook_done = True

    async def _stop_container(self, command: do.StopContainer) -> None:
        await self._signal(command)
        left = max(command.deadline - clock.timestamp(), 0.0)
        await self.host.runtime.stop_container(command.id, -int(-left // 1))
        await self.refresh(command.id)

    async def _signal(self, command: do.StopContainer) -> None:
        """A stop signal of the pod's own choice, where the runtime does not send it itself, and the time to heed it."""
        container, run = find_container(self.pod(), command.name), self.state.find(command.id)
        wanted = container.lifecycle.stop_signal if container and container.lifecycle else None
        if wanted is None or run is None:
            return
        if (await self.host.runtime.container_status(command.id)).stop_signal:
            return
        try:
            await self.host.runtime.signal_container(command.id, signal_number(wanted))
        except Unsupported as error:
            self.tell("Warning", "Failed", f"Error: stopSignal {wanted}: {error.message}", command.name)
            return
        while run.state == RUNNING and (left := command.deadline - clock.timestamp()) > 0:
            await clock.sleep(min(left, 0.1))

    async def refresh(self, container_id: str) -> None:
        """Take over what the runtime says of a container."""
        run = self.state.find(container_id)
        if run is None:
            return
        pod = self.pod()
        changed = await read_run(self.host.runtime, self.host.paths, pod, run)
        if changed and run.state == EXITED:
            kind = "container"
            if any(c.name == run.name for c in init_containers(pod)):
                kind = "init_container"
            elif any(c.name == run.name for c in ephemeral_containers(pod)):
                kind = "ephemeral_container"
            self.host.terminated[kind, run.exit_code] += 1

    async def _remove_container(self, command: do.RemoveContainer) -> None:
        await self.host.runtime.remove_container(command.id)
        runs = self.state.runs.get(command.name, [])
        for run in [run for run in runs if run.id == command.id]:
            runs.remove(run)
            await offload(self.host.config, self._remove_log, run)

    def _remove_log(self, run: Run) -> None:
        metadata = self.pod().metadata
        path = self.host.paths.log_file(metadata.namespace, metadata.name, metadata.uid, run.name, run.restart_count)
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink(missing_ok=True)

    async def _forget(self, container_id: str) -> None:
        with contextlib.suppress(CRIError):
            await self.host.runtime.remove_container(container_id)

    async def _stop_sandbox(self, command: do.StopSandbox) -> None:
        await self.host.runtime.stop_pod_sandbox(command.id)
        for box in (*self.state.old_sandboxes, self.state.sandbox):
            if box is not None and box.id == command.id:
                box.ready, box.stopped = False, True

    async def _resize(self, command: do.ResizeContainer) -> None:
        pod, run = self.pod(), self.state.find(command.id)
        container = find_container(pod, command.name)
        if run is None or container is None:
            return
        resources = self._resources(pod, container)
        if limit := resources.memory_limit_in_bytes:
            await self._check_memory(run, limit)
        # A container's limit may never be above its pod's: more goes to the pod first, less to the container.
        await self._fit_cgroup(pod)
        await self.host.runtime.update_container_resources(run.id, resources)
        await offload(self.host.config, self.host.cgroups.update, pod)
        run.resources = resources_of(container)

    def _resources(self, pod: Pod, container: AnyContainer) -> t.LinuxContainerResources:
        """What a running container is to have: where there is no limit, the old one goes."""
        found = container_resources(pod, container, self.host.facts.memory, cgroup_v2=self.host.cgroups.v2)
        return found if found.cpu_quota else msgspec.structs.replace(found, cpu_quota=-1)

    async def _resize_pod(self) -> None:
        """The pod's cgroup first, then the containers that are limited only by it."""
        pod, state = self.pod(), self.state
        wanted = resources_of(pod.spec)
        if limit := pod_limits(pod)[2]:
            used = 0
            for run in state.running():
                used += await self._memory_used(run)
            if used > limit:
                text = f"attempting to set pod memory limit ({limit}) below current usage ({used})"
                raise OperationError("Error", text, config=True)
        await self._fit_cgroup(pod)
        for run in state.running():
            container = find_container(pod, run.name)
            if container is not None and any(name not in qos.limits(container) for name in wanted.get("limits", {})):
                await self.host.runtime.update_container_resources(run.id, self._resources(pod, container))
        await offload(self.host.config, self.host.cgroups.update, pod)  # a lower limit is taken only now
        state.resources = wanted

    async def _fit_cgroup(self, pod: Pod) -> None:
        """Bring the limits of the pod's cgroup in line with the pod, if they may not be."""
        if (limits := pod_limits(pod)) != self._limits:
            await offload(self.host.config, self.host.cgroups.update, pod)
            self._limits = limits

    async def _check_memory(self, run: Run, limit: int) -> None:
        """A limit below what is in use now would kill the container. Raises OperationError."""
        if (used := await self._memory_used(run)) > limit:
            text = f'attempting to set container "{run.name}" memory limit ({limit}) below current usage ({used})'
            raise OperationError("Error", text, config=True)

    async def _memory_used(self, run: Run) -> int:
        """Bytes that cannot be reclaimed."""
        stats = (await self.host.runtime.container_stats(run.id)).memory
        return (stats.working_set_bytes or 0) if stats else 0

    # --- leaving ---

    async def _tear_down(self) -> None:
        uid = self.pod().metadata.uid
        await self.host.volumes.tear_down(uid)
        self.state.torn_down = True

    async def _delete_object(self) -> None:
        metadata = self.pod().metadata
        try:
            await self.host.client.resource(Pod).delete(
                metadata.name, metadata.namespace, grace_period=0, uid=metadata.uid
            )
        except StatusError as error:
            if error.code not in (404, 409):  # gone, or another pod of that name: both are fine
                raise
        self.host.lost(metadata.uid)

    async def _clean_up(self) -> None:
        state, host, metadata = self.state, self.host, self.pod().metadata
        for box in await host.runtime.list_pod_sandboxes(labels={POD_UID: metadata.uid}):
            await host.runtime.remove_pod_sandbox(box.id)
        directories = [
            host.paths.pod(metadata.uid),
            host.paths.pod_logs(metadata.namespace, metadata.name, metadata.uid),
        ]
        await offload(host.config, _remove_directories, directories)
        await offload(host.config, host.cgroups.remove, metadata.uid)
        state.gone = True


def unsupported(pod: Pod) -> str:
    """The text of what this kubelet cannot do for the pod; "" when there is nothing. Pure."""
    if pod.spec.host_users is False:
        return "hostUsers: false (user namespaces) is not supported by this kubelet"
    if pod.spec.resource_claims:
        return "resourceClaims (dynamic resource allocation) are not supported by this kubelet"
    if pod.status.extended_resource_claim_status is not None:
        return "extended resources that devices stand for are not supported by this kubelet"
    for container in (*pod.spec.containers, *(pod.spec.init_containers or ())):
        if container.volume_devices:
            return f"container {container.name}: volumeDevices (raw block volumes) are not supported by this kubelet"
    return ""


def _remove_directories(directories: Sequence[Path]) -> None:
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
