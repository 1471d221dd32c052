"""The seam between kubelet and container runtime.

Three groups of operations in the CRI's words, and `ContainerRuntime`, which is all of them. Two implementations of
equal rank: `client.CRIClient` (containerd or any other CRI v1 runtime, over its socket) and `fake.FakeRuntime`
(in memory). `tests/suites/runtime_contract.py` judges both.

Rules
- Ownership: arguments and results are immutable; a result is a snapshot, never updated behind the caller's back.
- Order: lists come in no order. Calls for one container are the caller's to order; the runtime may serve calls for
  different ones in any order.
  An event is delivered after the change it tells of is visible: after `EXITED`, `container_status` says EXITED and
  knows the exit code. Events of one container arrive in order.
- Idempotence: stop_* and remove_* of something that is gone succeed. remove_container stops a running container first,
  remove_pod_sandbox removes the sandbox's containers.
- Errors: `errors.CRIError` and its kinds, nothing else (but cancellation). `Unavailable` says nothing about the effect.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from . import types as t


class PodSandboxes(Protocol):
    """Pod sandboxes: network namespace, cgroup parent and the process that holds them."""

    async def run_pod_sandbox(self, config: t.PodSandboxConfig, runtime_handler: str = "") -> str:
        """Create and start a sandbox, its network included; its id. Raises AlreadyExists for the same metadata."""

    async def stop_pod_sandbox(self, pod_sandbox_id: str) -> None:
        """Kill its containers, take its network down. Idempotent."""

    async def remove_pod_sandbox(self, pod_sandbox_id: str) -> None:
        """Remove it and its containers, stopping what runs. Idempotent."""

    async def pod_sandbox_status(self, pod_sandbox_id: str) -> t.PodSandboxStatus:
        """Raises NotFound."""

    async def list_pod_sandboxes(
        self, *, id: str = "", state: t.PodSandboxState | None = None, labels: Mapping[str, str] | None = None
    ) -> list[t.PodSandbox]:
        """All sandboxes that match every given filter."""

    async def pod_sandbox_stats(self, pod_sandbox_id: str) -> t.PodSandboxStats:
        """Usage of the whole pod, network included. Raises NotFound, Unsupported."""

    async def list_pod_sandbox_stats(self, *, labels: Mapping[str, str] | None = None) -> list[t.PodSandboxStats]:
        """The same for all ready sandboxes."""

    async def port_forward_url(self, pod_sandbox_id: str, ports: Sequence[int] = ()) -> str:
        """URL on the runtime's streaming server for connections into the pod."""


class Containers(Protocol):
    """Containers inside sandboxes."""

    async def create_container(
        self, pod_sandbox_id: str, config: t.ContainerConfig, sandbox_config: t.PodSandboxConfig
    ) -> str:
        """Create, not start; its id. Raises NotFound for the sandbox or an image that is not present."""

    async def start_container(self, container_id: str) -> None:
        """Start a created container. When the process cannot be started the container is EXITED and this raises."""

    async def stop_container(self, container_id: str, timeout: int = 0) -> None:
        """The stop signal, then SIGKILL after `timeout` seconds (0: at once). Idempotent.

        Returns when it has exited.
        """

    async def signal_container(self, container_id: str, signal: int) -> None:
        """Signal its main process: for runtimes that know no `stop_signal`. Idempotent. Raises Unsupported."""

    async def remove_container(self, container_id: str) -> None:
        """Remove it, and its writable layer; kills it when it runs. Idempotent."""

    async def list_containers(
        self,
        *,
        id: str = "",
        pod_sandbox_id: str = "",
        state: t.ContainerState | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[t.Container]:
        """All containers that match every given filter, exited ones included."""

    async def container_status(self, container_id: str) -> t.ContainerStatus:
        """Raises NotFound."""

    async def update_container_resources(self, container_id: str, resources: t.LinuxContainerResources) -> None:
        """Change limits of a created or running container; zero fields stay as they are."""

    async def reopen_container_log(self, container_id: str) -> None:
        """Open `log_path` anew after rotation. The container must be running."""

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float = 0) -> t.ExecResult:
        """Run a command inside and wait; `timeout` seconds, 0 for none. Raises DeadlineExceeded; the command is killed.

        A command that cannot be started is a CRIError, one that fails is a result with its exit code.
        """

    async def exec_url(
        self,
        container_id: str,
        command: Sequence[str],
        *,
        tty: bool = False,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
    ) -> str:
        """URL on the runtime's streaming server, good for one connection. `tty` excludes `stderr`."""

    async def attach_url(
        self, container_id: str, *, tty: bool = False, stdin: bool = False, stdout: bool = True, stderr: bool = True
    ) -> str:
        """The same for the container's main process."""

    async def container_stats(self, container_id: str) -> t.ContainerStats:
        """Usage of one container. Raises NotFound."""

    async def list_container_stats(
        self, *, pod_sandbox_id: str = "", labels: Mapping[str, str] | None = None
    ) -> list[t.ContainerStats]:
        """The same for all running containers that match."""


class Images(Protocol):
    """Images present on the node. Names are references as users write them; the runtime normalises."""

    async def image_status(self, image: str) -> t.Image | None:
        """The image by name or id; None when it is not present."""

    async def list_images(self) -> list[t.Image]:
        """All images."""

    async def pull_image(
        self, image: str, auth: t.AuthConfig | None = None, sandbox_config: t.PodSandboxConfig | None = None
    ) -> str:
        """Fetch; the reference to use for containers. Raises ImagePullError with the registry's words."""

    async def remove_image(self, image: str) -> None:
        """Remove all names of it. Idempotent."""

    async def view_image(self, image: str, key: str) -> list[t.SnapshotMount]:
        """What to mount, read-only, to see the root file system of a present image, by name or id.

        The runtime keeps it, under a key of the caller's, until `release_view`; the same key gives the same view.
        Raises NotFound, Unsupported.
        """

    async def release_view(self, key: str) -> None:
        """Let go of a view that is mounted nowhere any more. Idempotent. Raises Unsupported."""

    async def image_fs_info(self) -> t.ImageFsInfo:
        """Disk usage of images and of writable layers."""


class ContainerRuntime(PodSandboxes, Containers, Images, Protocol):
    """A whole runtime."""

    async def version(self) -> t.Version:
        """Name and versions. The cheapest call: use it to see whether the runtime is there."""

    async def status(self, *, verbose: bool = False) -> t.RuntimeStatus:
        """Conditions RuntimeReady and NetworkReady, and features."""

    async def update_runtime_config(self, pod_cidr: str) -> None:
        """Tell the runtime the node's Pod range (comma-separated for dual-stack)."""

    async def cgroup_driver(self) -> t.CgroupDriver | None:
        """Which driver the runtime uses; None when it does not tell (before containerd 2.0)."""

    def events(self) -> AsyncGenerator[t.ContainerEvent, None]:
        """First SUBSCRIBED, then starts, exits and OOM kills, until the runtime goes (then Unavailable).

        Events from before, or from while nobody listened, are not repeated: list at SUBSCRIBED. Several
        subscribers get all events each. Wrap it in `contextlib.aclosing`.
        """

    async def close(self) -> None:
        """Let go of the connection. Containers are not touched."""
