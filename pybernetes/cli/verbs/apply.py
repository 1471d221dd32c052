"""`kubectl apply`: make the server have what the files say.

Client-side apply keeps what was applied last in an annotation, and sends the three-way difference of that, the file and
the live object; server-side apply leaves it to the server. When a file brings a CRD and its objects, the objects wait
for the CRD to be established instead of failing: upstream makes the user run it twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pybernetes.cli import applyset, files, finder
from pybernetes.cli.applyset import ApplySet
from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import APIError, CLIError, ExitCode, lines
from pybernetes.cli.finder import Target
from pybernetes.cli.pruning import Pruner
from pybernetes.cli.session import APPLY_PATCH, pause
from pybernetes.cli.writing import LAST_APPLIED, Writer, last_applied, three_way, with_last_applied

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_ATTEMPTS = 5


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if arguments:
        raise CLIError(f"Unexpected args: [{' '.join(arguments)}]\nSee 'kubectl apply -h' for help and examples")
    if flags.given("applyset") and not applyset.is_enabled():
        raise CLIError("unknown flag: --applyset\nSee 'kubectl apply --help' for usage.")
    if not flags.many("filename") and not flags.text("kustomize"):
        raise CLIError("must specify one of -f and -k")
    server_side = flags.on("server-side")
    writer = Writer(session, flags, "kubectl" if server_side else "kubectl-client-side-apply")
    together = ApplySet(session, flags, writer.dry_run) if flags.text("applyset") else None
    if flags.on("force-conflicts") and not server_side:
        raise CLIError("--force-conflicts only works with --server-side")
    if server_side and writer.dry_run == "client":
        raise CLIError("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)")
    pruner = _pruner(session, flags, together)
    manifests = files.read(flags)
    if together is not None:
        together.begin([manifest.object for manifest in manifests])
    objects: list[dict[str, Any]] = []
    errors: list[str] = []
    new_kinds = {_defines(m.object) for m in manifests if m.object.get("kind") == "CustomResourceDefinition"}
    act = _server_side if server_side else _client_side
    for manifest in _ordered(session, manifests, new_kinds):
        try:
            if not files.selected(flags, manifest.object):
                continue
            target, (value, what) = _patiently(session, manifest, new_kinds, partial(act, session, writer))
        except APIError as error:
            errors.append(lines(error))
            continue
        except finder.NoMatch as error:
            errors.append(lines(error))
            continue
        if pruner is not None:
            pruner.keep(target.resource, target.namespace, value["metadata"].get("uid") or "")
        if writer.output and writer.output != "name":
            objects.append(value)
        else:
            writer.report(
                value, target.shown if target.name else f"{target.resource.shown}/{value['metadata']['name']}", what
            )
    if objects:
        from pybernetes.cli.printers import objects as printers

        show = printers.printer(flags)
        session.out.write(show(objects[0] if len(objects) == 1 else {**printers.as_list(objects), "metadata": {}}))
    for line in errors:
        session.warn(line)
    if errors:
        raise ExitCode(1)
    if pruner is not None:
        _prune(session, writer, pruner)
    return None


def _pruner(session: Session, flags: Flags, together: ApplySet | None) -> Pruner | ApplySet | None:
    """What finds the objects to prune; None: nobody. Raises CLIError."""
    if flags.on("all") and flags.text("selector"):
        raise CLIError("cannot set --all and --selector at the same time")
    if together is not None:
        if not flags.on("prune"):
            raise CLIError("--applyset requires --prune")
        together.check()
    if not flags.on("prune"):
        return None
    if flags.on("force"):
        raise CLIError("--force cannot be used with --prune")
    if together is None:
        if not flags.on("all") and not flags.text("selector"):
            raise CLIError(
                "all resources selected for prune without explicitly passing --all. To prune all resources, pass the "
                "--all flag. If you did not mean to prune all resources, specify a label selector"
            )
        return Pruner(session, flags)
    for flag in ("all", "selector", "prune-allowlist"):
        if flags.given(flag):
            raise CLIError(f"--{flag} is incompatible with --applyset")
    return together


def _prune(session: Session, writer: Writer, pruner: Pruner | ApplySet) -> None:
    from pybernetes.cli.deletion import options

    how = options(writer.flags.text("cascade"), writer.flags.number("grace-period"), writer.dry_run == "server")
    for found in pruner.left():
        if writer.dry_run != "client":
            try:
                session.call("DELETE", found.path(), how)
            except APIError as error:
                if error.reason != "NotFound":
                    raise error.within("error pruning objects") from None
        if not writer.output or writer.output == "name":
            writer.report(found.object, found.shown, "pruned")
    if isinstance(pruner, ApplySet):
        pruner.end()


def _defines(crd: dict[str, Any]) -> tuple[str, str]:
    spec = crd.get("spec") or {}
    return spec.get("group", ""), (spec.get("names") or {}).get("kind", "")


def _key(manifest: files.Manifest) -> tuple[str, str]:
    return manifest.object["apiVersion"].rpartition("/")[0], manifest.object["kind"]


def _ordered(
    session: Session, manifests: list[files.Manifest], new_kinds: set[tuple[str, str]]
) -> list[files.Manifest]:
    """In the order of the files, but for objects of a kind that is not served yet and comes with them: they go last."""

    def waits(manifest: files.Manifest) -> bool:
        kind = manifest.object["kind"]
        return _key(manifest) in new_kinds and session.resources.of_kind(manifest.object["apiVersion"], kind) is None

    if new_kinds:
        session.resources.refresh()  # what is remembered may be gone by now
    return sorted(manifests, key=waits)


def _patiently(
    session: Session,
    manifest: files.Manifest,
    new_kinds: set[tuple[str, str]],
    act: Callable[[Target], tuple[dict[str, Any], str]],
) -> tuple[Target, tuple[dict[str, Any], str]]:
    """Find the kind of a manifest and act; tries again while a kind that the same command has defined is not served."""
    attempts = 100 if _key(manifest) in new_kinds else 1
    while True:
        attempts -= 1
        try:
            target = finder.of_manifest(session, manifest.object, manifest.source)
            return target, act(target)
        except finder.NoMatch:
            if not attempts:
                raise
            session.resources.refresh()
        except APIError as error:
            if not attempts or "the server could not find the requested resource" not in str(error):
                raise
        pause(0.1)


def _server_side(session: Session, writer: Writer, target: Target) -> tuple[dict[str, Any], str]:
    query = writer.query
    query["force"] = "true" if writer.flags.on("force-conflicts") else "false"
    try:
        value = session.call("PATCH", target.path(), target.manifest, query=query, content=APPLY_PATCH)
    except APIError as error:
        if error.reason == "Conflict":
            raise CLIError(_conflict(error)) from None
        raise
    return value, "serverside-applied"


def _conflict(error: APIError) -> str:
    return (
        f"{error}\nPlease review the fields above--they currently have other managers. Here\n"
        "are the ways you can resolve this warning:\n"
        "* If you intend to manage all of these fields, please re-run the apply\n"
        "  command with the `--force-conflicts` flag.\n"
        "* If you do not intend to manage all of the fields, please edit your\n"
        "  manifest to remove references to the fields that should keep their\n"
        "  current managers.\n"
        "* You may co-own fields by updating your manifest to match the existing\n"
        "  value; in this case, you'll become the manager if the other manager(s)\n"
        "  stop managing the field (remove it from their configuration).\n"
        "See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts"
    )


def _client_side(session: Session, writer: Writer, target: Target) -> tuple[dict[str, Any], str]:
    manifest = target.manifest
    assert manifest is not None
    if not target.name:
        if (manifest.get("metadata") or {}).get("generateName"):
            raise CLIError(f"from {manifest['metadata']['generateName']}: cannot use generate name with apply")
        raise CLIError(
            f"error when retrieving current configuration of:\n"
            f'Resource: "{target.resource.plural}", GroupVersionKind: "{target.resource.api_version}, Kind='
            f'{target.resource.kind}"\nName: "", Namespace: "{target.namespace}"\nfrom server for: '
            f'"{target.source}": resource name may not be empty'
        )
    try:
        live = session.get(target.resource, target.namespace, target.name)
    except APIError as error:
        if error.reason != "NotFound" or (
            "namespaces" in str((error.status.get("details") or {}).get("kind", ""))
            and (target.resource.plural != "namespaces")
        ):
            raise error.within(f"error when retrieving current configuration of {target.shown}") from None
        try:
            return writer.create(target.resource, target.namespace, with_last_applied(manifest)), "created"
        except APIError as refused:
            raise refused.within(f'error when creating "{target.source}"') from None
    annotations = (live.get("metadata") or {}).get("annotations") or {}
    if LAST_APPLIED not in annotations:
        session.warn(
            f"Warning: resource {target.resource.plural}/{target.name} is missing the {LAST_APPLIED} annotation "
            f"which is "
            "required by kubectl apply. kubectl apply should only be used on resources created declaratively by either "
            "kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically."
        )
    for attempt in range(_ATTEMPTS):
        patch, content = three_way(target.resource, live, with_last_applied(manifest))
        if not patch:
            return live, "unchanged"
        if writer.dry_run == "client":
            return _merged(patch, live, content, target), "configured"
        try:
            value = writer.patch(target.path(), patch, content)
        except APIError as error:
            if error.reason == "Conflict" and attempt < _ATTEMPTS - 1:
                live = session.get(target.resource, target.namespace, target.name)
                continue
            if writer.flags.on("force") and error.reason in ("Invalid", "Conflict"):
                return _replaced(session, writer, target), "configured"
            raise error.within(_applying(patch, target)) from None
        same = value["metadata"].get("resourceVersion") == live["metadata"].get("resourceVersion")
        return value, "unchanged" if same else "configured"
    raise AssertionError("unreachable")


def _applying(patch: dict[str, Any], target: Target) -> str:
    from pybernetes.cli.printers.objects import compact_json

    resource = target.resource
    gvr = (
        f"{resource.group}/{resource.version}, Resource={resource.plural}".removeprefix("/")
        if resource.group
        else (f"/{resource.version}, Resource={resource.plural}")
    )
    gvk = f"{resource.group}/{resource.version}, Kind={resource.kind}"
    return (
        f"error when applying patch:\n{compact_json(patch)}\nto:\n"
        f'Resource: "{gvr.partition(", Resource=")[0]}, Resource={resource.plural}", GroupVersionKind: "{gvk}"\n'
        f'Name: "{target.name}", Namespace: "{target.namespace}"\nfor: "{target.source}": error when patching '
        f'"{target.source}"'
    )


def _merged(patch: dict[str, Any], live: dict[str, Any], content: str, target: Target) -> dict[str, Any]:
    from pybernetes.cli.session import STRATEGIC_PATCH
    from pybernetes.cli.writing import _built_in
    from pybernetes.machinery.patch import merge_patch, strategic_merge

    if content == STRATEGIC_PATCH:
        return strategic_merge(live, patch, _built_in(target.resource))
    merged = merge_patch(live, patch)
    assert isinstance(merged, dict)
    return merged


def _replaced(session: Session, writer: Writer, target: Target) -> dict[str, Any]:
    from pybernetes.cli.deletion import delete_and_wait

    delete_and_wait(session, target, grace=0)
    assert target.manifest is not None
    return writer.create(target.resource, target.namespace, with_last_applied(target.manifest))


def _view(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    from pybernetes.cli.printers import objects as printers

    found = finder.fetch(session, flags, finder.targets(session, flags, arguments))
    if not found:
        raise CLIError("You must provide one or more resources by argument or filename")
    for f in found:
        text = (f.object["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        if not text:
            session.warn(f"error: no last-applied-configuration annotation found on resource: {f.name}")
            return 1
        value = json.loads(text)
        session.out.write(printers.printer(flags, "json" if flags.text("output") == "json" else "yaml")(value))
    return None


def _set(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    writer = Writer(session, flags, "kubectl-set-last-applied")
    from pybernetes.cli.session import MERGE_PATCH

    for target in finder.of_files(session, flags):
        assert target.manifest is not None
        live = session.get(target.resource, target.namespace, target.name)
        has = LAST_APPLIED in ((live["metadata"].get("annotations")) or {})
        if not has and not flags.on("create-annotation"):
            raise CLIError(
                f"no last-applied-configuration annotation found on resource: {target.name}, to create the annotation, "
                "run the command with --create-annotation"
            )
        patch = {"metadata": {"annotations": {LAST_APPLIED: last_applied(target.manifest)}}}
        value = live if writer.dry_run == "client" else writer.patch(target.path(), patch, MERGE_PATCH)
        writer.report(value, target.shown, "configured")
    return None


def _edit(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    from pybernetes.cli.verbs import edit

    return edit.last_applied(session, flags, arguments)


COMMAND = Command(
    "Apply a configuration to a resource by file name or stdin.",
    usage="kubectl apply (-f FILENAME | -) [flags]",
    flags=f"{FILES} {PRINT} dry-run~unchanged:none server-side? force-conflicts? field-manager= validate~strict:strict "
    "l:selector= all? prune? prune-allowlist* applyset= overwrite?true force? grace-period#-1 timeout=0s wait? "
    "cascade~background:background openapi-patch?true subresource=",
    run=run,
    examples="kubectl apply -f deployment.yaml\ncat pod.json | kubectl apply -f -\nkubectl apply --server-side -f app/",
    subcommands={
        "view-last-applied": Command(
            "View the latest last-applied-configuration annotations of a resource.",
            usage="kubectl apply view-last-applied (TYPE [NAME | -l label] | TYPE/NAME | -f FILENAME)",
            flags=f"{FILES} o:output=yaml l:selector= all? show-managed-fields?true template= "
            "allow-missing-template-keys?true",
            run=_view,
        ),
        "edit-last-applied": Command(
            "Edit latest last-applied-configuration annotations of a resource/object.",
            usage="kubectl apply edit-last-applied (RESOURCE/NAME | -f FILENAME)",
            flags=f"{FILES} {PRINT} field-manager= validate~strict:strict windows-line-endings?",
            run=_edit,
        ),
        "set-last-applied": Command(
            "Set the last-applied-configuration annotation on a live object to match a file.",
            usage="kubectl apply set-last-applied -f FILENAME",
            flags=f"{FILES} {PRINT} dry-run~unchanged:none create-annotation?",
            run=_set,
        ),
    },
)
