"""kuberc: a user's own default flags and aliases (`~/.kube/kuberc`, kubectl.config.k8s.io/v1beta1).

What is written on the command line wins over an alias, an alias over the defaults of its command. KUBERC=off and
KUBECTL_KUBERC=false turn it off, for scripts that must not depend on whose account they run in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError, ConnectionFailed

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags

VERSIONS = ("kubectl.config.k8s.io/v1beta1", "kubectl.config.k8s.io/v1alpha1")
_FIELDS = {
    "apiVersion",
    "kind",
    "defaults",
    "overrides",
    "aliases",
    "credentialPluginPolicy",
    "credentialPluginAllowlist",
}

Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Alias:
    """A command's other name, with arguments before and after those that are given, and default flags."""

    command: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    options: Options = ()


@dataclass
class Preferences:
    """`defaults`: the words of a command -> its default flags."""

    defaults: dict[tuple[str, ...], Options] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    policy: str = ""
    allowed: tuple[str, ...] = ()

    def apply(self, flags: Flags, path: list[str], alias: Alias | None) -> None:
        """Set the flags that were not given. Raises CLIError for one that the command does not have."""
        for options in (alias.options if alias else (), self.defaults.get(tuple(path), ())):
            for name, value in options:
                if name not in flags.declared:
                    raise _failed(f"invalid flag {name} for command {path[-1]}")
                if not flags.given(name):
                    flags.take(flags.declared[name], value, f"--{name}")

    def check_plugin(self, command: str) -> None:
        """Raises ConnectionFailed for a credential plugin that the policy does not let run."""
        import shutil

        if self.policy in ("", "AllowAll"):
            return
        why = f'plugin "{command}" not allowed: policy set to "DenyAll"'
        if self.policy == "Allowlist":
            found = shutil.which(command) or command
            if any(name and (name == command or shutil.which(name) == found) for name in self.allowed):
                return
            why = f'plugin path "{found}" is not permitted by the credential plugin allowlist'
        raise ConnectionFailed(f"Unable to connect to the server: getting credentials: {why}")


def _failed(why: str) -> CLIError:
    return CLIError(f"error occurred while applying preferences {why}", plain=True)


def path(arguments: list[str] = [], environ: Any = os.environ) -> tuple[str, bool]:  # noqa: B006 - only read
    """The file, and whether it was asked for by name; empty when kuberc is turned off."""
    if environ.get("KUBERC") == "off" or environ.get("KUBECTL_KUBERC", "").lower() == "false":
        return "", False
    for index, word in enumerate(arguments):
        if word == "--":
            break
        if word.startswith("--kuberc="):
            return word.removeprefix("--kuberc="), True
        if word == "--kuberc" and index + 1 < len(arguments):
            return arguments[index + 1], True
    if environ.get("KUBERC"):
        return environ["KUBERC"], True
    return os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".kube", "kuberc"), False


def load(arguments: list[str]) -> Preferences:
    """The preferences that hold for a command line. Raises CLIError."""
    name, asked = path(arguments)
    if not name or (not asked and not os.path.exists(name)):
        return Preferences()
    return parse(read(name), name)


def read(name: str) -> dict[str, Any]:
    """The document of a file. Raises CLIError."""
    from pybernetes.machinery import yaml

    try:
        with open(name, encoding="utf-8") as file:
            documents = list(yaml.load_all(file.read()))
    except OSError as error:
        raise _failed(f"kuberc error kuberc: open {name}: {(error.strerror or '').lower()}") from None
    except ValueError:
        documents = []
    for content in documents:
        if isinstance(content, dict) and content.get("apiVersion") in VERSIONS and content.get("kind") == "Preference":
            return content
    raise _failed(f"kuberc error kuberc: no valid preferences found in {name}, use --v=5 to see details")


def parse(content: dict[str, Any], name: str) -> Preferences:
    """A document's meaning."""
    import sys

    for unknown in content.keys() - _FIELDS:
        error = f'strict decoding error: unknown field "{unknown}"'
        print(f"kuberc: ignoring strict decoding error in {name}: {error}", file=sys.stderr, end="")
    found = Preferences(policy=content.get("credentialPluginPolicy") or "")
    for entry in content.get("defaults") or content.get("overrides") or ():
        found.defaults[tuple(str(entry.get("command", "")).split())] = _options(entry)
    for entry in content.get("aliases") or ():
        alias = str(entry.get("name", ""))
        if not alias.isalpha():
            raise _failed("invalid alias name, can only include alphabetical characters")
        found.aliases[alias] = Alias(
            command=tuple(str(entry.get("command", "")).split()),
            before=tuple(map(str, entry.get("prependArgs") or ())),
            after=tuple(map(str, entry.get("appendArgs") or ())),
            options=_options(entry),
        )
    allowed = content.get("credentialPluginAllowlist") or ()
    found.allowed = tuple(str(e.get("command") or e.get("name") or "") for e in allowed)
    return found


def _options(entry: dict[str, Any]) -> Options:
    given = entry.get("options") or entry.get("flags") or ()
    return tuple((str(o.get("name", "")), str(o.get("default", ""))) for o in given)
