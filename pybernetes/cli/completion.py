"""What may come next on a command line: the answer to `__complete`, which the shells' scripts ask.

The protocol is cobra's, so that scripts made by the official kubectl work as well: one candidate a line, maybe with a
tab and a description, and at last `:N`, where the bits of N tell the shell what to do (2 no space, 4 no file names, 8
the lines are file extensions).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pybernetes.cli import commands
from pybernetes.cli import flags as flag_parser
from pybernetes.cli.errors import APIError, CLIError, ConnectionFailed
from pybernetes.cli.session import Session

if TYPE_CHECKING:
    from pybernetes.cli.command import Command
    from pybernetes.cli.flags import Flag

_FILES, _NO_SPACE, _NO_FILES, _EXTENSIONS = 0, 2, 4, 8
_DIRECTIVES = {2: "NoSpace", 4: "NoFileComp", 8: "FilterFileExt"}

#: Kinds that commands of one purpose take, where not all make sense.
_KINDS = {
    "autoscale": ("deployment", "replicaset", "replicationcontroller", "statefulset"),
    "scale": ("deployment", "replicaset", "replicationcontroller", "statefulset"),
    "expose": ("pod", "service", "replicationcontroller", "deployment", "replicaset"),
    "rollout": ("deployment", "daemonset", "statefulset"),
    "taint": ("node",),
}
_TYPES = ("get", "describe", "delete", "edit", "label", "annotate", "patch", "wait", "debug", "explain", "set")
_PODS = ("logs", "exec", "attach", "port-forward", "cp")
_NODES = ("cordon", "uncordon", "drain", "top node")

Words = list[str]


def answer(arguments: list[str], *, describe: bool) -> int:
    """Print the candidates for the last argument."""
    before, last = (arguments[:-1], arguments[-1]) if arguments else ([], "")
    try:
        found, directive = _candidates(before, last)
    except (APIError, CLIError, ConnectionFailed):
        found, directive = [], _NO_FILES
    for line in found:
        print(line if describe else line.partition("\t")[0])
    print(f":{directive}")
    names = "".join(f"ShellCompDirective{name}" for bit, name in _DIRECTIVES.items() if directive & bit)
    print(f"Completion ended with directive: {names or 'ShellCompDirectiveDefault'}", file=sys.stderr)
    return 0


def _candidates(before: Words, last: str) -> tuple[Words, int]:
    declared = commands.flags_of()
    index = commands.first_word(before, declared)
    command: Command | None = None
    path: Words = []
    rest = before
    if index is not None and before[index] in commands.COMMANDS:
        command, path, rest = commands.resolve([before[index], *before[:index], *before[index + 1 :]])
        declared = commands.flags_of(command)
    if before and (flag := _open(before[-1], declared)) is not None:
        return _value(flag, rest[:-1], declared, path, last)
    if last.startswith("--") and "=" in last:
        name, _, value = last[2:].partition("=")
        if name in declared:
            return _value(declared[name], rest, declared, path, value)
    if last.startswith("-"):
        return [f"--{name}" for name in sorted(declared) if f"--{name}".startswith(last)], _NO_FILES
    if command is None:
        summaries = {name: summary for _, group in commands.GROUPS for name, (_, summary) in group.items()}
        return _described(summaries.items(), last), _NO_FILES
    flags, positional = _parsed(rest, declared)
    if command.subcommands and not positional:
        listed = _described(((n, c.summary.rstrip(".")) for n, c in sorted(command.listed.items())), last)
        if listed or command.run is None:
            return listed, _NO_FILES
    return _arguments(Session(flags), path, positional, last)


def _open(word: str, declared: dict[str, Flag]) -> Flag | None:
    """The flag that a word names, when its value is to follow."""
    found = None
    if word.startswith("--") and "=" not in word:
        found = declared.get(word[2:])
    elif word.startswith("-") and len(word) > 1:
        found = next((f for f in declared.values() if f.short == word[-1]), None)
    return found if found is not None and found.kind not in "?~" else None


def _parsed(words: Words, declared: dict[str, Flag]) -> tuple[flag_parser.Flags, Words]:
    try:
        return flag_parser.parse(words, declared)
    except CLIError:  # a line that is being written need not be right yet
        return flag_parser.Flags(declared), [w for w in words if not w.startswith("-")]


def _described(pairs: Iterable[tuple[str, str]], last: str) -> Words:
    return [f"{name}\t{summary}" for name, summary in pairs if name.startswith(last)]


def _starting(names: Iterable[str], last: str) -> Words:
    return [name for name in names if name.startswith(last)]


def _value(flag: Flag, rest: Words, declared: dict[str, Flag], path: Words, last: str) -> tuple[Words, int]:
    flags, positional = _parsed(rest, declared)
    session = Session(flags)
    from pybernetes.cli.printers.objects import FORMATS

    sources: dict[str, Callable[[], Iterable[str]]] = {
        "namespace": lambda: _names(session, "namespaces"),
        "context": lambda: session.kubeconfig.contexts,
        "cluster": lambda: session.kubeconfig.clusters,
        "user": lambda: session.kubeconfig.users,
        "output": lambda: [*FORMATS, *(("custom-columns", "custom-columns-file", "wide") if path == ["get"] else ())],
        "container": lambda: _containers(session, positional),
        "dry-run": lambda: ("none", "server", "client"),
    }
    if flag.name in ("filename", "kustomize"):
        return ["json", "yaml", "yml"], _EXTENSIONS
    if flag.name in sources:
        return sorted(_starting(sources[flag.name](), last)), _NO_FILES
    return [], _FILES


def _containers(session: Session, positional: Words) -> Words:
    from pybernetes.cli import podpick

    if not positional:
        return []
    return podpick.containers(podpick.one(session, positional[0], 0))


def _names(session: Session, kind: str) -> Words:
    resource = session.resources.find(kind)
    return sorted(
        o["metadata"]["name"] for o in session.list(resource, session.namespace if resource.namespaced else "")
    )


def _arguments(session: Session, path: Words, positional: Words, last: str) -> tuple[Words, int]:
    words = " ".join(path)
    if words in ("config use-context", "config get-contexts", "config delete-context", "config rename-context"):
        return _starting(session.kubeconfig.contexts, last), _NO_FILES
    if words == "config delete-cluster":
        return _starting(session.kubeconfig.clusters, last), _NO_FILES
    if words == "config delete-user":
        return _starting(session.kubeconfig.users, last), _NO_FILES
    if words == "completion":
        return _starting(("bash", "zsh", "fish", "powershell"), last), _NO_FILES
    if words in _NODES:
        return [n for n in _starting(_names(session, "nodes"), last) if n not in positional], _NO_FILES
    if "/" in last and path[0] != "cp":
        kind = last.partition("/")[0]
        return _starting((f"{kind}/{name}" for name in _names(session, kind)), last), _NO_FILES
    if path[0] in _PODS or words == "top pod":
        if path[0] in ("logs", "exec", "attach") and len(positional) == 1:
            return _starting(_containers(session, positional), last), _NO_FILES
        end = ":" if path[0] == "cp" else ""
        found = _starting((f"{n}{end}" for n in _names(session, "pods")), last)
        return found, _NO_SPACE if end else _NO_FILES
    kinds = _KINDS.get(path[0])
    if kinds is None and path[0] in _TYPES:
        verb = {"get": "list", "delete": "delete"}.get(path[0], "get")
        kinds = tuple(dict.fromkeys(r.full_name for r in session.resources.all() if verb in r.verbs))
    if kinds is None:
        return [], _FILES
    if not positional:
        return _starting(kinds, last), _NO_FILES
    return [n for n in _starting(_names(session, positional[0]), last) if n not in positional[1:]], _NO_FILES
