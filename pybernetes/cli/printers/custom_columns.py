"""`-o custom-columns=NAME:.metadata.name,...`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError
from pybernetes.cli.printers import jsonpath
from pybernetes.cli.printers.tabwriter import table

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags


def printer(flags: Flags, output: str) -> Callable[[list[dict[str, Any]]], str]:
    """Objects -> their table. Raises CLIError for a specification that does not parse."""
    word, _, spec = output.partition("=")
    if word == "custom-columns-file":
        from pybernetes.cli.printers.objects import read_template

        lines = [line for line in read_template(spec).splitlines() if line.strip()]
        if len(lines) < 2:
            raise CLIError(f"expected at least 2 lines in {spec}")
        names, paths = lines[0].split(), lines[1].split()
        if len(names) != len(paths):
            raise CLIError(f"number of headers ({len(names)}) and field specifications ({len(paths)}) don't match")
    else:
        if not spec:
            raise CLIError("custom-columns format specified but no custom columns given")
        names, paths = [], []
        for column in spec.split(","):
            name, colon, path = column.partition(":")
            if not colon:
                raise CLIError(f"unexpected custom-columns spec: {column}, expected <header>:<json-path-expr>")
            names.append(name)
            paths.append(path)
    compiled = [jsonpath.compile(jsonpath.relaxed(path)) for path in paths]
    headers = [not flags.on("no-headers")]

    def show(objects: list[dict[str, Any]]) -> str:
        rows = [names] if headers[0] else []
        headers[0] = False
        if flags.text("sort-by"):
            from pybernetes.cli.printers import sorting

            objects = sorting.by_path(objects, flags.text("sort-by"))
        for value in objects:
            rows.append([",".join(_text(v) for v in path.find(value)) or "<none>" for path in compiled])
        return table(rows)

    return show


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_text(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_text(v) for v in value) + "]"
    return "<nil>" if value is None else jsonpath.text_of(value)
