"""One manifest on its way through the layers of a kustomization.

Names change as layers add prefixes, suffixes and hashes, while references to them are written with the name the author
knew. So a resource remembers every name it had, and which layers it passed: a reference means the resource that had
this name in the innermost layer both have passed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from pybernetes.cli.errors import CLIError

#: Kinds before and after all others in the output, as upstream orders them.
_ORDER = """
    Namespace ResourceQuota StorageClass CustomResourceDefinition ServiceAccount PodSecurityPolicy Role ClusterRole
    RoleBinding ClusterRoleBinding ConfigMap Secret Endpoints Service LimitRange PriorityClass PersistentVolume
    PersistentVolumeClaim Deployment StatefulSet CronJob PodDisruptionBudget
"""
_FIRST = _ORDER.split()
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


class KustomizeError(CLIError):
    """A kustomization that cannot be built."""


@dataclass
class Resource:
    """`past` are the (name, namespace) pairs it had; `layers` the numbers of the layers it passed, innermost first."""

    object: dict[str, Any]
    layers: list[int] = field(default_factory=list)
    past: list[tuple[str, str]] = field(default_factory=list)
    needs_hash: bool = False

    @property
    def metadata(self) -> dict[str, Any]:
        """`metadata`, made when there is none."""
        found: dict[str, Any] = self.object.setdefault("metadata", {})
        return found

    @property
    def name(self) -> str:
        return str(self.metadata.get("name") or "")

    @property
    def namespace(self) -> str:
        return str(self.metadata.get("namespace") or "")

    @property
    def kind(self) -> str:
        return str(self.object.get("kind") or "")

    @property
    def group_version(self) -> tuple[str, str]:
        group, _, version = str(self.object.get("apiVersion") or "").rpartition("/")
        return group, version

    @property
    def namespaced(self) -> bool:
        """What is not known to be of the cluster is in a namespace."""
        from pybernetes.api import kinds

        known = kinds.by_kind(str(self.object.get("apiVersion")), self.kind)
        return known is None or known.namespaced

    @property
    def names(self) -> list[tuple[str, str]]:
        """All (name, namespace) pairs, the present one last."""
        return [*self.past, (self.name, self.namespace)]

    @property
    def shown(self) -> str:
        """`Deployment.v1.apps/web.[noNs]`."""
        group, version = self.group_version
        return shown(group, version, self.kind, self.name, self.namespace)

    def rename(self, *, name: str | None = None, namespace: str | None = None) -> None:
        """Change what is given, and remember what was."""
        before = (self.name, self.namespace)
        if name is not None:
            self.metadata["name"] = name
        if namespace is not None:
            self.metadata["namespace"] = namespace
        if before != (self.name, self.namespace):
            self.past.append(before)

    def copy(self) -> Resource:
        return Resource(copy.deepcopy(self.object), list(self.layers), list(self.past), self.needs_hash)


def shown(group: str, version: str, kind: str, name: str, namespace: str) -> str:
    """An id as messages write it."""
    return f"{kind}.{version or '[noVer]'}.{group or '[noGrp]'}/{name}.{namespace or '[noNs]'}"


def same_namespace(a: str, b: str) -> bool:
    return (a or "default") == (b or "default")


class Resources:
    """The resources of one layer, in the order they were read."""

    def __init__(self) -> None:
        self.all: list[Resource] = []

    def add(self, made: Resource) -> None:
        """Raises KustomizeError when there is one of this id."""
        for other in self.all:
            if (
                other.kind == made.kind
                and other.group_version == made.group_version
                and other.name == made.name
                and same_namespace(other.namespace, made.namespace)
            ):
                raise KustomizeError(f"may not add resource with an already registered id: {made.shown}")
        self.all.append(made)

    def ever(self, api_version: str, kind: str, name: str, namespace: str) -> list[Resource]:
        """Those that have or had a name."""
        return [
            r
            for r in self.all
            if r.kind == kind
            and r.object.get("apiVersion") == api_version
            and any(n == name and same_namespace(ns, namespace) for n, ns in r.names)
        ]

    def sorted(self, first: list[str] | None = None, last: list[str] | None = None) -> list[Resource]:
        """By kind in the order of dependence, then by name."""
        first, last = first or _FIRST, last or list(_LAST)

        def rank(r: Resource) -> tuple[Any, ...]:
            group, version = r.group_version
            place = first.index(r.kind) if r.kind in first else 1000 + last.index(r.kind) if r.kind in last else 500
            return place, f"{group or '~G'}_{version or '~V'}_{r.kind}", r.namespace or "~X", r.name

        return sorted(self.all, key=rank)
