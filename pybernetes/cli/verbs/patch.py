"""`kubectl patch`: change fields by a strategic, merge or JSON patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import CLIError
from pybernetes.cli.session import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from pybernetes.cli.writing import Writer, parse_json

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_TYPES = {"strategic": STRATEGIC_PATCH, "merge": MERGE_PATCH, "json": JSON_PATCH}


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    kind = flags.text("type").lower()
    if kind not in _TYPES:
        raise CLIError(f'--type must be one of [json merge strategic], not "{kind}"')
    if not flags.text("patch") and not flags.text("patch-file"):
        raise CLIError("must specify --patch or --patch-file containing the contents of the patch")
    text = flags.text("patch")
    if path := flags.text("patch-file"):
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise CLIError(f"unable to read patch file: open {path}: {(error.strerror or '').lower()}") from None
    patch = parse_json(text)
    writer = Writer(session, flags, "kubectl-patch")
    if flags.on("local"):
        if arguments or not flags.many("filename"):
            raise CLIError("cannot specify --local without -f, --filename")
        if writer.dry_run == "server":
            raise CLIError("cannot specify --local and --dry-run=server - did you mean --dry-run=client?")
        targets = finder.of_files(session, flags)
    else:
        targets = finder.targets(session, flags, arguments)
    if not targets or not all(t.name for t in targets):
        raise CLIError(
            "resource(s) were provided, but no name was specified" if targets else "no objects passed to patch"
        )
    for target in targets:
        live: dict[str, Any]
        if flags.on("local"):
            assert target.manifest is not None
            live = target.manifest
        else:
            live = session.get(target.resource, target.namespace, target.name)
        if flags.on("local") or writer.dry_run == "client":
            from pybernetes.cli.verbs.apply import _merged
            from pybernetes.machinery.patch import json_patch

            value = json_patch(live, patch) if kind == "json" else _merged(patch, live, _TYPES[kind], target)
        else:
            value = writer.patch(target.path(flags.text("subresource")), patch, _TYPES[kind])
        if writer.dry_run != "none" or flags.on("local"):
            changed = value != live
        else:
            changed = value["metadata"].get("resourceVersion") != live["metadata"].get("resourceVersion")
        shown = target.shown
        if value.get("kind") == "Scale":  # what a subresource answers is named as that
            shown = f"scale.{value['apiVersion'].partition('/')[0]}/{target.name}"
        writer.report(value, shown, "patched" if changed else "patched (no change)")
    return None


COMMAND = Command(
    "Update fields of a resource using strategic merge patch, a JSON merge patch, or a JSON patch.",
    usage="kubectl patch (-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE]",
    flags=f"{FILES} {PRINT} dry-run~unchanged:none field-manager= local? p:patch= patch-file= subresource= "
    f"type=strategic",
    run=run,
    examples='kubectl patch node k8s-node-1 -p \'{"spec":{"unschedulable":true}}\'',
)
