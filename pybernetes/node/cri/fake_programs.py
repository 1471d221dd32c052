"""What a fake container does: decided from its pod's annotations and its command, without a process.

`Behaviour` is the whole life of a container told in advance. `behaviour_of()` reads annotations first
(`fake.pybernetes.io/exit-code: "1"`; with `.NAME` behind it for the container NAME only), then the command: a handful
of programs that tests and Jobs use (`true`, `false`, `echo`, `sleep`, `exit`, and `sh -c` of those) do what they
would do, anything else runs until it is stopped. Whoever wants other rules gives the runtime another function.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Template

PREFIX = "fake.pybernetes.io/"

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: How a program ends that a stop signal has interrupted.
_INTERRUPTED = 143
_TRANSPARENT = frozenset({"sh", "/bin/sh", "ash", "/bin/ash", "bash", "/bin/bash"})


@dataclass(frozen=True, slots=True)
class Launch:
    """What a behaviour may depend on."""

    container: str
    image: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    pod_namespace: str = ""
    pod_name: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A container's life. The default: starts, runs, and ends at once with 0 when it is told to stop."""

    #: None: runs until it is stopped.
    exit_code: int | None = None
    #: Seconds from start to that exit.
    after: float = 0.0
    #: What it has written to stdout when it ends (with `exit_code` None: at the start).
    output: bytes = b""
    #: The exit is the kernel's doing: an OOM event comes first, the reason is OOMKilled.
    oom: bool = False
    #: Not empty: start_container fails with this text.
    start_error: str = ""
    #: Takes no notice of the stop signal: is killed when the grace period is over (exit code 137).
    ignores_stop: bool = False
    #: Exit code when stopped within the grace period.
    stop_exit_code: int = 0
    #: What its stats say.
    cpu_millicores: int = 1
    memory_bytes: int = 1 << 20


def behaviour_of(launch: Launch) -> Behaviour:
    """Annotations over command; pure. Raises ValueError for an annotation that is no number or not known."""
    behaviour = interpret(launch.command, launch.env)
    notes = _notes(launch.annotations, launch.container)
    if not notes:
        return behaviour
    changes: dict[str, object] = {}
    for name, text in notes.items():
        if name in ("exit-code", "stop-exit-code", "cpu-millicores", "memory-bytes"):
            changes[name.replace("-", "_")] = int(text)
        elif name == "exit-after":
            changes["after"] = float(text)
        elif name in ("oom", "ignores-stop"):
            changes[name.replace("-", "_")] = text == "true"
        elif name == "start-error":
            changes["start_error"] = text
        elif name == "output":
            changes["output"] = text.encode()
        else:
            raise ValueError(f"annotation {PREFIX}{name} is not known to the fake runtime")
    if changes.get("oom") and "exit_code" not in changes:
        changes["exit_code"] = 137
    return replace(behaviour, **changes)  # type: ignore[arg-type]


def _notes(annotations: Mapping[str, str], container: str) -> dict[str, str]:
    notes: dict[str, str] = {}
    for key, value in annotations.items():
        if not key.startswith(PREFIX):
            continue
        name, dot, only = key.removeprefix(PREFIX).partition(".")
        if not dot:
            notes.setdefault(name, value)
        elif only == container:
            notes[name] = value
    return notes


def interpret(command: Sequence[str], env: Mapping[str, str] | None = None) -> Behaviour:
    """What a command would do; a `Behaviour()` that runs on for programs that are not known here."""
    if not command:
        return Behaviour()
    program = command[0]
    if program in _TRANSPARENT and len(command) >= 3 and command[1] in ("-c", "-ec", "-xc"):
        return _script(command[2], env or {})
    return _simple(program.rpartition("/")[2], list(command[1:])) or Behaviour()


def _script(text: str, env: Mapping[str, str]) -> Behaviour:
    if not _plain(text):
        return Behaviour()
    seconds, output, code = 0.0, b"", 0
    for line in text.replace("&&", ";").replace("\n", ";").split(";"):
        try:
            words = shlex.split(Template(line).safe_substitute(env))
        except ValueError:
            return Behaviour()
        if not words:
            continue
        if words[0] == "exec":
            words = words[1:]
        if words[0] == "exit":
            code = int(words[1]) if len(words) > 1 and words[1].isdigit() else code
            code &= 0xFF
            break
        step = _simple(words[0].rpartition("/")[2], words[1:])
        if step is None or step.exit_code is None:  # from here on it is anybody's guess: it runs
            return Behaviour(output=output, stop_exit_code=step.stop_exit_code if step is not None else 0)
        seconds += step.after
        output += step.output
        code = step.exit_code
        if code and "&&" in text:
            break
    return Behaviour(exit_code=code, after=seconds, output=output, stop_exit_code=_INTERRUPTED if seconds else 0)


def _plain(text: str) -> bool:
    """Whether `&` occurs only as `&&`, and nothing else of a shell's grammar does."""
    return not any(
        mark in text.replace("&&", "") for mark in ("`", "$(", "|", "<", ">", "&", "while ", "for ", "if ", "trap ")
    )


def _simple(program: str, arguments: list[str]) -> Behaviour | None:
    """A known program's behaviour, None for others."""
    if program in ("true", ":"):
        return Behaviour(exit_code=0)
    if program == "false":
        return Behaviour(exit_code=1)
    if program == "echo":
        end = b"\n"
        if arguments[:1] == ["-n"]:
            arguments, end = arguments[1:], b""
        return Behaviour(exit_code=0, output=" ".join(arguments).encode() + end)
    if program == "sleep" and arguments:
        try:
            seconds = sum(_seconds(text) for text in arguments)
        except ValueError:
            return Behaviour(exit_code=1)
        if seconds == float("inf"):
            return Behaviour(stop_exit_code=_INTERRUPTED)
        return Behaviour(exit_code=0, after=seconds, stop_exit_code=_INTERRUPTED)
    return None


def _seconds(text: str) -> float:
    if text in ("inf", "infinity"):
        return float("inf")
    if text[-1:] in _UNITS:
        return float(text[:-1]) * _UNITS[text[-1]]
    return float(text)
