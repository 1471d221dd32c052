"""Who may do what: `create serviceaccount`, roles, their bindings, and tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pybernetes.cli.errors import APIError, CLIError
from pybernetes.cli.generators.shape import Generator, Object, new, words

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


_VERBS = ("*", "get", "delete", "list", "create", "update", "patch", "watch", "proxy", "deletecollection", "use",
          "bind", "escalate", "impersonate")  # fmt: skip
_URL_VERBS = ("*", "get", "put", "post", "head", "options", "delete", "patch")


def _serviceaccount(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    return new("v1", "ServiceAccount", name)


def _rules(session: Session, flags: Flags) -> list[Object]:
    verbs = list(dict.fromkeys(words(flags, "verb")))
    if "*" in verbs:
        verbs = ["*"]
    if not verbs:
        raise CLIError("at least one verb must be specified")
    resources = words(flags, "resource")
    if resources:
        for verb in verbs:
            if verb not in _VERBS:
                session.warn(f"Warning: '{verb}' is not a standard resource verb")
    by_group: dict[str, list[str]] = {}
    for word in resources:
        plain, slash, sub = word.partition("/")
        if plain == "*":
            group, name = "", "*"
        else:
            try:
                found = session.resources.find(plain)
            except CLIError as error:
                kind, _, group = plain.partition(".")
                where = f' in group "{group}"' if group else ""
                text = f'the server doesn\'t have a resource type "{kind}"{where}'
                raise CLIError(text, plain=True) from error
            group, name = found.group, found.plural
        entry = by_group.setdefault(group, [])
        if name + slash + sub not in entry:
            entry.append(name + slash + sub)
    names = flags.many("resource-name")
    rules = []
    for group, kinds in by_group.items():
        rule: Object = {"apiGroups": [group], "resources": kinds, "verbs": verbs}
        if names:
            rule["resourceNames"] = names
        rules.append(rule)
    return rules


def _role(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    rules = _rules(session, flags)
    if not rules:
        raise CLIError("at least one resource must be specified")
    return new("rbac.authorization.k8s.io/v1", "Role", name, rules=rules)


def _clusterrole(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    found = new("rbac.authorization.k8s.io/v1", "ClusterRole", name)
    if flags.text("aggregation-rule"):
        if any(words(flags, name) for name in ("verb", "resource", "resource-name", "non-resource-url")):
            raise CLIError(
                "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames"
            )
        labels = dict(pair.split("=", 1) for pair in flags.text("aggregation-rule").split(","))
        found["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": labels}]}
        found["rules"] = None
        return found
    rules = _rules(session, flags)
    urls = words(flags, "non-resource-url")
    for verb in words(flags, "verb") if urls else ():
        if verb not in _URL_VERBS:
            raise CLIError(f"invalid verb: '{verb}' for nonResourceURL")
    for url in urls:
        if url != "*" and not url.startswith("/"):
            raise CLIError("nonResourceURL should start with /")
    if urls:
        rules.append({"nonResourceURLs": urls, "verbs": list(dict.fromkeys(words(flags, "verb")))})
    if not rules:
        raise CLIError("one of resource or nonResourceURL must be specified")
    found["rules"] = rules
    return found


GROUP = "rbac.authorization.k8s.io"


def subjects_of(flags: Flags) -> list[Object]:
    """Of `--user`, `--group` and `--serviceaccount`. Raises CLIError."""
    subjects: list[Object] = [{"apiGroup": GROUP, "kind": "User", "name": name} for name in flags.many("user")]
    subjects += [{"apiGroup": GROUP, "kind": "Group", "name": name} for name in flags.many("group")]
    for account in flags.many("serviceaccount"):
        namespace, colon, who = account.partition(":")
        if not colon or not who or not namespace:
            raise CLIError("serviceaccount must be <namespace>:<name>")
        subjects.append({"kind": "ServiceAccount", "name": who, "namespace": namespace})
    return subjects


def _binding(kind: str) -> Callable[[Session, Flags, str, list[str]], Object]:
    def make(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
        role = flags.text("role") if kind == "RoleBinding" else ""
        cluster_role = flags.text("clusterrole")
        if bool(role) == bool(cluster_role):
            raise CLIError(
                "exactly one of clusterrole or role must be specified"
                if kind == "RoleBinding"
                else "clusterrole must be specified"
            )
        subjects = subjects_of(flags)
        ref = {"apiGroup": GROUP, "kind": "Role" if role else "ClusterRole", "name": role or cluster_role}
        found = new(f"{GROUP}/v1", kind, name, roleRef=ref)
        if subjects:
            found["subjects"] = subjects
        return found

    return make


def _token(session: Session, flags: Flags, name: str, rest: list[str]) -> None:
    from pybernetes.cli.session import seconds

    spec: Object = {}
    if flags.many("audience"):
        spec["audiences"] = flags.many("audience")
    if flags.given("duration"):
        length = seconds(flags.text("duration"))
        if length < 0:
            raise CLIError("--duration must be greater than or equal to 0")
        spec["expirationSeconds"] = int(length)
    if bool(flags.text("bound-object-kind")) != bool(flags.text("bound-object-name")):
        if flags.text("bound-object-kind"):
            raise CLIError("--bound-object-name is required if --bound-object-kind is provided")
        raise CLIError("--bound-object-name can only be set if --bound-object-kind is provided")
    if flags.text("bound-object-kind"):
        kind = flags.text("bound-object-kind")
        versions = {"Pod": "v1", "Secret": "v1", "Node": "v1"}
        if kind not in versions:
            raise CLIError(f"supported --bound-object-kind values are {', '.join(sorted(versions))}")
        spec["boundObjectRef"] = {"kind": kind, "apiVersion": versions[kind], "name": flags.text("bound-object-name")}
        if flags.text("bound-object-uid"):
            spec["boundObjectRef"]["uid"] = flags.text("bound-object-uid")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec}
    path = session.resources.find("serviceaccounts").path(session.namespace, name, "token")
    try:
        made = session.call("POST", path, body)
    except APIError as error:
        raise CLIError(f"failed to create token: {error}") from None
    if flags.text("output"):
        from pybernetes.cli.printers import objects

        session.out.write(objects.printer(flags)(made))
        return
    session.out.write(made["status"]["token"])
    session.out.write("\n")


GENERATORS: dict[str, Generator] = {
    "serviceaccount": Generator(
        "Create a service account with the specified name.", _serviceaccount, said="serviceaccount"
    ),
    "role": Generator("Create a role with single rule.", _role, "verb* resource* resource-name*", said="role"),
    "clusterrole": Generator(
        "Create a cluster role.",
        _clusterrole,
        "verb* resource* resource-name* non-resource-url* aggregation-rule=",
        said="clusterrole",
    ),
    "rolebinding": Generator(
        "Create a role binding for a particular role or cluster role.",
        _binding("RoleBinding"),
        "role= clusterrole= user* group* serviceaccount*",
        said="rolebinding",
    ),
    "clusterrolebinding": Generator(
        "Create a cluster role binding for a particular cluster role.",
        _binding("ClusterRoleBinding"),
        "clusterrole= user* group* serviceaccount*",
        said="clusterrolebinding",
    ),
    "token": Generator(
        "Request a service account token.",
        _token,
        "o:output= template= allow-missing-template-keys?true show-managed-fields? audience* duration=0s "
        "bound-object-kind= bound-object-name= bound-object-uid=",
        prints=False,
    ),
}
