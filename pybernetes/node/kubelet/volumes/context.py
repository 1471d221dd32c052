"""What volume plugins have in common: their surroundings, and how they fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pybernetes.api.core_v1 import Pod
from pybernetes.client.client import Client
from pybernetes.node.kubelet.config import Config, Paths
from pybernetes.node.kubelet.references import Watches
from pybernetes.node.kubelet.volumes.tokens import Tokens


class VolumeError(Exception):
    """A volume cannot be set up (yet): the text of the FailedMount event."""


@dataclass(frozen=True)
class Context:
    """The surroundings of a volume plugin."""

    config: Config
    paths: Paths
    client: Client
    watches: Watches
    tokens: Tokens
    allocatable: Callable[[], Mapping[str, str]]
    #: Run a blocking function (in a thread, outside virtual time).
    offload: Callable[..., Awaitable[object]]


def fs_group(pod: Pod) -> int:
    """The group that owns volumes of this pod; -1 for none."""
    context = pod.spec.security_context
    return context.fs_group if context and context.fs_group is not None else -1


def root_mode(gid: int, *, tmpfs: bool) -> int:
    """Permission bits of a volume's directory: everybody's, of a group if it has one; a tmpfs is sticky as /tmp is."""
    return 0o777 | (0o2000 if gid >= 0 else 0) | (0o1000 if tmpfs else 0)
