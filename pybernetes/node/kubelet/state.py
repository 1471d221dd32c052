"""What the kubelet knows of one pod on its node: sandboxes, container runs, volumes, work in progress.

Plain data. Only the pod's worker changes it; `lifecycle.decide` and `status.make` read it. Times are Unix seconds.

A container is restarted by creating another one, so there is a list of `Run`s for each name, newest last. What is being
done right now is in `ops`, one entry for each operation in flight, so that the decision "what next" never has to wait
for anything: it sees that a sandbox is being created, and does not ask for another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CREATED, RUNNING, EXITED = "created", "running", "exited"


@dataclass(slots=True)
class Kill:
    """A container is to end: since when, until when gracefully, and why."""

    deadline: float
    message: str
    hook_done: bool = False
    #: To be started again whatever the restart policy says: a resize that needs it.
    restart: bool = False


@dataclass(slots=True)
class Run:
    """One run of a container: a container of the runtime."""

    id: str
    name: str
    restart_count: int
    sandbox_id: str
    state: str = CREATED
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    spec_hash: str = ""
    log_path: str = ""
    #: The post-start hook is over (or there is none).
    post_started: bool = True
    #: Probe verdicts; None: not known (yet, or no such probe).
    healthy: bool | None = None
    ready: bool | None = None
    started: bool | None = None
    kill: Kill | None = None
    #: All containers of the pod have been restarted since: this one is to run again, however it ended.
    superseded: bool = False
    #: Limits in force: wire form of ResourceRequirements, for in-place resize.
    resources: dict[str, dict[str, str]] | None = None
    user: tuple[int, int, tuple[int, ...]] | None = None


@dataclass(slots=True)
class Sandbox:
    """A pod sandbox of the runtime."""

    id: str
    attempt: int
    ready: bool
    ips: list[str] = field(default_factory=list)
    created_at: float = 0.0
    #: We have stopped it: its network is gone as well.
    stopped: bool = False


@dataclass(slots=True)
class BackOff:
    """Restart back-off of one container: the pause after its last exit, and when that was set."""

    delay: float
    updated: float


#: The trouble of a container whose hook after its start failed, and for how many seconds after its end that is shown;
#: then it is a back-off like any other.
POST_START_HOOK, HOOK_SHOWN = "PostStartHookError", 10.0


@dataclass(slots=True)
class Trouble:
    """Why a container (or sandbox, or the volumes) is not there yet: the waiting reason, and when to try again."""

    reason: str
    message: str
    retry_at: float
    delay: float = 0.0
    #: The pod or what it refers to must change; a change of the pod tries again at once.
    config: bool = False


@dataclass(slots=True)
class Op:
    """An operation in flight. `interruptible`: it may be cancelled without leaving anything unknown behind."""

    key: str
    since: float
    deadline: float = 0.0
    interruptible: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """The pod is to end although nobody deleted it: deadline, eviction, refused at admission."""

    reason: str
    message: str
    grace: float | None = None
    #: A condition DisruptionTarget is set with this reason.
    disruption: str = ""


@dataclass(slots=True)
class PodState:
    """All of the above for one pod."""

    start_time: float = 0.0
    sandbox: Sandbox | None = None
    old_sandboxes: list[Sandbox] = field(default_factory=list)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    back_off: dict[str, BackOff] = field(default_factory=dict)
    trouble: dict[str, Trouble] = field(default_factory=dict)
    ops: dict[str, Op] = field(default_factory=dict)
    volumes_ready: bool = False
    #: Refused at admission: never touched the runtime.
    rejected: Ending | None = None
    ending: Ending | None = None
    #: When termination began, by any cause; it never goes back. Then: seconds of grace, and when that is over.
    terminating_since: float | None = None
    grace: float = 0.0
    kill_deadline: float = 0.0
    #: The object is gone from the API (or the manifest from the directory).
    removed: bool = False
    #: The volumes are gone.
    torn_down: bool = False
    #: The status as the API has it includes that everything ended.
    final_written: bool = False
    #: Everything of the pod is gone from this node.
    gone: bool = False
    #: Restart counts that only the API remembers (the runtime lost its containers).
    counts: dict[str, int] = field(default_factory=dict)
    #: All containers are being ended, to be started anew in the same sandbox.
    restarting: bool = False
    #: Container name -> id of the run whose restart back-off has been announced, and the pause in seconds.
    told: dict[str, tuple[str, float]] = field(default_factory=dict)
    #: Limits of the pod as a whole that are in force (as `Run.resources`); None: not known, or it has none of its own.
    resources: dict[str, dict[str, str]] | None = None
    #: In-place resize: condition type -> (reason, message).
    resize: dict[str, tuple[str, str]] = field(default_factory=dict)

    def latest(self, name: str) -> Run | None:
        """The newest run of a container."""
        runs = self.runs.get(name)
        return runs[-1] if runs else None

    def previous(self, name: str) -> Run | None:
        runs = self.runs.get(name)
        return runs[-2] if runs and len(runs) > 1 else None

    def find(self, container_id: str) -> Run | None:
        for runs in self.runs.values():
            for run in runs:
                if run.id == container_id:
                    return run
        return None

    def next_count(self, name: str) -> int:
        """The restart count of the run to come."""
        run = self.latest(name)
        known = self.counts.get(name, -1)
        return max(run.restart_count if run else -1, known) + 1

    def running(self) -> list[Run]:
        return [run for runs in self.runs.values() for run in runs if run.state == RUNNING]
