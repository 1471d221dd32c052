"""`kubectl kustomize`: print what a kustomization makes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError, not_implemented

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_REFUSED = ("enable-alpha-plugins", "enable-helm", "network", "mount", "env", "as-current-user")


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    from pybernetes.cli.kustomize.build import build
    from pybernetes.machinery import yaml

    if len(arguments) > 1:
        raise CLIError("specify one path to kustomization.yaml")
    for name in _REFUSED:
        if flags.given(name):
            raise not_implemented(f"kustomize --{name}")
    objects = build(arguments[0] if arguments else ".")
    goal = flags.text("output")
    if goal and os.path.isdir(goal):
        for value in objects:
            group, _, version = str(value.get("apiVersion")).rpartition("/")
            parts = [group, version, value.get("kind", ""), value["metadata"].get("name", "")]
            name = "_".join(p.lower() for p in parts if p)
            _write(os.path.join(goal, f"{name}.yaml"), yaml.dump(value))
        return None
    text = yaml.dump_all(objects)
    if goal:
        _write(goal, text)
    else:
        session.out.write(text)
    return None


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CLIError(f"open {path}: {(error.strerror or '').lower()}") from None


COMMAND = Command(
    "Build a set of KRM resources using a 'kustomization.yaml' file.",
    usage="kubectl kustomize DIR",
    flags="as-current-user? enable-alpha-plugins? enable-helm? e:env* helm-api-versions* helm-command=helm helm-debug? "
    "helm-kube-version= load-restrictor=LoadRestrictionsRootOnly mount* network? network-name=bridge o:output=",
    run=run,
    examples="kubectl kustomize\nkubectl kustomize /home/config/production",
)
