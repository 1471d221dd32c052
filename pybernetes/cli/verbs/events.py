"""`kubectl events`: events, oldest first, of a namespace or about one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import Command

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    from pybernetes.cli.printers.tabwriter import table

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
    every = flags.on("all-namespaces")
    rows += [_row(e, every) for e in found]
    if not flags.on("watch"):
        session.out.write(table(rows))
        return None
    from pybernetes.cli.printers.tabwriter import width

    sizes = [max(6, *(width(row[i]) + 3 for row in rows or [head])) for i in range(len(head) - 1)]
    session.out.write(_lines(rows, sizes))
    seen = {e["metadata"]["uid"]: e["metadata"]["resourceVersion"] for e in found}
    query = {"fieldSelector": fields} if fields else {}
    for event in session.watch(session.resources.find("events").path(namespace), query):
        e = event["object"]
        if event["type"] not in ("ADDED", "MODIFIED") or (kinds and e.get("type", "").lower() not in kinds):
            continue
        if seen.get(e["metadata"]["uid"]) != e["metadata"]["resourceVersion"]:
            session.out.flush()
            session.out.write(_lines([_row(e, every)], sizes))
            session.out.flush()
    return None


def _lines(rows: list[list[str]], sizes: list[int]) -> str:
    """Rows in columns that were fixed when the first were printed."""
    return "".join("".join(f"{c:<{n}}" for c, n in zip(r, sizes, strict=False)) + r[-1] + "\n" for r in rows)


def _row(e: dict[str, Any], with_namespace: bool) -> list[str]:
    from pybernetes.cli.describe.text import age

    about = e.get("involvedObject") or {}
    shown = age(_moment(e) or None)
    if e.get("series"):
        shown += f" (x{e['series']['count']} over {age(e.get('eventTime') or e.get('firstTimestamp'))})"
    elif (e.get("count") or 0) > 1:
        shown += f" (x{e['count']} over {age(e.get('firstTimestamp'))})"
    name = f"{about.get('kind', '')}/{about.get('name', '')}"
    row = [shown, e.get("type", ""), e.get("reason", ""), name, e.get("message", "").strip()]
    return [e["metadata"].get("namespace", ""), *row] if with_namespace else row


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
