"""`kubectl taint`: keep Pods that do not tolerate it away from a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import PRINT, Command
from pybernetes.cli.errors import CLIError
from pybernetes.cli.session import MERGE_PATCH
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    names: list[str] = []
    adding: list[dict[str, Any]] = []
    removing: list[tuple[str, str]] = []
    for word in arguments:
        if word.endswith("-") and len(word) > 1:
            key, _, effect = word[:-1].partition(":")
            removing.append((key.partition("=")[0], effect))
        elif ":" in word or "=" in word:
            adding.append(_taint(word))
        elif adding or removing:
            raise CLIError(f"all resources must be specified before taint changes: {word}")
        else:
            names.append(word)
    if not adding and not removing:
        raise CLIError("at least one taint update is required")
    targets = finder.targets(session, flags, names, files=False)
    if any(t.resource.kind != "Node" for t in targets):
        raise CLIError(f"invalid resource type {targets[0].resource.plural}, only node types are supported")
    writer = Writer(session, flags, "kubectl-taint")
    for f in finder.fetch(session, flags, targets):
        have: list[dict[str, Any]] = f.object["spec"].get("taints") or []
        wanted = [t for t in have if not any(t["key"] == k and e in ("", t["effect"]) for k, e in removing)]
        for key, effect in removing:
            if not any(t["key"] == key and effect in ("", t["effect"]) for t in have):
                raise CLIError(f'taint "{key}{":" + effect if effect else ""}" not found')
        what = "untainted" if removing and not adding else "tainted"
        for taint in adding:
            same = next((t for t in wanted if t["key"] == taint["key"] and t["effect"] == taint["effect"]), None)
            if same is not None:
                if same.get("value", "") == taint.get("value", "") and not flags.on("overwrite"):
                    raise CLIError(
                        f"node {f.name} already has {taint['key']} taint(s) with same effect(s) and --overwrite "
                        f"is false"
                    )
                if not flags.on("overwrite"):
                    raise CLIError(
                        f"node {f.name} already has {taint['key']} taint(s) with same effect(s) and --overwrite "
                        f"is false"
                    )
                wanted.remove(same)
                what = "modified"
            wanted.append(taint)
        patch = {
            "spec": {"taints": wanted or None},
            "metadata": {"resourceVersion": f.object["metadata"]["resourceVersion"]},
        }
        value = f.object if writer.dry_run == "client" else writer.patch(f.path(), patch, MERGE_PATCH)
        if writer.output:
            writer.report(value, f.shown, what)
        else:
            session.say(f"{f.shown} {what}{' (server dry run)' if writer.dry_run == 'server' else ''}")
    return None


def _taint(text: str) -> dict[str, Any]:
    left, colon, effect = text.rpartition(":")
    if not colon:
        left, effect = text, ""
    key, equals, value = left.partition("=")
    if effect not in _EFFECTS:
        raise CLIError(
            f"invalid taint effect: {effect}, unsupported taint effect" if effect else f"invalid taint spec: {text}"
        )
    return {"key": key, **({"value": value} if equals and value else {}), "effect": effect}


COMMAND = Command(
    "Update the taints on one or more nodes.",
    usage="kubectl taint NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ... KEY_N=VAL_N:TAINT_EFFECT_N",
    flags=f"{PRINT} all? dry-run~unchanged:none field-manager= overwrite? l:selector= validate~strict:strict",
    run=run,
)
