"""Columns aligned by elastic tabstops, as Go's text/tabwriter does: a cell ends in a tab, and a column is as wide
as the
widest cell of the neighbouring lines that have it."""

from __future__ import annotations

import unicodedata


def width(text: str) -> int:
    """Columns that a text takes on a terminal, counted as Go does: one per character."""
    return len(text) if text.isascii() else sum(0 if unicodedata.combining(c) else 1 for c in text)


def align(text: str, *, minimum: int = 0, padding: int = 2) -> str:
    """The text with its tabs replaced by spaces."""
    lines = [line.split("\t") for line in text.split("\n")]
    widths: list[list[int]] = [[] for _ in lines]
    _widths(lines, widths, 0, len(lines), 0, minimum, padding)
    out = []
    for cells, sizes in zip(lines, widths, strict=True):
        row = []
        for index, cell in enumerate(cells[:-1]):
            row.append(cell + " " * (sizes[index] - width(cell)))
        row.append(cells[-1])
        out.append("".join(row))
    return "\n".join(out)


def _widths(
    lines: list[list[str]], widths: list[list[int]], start: int, end: int, column: int, minimum: int, padding: int
) -> None:
    """Fill in the widths of one column and those right of it, block by block."""
    index = start
    while index < end:
        if len(lines[index]) - 1 <= column:
            index += 1
            continue
        block = index
        size = minimum
        while index < end and len(lines[index]) - 1 > column:
            cell = lines[index][column]
            size = max(size, width(cell) + padding)
            index += 1
        for row in range(block, index):
            widths[row].append(size)
        _widths(lines, widths, block, index, column + 1, minimum, padding)


def table(rows: list[list[str]]) -> str:
    """Rows as `kubectl get` aligns them: three spaces between, nothing after the last cell. Ends with a newline."""
    if not rows:
        return ""
    columns = len(rows[0])
    sizes = [max(6, *(width(row[i]) + 3 for row in rows)) for i in range(columns - 1)]
    out = []
    for row in rows:
        cells = [cell + " " * (sizes[i] - width(cell)) for i, cell in enumerate(row[:-1])]
        out.append("".join(cells) + row[-1] + "\n")
    return "".join(out)
