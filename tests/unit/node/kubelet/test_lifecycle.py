"""The pod state machine, told as transcripts: `time  what happens => what it asks for`.

What happens: `up` (sandbox and volumes there), `run X`, `exit X CODE`, `ready X`, `sick X`, `hooked X` (pre-stop done),
`stopped` (sandboxes), `down` (torn down), `delete GRACE`, `written`, `gone`, `tick`. Commands that were asked
for and not yet answered stay in flight, as in the worker. `wake T` at the end is when it wants to look again.
"""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.node.kubelet import commands as do
from pybernetes.node.kubelet.lifecycle import apply, decide
from pybernetes.node.kubelet.restarts import next_back_off
from pybernetes.node.kubelet.state import CREATED, EXITED, RUNNING, Op, PodState, Run, Sandbox
from tests.unit.node.kubelet.world import pod


class Play:
    """Applies the words of a transcript to a pod's state, and shows the commands."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.pod = pod("p", *spec.pop("containers", [{"name": "a"}]), **spec)
        self.pod.metadata.uid = "uid"
        self.state = PodState(start_time=0.001)

    def step(self, now: float, words: list[str]) -> str:
        self.happen(now, words)
        asked: list[str] = []
        while True:
            decision = decide(self.pod, self.state, now)
            again = False
            for command in decision.commands:
                immediate = apply(command, self.state, now)
                again = again or immediate
                if not immediate and not isinstance(command, do.Cancel):
                    self.state.ops[command.key] = Op(command.key, now, getattr(command, "deadline", 0.0))
                if not isinstance(command, do.TellBackOff):
                    asked.append(show(command))
            if not again:
                break
        if decision.wake_at != float("inf"):
            asked.append(f"wake {decision.wake_at:g}")
        return ", ".join(asked) or "-"

    def happen(self, now: float, words: list[str]) -> None:
        state = self.state
        match words:
            case ["up"]:
                state.sandbox, state.volumes_ready = Sandbox("box", 0, True), True
                state.ops.clear()
            case ["run", name]:
                last = state.latest(name)
                if last is not None:
                    state.back_off[name] = next_back_off(state.back_off.get(name), last.finished_at, now)
                run = Run(f"{name}{state.next_count(name)}", name, state.next_count(name), "box", RUNNING, now, now)
                state.runs.setdefault(name, []).append(run)
                state.ops.pop(f"start/{name}", None)
            case ["exit", name, code]:
                run = state.runs[name][-1]
                run.state, run.exit_code, run.finished_at = EXITED, int(code), now
                state.ops.pop(f"stop/{run.id}", None)
            case ["sick", name]:
                state.runs[name][-1].healthy = False
            case ["ready", name]:
                state.runs[name][-1].started = True
            case ["hooked", name]:
                run = state.runs[name][-1]
                assert run.kill
                run.kill.hook_done = True
                state.ops.pop(f"prestop/{run.id}", None)
            case ["killed"]:
                assert state.sandbox
                state.sandbox.ready = False
                for run in state.running():
                    run.state, run.exit_code, run.finished_at = EXITED, 137, now
            case ["stopped"]:
                assert state.sandbox
                state.sandbox.ready, state.sandbox.stopped = False, True
                state.ops.pop("stop/box", None)
            case ["down"]:
                state.torn_down = True
                state.ops.pop("teardown", None)
            case ["delete", grace]:
                self.pod.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
                self.pod.metadata.deletion_grace_period_seconds = int(grace)
            case ["written"]:
                state.final_written = True
            case ["gone"]:
                state.removed = True
            case ["tick"]:
                pass
            case _:
                raise AssertionError(words)


def show(command: do.Command) -> str:
    match command:
        case do.BeginEnding(ending):
            return f"end {ending.reason}"
        case do.BeginTermination(grace):
            return f"terminate {grace:g}"
        case do.BeginKill(name, _, deadline, _):
            return f"kill {name} by {deadline:g}"
        case do.StartContainer(name, count):
            return f"start {name} {count}"
        case do.RunPreStop(name, _, deadline):
            return f"hook {name} by {deadline:g}"
        case do.StopContainer(name, _, deadline):
            return f"stop {name} by {deadline:g}"
        case do.Cancel(key):
            return f"cancel {key}"
        case do.RemoveContainer(_, id):
            return f"remove {id}"
        case do.StopSandbox():
            return "stop sandbox"
        case do.CreateSandbox(attempt):
            return f"sandbox {attempt}"
        case do.BeginRestartAll() | do.EndRestartAll():
            return type(command).__name__
    return {"SetUpVolumes": "volumes", "TearDown": "tear down", "DeleteObject": "delete", "CleanUp": "clean up"}[
        type(command).__name__
    ]


SIDE = {"name": "s", "image": "busybox:1", "restartPolicy": "Always"}
HOOK = {"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}

SCENARIOS: dict[str, tuple[dict[str, Any], str]] = {
    "two containers one after the other, then deleted": (
        {"containers": [{"name": "a"}, {"name": "b"}]},
        """
        0    tick       => sandbox 0, volumes
        0.1  tick       => -
        1    up         => start a 0
        2    run a      => start b 0
        3    run b      => -
        10   delete 30  => terminate 30, kill a by 40, kill b by 40, stop a by 40, stop b by 40
        11   exit a 0   => -
        12   exit b 0   => stop sandbox, tear down
        13   stopped    => -
        14   down       => -
        15   written    => delete
        16   gone       => clean up
        """,
    ),
    "a shorter grace replaces the stop in flight": (
        {},
        """
        0    up         => start a 0
        1    run a      => -
        10   delete 60  => terminate 60, kill a by 70, stop a by 70
        20   delete 5   => terminate 5, kill a by 25, stop a by 25
        25   exit a 137 => stop sandbox, tear down
        """,
    ),
    "no grace still leaves two seconds": (
        {},
        """
        0    up         => start a 0
        1    run a      => -
        10   delete 0   => terminate 0, kill a by 10, stop a by 12
        """,
    ),
    "crash loop: at once, then 10, 20 ... seconds; forgotten after ten minutes": (
        {},
        """
        0    up         => start a 0
        1    run a      => -
        2    exit a 1   => start a 1
        3    run a      => -
        4    exit a 1   => wake 14
        14   tick       => start a 2
        15   run a      => remove a0
        16   exit a 1   => wake 36
        36   tick       => start a 3
        37   run a      => remove a1
        700  exit a 1   => start a 4
        """,
    ),
    "restart policy Never: one failure ends the pod": (
        {"restartPolicy": "Never"},
        """
        0    up         => start a 0
        1    run a      => -
        2    exit a 3   => terminate 30, stop sandbox, tear down
        3    stopped    => -
        4    down       => -
        5    written    => -
        9    delete 30  => delete
        """,
    ),
    "init containers one by one, a failed one again": (
        {"initContainers": [{"name": "i", "image": "busybox:1"}, {"name": "j", "image": "busybox:1"}]},
        """
        0    up         => start i 0
        1    run i      => -
        2    exit i 1   => start i 1
        3    run i      => -
        4    exit i 0   => start j 0
        5    run j      => -
        6    exit j 0   => start a 0
        7    run a      => -
        """,
    ),
    "a sidecar holds up the others until it has started, and ends last": (
        {"initContainers": [{**SIDE, "startupProbe": {"exec": {"command": ["x"]}}}], "restartPolicy": "Never"},
        """
        0    up         => start s 0
        1    run s      => -
        2    ready s    => start a 0
        3    run a      => -
        4    exit s 1   => start s 1
        5    run s      => -
        9    exit a 0   => terminate 30, kill s by 39, stop s by 39
        10   exit s 143 => stop sandbox, tear down
        """,
    ),
    "deletion with a hook and two sidecars: last sidecar first": (
        {"containers": [{"name": "a", **HOOK}], "initContainers": [SIDE, {**SIDE, "name": "t"}]},
        """
        0    up         => start s 0
        1    run s      => start t 0
        2    run t      => start a 0
        3    run a      => -
        10   delete 20  => terminate 20, kill s by 30, kill t by 30, kill a by 30, hook a by 30, wake 30
        15   hooked a   => stop a by 30, wake 30
        16   exit a 0   => stop t by 30, wake 30
        17   exit t 0   => stop s by 30
        18   exit s 0   => stop sandbox, tear down
        """,
    ),
    "a hook that does not end is overtaken by the deadline": (
        {"containers": [{"name": "a", **HOOK}]},
        """
        0    up         => start a 0
        1    run a      => -
        10   delete 20  => terminate 20, kill a by 30, hook a by 30, wake 30
        30   tick       => stop a by 32
        """,
    ),
    "a sick container is replaced": (
        {"containers": [{"name": "a", "livenessProbe": {"terminationGracePeriodSeconds": 7}}]},
        """
        0    up         => start a 0
        1    run a      => -
        10   sick a     => kill a by 17, stop a by 17
        11   exit a 137 => start a 1
        """,
    ),
    "a deadline ends the pod": (
        {"activeDeadlineSeconds": 100},
        """
        0    up         => start a 0, wake 100.001
        1    run a      => wake 100.001
        101  tick       => end DeadlineExceeded, terminate 30, kill a by 131, stop a by 131
        102  exit a 0   => stop sandbox, tear down
        """,
    ),
    "a dead sandbox is stopped, and another one made": (
        {},
        """
        0    up         => start a 0
        1    run a      => -
        5    killed     => stop sandbox
        6    stopped    => sandbox 1
        """,
    ),
    "a pod that was deleted by force is stopped with the grace of its spec": (
        {"terminationGracePeriodSeconds": 4},
        """
        0    up         => start a 0
        1    run a      => -
        10   gone       => terminate 4, kill a by 14, stop a by 14
        11   exit a 0   => stop sandbox, tear down
        12   stopped    => -
        13   down       => clean up
        """,
    ),
    "deleted before anything was made": (
        {},
        """
        0    delete 30  => terminate 30, tear down
        1    down       => -
        2    written    => delete
        3    gone       => clean up
        """,
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    spec, text = SCENARIOS[name]
    play = Play(dict(spec))
    expected = [line.strip() for line in text.strip().splitlines()]
    played = []
    for line in expected:
        at, rest = line.split(None, 1)
        happening = rest.partition("=>")[0].strip()
        played.append(f"{at:<4} {happening:<10} => {play.step(float(at), happening.split())}")
    assert "\n".join(played) == "\n".join(expected)


def test_a_container_that_was_only_made_does_not_end_the_init_phase_of_a_restart_of_all() -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    asking = {"name": "a", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    play = Play({"containers": [asking, {"name": "b"}], "initContainers": [{"name": "i", "image": "busybox:1"}]})
    play.happen(0, ["up"])
    for name, state, code in (("i", EXITED, 0), ("a", EXITED, 42), ("b", CREATED, 0)):
        play.state.runs[name] = [Run(f"{name}0", name, 0, "box", state, 0, 0, exit_code=code)]
    play.step(1, ["tick"])
    assert not play.state.restarting and {*play.state.ops} == {"start/i"}
