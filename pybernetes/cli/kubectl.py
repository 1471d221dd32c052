"""`pybernetes kubectl`, also installed as `pk`: upstream kubectl's words, flags, output and exit codes.

The table below names every command; a verb's module is imported when it is used, because most of the time of a command
that asks one question is the time of its imports.
"""

from __future__ import annotations

import importlib
import sys

from pybernetes.cli import flags as flag_parser
from pybernetes.cli.command import Command
from pybernetes.cli.errors import APIError, CLIError, ConnectionFailed, ExitCode, lines, not_implemented
from pybernetes.cli.session import Session

#: (title, commands in order: name -> (module in `verbs`, one line)).
GROUPS: tuple[tuple[str, dict[str, tuple[str, str]]], ...] = (
    (
        "Basic Commands (Beginner):",
        {
            "create": ("create", "Create a resource from a file or from stdin"),
            "expose": ("expose", "Take a replication controller, service, deployment or pod and expose it"),
            "run": ("run", "Run a particular image on the cluster"),
            "set": ("set", "Set specific features on objects"),
        },
    ),
    (
        "Basic Commands (Intermediate):",
        {
            "explain": ("explain", "Get documentation for a resource"),
            "get": ("get", "Display one or many resources"),
            "edit": ("edit", "Edit a resource on the server"),
            "delete": ("delete", "Delete resources by file names, stdin, resources and names, or by label"),
        },
    ),
    (
        "Deploy Commands:",
        {
            "rollout": ("rollout", "Manage the rollout of a resource"),
            "scale": ("scale", "Set a new size for a deployment, replica set, or replication controller"),
            "autoscale": ("autoscale", "Auto-scale a deployment, replica set, stateful set, or replication controller"),
        },
    ),
    (
        "Cluster Management Commands:",
        {
            "certificate": ("certificate", "Modify certificate resources"),
            "cluster-info": ("cluster_info", "Display cluster information"),
            "top": ("top", "Display resource (CPU/memory) usage"),
            "cordon": ("cordon", "Mark node as unschedulable"),
            "uncordon": ("uncordon", "Mark node as schedulable"),
            "drain": ("drain", "Drain node in preparation for maintenance"),
            "taint": ("taint", "Update the taints on one or more nodes"),
        },
    ),
    (
        "Troubleshooting and Debugging Commands:",
        {
            "describe": ("describe", "Show details of a specific resource or group of resources"),
            "logs": ("logs", "Print the logs for a container in a pod"),
            "attach": ("attach", "Attach to a running container"),
            "exec": ("exec", "Execute a command in a container"),
            "port-forward": ("port_forward", "Forward one or more local ports to a pod"),
            "proxy": ("proxy", "Run a proxy to the Kubernetes API server"),
            "cp": ("cp", "Copy files and directories to and from containers"),
            "auth": ("auth", "Inspect authorization"),
            "debug": ("debug", "Create debugging sessions for troubleshooting workloads and nodes"),
            "events": ("events", "List events"),
        },
    ),
    (
        "Advanced Commands:",
        {
            "diff": ("diff", "Diff the live version against a would-be applied version"),
            "apply": ("apply", "Apply a configuration to a resource by file name or stdin"),
            "patch": ("patch", "Update fields of a resource"),
            "replace": ("replace", "Replace a resource by file name or stdin"),
            "wait": ("wait", "Wait for a specific condition on one or many resources"),
            "kustomize": ("kustomize", "Build a kustomization target from a directory"),
        },
    ),
    (
        "Settings Commands:",
        {
            "label": ("label", "Update the labels on a resource"),
            "annotate": ("annotate", "Update the annotations on a resource"),
            "completion": ("completion", "Output shell completion code for the specified shell (bash or zsh)"),
        },
    ),
    (
        "Other Commands:",
        {
            "api-resources": ("api_resources", "Print the supported API resources on the server"),
            "api-versions": ("api_versions", 'Print the supported API versions on the server, as "group/version"'),
            "config": ("config", "Modify kubeconfig files"),
            "plugin": ("plugin", "Provides utilities for interacting with plugins"),
            "version": ("version", "Print the client and server version information"),
        },
    ),
)

COMMANDS: dict[str, tuple[str, str]] = {name: entry for _, group in GROUPS for name, entry in group.items()}
#: Old names.
ALIASES = {"clusterinfo": "cluster-info"}


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


def load(name: str) -> Command:
    """The command of a name."""
    module = f"pybernetes.cli.verbs.{COMMANDS[name][0]}"
    try:
        found: Command = importlib.import_module(module).COMMAND
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise not_implemented(f"kubectl {name}") from None
    return found


def _run(arguments: list[str]) -> int:
    words, rest = _command_words(arguments)
    if not words:
        if rest and not rest[0].startswith("-"):
            raise CLIError(f'unknown command "{rest[0]}" for "kubectl"{_suggest(rest[0])}')
        from pybernetes.cli import help as help_texts

        if rest:  # flags alone: read them, so that a wrong one is named
            flag_parser.parse(rest, flag_parser.declare(flag_parser.GLOBAL))
        print(help_texts.overview())
        return 0
    if words[0] in ("help", "options"):
        from pybernetes.cli import help as help_texts

        print(help_texts.options() if words[0] == "options" else help_texts.of([w for w in rest if w[:1] != "-"]))
        return 0
    command, path = load(words[0]), [words[0]]
    while command.subcommands:
        index = _first_word(rest, command)
        if index is None or rest[index] not in command.subcommands:
            break
        path.append(rest.pop(index))
        command = command.subcommands[path[-1]]
    declared = flag_parser.declare(f"{flag_parser.GLOBAL} {command.flags}")
    try:
        flags, positional = flag_parser.parse(rest, declared, interspersed=command.interspersed)
    except CLIError as error:
        raise CLIError(f"{error}\nSee 'kubectl {' '.join(path)} --help' for usage.") from None
    if flags.on("help") or command.run is None:
        from pybernetes.cli import help as help_texts

        if command.run is None and positional and not flags.on("help"):
            raise CLIError(f'unknown command "{positional[0]}" for "kubectl {" ".join(path)}"')
        print(help_texts.of(path))
        return 0
    return command.run(Session(flags), flags, positional) or 0


def _command_words(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The command's name, wherever it stands among global flags, and everything else."""
    declared = flag_parser.declare(flag_parser.GLOBAL)
    shorts = {f.short: f for f in declared.values() if f.short}
    index = 0
    while index < len(arguments):
        word = arguments[index]
        if not word.startswith("-"):
            word = ALIASES.get(word, word)
            if word in COMMANDS or word in ("help", "options"):
                return [word], arguments[:index] + arguments[index + 1 :]
            return [], [word]
        flag = declared.get(word[2:]) if word.startswith("--") else shorts.get(word[1:2]) if len(word) == 2 else None
        index += 2 if flag is not None and flag.kind != "?" and "=" not in word else 1
    return [], arguments


def _first_word(arguments: list[str], command: Command) -> int | None:
    """Where the first argument stands that is not a flag or the value of a global flag."""
    declared = flag_parser.declare(f"{flag_parser.GLOBAL} {command.flags}")
    shorts = {f.short: f for f in declared.values() if f.short}
    index = 0
    while index < len(arguments):
        word = arguments[index]
        if word == "--":
            return None
        if not word.startswith("-"):
            return index
        flag = declared.get(word[2:]) if word.startswith("--") else shorts.get(word[1:2]) if len(word) == 2 else None
        index += 2 if flag is not None and flag.kind not in "?~" and "=" not in word else 1
    return None


def _suggest(word: str) -> str:
    import difflib

    close = difflib.get_close_matches(word, COMMANDS, n=3)
    return "\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in close) if close else ""
