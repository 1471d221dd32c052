"""What all writing verbs share: dry runs, `-o`, field managers, validation, and the last-applied annotation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.resources import Resource
    from pybernetes.cli.session import Session

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Writer:
    """One writing command: how to send, and how to report."""

    def __init__(self, session: Session, flags: Flags, manager: str) -> None:
        self.session = session
        self.flags = flags
        mode = flags.text("dry-run") if "dry-run" in flags.declared else "none"
        if mode not in ("none", "client", "server"):
            raise CLIError(f'Invalid dry-run value ({mode}). Must be "none", "server", or "client".')
        #: none, client or server.
        self.dry_run = mode
        given = "field-manager" in flags.declared and flags.text("field-manager")
        self.manager = given or manager
        self.output = flags.text("output") if "output" in flags.declared else ""
        self._print: Any = None
        if self.output and self.output != "name":
            from pybernetes.cli.printers import objects

            self._print = objects.printer(flags, self.output)

    @property
    def query(self) -> dict[str, str]:
        """Query parameters of a write."""
        query = {"fieldManager": self.manager}
        if self.dry_run == "server":
            query["dryRun"] = "All"
        if "validate" in self.flags.declared:
            query["fieldValidation"] = validation(self.flags)
        return query

    def report(self, value: dict[str, Any], shown: str, what: str) -> None:
        """`deployment.apps/x created`, or the object in the format of `-o`."""
        if self._print is not None:
            self.session.out.write(self._print(value))
        elif self.output == "name":
            self.session.say(shown)
        else:
            self.session.say(f"{shown} {what}{self.suffix}")

    @property
    def suffix(self) -> str:
        """` (dry run)`, ` (server dry run)` or nothing."""
        return {"client": " (dry run)", "server": " (server dry run)"}.get(self.dry_run, "")

    def create(self, resource: Resource, namespace: str, value: dict[str, Any]) -> dict[str, Any]:
        """POST; in a client's dry run the object itself."""
        if self.dry_run == "client":
            return value
        made = self.session.call("POST", resource.path(namespace), value, query=self.query)
        assert isinstance(made, dict)
        return made

    def patch(self, path: str, patch: Any, content: str) -> dict[str, Any]:
        """PATCH."""
        made = self.session.call("PATCH", path, patch, query=self.query, content=content)
        assert isinstance(made, dict)
        return made


def validation(flags: Flags) -> str:
    """The server's word for `--validate`."""
    word = flags.text("validate").lower()
    found = {"true": "Strict", "strict": "Strict", "warn": "Warn", "false": "Ignore", "ignore": "Ignore"}.get(word)
    if found is None:
        raise CLIError(f'invalid - validate option "{word}"; must be one of: strict (or true), warn, ignore (or false)')
    return found


def last_applied(value: dict[str, Any]) -> str:
    """The text of the annotation: the object as JSON, without the annotation."""
    from pybernetes.cli.printers.objects import compact_json

    metadata = dict(value.get("metadata") or {})
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    metadata["annotations"] = annotations
    return compact_json({**value, "metadata": metadata}) + "\n"


def with_last_applied(value: dict[str, Any]) -> dict[str, Any]:
    """The object with the annotation set."""
    metadata = dict(value.get("metadata") or {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), LAST_APPLIED: last_applied(value)}
    return {**value, "metadata": metadata}


def smart_patch(
    resource: Resource, before: dict[str, Any], after: dict[str, Any], last: dict[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
    """The patch from `before` to `after` and its content type: strategic for built-in kinds, else a merge patch.

    With `last`, the three-way patch of `apply`.
    """
    from pybernetes.cli.session import MERGE_PATCH, STRATEGIC_PATCH
    from pybernetes.machinery import patch_diff
    from pybernetes.machinery.schema import ANY

    schema, content = ANY, MERGE_PATCH
    if (found := _built_in(resource)) is not None:
        schema, content = found, STRATEGIC_PATCH
    if last is None:
        return patch_diff.diff(before, after, schema), content
    return patch_diff.three_way(last, after, before, schema), content


def three_way(resource: Resource, live: dict[str, Any], manifest: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The patch of client-side apply without its annotation, and its content type."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = json.loads(text) if text else {}
    except ValueError:
        last = {}
    return smart_patch(resource, live, manifest, last)


def _built_in(resource: Resource) -> Any:
    from pybernetes.api import kinds
    from pybernetes.machinery.schema import of_struct

    kind = kinds.by_kind(resource.api_version, resource.kind)
    return of_struct(kind.type) if kind is not None else None


def parse_json(text: str) -> Any:
    """JSON or YAML given on the command line. Raises CLIError."""
    try:
        return json.loads(text)
    except ValueError:
        from pybernetes.machinery import yaml

        try:
            return yaml.load(text)
        except yaml.YAMLError as error:
            raise CLIError(f'unable to parse "{text}": {error}') from None
