"""`kubectl auth`: may I, and who am I."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import CLIError, ExitCode, not_implemented

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

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


def _reconcile(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    raise not_implemented("auth reconcile")


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
