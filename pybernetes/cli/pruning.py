"""`apply --prune` and `diff --prune`: objects that were applied once and are in no file any more.

Who was applied is told by the last-applied annotation, who belongs together by the selector (or `--all`); kinds and
namespaces that are looked through are those of upstream's list, or of `--prune-allowlist`, and those that the files
name. The other way to tell what belongs together is an `applyset`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pybernetes.cli.errors import CLIError
from pybernetes.cli.finder import Found
from pybernetes.cli.writing import LAST_APPLIED

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.resources import Resource
    from pybernetes.cli.session import Session

#: (api version, kind) of what is looked through without an allowlist; those with no namespace last.
_NAMESPACED = (
    ("v1", "ConfigMap"),
    ("v1", "Endpoints"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "ReplicationController"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
)
_CLUSTER = (("v1", "Namespace"), ("v1", "PersistentVolume"))


class Pruner:
    """One command's pruning. Made before anything is written, so that an allowlist is refused in time."""

    def __init__(self, session: Session, flags: Flags) -> None:
        self._session = session
        self._selector = flags.text("selector")
        self._given = [_named(session, text) for given in flags.many("prune-allowlist") for text in given.split(",")]
        self._kept: set[str] = set()
        self._namespaces: set[str] = set()

    def keep(self, resource: Resource, namespace: str, uid: str) -> None:
        """An object that a file has (uid is "" in a client's dry run of a new one)."""
        if resource.namespaced:
            self._namespaces.add(namespace)
        self._kept.add(uid)

    def left(self) -> Iterator[Found]:
        """What is to go, namespace by namespace."""
        if not self._given and self._session.flags.text("namespace"):
            self._session.warn(
                "Deprecated: kubectl apply will no longer prune non-namespaced resources by default when used with the "
                "--namespace flag in a future release. To preserve the current behaviour, list the resources you want "
                "to target explicitly in the --prune-allowlist flag."
            )
        for resource, namespaces in self._places():
            for namespace in namespaces:
                for item in self._session.list(resource, namespace, selector=self._selector):
                    metadata = item["metadata"]
                    applied = LAST_APPLIED in (metadata.get("annotations") or {})
                    if applied and metadata["uid"] not in self._kept and not metadata.get("deletionTimestamp"):
                        yield Found(resource, namespace, metadata["name"], item)

    def _places(self) -> Iterator[tuple[Resource, list[str]]]:
        known = (self._session.resources.of_kind(*kind) for kind in (*_NAMESPACED, *_CLUSTER))
        for resource in self._given or known:
            if resource is not None and "list" in resource.verbs:
                yield resource, sorted(self._namespaces) if resource.namespaced else [""]


def _named(session: Session, text: str) -> Resource:
    """What an entry of the allowlist names: GROUP/VERSION/KIND, the group of `v1` being `core`."""
    parts = text.split("/", 2)
    if len(parts) != 3:
        raise CLIError(f"invalid GroupVersionKind format: {text}, please follow <group/version/kind>")
    group, version, kind = parts
    api_version = version if group in ("", "core") else f"{group}/{version}"
    found = session.resources.of_kind(api_version, kind)
    if found is None:
        raise CLIError(f'no matches for kind "{kind}" in version "{api_version}"')
    return found
