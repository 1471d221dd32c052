"""`kubectl api-resources`: every kind the server has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.resources import Resource
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if arguments:
        raise CLIError(f"unexpected arguments: {arguments}\nSee 'kubectl api-resources -h' for help and examples")
    output = flags.text("output")
    if output not in ("", "wide", "name", "json", "yaml"):
        raise CLIError(f"--output {output} is not available")
    if not flags.on("cached"):
        session.resources.refresh()
    seen: set[tuple[str, str]] = set()
    found: list[Resource] = []
    for r in session.resources.all():
        if (r.group, r.plural) in seen or not r.verbs:
            continue
        seen.add((r.group, r.plural))
        if flags.given("namespaced") and flags.on("namespaced") != r.namespaced:
            continue
        if flags.given("api-group") and flags.text("api-group") != r.group:
            continue
        if not {v for given in flags.many("verbs") for v in given.split(",")} <= set(r.verbs):
            continue
        if not {c for given in flags.many("categories") for c in given.split(",")} <= set(r.categories):
            continue
        found.append(r)
    order = flags.text("sort-by")
    if order == "kind":
        found.sort(key=lambda r: r.kind)
    elif order == "name":
        found.sort(key=lambda r: r.plural)
    elif order:
        raise CLIError("--sort-by accepts only name or kind")
    else:
        found.sort(key=lambda r: (r.group, r.plural))
    if output == "name":
        for r in found:
            session.say(r.full_name)
        return None
    if output in ("json", "yaml"):
        from pybernetes.cli.printers import objects

        session.out.write(objects.printer(flags)(_as_list(found)))
        return None
    head = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    rows = [] if flags.on("no-headers") else [head + (["VERBS", "CATEGORIES"] if output == "wide" else [])]
    for r in found:
        row = [r.plural, ",".join(r.short_names), r.api_version, "true" if r.namespaced else "false", r.kind]
        if output == "wide":
            row += [",".join(r.verbs), ",".join(r.categories)]
        rows.append(row)
    from pybernetes.cli.printers.tabwriter import table

    session.out.write(table(rows))
    return None


def _as_list(found: list[Resource]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "APIResourceList",
        "groupVersion": "",
        "resources": [
            {
                "name": r.plural,
                "singularName": r.singular,
                "namespaced": r.namespaced,
                "kind": r.kind,
                "verbs": list(r.verbs),
                "version": r.version,
                **({"group": r.group} if r.group else {}),
                **({"shortNames": list(r.short_names)} if r.short_names else {}),
                **({"categories": list(r.categories)} if r.categories else {}),
            }
            for r in found
        ],
    }


COMMAND = Command(
    "Print the supported API resources on the server.",
    usage="kubectl api-resources",
    flags="api-group= cached? categories* namespaced?true no-headers? o:output= show-managed-fields? template= "
    "allow-missing-template-keys?true sort-by= verbs*",
    run=run,
)
