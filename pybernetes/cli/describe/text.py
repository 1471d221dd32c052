"""The pieces descriptions are made of: lines with levels, labels, times and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock
from pybernetes.cli.printers.tabwriter import align
from pybernetes.machinery.table import duration

if TYPE_CHECKING:
    from pybernetes.cli.session import Session


class Lines:
    """Text under construction: two spaces a level, tabs between columns."""

    def __init__(self) -> None:
        self._out: list[str] = []

    def add(self, level: int, text: str) -> None:
        """A line; `text` may hold tabs."""
        self._out.append("  " * level + text)

    def raw(self, text: str) -> None:
        """Text as it is, lines and all."""
        self._out.extend(text.split("\n"))

    def render(self) -> str:
        """The aligned text."""
        return align("\n".join(self._out) + "\n", padding=2) if self._out else ""

    def unaligned(self) -> str:
        """The text with its tabs, for a caller that aligns."""
        return "\n".join(self._out) + "\n" if self._out else ""


def moment(text: str | None) -> str:
    """A time as Go's RFC1123Z: `Mon, 23 Nov 2026 23:11:04 +0000`."""
    if not text:
        return "<unset>"
    import datetime

    value = datetime.datetime.fromtimestamp(int(clock.parse_rfc3339(text)), datetime.UTC)
    return value.strftime("%a, %d %b %Y %H:%M:%S +0000")


def age(text: str | None) -> str:
    """`5m`, `<unknown>`."""
    return duration(clock.timestamp() - clock.parse_rfc3339(text)) if text else "<unknown>"


def pairs(
    lines: Lines, level: int, title: str, values: dict[str, str] | None, skip: frozenset[str] = frozenset()
) -> None:
    """Labels and the like: one per line, the title before the first."""
    shown = [(k, v) for k, v in sorted((values or {}).items()) if k not in skip]
    if not shown:
        lines.add(level, f"{title}:\t<none>")
        return
    for index, (key, value) in enumerate(shown):
        if index:
            lines.add(0, f"\t{key}={value}")
        else:
            lines.add(level, f"{title}:\t{key}={value}")


_SKIPPED = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})


def annotation_lines(lines: Lines, values: dict[str, str] | None, level: int = 0) -> None:
    """Annotations: long values on lines of their own, shortened."""
    shown = [(k, v) for k, v in sorted((values or {}).items()) if k not in _SKIPPED]
    if not shown:
        lines.add(level, "Annotations:\t<none>")
        return
    for index, (key, value) in enumerate(shown):
        head = "Annotations:\t" if not index else "\t"
        value = value.removesuffix("\n")
        if len(value) + len(key) + 2 < 140 and "\n" not in value:
            lines.add(level, f"{head}{key}: {value}")
            continue
        lines.add(level, f"{head}{key}:")
        for line in value.split("\n"):
            lines.add(level, f"\t  {line[:138] + '...' if len(line) > 138 else line}")


def heading(lines: Lines, metadata: dict[str, Any], *, namespace: bool = True) -> None:
    """How most descriptions begin."""
    lines.add(0, f"Name:\t{metadata['name']}")
    if namespace:
        lines.add(0, f"Namespace:\t{metadata['namespace']}")
    labels_and_annotations(lines, metadata)


def labels_and_annotations(lines: Lines, metadata: dict[str, Any]) -> None:
    """The two lists that every object may have."""
    pairs(lines, 0, "Labels", metadata.get("labels"))
    annotation_lines(lines, metadata.get("annotations"))


def controller(metadata: dict[str, Any]) -> str:
    """`ReplicaSet/x` of the controlling owner, or nothing."""
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner['kind']}/{owner['name']}"
    return ""


def events_of(session: Session, value: dict[str, Any]) -> list[dict[str, Any]]:
    """The events about an object, oldest first."""
    metadata = value["metadata"]
    fields = [f"involvedObject.name={metadata['name']}", f"involvedObject.kind={value['kind']}"]
    if metadata.get("namespace"):
        fields.append(f"involvedObject.namespace={metadata['namespace']}")
    if metadata.get("uid"):
        fields.append(f"involvedObject.uid={metadata['uid']}")
    found = session.list(session.resources.find("events"), metadata.get("namespace", ""), fields=",".join(fields))
    return sorted(
        found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or e["metadata"]["creationTimestamp"]
    )


def events(session: Session, lines: Lines, value: dict[str, Any], level: int = 0) -> None:
    """The Events section."""
    if not session.show_events:
        return
    found = events_of(session, value)
    if not found:
        lines.add(level, "Events:\t<none>")
        return
    lines.add(level, "Events:")
    lines.add(level + 1, "Type\tReason\tAge\tFrom\tMessage")
    lines.add(level + 1, "----\t------\t----\t----\t-------")
    for e in found:
        first = e.get("firstTimestamp") or e.get("eventTime")
        last = e.get("lastTimestamp") or e.get("eventTime")
        if e.get("series"):
            shown = f"{age(e['series'].get('lastObservedTime'))} (x{e['series']['count']} over {age(first)})"
        elif (e.get("count") or 0) > 1:
            shown = f"{age(last)} (x{e['count']} over {age(first)})"
        else:
            shown = age(first)
        source = (
            (e.get("source") or {}).get("component") or e.get("reportingComponent") or e.get("reportingController", "")
        )
        lines.add(
            level + 1, f"{e.get('type', '')}\t{e.get('reason', '')}\t{shown}\t{source}\t{e.get('message', '').strip()}"
        )


def selector(value: dict[str, Any] | None) -> str:
    """A LabelSelector in a line."""
    from pybernetes.cli.verbs.rollout import selector_text

    if value is None:
        return "<none>"
    return selector_text(value) or "<none>"
