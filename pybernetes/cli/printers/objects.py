"""Objects as YAML, JSON, names and templates: one function per output format, chosen once per command."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags

#: Object (or List) -> text, with its final newline.
Printer = Callable[[dict[str, Any]], str]

FORMATS = (
    "go-template",
    "go-template-file",
    "json",
    "jsonpath",
    "jsonpath-as-json",
    "jsonpath-file",
    "kyaml",
    "name",
    "template",
    "templatefile",
    "yaml",
)


def to_json(value: Any) -> str:
    """JSON as Go writes it: sorted keys, four spaces, and `<`, `>`, `&` escaped."""
    text = json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False)
    return _escaped(text)


def compact_json(value: Any) -> str:
    """JSON without spaces, as Go writes it."""
    return _escaped(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def _escaped(text: str) -> str:
    for char in "<>&\u2028\u2029":
        if char in text:
            text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def without_managed_fields(value: dict[str, Any]) -> dict[str, Any]:
    """The object, and those of a List, without `metadata.managedFields`."""
    changed = dict(value)
    metadata = changed.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        changed["metadata"] = {k: v for k, v in metadata.items() if k != "managedFields"}
    if isinstance(changed.get("items"), list):
        changed["items"] = [without_managed_fields(i) if isinstance(i, dict) else i for i in changed["items"]]
    return changed


def name_of(value: dict[str, Any]) -> str:
    """`pod/x`, `deployment.apps/x`."""
    group, _, _ = (value.get("apiVersion") or "").rpartition("/")
    kind = (value.get("kind") or "").lower()
    name = (value.get("metadata") or {}).get("name", "")
    return f"{kind}.{group}/{name}" if group else f"{kind}/{name}"


def printer(flags: Flags, output: str | None = None, *, extra: tuple[str, ...] = ()) -> Printer:
    """The printer of an output format other than tables. Raises CLIError."""
    output = flags.text("output") if output is None else output
    keep = flags.on("show-managed-fields")
    strict = not flags.on("allow-missing-template-keys")
    if not output and flags.text("template"):
        output = "go-template"
    word, _, argument = output.partition("=")

    def cleaned(function: Callable[[dict[str, Any]], str]) -> Printer:
        return function if keep else lambda value: function(without_managed_fields(value))

    if word == "json":
        return cleaned(lambda value: to_json(value) + "\n")
    if word == "yaml":
        return cleaned(Yaml())
    if word == "kyaml":
        from pybernetes.cli.printers import kyaml

        return cleaned(kyaml.document)
    if word == "name":
        return _names
    if word in ("jsonpath", "jsonpath-file", "jsonpath-as-json"):
        return _jsonpath(word, argument or flags.text("template"), strict, keep)
    if word in ("go-template", "go-template-file", "template", "templatefile"):
        return _gotemplate(word, argument or flags.text("template"), strict)
    allowed = ",".join(sorted({*FORMATS, *extra}))
    raise CLIError(
        f'unable to match a printer suitable for the output format "{output}", allowed formats are: {allowed}'
    )


def read_template(path: str) -> str:
    """The text of a template file. Raises CLIError."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise CLIError(f"error reading template {path}, {error.strerror}") from None


class Yaml:
    """YAML documents: the second and all later ones begin with `---`."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, value: dict[str, Any]) -> str:
        from pybernetes.machinery import yaml

        self._count += 1
        return ("---\n" if self._count > 1 else "") + yaml.dump(value)


def _names(value: dict[str, Any]) -> str:
    if isinstance(value.get("items"), list):
        return "".join(name_of(item) + "\n" for item in value["items"])
    return name_of(value) + "\n"


def _jsonpath(word: str, argument: str, strict: bool, keep: bool) -> Printer:
    from pybernetes.cli.printers import jsonpath

    if not argument:
        raise CLIError("template format specified but no template given")
    text = read_template(argument) if word == "jsonpath-file" else argument
    path = jsonpath.compile(text)

    def render(value: dict[str, Any]) -> str:
        if not keep:
            value = without_managed_fields(value)
        if word == "jsonpath-as-json":
            return to_json(path.find(value, strict=strict)) + "\n"
        return path.render(value, strict=strict)

    return render


_MORE = "Printing more information for debugging the template:"


def _gotemplate(word: str, argument: str, strict: bool) -> Printer:
    from pybernetes.cli.gotemplate import formatting, parsing, running
    from pybernetes.cli.gotemplate.errors import ExecError, ParseError

    if not argument:
        raise CLIError("template format specified but no template given")
    text = argument
    if word.endswith("file"):
        try:
            with open(argument, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise CLIError(
                f"error reading --template {argument}, open {argument}: {(error.strerror or '').lower()}"
            ) from None
    try:
        template = parsing.parse(text)
    except ParseError as error:
        raise CLIError(f"error parsing template {text}, {error}") from None

    def render(value: dict[str, Any]) -> str:
        try:
            return running.execute(template, value, strict=strict)
        except ExecError as error:
            parts = (("template was", text), ("raw data was", compact_json(value)))
            given = [*parts, ("object given to template engine was", formatting.text(value))]
            said = "".join(f"\t{title}:\n\t\t{content}\n" for title, content in given)
            print(f"{error.__notes__[0]}Error executing template: {error}. {_MORE}\n{said}")
            raise CLIError(f"error executing template {json.dumps(text, ensure_ascii=False)}: {error}") from None

    return render


def as_list(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The List that several objects are printed as."""
    return {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}
