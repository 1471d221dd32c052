"""Our kubectl has every command, subcommand and flag of the official one, with the same short forms and defaults."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pybernetes.cli import flags as flag_parser
from pybernetes.cli.command import Command
from pybernetes.cli.commands import COMMANDS, load

from .kubectl import OFFICIAL, needs_official

pytestmark = needs_official
_COMMAND = re.compile(r"  (\S+)\s")
_FLAG = re.compile(r"    (?:-(\w), )?--([\w-]+)=(.*):$")


def theirs(path: list[str], home: Path) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Subcommands, and flags with short form and default, as the official help lists them."""
    said = subprocess.run(
        [OFFICIAL, *path, "--help"], capture_output=True, text=True, timeout=60, check=True, env={"HOME": str(home)}
    ).stdout
    commands, flags, part = [], {}, ""
    for line in said.splitlines():
        if line and not line.startswith(" ") and not line.startswith("\t"):
            part = line
        elif part.rstrip(":").endswith("Commands") or "Commands (" in part:
            if match := _COMMAND.match(line):
                commands.append(match[1])
        elif part == "Options:" and (match := _FLAG.match(line)):
            flags[match[2]] = (match[1] or "", match[3])
    return commands, flags


def compare(path: list[str], command: Command, home: Path) -> list[str]:
    """What the official command has and ours has not, or has otherwise."""
    commands, flags = theirs(path, home)
    name, found = " ".join(path), []
    declared = flag_parser.declare(f"{flag_parser.GLOBAL} {command.flags}")
    for flag, (short, default) in flags.items():
        ours = declared.get(flag)
        if ours is None:
            found.append(f"{name} --{flag}")
        elif ours.short != short and flag not in ("namespace", "server", "user"):
            found.append(f"{name} --{flag}: -{ours.short}, not -{short}")
        elif default in ("true", "false") and ours.kind == "?" and default != str(bool(ours.default)).lower():
            found.append(f"{name} --{flag}={default}")
    for word in commands:
        if word not in command.subcommands:
            found.append(f"{name} {word}")
        else:
            found += compare([*path, word], command.subcommands[word], home)
    return found


@pytest.mark.slow
def test_every_command_and_flag_is_there(tmp_path: Path) -> None:
    names, _ = theirs([], tmp_path)
    assert len(names) > 35
    assert [name for name in names if name not in COMMANDS] == []
    assert [one for name in names for one in compare([name], load(name), tmp_path)] == []
