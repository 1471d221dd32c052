"""Help texts: made from the command table and each command's declaration, so that they cannot disagree with the
code."""

from __future__ import annotations

import re

from pybernetes.cli import examples, flag_texts
from pybernetes.cli import flags as flag_parser
from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError

_DURATION = re.compile(r"(\d+m)?\d+s")


def overview() -> str:
    """`kubectl`, `kubectl help`."""
    from pybernetes.cli.commands import GROUPS

    out = [
        "kubectl controls the Kubernetes cluster manager.",
        "",
        " Find more information at: https://kubernetes.io/docs/reference/kubectl/",
        "",
    ]
    for title, commands in GROUPS:
        out.append(title)
        out += [f"  {name:<15} {summary}" for name, (_, summary) in commands.items()]
        out.append("")
    out += ["Usage:", "  kubectl [flags] [options]", ""]
    out.append('Use "kubectl <command> --help" for more information about a given command.')
    out.append('Use "kubectl options" for a list of global command-line options (applies to all commands).')
    return "\n".join(out)


def options() -> str:
    """`kubectl options`."""
    return "The following options can be passed to any command:\n\n" + _flags([], flag_parser.GLOBAL)


def of(path: list[str]) -> str:
    """The help of one command, given its words. Raises CLIError for an unknown one."""
    from pybernetes.cli.commands import ALIASES, COMMANDS, load

    if not path:
        return overview()
    name = ALIASES.get(path[0], path[0])
    if name not in COMMANDS:
        raise CLIError(f'unknown command "{path[0]}" for "kubectl"')
    command: Command = load(name)
    words = [name]
    for word in path[1:]:
        if word not in command.subcommands:
            break
        command = command.subcommands[word]
        words.append(word)
    out = [command.summary, ""]
    if shown := command.examples.splitlines() or examples.of(words):
        out += ["Examples:", *(f"  {line}" for line in shown), ""]
    if command.subcommands:
        out.append("Available Commands:")
        width = max(len(n) for n in command.listed)
        out += [f"  {n:<{width}}   {c.summary.rstrip('.')}" for n, c in command.listed.items()]
        out.append("")
    if command.flags:
        out += ["Options:", _flags(words, command.flags), ""]
    out += ["Usage:", f"  {command.usage or 'kubectl ' + ' '.join(path)} [options]", ""]
    out.append('Use "kubectl options" for a list of global command-line options (applies to all commands).')
    return "\n".join(out)


def _flags(path: list[str], words: str) -> str:
    out = []
    for name, flag in sorted(flag_parser.declare(words).items()):
        short = f"-{flag.short}, " if flag.short else ""
        if flag.kind == "?":
            default = "true" if flag.default else "false"
        elif flag.kind in "*,":
            default = "[]"
        elif flag.kind == "#" or _DURATION.fullmatch(flag.default):
            default = str(flag.default)
        else:
            default = f"'{flag.default}'"
        out.append(f"    {short}--{name}={default}:\n\t{flag_texts.text(path, name)}")
    return "\n\n".join(out)
