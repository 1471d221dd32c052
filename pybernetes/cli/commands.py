"""The table of all commands, and how words find theirs.

A verb's module is imported when it is used, because most of the time of a command that asks one question is the time of
its imports.
"""

from __future__ import annotations

import importlib

from pybernetes.cli import flags as flag_parser
from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError
from pybernetes.cli.flags import Flag

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
            "completion": (
                "completion",
                "Output shell completion code for the specified shell (bash, zsh, fish, or powershell)",
            ),
        },
    ),
    (
        "Other Commands:",
        {
            "api-resources": ("api_resources", "Print the supported API resources on the server"),
            "api-versions": ("api_versions", 'Print the supported API versions on the server, as "group/version"'),
            "config": ("config", "Modify kubeconfig files"),
            "kuberc": ("kuberc", "Manage kuberc configuration files"),
            "plugin": ("plugin", "Provides utilities for interacting with plugins"),
            "version": ("version", "Print the client and server version information"),
        },
    ),
)

COMMANDS: dict[str, tuple[str, str]] = {name: entry for _, group in GROUPS for name, entry in group.items()}
#: Old names.
ALIASES = {"clusterinfo": "cluster-info"}


def load(name: str) -> Command:
    """The command of a name."""
    found: Command = importlib.import_module(f"pybernetes.cli.verbs.{COMMANDS[name][0]}").COMMAND
    return found


def resolve(words: list[str]) -> tuple[Command, list[str], list[str]]:
    """The command that words start with, its path, and the words that remain. Flags may stand between the words."""
    command, path, rest = load(words[0]), [words[0]], words[1:]
    while command.subcommands:
        index = first_word(rest, flags_of(command))
        if index is None or rest[index] not in command.subcommands:
            break
        path.append(rest.pop(index))
        command = command.subcommands[path[-1]]
    return command, path, rest


def flags_of(command: Command | None = None) -> dict[str, Flag]:
    """The flags of a command, those of all commands among them."""
    return flag_parser.declare(f"{flag_parser.GLOBAL} {command.flags if command else ''}")


def first_word(arguments: list[str], declared: dict[str, Flag]) -> int | None:
    """Where the first argument stands that is neither a flag nor the value of one; None when there is none."""
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


def unknown(word: str) -> CLIError:
    """The refusal of a command that is none."""
    close = [n for n in sorted(COMMANDS) if _distance(word.lower(), n) <= 2 or n.startswith(word.lower())]
    hint = "\n\nDid you mean this?\n" + "\n".join(f"\t{name}" for name in close) if close else ""
    return CLIError(f'unknown command "{word}" for "kubectl"{hint}')


def _distance(a: str, b: str) -> int:
    """Levenshtein's: letters to add, drop or change."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
