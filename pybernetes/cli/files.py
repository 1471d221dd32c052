"""Manifests from files, directories and standard input, one object at a time with the place it came from."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags

_EXTENSIONS = (".json", ".yaml", ".yml")


@dataclass
class Manifest:
    """One object of a file. `source` is the file's name as given, `STDIN` for standard input."""

    object: dict[str, Any]
    source: str


def read(flags: Flags, *, validate: bool = True) -> list[Manifest]:
    """All objects of `-f` and `-k`, Lists taken apart. Raises CLIError in upstream's words."""
    if flags.text("kustomize"):
        if flags.many("filename"):
            raise CLIError("only one of -f or -k can be specified")
        from pybernetes.cli.kustomize.build import build

        return [Manifest(value, flags.text("kustomize")) for value in build(flags.text("kustomize"))]
    names = [name for given in flags.many("filename") for name in given.split(",")]
    found: list[Manifest] = []
    for name in names:
        for source, text in _texts(name, flags.on("recursive")):
            found += _objects(source, text, validate)
    if names and not found:
        raise CLIError("no objects passed")
    return found


def selected(flags: Flags, value: dict[str, Any]) -> bool:
    """Whether `--selector` wants an object of a file."""
    if not flags.text("selector"):
        return True
    from pybernetes.machinery import labels

    return labels.parse(flags.text("selector")).matches((value.get("metadata") or {}).get("labels") or {})


def _texts(name: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield "STDIN", sys.stdin.read()
        return
    if name.startswith(("http://", "https://")):
        yield name, _fetched(name)
        return
    if not os.path.exists(name):
        import glob

        matches = sorted(glob.glob(name))
        if not matches:
            raise CLIError(f'the path "{name}" does not exist')
        for match in matches:
            yield from _texts(match, recursive)
        return
    if os.path.isdir(name):
        for directory, folders, files in os.walk(name):
            folders.sort()
            if not recursive:
                folders.clear()
            for file in sorted(files):
                if file.endswith(_EXTENSIONS):
                    yield from _texts(os.path.join(directory, file), recursive)
        return
    try:
        with open(name, encoding="utf-8") as handle:
            yield name, handle.read()
    except OSError as error:
        raise CLIError(f"open {name}: {(error.strerror or '').lower()}") from None
    except UnicodeDecodeError:
        raise CLIError(f"error parsing {name}: error converting YAML to JSON: yaml: invalid UTF-8") from None


def _fetched(url: str) -> str:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return str(answer.read().decode("utf-8"))
    except urllib.error.HTTPError as error:
        error.close()
        status = f"{error.code} {error.reason}"
        raise CLIError(f'unable to read URL "{url}", server reported {status}, status code={error.code}') from None
    except OSError as error:
        raise CLIError(f'Get "{url}": {getattr(error, "reason", error)}') from None


def raw_body(flags: Flags) -> str:
    """What `--raw` sends: the one file that `-f` names, or standard input. Raises CLIError."""
    named = flags.many("filename")
    if len(named) != 1:
        raise CLIError("--raw can only use a single local file or stdin" if named else "must specify one of -f and -k")
    if named[0].startswith(("http://", "https://")):
        raise CLIError("--raw cannot read from a url")
    for flag in ("kustomize", "recursive", "selector", "output"):
        if flag in flags.declared and flags.given(flag):
            raise CLIError(f"--raw and --{flag} are mutually exclusive")
    return sys.stdin.read() if named[0] == "-" else next(iter(_texts(named[0], False)))[1]


def _objects(source: str, text: str, validate: bool) -> list[Manifest]:
    found: list[Manifest] = []
    for document in _documents(source, text):
        if not isinstance(document, dict):
            raise CLIError(
                f"error validating {_quoted(source)}: error validating data: invalid object to validate"
                "; if you choose to ignore these errors, turn validation off with --validate=false"
            )
        if isinstance(document.get("items"), list) and (document.get("kind") or "").endswith("List"):
            found += [Manifest(_checked(item, source), source) for item in document["items"]]
        else:
            found.append(Manifest(_checked(document, source), source))
    return found


def _documents(source: str, text: str) -> Iterator[Any]:
    if text.lstrip()[:1] == "{":
        decoder = json.JSONDecoder()
        index = 0
        try:
            while rest := text[index:].lstrip():
                index = len(text) - len(rest)
                value, index = decoder.raw_decode(text, index)
                yield value
            return
        except ValueError:
            if index and not rest.startswith("---"):
                raise CLIError(f"error parsing {source}: invalid JSON") from None
            text = text[index:] if index else text
    from pybernetes.machinery import yaml

    try:
        for part in re.split(r"\n---[^\n]*(?:\n|\Z)", text):  # lines in messages count from the document's start
            yield from yaml.load_all(part)
    except yaml.YAMLError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        raise CLIError(f"error parsing {source}: error converting YAML to JSON: {error}{hint}") from None


def _checked(value: Any, source: str) -> dict[str, Any]:
    missing = []
    if isinstance(value, dict):
        if not value.get("apiVersion"):
            missing.append("apiVersion not set")
        if not value.get("kind"):
            missing.append("kind not set")
    if missing or not isinstance(value, dict):
        text = missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]"
        raise CLIError(
            f"error validating {_quoted(source)}: error validating data: {text}; "
            "if you choose to ignore these errors, turn validation off with --validate=false"
        )
    return value


def _quoted(text: str) -> str:
    return f'"{text}"'
