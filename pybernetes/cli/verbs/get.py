"""`kubectl get`: tables made by the server, or objects in the format of `-o`; once, or for as long as they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, Command
from pybernetes.cli.errors import APIError, CLIError, ExitCode, lines
from pybernetes.cli.finder import Target
from pybernetes.cli.printers.tables import ACCEPT, Aligner, TablePrinter
from pybernetes.cli.session import listing

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.resources import Resource
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if raw := flags.text("raw"):
        session.out.write(session.open("GET", raw, accept="*/*").read().decode("utf-8", "replace"))
        return None
    output = flags.text("output")
    if (output == "wide" or not output) and flags.text("template"):
        output = "go-template"
    if not arguments and not flags.many("filename") and not flags.text("kustomize"):
        session.warn(
            'You must specify the type of resource to get. Use "kubectl api-resources" for a complete list of '
            "supported resources.\n"
        )
        raise CLIError(
            "Required resource not specified.\n"
            'Use "kubectl explain <resource>" for a detailed description of that resource '
            "(e.g. kubectl explain pods).\n"
            "See 'kubectl get -h' for help and examples"
        )
    found = finder.targets(session, flags, arguments)
    for target in found:
        target.source = flags.text("subresource")
    if flags.on("watch") or flags.on("watch-only"):
        return _watch(session, flags, found, output)
    if output in ("", "wide"):
        return _tables(session, flags, found, output == "wide")
    if output.startswith("custom-columns"):
        from pybernetes.cli.printers import custom_columns

        show = custom_columns.printer(flags, output)
        objects, failed = _objects(session, flags, found)
        session.out.write(show(objects))
    else:
        from pybernetes.cli.printers import objects as printers

        text = printers.printer(flags, output, extra=("custom-columns", "custom-columns-file", "wide"))
        objects, failed = _objects(session, flags, found)
        if flags.text("sort-by"):
            from pybernetes.cli.printers import sorting

            objects = sorting.by_path(objects, flags.text("sort-by"))
        single = len(found) == 1 and bool(found[0].name)
        if single:
            for value in objects:
                session.out.write(text(value))
        elif not (failed and not objects):
            session.out.write(text(printers.as_list(objects)))
    return 1 if failed else None


def _objects(session: Session, flags: Flags, found: list[Target]) -> tuple[list[dict[str, Any]], bool]:
    objects: list[dict[str, Any]] = []
    failed = False
    for target in found:
        try:
            if target.name and target.source:
                objects.append(session.get(target.resource, target.namespace, target.name, target.source))
                continue
            objects += [f.object for f in finder.fetch(session, flags, [target])]
        except APIError as error:
            if flags.on("ignore-not-found") and error.reason == "NotFound" and target.name:
                continue
            failed = True
            session.warn(lines(error))
    return objects, failed


def _tables(session: Session, flags: Flags, found: list[Target], wide: bool) -> int | None:
    """Targets of one kind that follow each other share one table."""
    groups: list[tuple[Resource, list[Target]]] = []
    for target in found:
        if groups and groups[-1][0] == target.resource:
            groups[-1][1].append(target)
        else:
            groups.append((target.resource, [target]))
    printed = 0
    failed = False
    errors: list[str] = []
    all_namespaces = flags.on("all-namespaces")
    got_parts: list[tuple[Resource, list[dict[str, Any]]]] = []
    for resource, targets in groups:
        parts = []
        for target in targets:
            try:
                parts.append(_table(session, flags, target))
            except APIError as error:
                if flags.on("ignore-not-found") and error.reason == "NotFound" and target.name:
                    continue
                failed = True
                errors.append(lines(error))
        if parts:
            got_parts.append((resource, parts))
    show_kind = flags.on("show-kind") or len({resource for resource, _ in got_parts}) > 1
    for resource, parts in got_parts:
        rows = [row for part in parts for row in part.get("rows") or ()]
        if not rows:
            continue
        got = {"columnDefinitions": parts[0].get("columnDefinitions"), "rows": rows}
        if path := flags.text("sort-by"):
            from pybernetes.cli.printers import sorting

            got["rows"] = sorting.rows_by_path(rows, path)
        show = TablePrinter(
            flags,
            kind=resource.shown if show_kind else "",
            with_namespace=all_namespaces and resource.namespaced,
            wide=wide,
        )
        if printed:
            session.out.write("\n")
        session.out.write(Aligner().text(show.rows(got)))
        printed += 1
    if not printed and not failed and not flags.on("ignore-not-found"):
        named = any(t.name for t in found)
        if not named:
            if all_namespaces or not any(r.namespaced for r, _ in groups):
                session.warn("No resources found")
            else:
                session.warn(f"No resources found in {session.namespace} namespace.")
    for line in errors:
        session.warn(line)
    if failed:
        raise ExitCode(1)
    return None


def _query(flags: Flags) -> dict[str, str]:
    query = {"labelSelector": flags.text("selector"), "fieldSelector": flags.text("field-selector")}
    if flags.text("sort-by"):
        query["includeObject"] = "Object"
    return {k: v for k, v in query.items() if v}


def _table(session: Session, flags: Flags, target: Target) -> dict[str, Any]:
    query = _query(flags)
    if target.name:
        only = {k: v for k, v in query.items() if k == "includeObject"}
        path = target.path(target.source)
        return as_table(session.call("GET", path, query=only, accept=ACCEPT))
    if size := flags.number("chunk-size"):
        query["limit"] = str(size)
    path = target.resource.path(target.namespace)
    whole: dict[str, Any] = {}
    while True:
        with listing(target.resource, flags.text("selector"), flags.text("field-selector")):
            page = as_table(session.call("GET", path, query=query, accept=ACCEPT))
        if not whole:
            whole = page
        else:
            whole["rows"] = (whole.get("rows") or []) + (page.get("rows") or [])
        token = (page.get("metadata") or {}).get("continue")
        if not token or not size:
            whole["metadata"] = page.get("metadata") or {}
            return whole
        query["continue"] = token


def as_table(got: dict[str, Any]) -> dict[str, Any]:
    """What a server that makes no tables answers, as a table of names and ages."""
    if got.get("kind") == "Table":
        return got
    from pybernetes.aio import clock
    from pybernetes.machinery.table import age

    rows = []
    items = got["items"] if isinstance(got.get("items"), list) else [got]
    for item in items:
        metadata = item.get("metadata") or {}
        created = metadata.get("creationTimestamp")
        shown = age(clock.parse_rfc3339(created) if created else None, clock.timestamp())
        rows.append({"cells": [metadata.get("name", ""), shown], "object": item})
    columns = [{"name": "Name", "type": "string", "format": "name"}, {"name": "Age", "type": "string"}]
    return {"kind": "Table", "columnDefinitions": columns, "rows": rows, "metadata": got.get("metadata") or {}}


def _watch(session: Session, flags: Flags, found: list[Target], output: str) -> int | None:
    if (len(found) != 1 and len({t.resource for t in found}) > 1) or len(found) > 1:
        raise CLIError("you may only specify a single resource type")
    target = found[0]
    tables = output in ("", "wide")
    text: Callable[[dict[str, Any]], str] = str
    if not tables and output.startswith("custom-columns"):
        from pybernetes.cli.printers import custom_columns

        columns = custom_columns.printer(flags, output)

        text = lambda value: columns([value])  # noqa: E731
    elif not tables:
        from pybernetes.cli.printers import objects as printers

        text = printers.printer(flags, output)
    show = TablePrinter(
        flags,
        kind=target.resource.shown if flags.on("show-kind") else "",
        with_namespace=flags.on("all-namespaces") and target.resource.namespaced,
        wide=output == "wide",
    )
    aligner = Aligner()
    events = flags.on("output-watch-events")
    query = _query(flags)
    if target.name:
        query["fieldSelector"] = f"metadata.name={target.name}"
        if not flags.on("watch-only"):
            session.get(target.resource, target.namespace, target.name)
    path = target.resource.path(target.namespace)
    version = ""
    if tables:
        first = as_table(session.call("GET", path, query=query, accept=ACCEPT))
        version = (first.get("metadata") or {}).get("resourceVersion", "")
        if not flags.on("watch-only") and first.get("rows"):
            session.out.write(aligner.text(show.rows(first, event="ADDED" if events else "")))
    else:
        listed = session.call("GET", path, query=query)
        version = (listed.get("metadata") or {}).get("resourceVersion", "")
        if not flags.on("watch-only"):
            for item in listed.get("items") or ():
                kind = (listed.get("kind") or "").removesuffix("List")
                whole = {"apiVersion": listed.get("apiVersion"), "kind": kind, **item}
                session.out.write(text({"type": "ADDED", "object": whole} if events else whole))
    session.out.flush()
    query["resourceVersion"] = version
    for event in session.watch(path, query, accept=ACCEPT if tables else "application/json"):
        if event["type"] == "BOOKMARK":
            continue
        if event["type"] == "ERROR":
            raise APIError(event["object"])
        if tables:
            session.out.write(aligner.text(show.rows(as_table(event["object"]), event=event["type"] if events else "")))
        else:
            session.out.write(text(event if events else event["object"]))
        session.out.flush()
    return None


COMMAND = Command(
    "Display one or many resources.",
    usage="kubectl get [(-o|--output=)FORMAT] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME "
    "...) [flags]",
    flags=f"{FILES} o:output= template= allow-missing-template-keys?true show-managed-fields? A:all-namespaces? "
    "chunk-size#500 field-selector= ignore-not-found? L:label-columns* no-headers? output-watch-events? raw= "
    "l:selector= server-print?true show-kind? show-labels? sort-by= subresource= w:watch? watch-only?",
    run=run,
    examples="kubectl get pods\nkubectl get pods -o wide\nkubectl get deployment web -o yaml\n"
    "kubectl get pods,services -l app=web\nkubectl get -f pod.yaml -o json",
)
