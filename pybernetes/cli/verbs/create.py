"""`kubectl create`: from files, or small objects from flags (one function per kind in `generators`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, PRINT, Command, Run
from pybernetes.cli.errors import APIError, CLIError, ExitCode, lines
from pybernetes.cli.generators import GENERATORS, Generator, Missing
from pybernetes.cli.writing import Writer, with_last_applied

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if flags.text("raw"):
        from pybernetes.cli import files

        session.out.write(session.open("POST", flags.text("raw"), files.raw_body(flags).encode()).read().decode())
        return None
    if arguments:
        raise CLIError(f"Unexpected args: [{' '.join(arguments)}]\nSee 'kubectl create -h' for help and examples")
    if not flags.many("filename") and not flags.text("kustomize"):
        raise CLIError("must specify one of -f and -k")
    if flags.on("edit"):
        from pybernetes.cli.verbs import edit

        return edit.before_create(session, flags)
    writer = Writer(session, flags, "kubectl-create")
    errors = []
    from pybernetes.cli import files

    for manifest in files.read(flags):
        try:
            target = finder.of_manifest(session, manifest.object, manifest.source)
            value = with_last_applied(manifest.object) if flags.on("save-config") else manifest.object
            if not files.selected(flags, manifest.object):
                continue
            made = writer.create(target.resource, target.namespace, value)
        except APIError as error:
            errors.append(lines(error.within(f'error when creating "{manifest.source}"')))
            continue
        except finder.NoMatch as error:
            errors.append(lines(error))
            continue
        writer.report(
            made,
            f"{target.resource.shown}/{made['metadata'].get('name') or made['metadata'].get('generateName', '')}",
            "created",
        )
    for line in errors:
        session.warn(line)
    if errors:
        raise ExitCode(1)
    return None


def _generating(generator: Generator, path: str) -> Run:
    def generate(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        names, rest = arguments, []
        if flags.dash >= 0:
            names, rest = arguments[: flags.dash], arguments[flags.dash :]
        missing = [name for name in generator.required if not flags.given(name)]
        if missing:
            raise CLIError("required flag(s) " + ", ".join(f'"{name}"' for name in missing) + " not set")
        if len(names) != 1:
            raise CLIError(
                f"exactly one NAME is required, got {len(names)}\nSee 'kubectl create {path} -h' for help and examples"
            )
        writer = Writer(session, flags, "kubectl-create")
        try:
            value = generator.make(session, flags, names[0], rest)
        except Missing as error:
            raise CLIError(f"{error}\nSee 'kubectl create {path} -h' for help and examples") from None
        if value is None:
            return None
        resource = session.resources.of_kind(value["apiVersion"], value["kind"])
        if resource is None:
            raise CLIError(f'no matches for kind "{value["kind"]}" in version "{value["apiVersion"]}"')
        namespace = ""
        if resource.namespaced:
            namespace = session.namespace
            if session.flags.text("namespace") or writer.dry_run != "client":
                value["metadata"].setdefault("namespace", namespace)
        if flags.on("save-config"):
            value = with_last_applied(value)
        try:
            made = writer.create(resource, namespace, value)
        except APIError as error:
            if generator.said:
                colon = "" if generator.said == "secret" else ":"  # as it is there
                raise CLIError(f"failed to create {generator.said}{colon} {error}") from None
            raise
        writer.report(made, f"{resource.shown}/{value['metadata']['name']}", "created")
        return None

    return generate


_WRITE = f"{PRINT} dry-run~unchanged:none field-manager= save-config? validate~strict:strict"


def _subcommands() -> dict[str, Command]:
    found: dict[str, Command] = {}
    for path, generator in GENERATORS.items():
        word, _, second = path.partition(" ")
        flags = f"{_WRITE} {generator.flags}" if generator.prints else generator.flags
        command = Command(
            generator.summary,
            usage=f"kubectl create {path} {generator.usage}",
            flags=flags,
            run=_generating(generator, path),
        )
        if not second:
            found[word] = command
        else:
            if word not in found:
                found[word] = Command(
                    f"Create a {word} using a specified subcommand.", usage=f"kubectl create {word} SUBCOMMAND"
                )
            found[word].subcommands[second] = command
    for short, word in {
        "ns": "namespace",
        "cm": "configmap",
        "deploy": "deployment",
        "svc": "service",
        "sa": "serviceaccount",
        "ing": "ingress",
        "cj": "cronjob",
        "pc": "priorityclass",
        "resourcequota": "quota",
        "poddisruptionbudget": "pdb",
        "dep": "deployment",
    }.items():
        found[short] = found[word]
    return found


COMMAND = Command(
    "Create a resource from a file or from stdin.",
    usage="kubectl create -f FILENAME",
    flags=f"{FILES} {_WRITE} edit? raw= l:selector= windows-line-endings?",
    run=run,
    subcommands=_subcommands(),
    examples="kubectl create -f ./pod.json\ncat pod.json | kubectl create -f -\nkubectl create deployment web "
    "--image=nginx",
)
