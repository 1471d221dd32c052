"""`pybernetes kubectl`, also installed as `pk`: upstream kubectl's words, flags, output and exit codes.

This is the way from the command line to the verb: kuberc's aliases and defaults, plugins, flags.
"""

from __future__ import annotations

import sys

from pybernetes.cli import commands, preferences
from pybernetes.cli import flags as flag_parser
from pybernetes.cli.command import Command
from pybernetes.cli.commands import ALIASES, COMMANDS
from pybernetes.cli.errors import APIError, CLIError, ConnectionFailed, ExitCode, lines
from pybernetes.cli.preferences import Alias, Preferences
from pybernetes.cli.rawhttp import warnings_shown
from pybernetes.cli.session import Session


def pk() -> None:
    """The script."""
    sys.exit(main(["kubectl", *sys.argv[1:]]))


def main(arguments: list[str]) -> int:
    """Run one command line; `arguments[0]` is the program's name. The exit code."""
    try:
        code = _run(arguments[1:])
        sys.stdout.flush()
        return code
    except ExitCode as error:
        return error.code
    except CLIError as error:
        return _fail(lines(error), error.code)
    except (APIError, ConnectionFailed) as error:
        return _fail(lines(error), 1)
    except EOFError:
        return _fail("Unable to connect to the server: unexpected EOF", 1)
    except TimeoutError:
        return _fail("Unable to connect to the server: net/http: request canceled", 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return 1


def _fail(text: str, code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    print(text, file=sys.stderr)
    return code


def _run(arguments: list[str]) -> int:
    if arguments[:1] in (["__complete"], ["__completeNoDesc"]):
        from pybernetes.cli import completion

        return completion.answer(arguments[1:], describe=arguments[0] == "__complete")
    index = commands.first_word(arguments, commands.flags_of())
    if index is None:
        from pybernetes.cli import help as help_texts

        if arguments:  # flags alone: read them, so that a wrong one is named
            flag_parser.parse(arguments, commands.flags_of())
        print(help_texts.overview())
        return 0
    given = arguments[index]
    word, rest = ALIASES.get(given, given), arguments[:index] + arguments[index + 1 :]
    if word in ("help", "options"):
        from pybernetes.cli import help as help_texts

        print(help_texts.options() if word == "options" else help_texts.of([w for w in rest if w[:1] != "-"]))
        return 0
    wishes = Preferences() if word == "kuberc" else preferences.load(arguments)  # it may be about to write the file
    alias = wishes.aliases.get(word) if word not in COMMANDS else None
    if word not in COMMANDS and alias is None:
        from pybernetes.cli import plugins

        plugins.take_over(arguments, index)
        raise commands.unknown(word)
    words = [word, *rest] if alias is None else [*alias.command, *alias.before, *rest, *alias.after]
    command, path, rest = commands.resolve(words)
    if path == ["create"] and index == 0 and rest and not rest[0].startswith("-"):  # the one command plugins may add to
        from pybernetes.cli import plugins

        plugins.take_over(arguments, index)
    return _execute(command, path, rest, wishes, alias)


def _execute(command: Command, path: list[str], rest: list[str], wishes: Preferences, alias: Alias | None) -> int:
    try:
        flags, positional = flag_parser.parse(rest, commands.flags_of(command), interspersed=command.interspersed)
    except CLIError as error:
        raise CLIError(f"{error}\nSee 'kubectl {' '.join(path)} --help' for usage.", code=error.code) from None
    wishes.apply(flags, path, alias)
    if flags.on("help") or command.run is None:
        from pybernetes.cli import help as help_texts

        if command.run is None and positional and not flags.on("help"):
            raise CLIError(
                f"unknown command \"{positional[0]}\"\nSee 'kubectl {' '.join(path)} -h' for help and examples"
            )
        print(help_texts.of(path))
        return 0
    session = Session(flags)
    session.preferences = wishes
    code = command.run(session, flags, positional) or 0
    if flags.on("warnings-as-errors") and (count := warnings_shown()):
        raise CLIError(f"{count} warning{'s' if count > 1 else ''} received")
    return code
