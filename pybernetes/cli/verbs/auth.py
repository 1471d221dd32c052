"""`kubectl auth`: may I, and who am I."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import APIError, CLIError, ExitCode

if TYPE_CHECKING:
    from pybernetes.cli.finder import Target
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session
    from pybernetes.cli.writing import Writer

_GROUP = "/apis/authorization.k8s.io/v1"


def _can_i(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    if flags.on("list"):
        return _list(session, flags)
    if len(arguments) not in (1, 2):
        raise CLIError(
            "you must specify two arguments: verb resource or verb resource/resourceName.\n"
            "See 'kubectl auth can-i -h' for help and examples."
        )
    verb = arguments[0]
    namespace = "" if flags.on("all-namespaces") else session.namespace
    spec: dict[str, Any]
    warning = ""
    if len(arguments) == 1 or arguments[1].startswith("/"):
        if len(arguments) == 1:
            raise CLIError(
                "you must specify two arguments: verb resource or verb resource/resourceName.\n"
                "See 'kubectl auth can-i -h' for help and examples."
            )
        spec = {"nonResourceAttributes": {"verb": verb, "path": arguments[1]}}
    else:
        word, _, name = arguments[1].partition("/")
        group, plural = "", word
        if word != "*":
            try:
                found = session.resources.find(word)
                group, plural = found.group, found.plural
                if not found.namespaced and not flags.on("all-namespaces"):
                    scope = f" in group '{found.group}'" if found.group else ""
                    warning = f"Warning: resource '{plural}' is not namespace scoped{scope}\n"
            except CLIError:
                warning = f"Warning: the server doesn't have a resource type '{word}'\n"
                plural, _, group = word.partition(".")
        attributes = {"verb": verb, "group": group, "resource": plural, "namespace": namespace}
        if name:
            attributes["name"] = name
        if flags.text("subresource"):
            attributes["subresource"] = flags.text("subresource")
        spec = {"resourceAttributes": attributes}
    if warning and not flags.on("quiet"):
        session.warn(warning)
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    status = session.call("POST", f"{_GROUP}/selfsubjectaccessreviews", body)["status"]
    allowed = bool(status.get("allowed"))
    if not flags.on("quiet"):
        text = "yes" if allowed else "no"
        if not allowed:
            if status.get("reason"):
                text += f" - {status['reason']}"
            if status.get("evaluationError"):
                text += f" - {status['evaluationError']}"
        session.say(text)
    if not allowed:
        raise ExitCode(1)
    return None


def _list(session: Session, flags: Flags) -> int | None:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": session.namespace},
    }
    status = session.call("POST", f"{_GROUP}/selfsubjectrulesreviews", body)["status"]
    from pybernetes.cli.printers.tabwriter import table

    rows = [["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]]
    found = []
    for rule in status.get("resourceRules") or ():
        for resource in rule.get("resources") or ():
            for group in rule.get("apiGroups") or [""]:
                plain, slash, sub = resource.partition("/")
                name = f"{plain}.{group}{slash}{sub}" if group else resource
                found.append([name, "[]", _list_text(rule.get("resourceNames")), _list_text(rule.get("verbs"))])
    found.sort(key=lambda r: r[0])
    for rule in status.get("nonResourceRules") or ():
        for url in rule.get("nonResourceURLs") or ():
            found.append(["", f"[{url}]", "[]", _list_text(rule.get("verbs"))])
    if flags.on("no-headers"):
        rows = []
    session.out.write(table(rows + found))
    return None


def _list_text(values: list[str] | None) -> str:
    return f"[{' '.join(values or ())}]"


def _whoami(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    found = session.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    if flags.text("output"):
        from pybernetes.cli.printers import objects

        session.out.write(objects.printer(flags)(found))
        return None
    from pybernetes.cli.printers.tabwriter import table

    user = found["status"]["userInfo"]
    rows = [["ATTRIBUTE", "VALUE"], ["Username", user.get("username", "")]]
    if user.get("uid"):
        rows.append(["UID", user["uid"]])
    if user.get("groups"):
        rows.append(["Groups", _list_text(user["groups"])])
    for key, values in sorted((user.get("extra") or {}).items()):
        rows.append([f"Extra: {key}", _list_text(values)])
    session.out.write(table(rows))
    return None


_RBAC = "rbac.authorization.k8s.io/v1"


def _reconcile(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    from pybernetes.cli import finder
    from pybernetes.cli.writing import Writer

    if arguments:
        raise CLIError(f"no arguments are allowed, got [{' '.join(arguments)}]")
    if not flags.many("filename") and not flags.text("kustomize"):
        raise CLIError("must specify one of -f and -k")
    writer = Writer(session, flags, "kubectl-auth-reconcile")
    if writer.dry_run == "server":
        raise CLIError("--dry-run=server for command reconcile is not supported yet")
    for target in finder.of_files(session, flags):
        if target.resource.api_version == _RBAC and target.manifest is not None:
            _reconcile_one(session, flags, writer, target)
    return None


def _reconcile_one(session: Session, flags: Flags, writer: Writer, target: Target) -> None:
    from pybernetes.cli import reconciling

    wanted = target.manifest or {}
    binding = "roleRef" in wanted
    part = "subjects" if binding else "rules"
    missing_of = reconciling.missing_subjects if binding else reconciling.missing_rules
    try:
        live: dict[str, Any] | None = session.get(target.resource, target.namespace, target.name)
    except APIError as error:
        if error.reason != "NotFound":
            raise
        live = None
    recreate = live is not None and binding and live.get("roleRef") != wanted["roleRef"]
    have = [] if live is None or recreate else live.get(part) or []
    given = wanted.get(part) or []
    missing, extra = (given if live is None else missing_of(have, given)), missing_of(given, have)
    remove = flags.on("remove-extra-subjects" if binding else "remove-extra-permissions")
    result, changed = dict(wanted), True
    if live is not None and not recreate:
        result = {**live, part: given if remove and extra else [*have, *missing]}
        changed = _add_metadata(result, wanted) or bool(missing or (extra and remove))
    if changed and writer.dry_run == "none":
        if recreate:
            session.call("DELETE", target.path())
        if live is None or recreate:
            result = session.call("POST", target.resource.path(target.namespace), wanted)
        else:
            result = session.call("PUT", target.path(), result)
    writer.report(result, target.shown, "reconciled")
    if (writer.output and writer.output != "name") or not changed:
        return
    session.warn(f"\treconciliation required {'recreate' if recreate else 'create' if live is None else 'update'}")
    show = reconciling.shown_subject if binding else reconciling.shown_rule
    for title, found in ((f"missing {part} added", missing), (f"extra {part} removed", extra if remove else [])):
        if found and not recreate:
            session.warn("\n".join([f"\t{title}:", *(f"\t\t{show(item)}" for item in found)]))


def _add_metadata(result: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Add the labels and annotations that are wanted; whether any were not there."""
    changed = False
    for name in ("labels", "annotations"):
        have = result["metadata"].get(name) or {}
        merged = {**have, **((wanted.get("metadata") or {}).get(name) or {})}
        if merged != have:
            result["metadata"] = {**result["metadata"], name: merged}
            changed = True
    return changed


COMMAND = Command(
    "Inspect authorization.",
    usage="kubectl auth SUBCOMMAND",
    subcommands={
        "can-i": Command(
            "Check whether an action is allowed.",
            usage="kubectl auth can-i VERB [TYPE | TYPE/NAME | NONRESOURCEURL]",
            flags="A:all-namespaces? list? no-headers? q:quiet? subresource=",
            run=_can_i,
        ),
        "reconcile": Command(
            "Reconcile rules for RBAC.",
            flags=f"{FILES} {PRINT} dry-run~unchanged:none remove-extra-permissions? remove-extra-subjects?",
            run=_reconcile,
        ),
        "whoami": Command("Experimental: Check self subject attributes.", flags=PRINT, run=_whoami),
    },
)
