"""`kubectl events`: events, oldest first, of a namespace or about one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import Command
from pybernetes.cli.errors import not_implemented

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    from pybernetes.cli.describe.text import age
    from pybernetes.cli.printers.tabwriter import table

    if flags.on("watch"):
        raise not_implemented("events --watch (use 'get events --watch')")
    namespace = "" if flags.on("all-namespaces") else session.namespace
    fields = ""
    if word := flags.text("for"):
        target = finder._slashed(session, [word], session.namespace)[0]
        fields = f"involvedObject.kind={target.resource.kind},involvedObject.name={target.name}"
    found = session.list(session.resources.find("events"), namespace, fields=fields)
    kinds = {kind.lower() for given in flags.many("types") for kind in given.split(",")}
    if kinds:
        found = [e for e in found if e.get("type", "").lower() in kinds]
    found.sort(key=_moment)
    if flags.text("output"):
        from pybernetes.cli.printers import objects

        session.out.write(objects.printer(flags)(objects.as_list(found)))
        return None
    if not found:
        where = "" if flags.on("all-namespaces") else f" in {session.namespace} namespace"
        session.warn(f"No events found{where}.")
        return None
    head = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    if flags.on("all-namespaces"):
        head.insert(0, "NAMESPACE")
    rows = [] if flags.on("no-headers") else [head]
    for e in found:
        about = e.get("involvedObject") or {}
        shown = age(_moment(e) or None)
        if e.get("series"):
            shown += f" (x{e['series']['count']} over {age(e.get('eventTime') or e.get('firstTimestamp'))})"
        elif (e.get("count") or 0) > 1:
            shown += f" (x{e['count']} over {age(e.get('firstTimestamp'))})"
        name = f"{about.get('kind', '')}/{about.get('name', '')}"
        row = [shown, e.get("type", ""), e.get("reason", ""), name, e.get("message", "").strip()]
        rows.append([e["metadata"].get("namespace", ""), *row] if flags.on("all-namespaces") else row)
    session.out.write(table(rows))
    return None


def _moment(event: dict[str, Any]) -> str:
    series = (event.get("series") or {}).get("lastObservedTime")
    return str(series or event.get("lastTimestamp") or event.get("eventTime") or "")


COMMAND = Command(
    "Display events.",
    usage="kubectl events [(-o|--output=)FORMAT] [--for TYPE/NAME] [--types=Normal,Warning]",
    flags="A:all-namespaces? chunk-size#500 for= no-headers? o:output= template= allow-missing-template-keys?true "
    "show-managed-fields? types* w:watch?",
    run=run,
)
