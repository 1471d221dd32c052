"""`kubectl top`: what nodes and Pods use now, as the metrics API (metrics.k8s.io) of the cluster tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError, ExitCode
from pybernetes.cli.printers.tabwriter import align
from pybernetes.machinery import quantity

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.resources import Resource
    from pybernetes.cli.session import Session

_MI = 1024 * 1024
_YOUNG = 120  # seconds in which a Pod may have no metrics yet
_UNKNOWN = "<unknown>"

Usage = dict[str, str]


def _metrics(session: Session, flags: Flags, plural: str) -> Resource:
    if flags.text("sort-by") not in ("", "cpu", "memory"):
        raise CLIError("--sort-by accepts only cpu or memory")
    for fresh in (False, True):
        if fresh:
            session.resources.refresh()
        for resource in session.resources.all():
            if resource.group == "metrics.k8s.io" and resource.plural == plural:
                return resource
    raise CLIError("Metrics API not available")


def _name(flags: Flags, arguments: list[str], kind: str) -> str:
    if len(arguments) > 1:
        raise CLIError(f"{kind} [NAME | -l label]\nSee 'kubectl top {kind} -h' for help and examples")
    if arguments and flags.text("selector"):
        raise CLIError("only one of NAME or selector can be provided")
    return arguments[0] if arguments else ""


def _rank(flags: Flags, usage: Usage) -> int:
    """For sorting: the most used first, when that is asked for."""
    by = flags.text("sort-by")
    return -quantity.milli(usage.get(by) or 0) if by else 0


def _cells(usage: Usage, flags: Flags) -> list[str]:
    cells = [f"{quantity.milli(usage.get('cpu') or 0)}m", f"{quantity.value(usage.get('memory') or 0) // _MI}Mi"]
    if flags.on("show-swap"):
        cells.append(f"{quantity.value(usage.get('swap') or 0) // _MI}Mi")
    return cells


def _print(session: Session, rows: list[list[str]]) -> None:
    session.out.write(align("".join("".join(f"{cell}\t" for cell in row) + "\n" for row in rows), minimum=6, padding=3))


def _nodes(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    name = _name(flags, arguments, "node")
    resource = _metrics(session, flags, "nodes")
    plain = session.resources.find("nodes")
    selector = flags.text("selector")
    if name:
        measured = [session.get(resource, "", name)]
        nodes = [session.get(plain, "", name)]
    else:
        measured = session.list(resource, "", selector=selector)
        nodes = session.list(plain, "", selector=selector)
    if not measured:
        raise CLIError("metrics not available yet")
    part = "capacity" if flags.on("show-capacity") else "allocatable"
    usage = {m["metadata"]["name"]: m.get("usage") or {} for m in measured}
    header = ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    swap = ["SWAP(bytes)", "SWAP(%)"] if flags.on("show-swap") else []
    rows = [] if flags.on("no-headers") else [header + swap]
    nodes.sort(key=lambda n: (n["metadata"]["name"] not in usage, n["metadata"]["name"]))
    nodes.sort(key=lambda n: _rank(flags, usage.get(n["metadata"]["name"]) or {}))
    for node in nodes:
        found = usage.get(node["metadata"]["name"])
        rows.append([node["metadata"]["name"], *_node(node, found, part, bool(swap))])
    _print(session, rows)
    return None


def _node(node: dict[str, Any], usage: Usage | None, part: str, swap: bool) -> list[str]:
    if usage is None:
        return [_UNKNOWN] * (6 if swap else 4)
    have = (node.get("status") or {}).get(part) or {}
    cpu, memory = quantity.milli(usage.get("cpu") or 0), quantity.value(usage.get("memory") or 0)
    all_cpu, all_memory = quantity.milli(have.get("cpu") or 0), quantity.value(have.get("memory") or 0)
    cells = [f"{cpu}m", f"{100 * cpu // all_cpu}%" if all_cpu else _UNKNOWN]
    cells += [f"{memory // _MI}Mi", f"{100 * memory // all_memory}%" if all_memory else _UNKNOWN]
    if swap:
        capacity = ((node["status"].get("nodeInfo") or {}).get("swap") or {}).get("capacity")
        used = quantity.value(usage["swap"]) if "swap" in usage else None
        cells.append(_UNKNOWN if used is None else f"{used // _MI}Mi")
        cells.append(_UNKNOWN if used is None or not capacity else f"{100 * used // int(capacity)}%")
    return cells


def _pods(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    name = _name(flags, arguments, "pod")
    resource = _metrics(session, flags, "pods")
    namespace = "" if flags.on("all-namespaces") else session.namespace
    if name:
        found = [session.get(resource, session.namespace, name)]
    else:
        found = session.list(resource, namespace, selector=flags.text("selector"), fields=flags.text("field-selector"))
    if not found:
        _explain_nothing(session, flags, namespace)
        session.warn("No resources found" if not namespace else f"No resources found in {namespace} namespace.")
        return None
    found.sort(key=lambda p: (p["metadata"].get("namespace", ""), p["metadata"]["name"]))
    found.sort(key=lambda p: _rank(flags, _sum([c.get("usage") or {} for c in p.get("containers") or ()])))
    each = flags.on("containers")
    lead = ["NAMESPACE"] if flags.on("all-namespaces") else []
    lead += ["POD", "NAME"] if each else ["NAME"]
    swap = ["SWAP(bytes)"] if flags.on("show-swap") else []
    rows = [] if flags.on("no-headers") else [[*lead, "CPU(cores)", "MEMORY(bytes)", *swap]]
    total: list[Usage] = []
    for pod in found:
        metadata = pod["metadata"]
        first = [metadata.get("namespace", "")] if flags.on("all-namespaces") else []
        containers = sorted(pod.get("containers") or (), key=lambda c: str(c["name"]))
        usages = [c.get("usage") or {} for c in containers]
        total += usages
        if each:
            rows += [
                [*first, metadata["name"], c["name"], *_cells(u, flags)]
                for c, u in zip(containers, usages, strict=True)
            ]
        else:
            rows.append([*first, metadata["name"], *_cells(_sum(usages), flags)])
    if flags.on("sum"):
        rows.append([""] * len(lead) + ["________"] * (2 + len(swap)))
        rows.append([""] * len(lead) + _cells(_sum(total), flags))
    _print(session, rows)
    return None


def _sum(usages: list[Usage]) -> Usage:
    found: Usage = {}
    for usage in usages:
        for name, amount in usage.items():
            found[name] = quantity.add(found[name], amount) if name in found else amount
    return found


def _explain_nothing(session: Session, flags: Flags, namespace: str) -> None:
    """Pods without metrics are an error; no Pods are none."""
    from pybernetes.aio import clock
    from pybernetes.cli.session import wall_clock

    pods = session.list(
        session.resources.find("pods"),
        namespace,
        selector=flags.text("selector"),
        fields=flags.text("field-selector"),
    )
    for pod in pods:
        age = wall_clock() - clock.parse_rfc3339(pod["metadata"]["creationTimestamp"])
        if age > _YOUNG:
            metadata = pod["metadata"]
            raise CLIError(f"Metrics not available for pod {metadata['namespace']}/{metadata['name']}, age: {age}s")
    if pods:
        session.warn("error: metrics not available yet")
        raise ExitCode(1)


_COMMON = "no-headers? l:selector= show-swap? sort-by= use-protocol-buffers?true"
_NODE = Command(
    "Display resource (CPU/memory) usage of nodes.",
    usage="kubectl top node [NAME | -l label]",
    flags=f"{_COMMON} show-capacity?",
    run=_nodes,
)
_POD = Command(
    "Display resource (CPU/memory) usage of pods.",
    usage="kubectl top pod [NAME | -l label]",
    flags=f"{_COMMON} A:all-namespaces? containers? field-selector= sum?",
    run=_pods,
)

COMMAND = Command(
    "Display resource (CPU/memory) usage.",
    usage="kubectl top",
    subcommands={
        "node": _NODE,
        "pod": _POD,
        **dict.fromkeys(("nodes", "no"), _NODE),
        **dict.fromkeys(("pods", "po"), _POD),
    },
)
