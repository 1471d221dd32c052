"""`kubectl wait`: until a condition holds, a field has a value, or objects exist or are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import PRINT, Command
from pybernetes.cli.errors import APIError, CLIError, ExitCode, lines
from pybernetes.cli.finder import Found, Target
from pybernetes.cli.session import pause, seconds
from pybernetes.cli.watching import Deadline, watch_one
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_WEEK = 7 * 24 * 3600.0


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    wanted = flags.text("for")
    limit = seconds(flags.text("timeout"))
    deadline = Deadline(limit if limit > 0 else _WEEK if limit < 0 else 0.001)
    writer = Writer(session, flags, "kubectl")
    targets = finder.targets(session, flags, arguments)
    if not targets:
        raise CLIError("You must provide one or more resources by argument or filename")
    if wanted.lower() == "delete":
        return _gone(session, flags, writer, targets, limit, deadline)
    if wanted.lower() == "create":
        for t in _created(session, flags, targets, deadline):
            writer.report({}, t.shown, "condition met")
        return None
    test = _test(wanted)
    if not any(t.name for t in targets) and not (
        flags.text("selector") or flags.on("all") or flags.text("field-selector")
    ):
        raise CLIError("resource(s) were provided, but no name was specified")
    found = finder.fetch(session, flags, targets)
    if not found:
        raise CLIError("no matching resources found")
    errors = []
    for f in found:
        try:
            value = _until(session, f, test, deadline)
            writer.report(value, f.shown, "condition met")
        except CLIError as error:
            errors.append(lines(error))
    if len(errors) > 1:
        errors = [line.removeprefix("error: ") for line in errors]
    for line in errors:
        session.warn(line)
    if errors:
        raise ExitCode(1)
    return None


def _until(session: Session, f: Found, test: Callable[[dict[str, Any]], bool], deadline: Deadline) -> dict[str, Any]:
    value = f.object
    while True:
        if test(value):
            return value
        for kind, changed in watch_one(session, f, value["metadata"]["resourceVersion"], deadline):
            if kind == "DELETED":
                break
            value = changed
            if test(value):
                return value
        if deadline.passed:
            raise CLIError(f"timed out waiting for the condition on {f.resource.plural}/{f.name}")
        try:
            value = session.get(f.resource, f.namespace, f.name)
        except APIError as error:
            if error.reason != "NotFound":
                raise
            raise CLIError(lines(error), plain=True) from None
        pause(0.05)


def _gone(
    session: Session, flags: Flags, writer: Writer, targets: list[Target], limit: float, deadline: Deadline
) -> int | None:
    from pybernetes.cli.deletion import wait_gone

    found = finder.fetch(session, flags, targets, ignore_not_found=True)
    errors = []
    for f in found:
        left = deadline.left or 0.001
        if wait_gone(session, f, f.object["metadata"].get("uid", ""), left):
            writer.report(f.object, f.shown, "condition met")
        else:
            errors.append(f"error: timed out waiting for the condition on {f.resource.plural}/{f.name}")
    for line in errors:
        session.warn(line)
    if errors:
        raise ExitCode(1)
    return None


def _created(session: Session, flags: Flags, targets: list[Target], deadline: Deadline) -> list[Found]:
    while True:
        try:
            found = finder.fetch(session, flags, targets)
            if found:
                return found
        except APIError as error:
            if error.reason != "NotFound":
                raise
        if deadline.passed:
            raise CLIError("timed out waiting for the condition")
        pause(0.2)


def _test(wanted: str) -> Callable[[dict[str, Any]], bool]:
    word, _, rest = wanted.partition("=")
    if word == "condition":
        name, _, value = rest.partition("=")
        value = value or "true"

        def condition(o: dict[str, Any]) -> bool:
            for c in (o.get("status") or {}).get("conditions") or ():
                if c.get("type", "").lower() == name.lower():
                    observed = c.get("observedGeneration")
                    if observed is None:
                        observed = (o.get("status") or {}).get("observedGeneration")
                    if observed is not None and observed < (o["metadata"].get("generation") or 0):
                        return False
                    return bool(str(c.get("status", "")).lower() == value.lower())
            return False

        return condition
    if word == "jsonpath":
        return _jsonpath(rest)
    raise CLIError(f'unrecognized condition: "{wanted}"')


def _jsonpath(text: str) -> Callable[[dict[str, Any]], bool]:
    from pybernetes.cli.printers import jsonpath

    quote = text[:1] if text[:1] in "'\"" else ""
    if quote:
        text = text[1:].replace(quote, "", 1)
    end = text.rfind("}")
    expression, rest = text[: end + 1], text[end + 1 :]
    if end < 0:
        expression, _, value = text.partition("=")
        rest = f"={value}" if "=" in text else ""
    if rest and not rest.startswith("="):
        raise CLIError(
            "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or "
            "--for=jsonpath='{.status.readyReplicas}'"
        )
    wanted: str | None = rest[1:].strip("'\"") if rest else None
    path = jsonpath.compile(jsonpath.relaxed(expression))

    def test(o: dict[str, Any]) -> bool:
        try:
            found = path.find(o, strict=True)
        except jsonpath.NotFound:
            return False
        if wanted is None:
            return bool(found)
        if len(found) != 1:
            if not found:
                return False
            raise CLIError("given jsonpath expression matches more than one value")
        if isinstance(found[0], dict | list):
            raise CLIError("jsonpath leads to a nested object or list")
        return jsonpath.text_of(found[0]) == wanted

    return test


COMMAND = Command(
    "Wait for a specific condition on one or many resources.",
    usage="kubectl wait ([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) "
    "[--for=create|--for=delete|--for condition=available|--for=jsonpath='{}'[=value]]",
    flags=f"f:filename* k:kustomize= R:recursive?true {PRINT} A:all-namespaces? all? "
    " field-selector= for= local? l:selector= timeout=30s",
    run=run,
    examples="kubectl wait --for=condition=Ready pod/busybox1\nkubectl wait --for=delete pod/busybox1 --timeout=60s\n"
    "kubectl wait --for=jsonpath='{.status.phase}'=Running pod/busybox1",
)
