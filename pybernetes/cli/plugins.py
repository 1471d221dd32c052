"""Plugins: programs `kubectl-WORD` on PATH, run for commands that are not built in."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pybernetes.cli.errors import CLIError

_PREFIX = "kubectl-"


def take_over(arguments: list[str], first: int) -> None:
    """Become the plugin with the longest name that the words spell; return when there is none."""
    if first:
        raise CLIError(f"Error: flags cannot be placed before plugin name: {arguments[0]}", plain=True)
    words = []
    for word in arguments[first:]:
        if word.startswith("-"):
            break
        words.append(word.replace("-", "_"))
    for count in range(len(words), 0, -1):
        program = _find(_PREFIX + "-".join(words[:count]))
        if program is None:
            continue
        os.execve(program, [program, *arguments[count:]], dict(os.environ))


def _find(name: str) -> str | None:
    import shutil

    return shutil.which(name)


def all_files() -> Iterator[str]:
    """Everything on PATH that is named like a plugin, in PATH's order."""
    seen = set()
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        if not directory or directory in seen:
            continue
        seen.add(directory)
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        yield from (os.path.join(directory, n) for n in names if n.startswith(_PREFIX))


def warnings(path: str, seen: dict[str, str]) -> Iterator[str]:
    """What is wrong with one plugin; `seen` maps names to the file that comes first."""
    from pybernetes.cli.commands import COMMANDS

    name = os.path.basename(path)
    word = name.removeprefix(_PREFIX).split("-")[0]
    if not os.access(path, os.X_OK):
        yield f"{path} identified as a kubectl plugin, but it is not executable"
    if word in COMMANDS:
        yield f'{name} overwrites existing command: "kubectl {word}"'
    if name in seen:
        yield f"{path} is overshadowed by a similarly named plugin: {seen[name]}"
    seen.setdefault(name, path)
