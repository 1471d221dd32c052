"""`apply --applyset --prune`: objects that belong together because they say so, and a parent that knows where they are.

Each object has a label with the set's id, which is made of the parent's name, namespace and kind. The parent (a Secret,
ConfigMap, or a custom resource of a kind that is marked for it) tells in annotations which kinds and namespaces the set
has reached. Before anything is applied it is made to name all that was or will be there, and only after the pruning
what is there now: an apply that is cut off leaves nothing that nobody would find. Alpha, as upstream's is: the
environment must have KUBECTL_APPLYSET=true.

KEP 3659.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pybernetes import KUBERNETES_VERSION
from pybernetes.cli.errors import APIError, CLIError
from pybernetes.cli.finder import Found
from pybernetes.cli.session import APPLY_PATCH
from pybernetes.cli.writing import validation

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.resources import Resource
    from pybernetes.cli.session import Session

PART_OF, ID = "applyset.kubernetes.io/part-of", "applyset.kubernetes.io/id"
KINDS, TOOLING = "applyset.kubernetes.io/contains-group-kinds", "applyset.kubernetes.io/tooling"
NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
#: What earlier versions wrote in the place of KINDS.
RESOURCES = "applyset.kubernetes.io/contains-group-resources"
PARENT_TYPE = "applyset.kubernetes.io/is-parent-type"
_TOOL, _MANAGER = "kubectl", "kubectl-applyset"
_BUILT_IN = {("", "v1", "secrets"), ("", "v1", "configmaps")}


def is_enabled() -> bool:
    """Whether the environment asks for it."""
    return os.environ.get("KUBECTL_APPLYSET", "").lower() in ("1", "t", "true")


class ApplySet:
    """One command's set. Made before anything is written; `Pruner`'s sibling."""

    def __init__(self, session: Session, flags: Flags, dry_run: str) -> None:
        self._session, self._dry_run = session, dry_run
        self._validation = validation(flags)
        self._parent, self._name = _parse(session, flags.text("applyset"))
        #: Given by flag only: what a kubeconfig says is not enough for this.
        self._namespace = session.flags.text("namespace") if self._parent.namespaced else ""
        named = f"{self._name}.{self._namespace}.{self._parent.kind}.{self._parent.group}"
        digest = base64.urlsafe_b64encode(hashlib.sha256(named.encode()).digest()).decode().rstrip("=")
        self._id = f"applyset-{digest}-v1"
        #: Where the set has been before this command, and where it will be after it.
        self._before = _Reach()
        self._after = _Reach()
        self._kept: set[str] = set()

    def check(self) -> None:
        """Whether there can be such a parent. Raises CLIError."""
        if self._parent.namespaced and not self._namespace:
            raise CLIError("namespace is required to use namespace-scoped ApplySet")
        known = (self._parent.group, self._parent.version, self._parent.plural)
        if known not in _BUILT_IN and not self._is_parent_type():
            shown = f"{self._parent.group}/{self._parent.version}, Resource={self._parent.plural}"
            raise CLIError(f'resource "{shown}" is not permitted as an ApplySet parent')

    def begin(self, objects: Sequence[dict[str, Any]]) -> None:
        """Label the objects of the files, and let the parent know of them. Raises CLIError, APIError."""
        for value in objects:
            metadata = value["metadata"] = value.get("metadata") or {}
            labels = metadata["labels"] = metadata.get("labels") or {}
            if PART_OF in labels:
                raise CLIError(f'ApplySet label "{PART_OF}" already set in input data')
            labels[PART_OF] = self._id
            group = value["apiVersion"].rpartition("/")[0]
            self._after.kinds.add(f"{value['kind']}.{group}" if group else value["kind"])
            resource = self._session.resources.of_kind(value["apiVersion"], value["kind"])
            if resource is not None and resource.namespaced:
                self._after.namespaces.add(metadata.get("namespace") or self._session.namespace)
        self._before = self._known()
        self._update(self._before.with_(self._after))

    def keep(self, resource: Resource, namespace: str, uid: str) -> None:
        """An object that a file has."""
        self._kept.add(uid)

    def left(self) -> Iterator[Found]:
        """What is to go."""
        reach = self._before.with_(self._after)
        if self._namespace:
            reach.namespaces.add(self._namespace)
        for kind in sorted(reach.kinds):
            resource = self._of_group_kind(kind)
            for namespace in sorted(reach.namespaces) if resource.namespaced else [""]:
                for item in self._session.list(resource, namespace, selector=f"{PART_OF}={self._id}"):
                    if item["metadata"]["uid"] not in self._kept:
                        yield Found(resource, namespace, item["metadata"]["name"], item)

    def end(self) -> None:
        """Let the parent know that nothing else is left."""
        self._update(self._after)

    # -- the parent ----------------------------------------------------------------------------------------------------

    @property
    def _shown(self) -> str:
        return f"{self._parent.plural}.{self._parent.group}/{self._name}"

    def _known(self) -> _Reach:
        """What the parent says of the set; nothing if it is still to be made."""
        try:
            found = self._session.get(self._parent, self._namespace, self._name)
        except APIError as error:
            if error.reason != "NotFound":
                text = f'failed to fetch ApplySet parent object "{self._shown}" from server: {error}'
                raise CLIError(text) from None
            if (self._parent.group, self._parent.version, self._parent.plural) not in _BUILT_IN:
                raise CLIError("custom resource ApplySet parents cannot be created automatically") from None
            return _Reach()
        metadata = found["metadata"]
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        exists = f'ApplySet parent object "{self._shown}"'
        if TOOLING not in annotations:
            raise CLIError(f'{exists} already exists and is missing required annotation "{TOOLING}"')
        tool = annotations[TOOLING].split("/")[0]
        if tool != _TOOL:
            raise CLIError(f'{exists} already exists and is managed by tooling "{tool}" instead of "{_TOOL}"')
        if ID not in labels:
            raise CLIError(f"{exists} exists and does not have required label {ID}")
        if labels[ID] != self._id:
            wrong = f"(got: {labels[ID]}, want: {self._id})"
            raise CLIError(f'{exists} exists and has incorrect value for label "{ID}" {wrong}')
        try:
            kinds = self._kinds(annotations)
        except CLIError as error:
            raise CLIError(f'parsing ApplySet annotation on "{self._shown}": {error}') from None
        return _Reach(kinds, set(filter(None, annotations.get(NAMESPACES, "").split(","))))

    def _kinds(self, annotations: dict[str, str]) -> set[str]:
        if KINDS in annotations:
            kinds = set(filter(None, annotations[KINDS].split(",")))
            for kind in kinds:
                self._of_group_kind(kind)
            return kinds
        if RESOURCES not in annotations:
            raise CLIError(f'kubectl requires the "{KINDS}" annotation to be set on all ApplySet parent objects')
        found = [self._session.resources.find(name) for name in filter(None, annotations[RESOURCES].split(","))]
        return {f"{one.kind}.{one.group}" if one.group else one.kind for one in found}

    def _of_group_kind(self, text: str) -> Resource:
        kind, _, group = text.partition(".")
        resources = self._session.resources
        for fresh in (False, True):
            if fresh:
                resources.refresh()
            for resource in resources.all():
                if (resource.kind, resource.group) == (kind, group) and "list" in resource.verbs:
                    return resource
        raise CLIError(
            f'could not find mapping for kind in "{KINDS}" annotation: no matches for kind "{kind}" in group "{group}"'
        )

    def _is_parent_type(self) -> bool:
        definitions = self._session.resources.of_kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        if definitions is None:
            return False
        return any(
            (one["spec"]["group"], one["spec"]["names"]["plural"]) == (self._parent.group, self._parent.plural)
            for one in self._session.list(definitions, "", selector=PARENT_TYPE)
        )

    def _update(self, reach: _Reach) -> None:
        if self._dry_run == "client":
            return
        metadata: dict[str, Any] = {
            "name": self._name,
            "labels": {ID: self._id},
            "annotations": {
                NAMESPACES: ",".join(sorted(reach.namespaces - {self._namespace})),
                KINDS: ",".join(sorted(reach.kinds)),
                TOOLING: f"{_TOOL}/{KUBERNETES_VERSION}",
            },
        }
        if self._namespace:
            metadata["namespace"] = self._namespace
        body = {"kind": self._parent.kind, "apiVersion": self._parent.api_version, "metadata": metadata}
        query = {"fieldManager": _MANAGER, "fieldValidation": self._validation, "force": "false"}
        if self._dry_run == "server":
            query["dryRun"] = "All"
        path = self._parent.path(self._namespace, self._name)
        try:
            self._session.call("PATCH", path, body, query=query, content=APPLY_PATCH)
        except APIError as error:
            if error.reason != "Conflict":
                raise CLIError(f"failed to update ApplySet: {error}") from None
            self._session.warn(
                f"WARNING: failed to update ApplySet: {error}\nApplySet field manager {_MANAGER} should own these "
                "fields. Retrying with conflicts forced."
            )
            self._session.call("PATCH", path, body, query={**query, "force": "true"}, content=APPLY_PATCH)


class _Reach:
    """Kinds (`Kind.group`) and namespaces."""

    def __init__(self, kinds: set[str] | None = None, namespaces: set[str] | None = None) -> None:
        self.kinds, self.namespaces = kinds or set(), namespaces or set()

    def with_(self, other: _Reach) -> _Reach:
        return _Reach(self.kinds | other.kinds, self.namespaces | other.namespaces)


def _parse(session: Session, text: str) -> tuple[Resource, str]:
    """The parent's kind and name: `NAME` of a Secret, or `RESOURCE[.GROUP]/NAME`."""
    resource, slash, name = text.partition("/")
    if not slash:
        resource, name = "secrets", text
    try:
        return session.resources.find(resource), name
    except CLIError:
        plural, _, group = resource.partition(".")
        raise CLIError(f'invalid parent reference "{text}": no matches for {group}/, Resource={plural}') from None
