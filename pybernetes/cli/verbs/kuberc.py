"""`kubectl kuberc`: look at and change the file of preferences."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pybernetes.cli import preferences
from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def _file(flags: Flags) -> str:
    name, _ = preferences.path(["--kuberc", flags.text("kuberc")] if flags.text("kuberc") else [])
    return name


def _view(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    from pybernetes.cli.printers import objects

    show = objects.printer(flags, flags.text("output"))
    session.out.write(show(preferences.read(_file(flags))))
    return None


def _set(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    section = flags.text("section")
    if section not in ("defaults", "aliases", "credentialplugin"):
        raise CLIError(
            f"invalid section {section!r}: must be 'defaults', 'aliases', or 'credentialplugin'"
            if section
            else "--section is required"
        )
    name = _file(flags)
    content: dict[str, Any] = {"apiVersion": preferences.VERSIONS[0], "kind": "Preference"}
    if os.path.exists(name):
        content = preferences.read(name)
    if section == "credentialplugin":
        content["credentialPluginPolicy"] = flags.text("policy")
        allowed = [dict([entry.split("=", 1)]) for entry in flags.many("allowlist-entry")]
        if allowed:
            content["credentialPluginAllowlist"] = allowed
    else:
        _put(content, section, _entry(flags, section), "name" if section == "aliases" else "command", flags)
    _save(name, content)
    session.say(f"Updated {name}")
    return None


def _entry(flags: Flags, section: str) -> dict[str, Any]:
    if not flags.text("command"):
        raise CLIError("--command is required")
    entry: dict[str, Any] = {"command": flags.text("command")}
    if section == "aliases":
        if not flags.text("name"):
            raise CLIError("--name is required when --section=aliases")
        entry["name"] = flags.text("name")
        for flag, key in (("prependarg", "prependArgs"), ("appendarg", "appendArgs")):
            if flags.many(flag):
                entry[key] = flags.many(flag)
    options = []
    for option in flags.many("option"):
        key, equals, value = option.partition("=")
        if not equals:
            raise CLIError(f"invalid option format {option!r}: must be in the form flag=value")
        options.append({"name": key, "default": value})
    if options:
        entry["options"] = options
    return entry


def _put(content: dict[str, Any], section: str, entry: dict[str, Any], key: str, flags: Flags) -> None:
    entries = content.get(section) or []
    same = [e for e in entries if e.get(key) == entry[key]]
    if same and not flags.on("overwrite"):
        what = "alias" if section == "aliases" else "defaults for command"
        raise CLIError(f'{what} "{entry[key]}" already exists, use --overwrite to replace')
    content[section] = [*(e for e in entries if e not in same), entry]


def _save(name: str, content: dict[str, Any]) -> None:
    from pybernetes.machinery import yaml

    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    temporary = f"{name}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(yaml.dump(content))
    os.replace(temporary, name)


COMMAND = Command(
    "Manage user preferences (kuberc) file.",
    usage="kubectl kuberc SUBCOMMAND",
    subcommands={
        "view": Command(
            "Display the contents of the kuberc file.",
            usage="kubectl kuberc view",
            flags="o:output=yaml template= allow-missing-template-keys?true show-managed-fields?",
            run=_view,
        ),
        "set": Command(
            "Set values in the kuberc configuration.",
            usage="kubectl kuberc set --section (defaults|aliases|credentialplugin) --command COMMAND",
            flags="section= command= name= option* prependarg* appendarg* overwrite? policy= allowlist-entry*",
            run=_set,
        ),
    },
)
