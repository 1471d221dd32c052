"""Labels and annotations are changed in the same way: `key=value` sets, `key-` removes, `--overwrite` allows a
change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.errors import APIError, CLIError, ExitCode, lines
from pybernetes.cli.session import MERGE_PATCH
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.command import Run
    from pybernetes.cli.finder import Found
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def runner(what: str) -> Run:
    """The `run` of `label` (what=`labels`) or `annotate` (`annotations`)."""
    verb = {"labels": "label", "annotations": "annotate"}[what]
    done = {"labels": "labeled", "annotations": "annotated"}[what]
    undone = {"labels": "unlabeled", "annotations": "annotated"}[what]

    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        names, setting, removing = _changes(arguments, what, verb)
        writer = Writer(session, flags, f"kubectl-{verb}")
        if not setting and not removing and not flags.on("list"):
            raise CLIError(f"at least one {what.removesuffix('s')} update is required")
        both = [k for k in removing if k in setting]
        if both:
            raise CLIError(
                f"can not both modify and remove {'a label' if what == 'labels' else 'an annotation'} in the same "
                f"command"
            )
        targets = finder.targets(session, flags, names)
        if not targets:
            raise CLIError(
                "resource(s) were provided, but no name was specified"
                if names
                else "one or more resources must be specified as <resource> <name> or <resource>/<name>"
            )
        unnamed = [t for t in targets if not t.name]
        if unnamed and not (
            flags.on("all") or flags.text("selector") or flags.text("field-selector") or flags.on("list")
        ):
            raise CLIError("resource(s) were provided, but no name was specified")
        failed = False
        for f in finder.fetch(session, flags, targets):
            try:
                _one(session, flags, writer, f, what, setting, removing, done, undone)
            except APIError as error:
                session.warn(lines(error))
                failed = True
            except CLIError as error:
                session.warn(lines(error))
                failed = True
        if failed:
            raise ExitCode(1)
        return None

    return run


def _changes(arguments: list[str], what: str, verb: str) -> tuple[list[str], dict[str, str], list[str]]:
    names: list[str] = []
    setting: dict[str, str] = {}
    removing: list[str] = []
    for word in arguments:
        is_change = "=" in word or (word.endswith("-") and len(word) > 1)
        if not is_change:
            if setting or removing:
                raise CLIError(f"all resources must be specified before {what.removesuffix('s')} changes: {word}")
            names.append(word)
        elif "=" in word:
            key, _, value = word.partition("=")
            if not key:
                raise CLIError(f"invalid {what.removesuffix('s')} spec: {word}")
            setting[key] = value
        else:
            removing.append(word[:-1])
    return names, setting, removing


def _one(
    session: Session,
    flags: Flags,
    writer: Writer,
    f: Found,
    what: str,
    setting: dict[str, str],
    removing: list[str],
    done: str,
    undone: str,
) -> None:
    have: dict[str, str] = f.object["metadata"].get(what) or {}
    if flags.on("list"):
        for key, value in sorted(have.items()):
            session.say(f"{key}={value}")
        return
    if not flags.on("overwrite"):
        clashes = [
            f"'{key}' already has a value ({have[key]}), and --overwrite is false"
            for key, value in setting.items()
            if key in have and have[key] != value
        ]
        if clashes and what == "labels":
            raise CLIError(clashes[0] if len(clashes) == 1 else f"[{', '.join(clashes)}]")
        changed = [key for key, value in setting.items() if key in have and have[key] != value]
        if changed:
            raise CLIError(
                "--overwrite is false but found the following declared annotation(s): "
                + "; ".join(f"'{key}' already has a value ({have[key]})" for key in changed)
            )
    changes: dict[str, Any] = {key: value for key, value in setting.items() if have.get(key) != value}
    gone = [key for key in removing if key in have]
    for key in removing:
        if key not in have:
            session.say(f'{what.removesuffix("s")} "{key}" not found.')
    changes.update(dict.fromkeys(gone))
    if what == "labels":
        if gone and not [k for k in setting if have.get(k) != setting[k]]:
            message = undone
        elif not changes:
            message = "not labeled"
        else:
            message = done
    else:
        message = done
    result: dict[str, Any]
    if not changes and what == "labels":
        result = f.object
    else:
        patch: dict[str, Any] = {"metadata": {what: changes}}
        if version := flags.text("resource-version"):
            patch["metadata"]["resourceVersion"] = version
        if writer.dry_run == "client" or flags.on("local"):
            from pybernetes.machinery.patch import merge_patch

            result = merge_patch(f.object, patch)
        else:
            result = writer.patch(f.path(), patch, MERGE_PATCH)
    writer.report(result, f.shown, message)
