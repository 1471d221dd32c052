"""Every flag says what it does, every command has an example, and nothing is said of what there is not."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pybernetes.cli import examples, flag_texts, help
from pybernetes.cli import flags as flag_parser
from pybernetes.cli.command import Command
from pybernetes.cli.commands import COMMANDS, load


def declared(path: list[str], command: Command) -> Iterator[tuple[list[str], str]]:
    for name in flag_parser.declare(command.flags):
        yield path, name
    for word, below in command.subcommands.items():
        yield from declared([*path, word], below)


def test_every_flag_is_described_once() -> None:
    every = [found for name in COMMANDS for found in declared([name], load(name))]
    every += [([], name) for name in flag_parser.declare(flag_parser.GLOBAL)]
    assert [(path, name) for path, name in every if not flag_texts.text(path, name)] == []
    known = {name for _, name in every} | {" ".join([*path, name]) for path, name in every}
    assert [text for text in flag_texts._parsed() if text not in known] == []


def commands(path: list[str], command: Command) -> Iterator[tuple[list[str], Command]]:
    yield path, command
    for word, below in command.subcommands.items():
        yield from commands([*path, word], below)


def test_every_command_has_an_example_that_can_be_read() -> None:
    every = [found for name in COMMANDS for found in commands([name], load(name))]
    names = {" ".join(path) for path, _ in every}
    assert {line.partition(": ")[0] for line in examples._TEXTS.strip().splitlines()} <= names
    shown = {id(one) for path, one in every if one.examples or examples.of(path)}
    assert [path for path, one in every if one.run and not one.subcommands and id(one) not in shown] == []
    for path, one in every:
        for line in examples.of(path):
            words = shlex.split(line.rpartition("kubectl ")[2].partition(" > ")[0])
            assert words[: len(path)] == path
            flag_parser.parse(words[len(path) :], flag_parser.declare(f"{flag_parser.GLOBAL} {one.flags}"))


def test_options_look_as_the_official_ones() -> None:
    assert "\n\n    --timeout=0s:\n\tHow long to wait; 0s: as the command has it by itself\n\n    --" in help.of(
        ["delete"]
    )
    assert "    -n, --namespace='':\n\tNamespace to work in" in help.options()
    assert "Kind of patch: strategic, merge or json" in help.of(["patch"])
