"""What a pod's state machine asks for. Immediate commands change the pod's state; the others are operations.

An operation has a `key`: at most one with that key is in flight for a pod, and its failure is remembered under it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.node.kubelet.state import Ending


@dataclass(frozen=True, slots=True)
class BeginEnding:
    """Immediate: the pod is to end although nobody deleted it."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class BeginTermination:
    """Immediate: everything is to stop within `grace` seconds from now; again with a shorter one."""

    grace: float


@dataclass(frozen=True, slots=True)
class BeginKill:
    """Immediate: one container is to stop until `deadline`."""

    name: str
    id: str
    deadline: float
    message: str
    restart: bool = False


@dataclass(frozen=True, slots=True)
class BeginRestartAll:
    """Immediate: all containers are to end and to start anew, init containers first."""


@dataclass(frozen=True, slots=True)
class EndRestartAll:
    """Immediate: all have ended; what ran before counts no more."""


@dataclass(frozen=True, slots=True)
class TellBackOff:
    """Immediate: say once that this container waits for its restart."""

    name: str
    id: str
    #: Seconds.
    pause: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """Immediate: interrupt an operation that may be interrupted."""

    key: str


@dataclass(frozen=True, slots=True)
class SetUpVolumes:
    key: str = "volumes"


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    attempt: int
    key: str = "sandbox"


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Pull, create, start, post-start hook."""

    name: str
    restart_count: int

    @property
    def key(self) -> str:
        return f"start/{self.name}"


@dataclass(frozen=True, slots=True)
class RunPreStop:
    name: str
    id: str
    deadline: float

    @property
    def key(self) -> str:
        return f"prestop/{self.id}"


@dataclass(frozen=True, slots=True)
class StopContainer:
    """The stop signal, and SIGKILL at `deadline`. Replaces one in flight with a later deadline."""

    name: str
    id: str
    deadline: float

    @property
    def key(self) -> str:
        return f"stop/{self.id}"


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Forget an old run."""

    name: str
    id: str

    @property
    def key(self) -> str:
        return f"remove/{self.id}"


@dataclass(frozen=True, slots=True)
class StopSandbox:
    id: str

    @property
    def key(self) -> str:
        return f"stop/{self.id}"


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Give a running container the resources of its spec."""

    name: str
    id: str

    @property
    def key(self) -> str:
        return f"resize/{self.name}"


@dataclass(frozen=True, slots=True)
class ResizePod:
    """Give the pod as a whole the resources of its spec."""

    key: str = "resize"


@dataclass(frozen=True, slots=True)
class TearDown:
    """Unmount and remove the volumes. All containers have ended."""

    key: str = "teardown"


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Remove the object from the API: the pod has ended."""

    key: str = "delete"


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Remove sandboxes, directories, logs and the cgroup: the object is gone."""

    key: str = "cleanup"


Immediate = BeginEnding | BeginTermination | BeginKill | BeginRestartAll | EndRestartAll | TellBackOff | Cancel
Operation = (
    SetUpVolumes
    | CreateSandbox
    | StartContainer
    | RunPreStop
    | StopContainer
    | RemoveContainer
    | StopSandbox
    | ResizeContainer
    | ResizePod
    | TearDown
    | DeleteObject
    | CleanUp
)
Command = Immediate | Operation
