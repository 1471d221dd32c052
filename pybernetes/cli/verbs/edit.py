"""`kubectl edit`: the live object in an editor, and a patch of what was changed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import APIError, CLIError, lines
from pybernetes.cli.printers.objects import as_list, to_json, without_managed_fields
from pybernetes.cli.writing import LAST_APPLIED, Writer, parse_json, smart_patch, with_last_applied
from pybernetes.cli.writing import last_applied as applied_text

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_HEAD = (
    "# Please edit the object below. Lines beginning with a '#' will be ignored,\n"
    "# and an empty file will abort the edit. If an error occurs while saving this file will be\n"
    "# reopened with the relevant failures.\n#\n"
)
_HEAD_LAST_APPLIED = (
    "# Please edit the 'last-applied-configuration' annotations below.\n"
    "# Lines beginning with a '#' will be ignored, and an empty file will abort the edit.\n#\n"
)


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    from pybernetes.machinery import yaml

    writer = Writer(session, flags, "kubectl-edit")
    found = finder.fetch(session, flags, finder.targets(session, flags, arguments))
    if not found:
        raise CLIError("edit cancelled, no objects found")
    as_json = flags.text("output") == "json"
    for f in found:
        before = f.object if flags.on("show-managed-fields") else without_managed_fields(f.object)
        text = to_json(before) + "\n" if as_json else yaml.dump(before)
        head, problem, last = _HEAD if not as_json else "", "", ""
        while True:
            content = _edited(session, head, problem, text, as_json)
            if content is None:
                break
            try:
                after = yaml.load(content)
                if not isinstance(after, dict):
                    raise CLIError("not an object")
                patch, kind = smart_patch(f.resource, before, after)
                if not patch:
                    session.warn("Edit cancelled, no changes made.")
                    break
                value = writer.patch(f.path(flags.text("subresource")), patch, kind)
                writer.report(value, f.shown, "edited")
                break
            except (APIError, CLIError, yaml.YAMLError) as error:
                if text == content or (problem and content == last):
                    raise
                said = lines(error)
                session.warn(said)
                last = content
                problem = "".join(f"# {line}\n" for line in said.splitlines()) + "#\n"
                text = content
    return None


def _edited(session: Session, head: str, problem: str, text: str, as_json: bool) -> str | None:
    """What the editor makes of the text, without comments; None when nothing was changed. Raises CLIError."""
    edited = _edit(head + problem + text, ".json" if as_json else ".yaml")
    content = "\n".join(line for line in edited.split("\n") if not line.startswith("#") or as_json)
    if not content.strip():
        raise CLIError("Edit cancelled, saved file was empty.", plain=True)
    if content.strip() != text.strip():
        return content
    if problem:
        raise CLIError("Edit cancelled, no valid changes were saved.")
    session.warn("Edit cancelled, no changes made.")
    return None


def before_create(session: Session, flags: Flags) -> int | None:
    """`create --edit`: all objects of the files in one editor, and what was made of them is created."""
    from pybernetes.cli import files
    from pybernetes.machinery import yaml

    writer = Writer(session, flags, "kubectl-create")
    as_json = flags.text("output") == "json"
    writer._print, writer.output = None, ""
    given = [m.object for m in files.read(flags) if files.selected(flags, m.object)]
    if not given:
        raise CLIError("edit cancelled, no objects found")
    head, problem = "" if as_json else _HEAD, ""
    text = to_json(given[0] if len(given) == 1 else as_list(given)) + "\n" if as_json else _documents(given)
    while True:
        content = _edited(session, head, problem, text, as_json)
        if content is None:
            return None
        try:
            for value in _items(yaml.load_all(content)):
                target = finder.of_manifest(session, value, "edited-file")
                value = with_last_applied(value) if flags.on("save-config") else value
                made = writer.create(target.resource, target.namespace, value)
                writer.report(made, f"{target.resource.shown}/{made['metadata'].get('name', '')}", "created")
            return None
        except (APIError, CLIError, yaml.YAMLError, KeyError) as error:
            said = lines(error) if not isinstance(error, KeyError) else f"error: Object '{error.args[0]}' is missing"
            session.warn(said)
            problem = "".join(f"# {line}\n" for line in said.splitlines()) + "#\n"
            text = content


def last_applied(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """`apply edit-last-applied`: the annotations of what was applied last, one after the other."""
    from pybernetes.cli.session import MERGE_PATCH
    from pybernetes.machinery import yaml

    if flags.text("output") not in ("", "json", "yaml", "kyaml"):
        allowed = "allowed formats are: json,kyaml,yaml"
        raise CLIError(f'unable to match a printer suitable for the output format "{flags.text("output")}", {allowed}')
    writer = Writer(session, flags, "kubectl-client-side-apply")
    as_json = flags.text("output") == "json"
    for f in finder.fetch(session, flags, finder.targets(session, flags, arguments)):
        annotation = (f.object["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        if not annotation:
            raise CLIError(
                "no last-applied-configuration annotation found on resources, to create the annotation, use command "
                "`kubectl apply set-last-applied --create-annotation`"
            )
        before = parse_json(annotation)
        text = to_json(before) + "\n" if as_json else yaml.dump(before)
        content = _edited(session, "" if as_json else _HEAD_LAST_APPLIED, "", text, as_json)
        if content is None:
            continue
        after = yaml.load(content)
        if not isinstance(after, dict):
            raise CLIError("not an object")
        patch = {"metadata": {"annotations": {LAST_APPLIED: applied_text(after)}}}
        writer.patch(f.path(), patch, MERGE_PATCH)
        writer.report(after, f.shown, "edited")
    return None


def _documents(values: list[dict[str, Any]]) -> str:
    from pybernetes.machinery import yaml

    return "---\n".join(yaml.dump(value) for value in values)


def _items(documents: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The objects of documents, Lists taken apart."""
    for value in documents:
        if value is None:
            continue
        if not isinstance(value, dict):
            raise CLIError("not an object")
        if value.get("kind") == "List":
            yield from _items(value.get("items") or ())
        else:
            yield value


def _edit(text: str, suffix: str) -> str:
    editor = os.environ.get("KUBE_EDITOR") or os.environ.get("EDITOR") or "vi"
    descriptor, path = tempfile.mkstemp(prefix="kubectl-edit-", suffix=suffix)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        code = subprocess.call([os.environ.get("SHELL") or "/bin/sh", "-c", f'{editor} "$1"', "edit", path])
        if code:
            raise CLIError(f"there was a problem with the editor {editor!r}")
        with open(path, encoding="utf-8") as file:
            return file.read()
    finally:
        os.unlink(path)


COMMAND = Command(
    "Edit a resource from the default editor.",
    usage="kubectl edit (RESOURCE/NAME | -f FILENAME)",
    flags=f"{FILES} {PRINT} field-manager= output-patch? save-config? subresource= validate~strict:strict "
    "windows-line-endings?",
    run=run,
)
