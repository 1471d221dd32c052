"""`kubectl diff`: what `apply` would change, found by the server in a dry run and shown by the `diff` program.

The two states are written as files into two directories, because that is what KUBECTL_EXTERNAL_DIFF gets. The exit code
is diff's: 0 nothing, 1 differences, more for an error.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from copy import copy
from typing import TYPE_CHECKING, Any

from pybernetes.cli import files, finder
from pybernetes.cli.command import FILES, Command
from pybernetes.cli.errors import APIError, CLIError, ExitCode, lines
from pybernetes.cli.finder import Target
from pybernetes.cli.pruning import Pruner

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.resources import Resource
    from pybernetes.cli.session import Session

_ATTEMPTS = 4
_SAFE = re.compile(r"[a-zA-Z0-9-=]+")


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if arguments:
        raise CLIError(f"Unexpected args: [{' '.join(arguments)}]\nSee 'kubectl diff -h' for help and examples", code=2)
    if not flags.many("filename") and not flags.text("kustomize"):
        raise CLIError("must specify one of -f and -k", code=2)
    if flags.on("force-conflicts") and not flags.on("server-side"):
        raise CLIError("--force-conflicts only works with --server-side", code=2)
    try:
        pruner = Pruner(session, flags) if flags.on("prune") else None
        wanted = [m for m in files.read(flags) if files.selected(flags, m.object)]
        targets = [finder.of_manifest(session, m.object, m.source) for m in wanted]
        pairs = {}
        for target, (name, before, after) in zip(targets, _all_states(session, flags, targets), strict=True):
            pairs[name] = (before, after)
            if pruner is not None:
                pruner.keep(target.resource, target.namespace, ((before or {}).get("metadata") or {}).get("uid") or "")
        for found in pruner.left() if pruner is not None else ():
            pairs[_file(found.resource, found.object["metadata"])] = (found.object, None)
    except APIError as error:
        session.warn(lines(error))
        raise ExitCode(2) from None
    except CLIError as error:
        raise CLIError(str(error), code=2) from None
    return _shown(session, flags, pairs)


def _all_states(session: Session, flags: Flags, targets: list[Target]) -> list[tuple[str, Any, Any]]:
    """The states of all objects, in their order; `--concurrency` of them are asked for at a time."""
    several = flags.number("concurrency")
    if several < 2 or len(targets) < 2:
        return [_states(session, flags, target) for target in targets]
    from concurrent.futures import ThreadPoolExecutor
    from threading import local

    own = local()  # a connection is for one request at a time

    def begin() -> None:
        own.session = copy(session)
        own.session.http = session.http.another()

    session.http.authorization()  # once, for all
    with ThreadPoolExecutor(several, initializer=begin) as threads:
        return list(threads.map(lambda target: _states(own.session, flags, target), targets))


def _states(session: Session, flags: Flags, target: Target) -> tuple[str, Any, Any]:
    """The name of the files, the live object (None when there is none) and the one that would be."""
    for attempt in range(_ATTEMPTS):
        try:
            live = session.get(target.resource, target.namespace, target.name)
        except APIError as error:
            if error.reason != "NotFound":
                raise
            live = None
        try:
            merged = _merged(session, flags, target, live, force=attempt == _ATTEMPTS - 1)
            break
        except APIError as error:
            if error.reason != "Conflict" or flags.on("server-side") or attempt == _ATTEMPTS - 1:
                raise
    return _file(target.resource, merged["metadata"]), live, merged


def _file(resource: Resource, metadata: dict[str, Any]) -> str:
    parts = [resource.group, resource.version, resource.kind, metadata.get("namespace", ""), metadata["name"]]
    return ".".join(p for p in parts if p).replace("/", "-")


def _merged(session: Session, flags: Flags, target: Target, live: Any, *, force: bool) -> dict[str, Any]:
    from pybernetes.cli.session import APPLY_PATCH
    from pybernetes.cli.writing import three_way

    query = {"dryRun": "All", "fieldManager": flags.text("field-manager")}
    assert target.manifest is not None
    if flags.on("server-side"):
        query["force"] = "true" if flags.on("force-conflicts") else "false"
        found = session.call("PATCH", target.path(), target.manifest, query=query, content=APPLY_PATCH)
    elif live is None:
        found = session.call("POST", target.resource.path(target.namespace), target.manifest, query=query)
    else:
        metadata = target.manifest.get("metadata") or {}  # like the annotation of apply, which has this field always
        wanted = {**target.manifest, "metadata": {**metadata, "annotations": metadata.get("annotations") or {}}}
        patch, content = three_way(target.resource, live, wanted)
        if not patch:
            return dict(live)
        if not force:
            patch.setdefault("metadata", {})["resourceVersion"] = live["metadata"].get("resourceVersion")
        else:
            session.warn(f"Warning: {target.shown} keeps changing, diffing without lock")
        found = session.call("PATCH", target.path(), patch, query=query, content=content)
    assert isinstance(found, dict)
    return found


def _shown(session: Session, flags: Flags, pairs: dict[str, tuple[Any, Any]]) -> int:
    from pybernetes.cli.printers.objects import without_managed_fields
    from pybernetes.machinery import yaml

    words = [word for word in os.environ.get("KUBECTL_EXTERNAL_DIFF", "").split(" ") if word]
    program = [words[0], *(w for w in words[1:] if _SAFE.fullmatch(w))] if words else ["diff", "-u", "-N"]
    with tempfile.TemporaryDirectory(prefix="LIVE-") as old, tempfile.TemporaryDirectory(prefix="MERGED-") as new:
        for name, pair in pairs.items():
            before, after = pair
            if not flags.on("show-managed-fields"):
                before = before and without_managed_fields(before)
                after = after and without_managed_fields(after)
            shape = after or before
            secret = shape.get("kind") == "Secret" and shape.get("apiVersion") == "v1"
            if secret and not flags.on("show-secrets"):  # one that does not exist is shown as `null` by upstream
                before, after = _masked(before, after)
            for directory, value in ((old, before), (new, after)):
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(yaml.dump(value) if value is not None or (secret and after is not None) else "")
        session.out.flush()
        try:
            code = subprocess.run([*program, old, new], check=False).returncode
        except OSError as error:
            reason = "executable file not found in $PATH" if isinstance(error, FileNotFoundError) else error.strerror
            raise CLIError(f'failed to run "{program[0]}": {reason}', code=2) from None
    if code > 1:
        raise CLIError(f"exit status {code}", code=code)
    return code


def _masked(before: Any, after: Any) -> tuple[Any, Any]:
    """Both Secrets with their values hidden, so that only what has changed can be told apart."""
    old, new = dict((before or {}).get("data") or {}), dict((after or {}).get("data") or {})
    for key in old.keys() | new.keys():
        if key in old and key in new:
            changed = old[key] != new[key]
            old[key], new[key] = ("*** (before)", "*** (after)") if changed else ("***", "***")
        elif key in old:
            old[key] = "***"
        else:
            new[key] = "***"
    return (
        {**before, "data": old} if before and "data" in before else before,
        {**after, "data": new} if after and "data" in after else after,
    )


COMMAND = Command(
    "Diff configurations specified by file name or stdin between the current online configuration, and the "
    "configuration as it would be if applied.",
    usage="kubectl diff -f FILENAME",
    flags=f"{FILES} concurrency#1 field-manager=kubectl-client-side-apply force-conflicts? prune? prune-allowlist* "
    "l:selector= server-side? show-managed-fields? show-secrets?",
    run=run,
    examples="kubectl diff -f pod.json\ncat service.yaml | kubectl diff -f -",
)
