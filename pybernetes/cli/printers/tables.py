"""Server-side tables as `kubectl get` shows them: columns and cells come from the server, layout from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.printers.tabwriter import table

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags

ACCEPT = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


class TablePrinter:
    """Prints the tables of one kind; remembers widths and headers over the events of a watch."""

    def __init__(self, flags: Flags, *, kind: str = "", with_namespace: bool = False, wide: bool = False) -> None:
        self._flags = flags
        self._kind = kind  # what to put before names, or ""
        self._with_namespace = with_namespace
        self._wide = wide
        self._headers = not flags.on("no-headers")
        self._columns: list[dict[str, Any]] = []

    def rows(self, got: dict[str, Any], *, event: str = "") -> list[list[str]]:
        """The lines to print, header first when it is due."""
        if got.get("columnDefinitions"):
            self._columns = got["columnDefinitions"]
        columns = [(index, c) for index, c in enumerate(self._columns) if self._wide or not c.get("priority")]
        labels = [label for given in self._flags.many("label-columns") for label in given.split(",")]
        out = []
        if self._headers:
            head = [c["name"].upper() for _, c in columns]
            if event:
                head.insert(0, "EVENT")
            if self._with_namespace:
                head.insert(1 if event else 0, "NAMESPACE")
            head += [label.rsplit("/", 1)[-1].upper() for label in labels]
            if self._flags.on("show-labels"):
                head.append("LABELS")
            out.append(head)
            self._headers = False
        for row in got.get("rows") or ():
            metadata = (row.get("object") or {}).get("metadata") or {}
            cells = [_cell(row["cells"][index]) if index < len(row["cells"]) else "" for index, _ in columns]
            if self._kind:
                for position, (_, c) in enumerate(columns):
                    if c.get("format") == "name" and c.get("type") == "string":
                        cells[position] = f"{self._kind}/{cells[position]}"
            if self._with_namespace:
                cells.insert(0, metadata.get("namespace", ""))
            if event:
                cells.insert(0, event)
            found = metadata.get("labels") or {}
            cells += [found.get(label) or "<none>" if label not in found else found[label] for label in labels]
            if self._flags.on("show-labels"):
                cells.append(",".join(f"{k}={v}" for k, v in sorted(found.items())) or "<none>")
            out.append(cells)
        return out


class Aligner:
    """Aligns rows that come in several batches; a column never gets narrower, as in upstream's watch output."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def text(self, rows: list[list[str]]) -> str:
        """The aligned lines."""
        from pybernetes.cli.printers.tabwriter import width

        if not rows:
            return ""
        sizes = [max(6, *(width(row[i]) + 3 for row in rows)) for i in range(len(rows[0]) - 1)]
        if len(self._widths) == len(sizes):
            sizes = [max(a, b) for a, b in zip(sizes, self._widths, strict=True)]
        self._widths = sizes
        out = []
        for row in rows:
            out.append("".join(c + " " * (sizes[i] - width(c)) for i, c in enumerate(row[:-1])) + row[-1] + "\n")
        return "".join(out)


def _cell(value: Any) -> str:
    if value is None:
        return "<none>"
    if value is True:
        return "true"
    if value is False:
        return "false"
    text = str(value)
    for index, char in enumerate(text):
        if char in "\f\n\r":
            text = text[:index] + "..."
            break
    return text if text.isprintable() else "".join(c if c.isprintable() else f"^{chr(ord(c) ^ 64)}" for c in text)


__all__ = ["ACCEPT", "Aligner", "TablePrinter", "table"]
