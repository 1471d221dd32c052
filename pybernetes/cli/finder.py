"""Which objects a command is about: `pods`, `pod x y`, `deploy/x svc/y`, `pods,services -l app=a`, `-f file`.

The result is a list of targets: a named object, or a collection to be listed. Fetching is left to the verbs, because
`get` wants tables, `delete` wants nothing at all, and most want objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import APIError, CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.resources import Resource
    from pybernetes.cli.session import Session


@dataclass
class Target:
    """One object (`name` set) or a collection. `manifest` is the object as a file has it."""

    resource: Resource
    namespace: str
    name: str = ""
    manifest: dict[str, Any] | None = None
    source: str = ""

    @property
    def shown(self) -> str:
        """`deployment.apps/x`."""
        return f"{self.resource.shown}/{self.name}"

    def path(self, subresource: str = "") -> str:
        """The URL path of the object."""
        return self.resource.path(self.namespace, self.name, subresource)


@dataclass
class Found:
    """One object, as it is on the server."""

    resource: Resource
    namespace: str
    name: str
    object: dict[str, Any]
    manifest: dict[str, Any] | None = None
    source: str = ""

    @property
    def shown(self) -> str:
        """`deployment.apps/x`."""
        return f"{self.resource.shown}/{self.name}"

    def path(self, subresource: str = "") -> str:
        """The URL path of the object."""
        return self.resource.path(self.namespace, self.name, subresource)


_EXAMPLES = "Example resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'"
#: What is said when nothing is named, and when what is named would have to be asked for.
NOTHING = (
    f"You must provide one or more resources by argument or filename.\n{_EXAMPLES}\n"
    "   '<resource> <name>'\n   '<resource>'"
)
LOCAL = f"you must specify resources by --filename when --local is set.\n{_EXAMPLES}"


def targets(session: Session, flags: Flags, arguments: list[str], *, files: bool = True) -> list[Target]:
    """What the command line names. Raises CLIError in upstream's words."""
    if files and (flags.many("filename") or ("kustomize" in flags.declared and flags.text("kustomize"))):
        if arguments:
            raise CLIError(
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
            )
        return of_files(session, flags)
    if not arguments:
        return []
    namespace = "" if flags.on("all-namespaces") else session.namespace
    if any("/" in word for word in arguments):
        return _slashed(session, arguments, namespace)
    kinds = types(session, arguments[0])
    names = arguments[1:]
    if names and flags.on("all-namespaces"):
        raise CLIError("a resource cannot be retrieved by name across all namespaces")
    if names and "selector" in flags.declared and (flags.text("selector")):
        raise CLIError("name cannot be provided when a selector is specified")
    if not names:
        return [Target(kind, namespace if kind.namespaced else "") for kind in kinds]
    return [Target(kind, namespace if kind.namespaced else "", name) for kind in kinds for name in names]


def types(session: Session, word: str) -> list[Resource]:
    """`pods,svc`, `all`. Raises CLIError for an unknown one."""
    found: list[Resource] = []
    for part in word.split(","):
        if not part:
            raise CLIError('the server doesn\'t have a resource type ""')
        if part == "everything" and session.resources._find(part) is None:
            found += [r for r in everything(session) if r not in found]
            continue
        listed = session.resources.category(part) if part in ("all", "api-extensions") else []
        if not listed and "." not in part and session.resources._find(part) is None:
            listed = session.resources.category(part)
        for resource in listed or [session.resources.find(part)]:
            if resource not in found:
                found.append(resource)
    return found


def everything(session: Session) -> list[Resource]:
    """All that a namespace can hold; with --all-namespaces, all that the cluster can. Upstream's `all` is only a few
    kinds. Each kind once: in its preferred version, and events by their old name."""
    seen: set[tuple[str, str]] = set()
    found = []
    for r in session.resources.all():
        if "list" not in r.verbs or r.group in ("events.k8s.io", "metrics.k8s.io") or (r.group, r.plural) in seen:
            continue
        seen.add((r.group, r.plural))
        if (r.namespaced or session.flags.on("all-namespaces")) and r.plural != "componentstatuses":
            found.append(r)
    return found


def _slashed(session: Session, arguments: list[str], namespace: str) -> list[Target]:
    found = []
    for word in arguments:
        if "/" not in word:
            raise CLIError(
                "there is no need to specify a resource type as a separate argument when passing arguments in "
                "resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of "
                "'kubectl get resource resource/<resource_name>'"
            )
        kind, _, name = word.partition("/")
        if not kind or not name or "/" in name:
            raise CLIError(
                "arguments in resource/name form may not have more than one slash"
                if "/" in name
                else "arguments in resource/name form must have a single resource and name"
            )
        for resource in types(session, kind):
            found.append(Target(resource, namespace if resource.namespaced else "", name))
    return found


def of_files(session: Session, flags: Flags) -> list[Target]:
    """The objects of `-f`. Raises CLIError."""
    from pybernetes.cli import files

    find = as_given if "local" in flags.declared and flags.on("local") else of_manifest
    return [find(session, m.object, m.source) for m in files.read(flags)]


def as_given(session: Session, manifest: dict[str, Any], source: str) -> Target:
    """The target of an object that no server is asked about: without the namespace that it would have there."""
    named = "namespace" in (manifest.get("metadata") or {})
    target = of_manifest(session, manifest, source)
    if target.manifest is not None and not named:
        target.manifest["metadata"].pop("namespace", None)
    return target


def of_manifest(session: Session, manifest: dict[str, Any], source: str) -> Target:
    """The target an object of a file is about. Raises CLIError when there is no such kind or namespaces disagree."""
    resource = session.resources.of_kind(manifest["apiVersion"], manifest["kind"])
    metadata = manifest.get("metadata") or {}
    if resource is None:
        raise NoMatch(
            f'resource mapping not found for name: "{metadata.get("name", "")}" namespace: '
            f'"{metadata.get("namespace", "")}" from "{source}": no matches for kind "{manifest["kind"]}" in version '
            f'"{manifest["apiVersion"]}"\nensure CRDs are installed first'
        )
    namespace = ""
    if resource.namespaced:
        namespace = metadata.get("namespace") or session.namespace
        given = session.flags.text("namespace")
        if given and namespace != given:
            raise CLIError(
                f'the namespace from the provided object "{namespace}" does not match the namespace "{given}". '
                f"You must pass '--namespace={namespace}' to perform this operation."
            )
        manifest.setdefault("metadata", {})
        if manifest["metadata"] is None:
            manifest["metadata"] = {}
        manifest["metadata"]["namespace"] = namespace
    return Target(resource, namespace, metadata.get("name", ""), manifest, source)


class NoMatch(CLIError):
    """The server has no such kind (yet)."""


def fetch(session: Session, flags: Flags, found: list[Target], *, ignore_not_found: bool = False) -> list[Found]:
    """The objects of the targets, collections listed with the command's selectors. Raises APIError."""
    out = []
    if "local" in flags.declared and flags.on("local"):
        if not flags.many("filename"):
            raise CLIError(LOCAL)
        return [Found(t.resource, t.namespace, t.name, t.manifest, t.manifest, t.source) for t in found if t.manifest]
    selector = flags.text("selector") if "selector" in flags.declared else ""
    fields = flags.text("field-selector") if "field-selector" in flags.declared else ""
    for t in found:
        if t.name:
            try:
                value = session.get(t.resource, t.namespace, t.name)
            except APIError as error:
                if ignore_not_found and error.reason == "NotFound":
                    continue
                raise
            out.append(Found(t.resource, t.namespace, t.name, value, t.manifest, t.source))
            continue
        for item in session.list(t.resource, t.namespace, selector=selector, fields=fields):
            metadata = item["metadata"]
            out.append(Found(t.resource, metadata.get("namespace", ""), metadata["name"], item))
    return out
