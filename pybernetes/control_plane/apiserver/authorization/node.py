"""What kubelets may: their own node, and what the pods bound to it refer to.

A kubelet that is broken into must not read the Secrets of other nodes' pods. Which pods a node has is fed in as it
changes; what they refer to is collected when that node first asks and forgotten when one of its pods changes, so a
cluster of fake nodes pays nothing. Claims are followed to volumes, and volumes to their Secrets, at the time of the
question.

NodeRestriction (admission) looks at the contents of what a node writes; this looks only at names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pybernetes.api.core_v1.pod_references import WITH_SECRET, Reference, references_of
from pybernetes.control_plane.apiserver.authentication.service_accounts import Getter
from pybernetes.control_plane.apiserver.authorization.attributes import (
    ALLOW,
    NO_OPINION,
    Attributes,
    Decision,
)
from pybernetes.control_plane.apiserver.authorization.policy import cluster_roles
from pybernetes.control_plane.apiserver.authorization.rules import path_matches, resource_matches

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User

PREFIX, GROUP = "system:node:", "system:nodes"
_MIRROR = "kubernetes.io/config.mirror"
_WRITES = frozenset(("create", "update", "patch", "delete"))


def node_of(user: User) -> str:
    """The node a user is, "" for others."""
    return user.name[len(PREFIX) :] if GROUP in user.groups and user.name.startswith(PREFIX) else ""


class NodeAuthorizer:
    """get: of pods, persistentvolumeclaims, persistentvolumes, volumeattachments and resourceslices."""

    def __init__(self, get: Getter) -> None:
        self._get = get
        self._nodes: dict[tuple[str, str], str] = {}  # pod -> node
        self._pods: dict[str, set[tuple[str, str]]] = {}
        self._references: dict[str, frozenset[Reference]] = {}
        role = next(role for role in cluster_roles() if role.metadata.name == "system:node")
        self._rules = role.rules or []

    def put_pod(self, namespace: str, name: str, node: str) -> None:
        """A pod exists or has changed; node: its `spec.nodeName`, "" while unscheduled."""
        key = (namespace, name)
        if self._nodes.get(key) != node:
            self.drop_pod(namespace, name)
            if node:
                self._nodes[key] = node
                self._pods.setdefault(node, set()).add(key)
        self._references.pop(node, None)

    def drop_pod(self, namespace: str, name: str) -> None:
        """A pod was deleted."""
        node = self._nodes.pop((namespace, name), "")
        if node:
            pods = self._pods[node]
            pods.discard((namespace, name))
            if not pods:
                del self._pods[node]
            self._references.pop(node, None)

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        node = node_of(user)
        if not node:
            return NO_OPINION
        a = attributes
        if a.path:
            return ALLOW if any(path_matches(rule, a.verb, a.path) for rule in self._rules) else NO_OPINION
        check = _CHECKS.get((a.api_group, a.resource))
        if check is not None:
            reason = check(self, node, a)
            return ALLOW if not reason else Decision(False, reason)
        allowed = any(resource_matches(rule, a.verb, a.api_group, a.resource, a.subresource) for rule in self._rules)
        return ALLOW if allowed else NO_OPINION

    explain = authorize

    # -- one resource each: "" allows, a text says why not --------------------------------------------------------

    def _referenced(self, node: str, a: Attributes) -> str:
        if a.subresource:
            return "cannot get subresource"
        if a.verb not in ("get", "list", "watch") or (a.verb != "get" and a.resource not in ("secrets", "configmaps")):
            return "can only read resources of this type"
        if not a.name:
            return "can only read individual resources of this type"
        return self._related(node, a)

    def _claim(self, node: str, a: Attributes) -> str:
        if a.subresource == "status":
            return self._related(node, a) if a.verb in ("update", "patch", "get") else "can only update status"
        return self._referenced(node, a)

    def _account(self, node: str, a: Attributes) -> str:
        if a.subresource == "token":
            return self._related(node, a) if a.verb == "create" and a.name else "can only create tokens"
        return self._referenced(node, a)

    def _lease(self, node: str, a: Attributes) -> str:
        if a.verb != "get" and a.verb not in _WRITES:
            return "can only get, create, update, patch, or delete a node lease"
        if a.namespace != "kube-node-lease":
            return 'can only access leases in the "kube-node-lease" system namespace'
        if a.verb != "create" and a.name != node:
            return "can only access node lease with the same name as the requesting node"
        return ""

    def _csinode(self, node: str, a: Attributes) -> str:
        if a.subresource:
            return "cannot authorize CSINode subresources"
        if a.verb != "get" and a.verb not in _WRITES:
            return "can only get, create, update, patch, or delete a CSINode"
        if a.verb != "create" and a.name != node:
            return "can only access CSINode with the same name as the requesting node"
        return ""

    def _slice(self, node: str, a: Attributes) -> str:
        if a.subresource:
            return "cannot authorize ResourceSlice subresources"
        if a.verb == "create":
            return ""
        if a.verb in ("list", "watch", "deletecollection"):
            if _selects(a.field_selector, "spec.nodeName", node):
                return ""
            return "can only list/watch/deletecollection resourceslices with spec.nodeName field selector"
        found = self._get("resource.k8s.io", "resourceslices", "", a.name)
        if found is not None and found.spec.node_name != node:
            return _unrelated(node)
        return ""

    def _node(self, node: str, a: Attributes) -> str:
        if a.subresource not in ("", "status"):
            return f"node '{node}' cannot access this subresource of nodes"
        if a.verb in ("create", "update", "patch"):
            return ""  # which one, NodeRestriction says
        if a.verb in ("get", "list", "watch"):
            if a.name == node or (not a.name and _selects(a.field_selector, "metadata.name", node)):
                return ""
            return (
                f"node '{node}' cannot read '{a.name}', only its own Node object"
                if a.name
                else (f"node '{node}' cannot read all nodes, only its own Node object")
            )
        return f"node '{node}' cannot {a.verb} nodes"

    def _pod(self, node: str, a: Attributes) -> str:
        if a.subresource == "status":
            return "" if a.verb in ("update", "patch") else "can only update and patch the status of pods"
        if a.subresource == "eviction":
            return "" if a.verb == "create" else "can only create evictions"
        if a.subresource:
            return f"node '{node}' cannot access this subresource of pods"
        if a.verb in ("create", "delete"):
            return ""
        if a.verb == "get":
            if self._nodes.get((a.namespace, a.name)) == node or self._get("", "pods", a.namespace, a.name) is None:
                return ""  # one that is gone is no secret: 404 tells the kubelet to clean up
            return _unrelated(node)
        if a.verb in ("list", "watch"):
            if _selects(a.field_selector, "spec.nodeName", node):
                return ""
            if a.name and self._nodes.get((a.namespace, a.name)) == node:
                return ""
            return "can only list/watch pods with spec.nodeName field selector"
        return f"node '{node}' cannot {a.verb} pods"

    # -- relations ------------------------------------------------------------------------------------------------

    def _related(self, node: str, a: Attributes) -> str:
        references = self._references.get(node)
        if references is None:
            references = self._references[node] = frozenset(self._collect(node))
        if (a.resource, a.namespace, a.name) in references:
            return ""
        if a.resource == "volumeattachments":
            found = self._get("storage.k8s.io", "volumeattachments", "", a.name)
            if found is not None and found.spec.node_name == node:
                return ""
        elif a.resource in ("persistentvolumes", "secrets"):
            for volume in self._volumes(references):
                if a.resource == "persistentvolumes":
                    if volume.metadata.name == a.name:
                        return ""
                elif (a.namespace, a.name) in set(_volume_secrets(volume)):
                    return ""
        return _unrelated(node)

    def _volumes(self, references: frozenset[Reference]) -> Iterator[Any]:
        for resource, namespace, name in references:
            if resource == "persistentvolumeclaims":
                claim = self._get("", "persistentvolumeclaims", namespace, name)
                if claim is not None and claim.spec.volume_name:
                    volume = self._get("", "persistentvolumes", "", claim.spec.volume_name)
                    if volume is not None:
                        yield volume

    def _collect(self, node: str) -> Iterator[Reference]:
        for namespace, name in self._pods.get(node, ()):
            pod = self._get("", "pods", namespace, name)
            if pod is not None and _MIRROR not in (pod.metadata.annotations or {}):
                yield from references_of(pod)


def _volume_secrets(volume: Any) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the Secrets a node needs to mount a persistent volume."""
    spec = volume.spec
    claim_namespace = (spec.claim_ref.namespace or "") if spec.claim_ref is not None else ""
    found = []
    if spec.csi is not None:
        csi = spec.csi
        found += [csi.node_stage_secret_ref, csi.node_publish_secret_ref, csi.node_expand_secret_ref]
    for name in WITH_SECRET:
        source = getattr(spec, name, None)
        found.append(getattr(source, "secret_ref", None))
    for reference in found:
        if reference is not None and reference.name:
            yield getattr(reference, "namespace", None) or claim_namespace, reference.name
    if spec.azure_file is not None:
        yield spec.azure_file.secret_namespace or claim_namespace, spec.azure_file.secret_name


def _selects(selector: str, key: str, value: str) -> bool:
    """A field selector that, among other things, demands key = value."""
    for term in selector.split(","):
        left, _, right = term.partition("=")
        if left == key and right.removeprefix("=") == value:
            return True
    return False


def _unrelated(node: str) -> str:
    return f"no relationship found between node '{node}' and this object"


_CHECKS = {
    ("", "secrets"): NodeAuthorizer._referenced,
    ("", "configmaps"): NodeAuthorizer._referenced,
    ("", "persistentvolumes"): NodeAuthorizer._referenced,
    ("", "persistentvolumeclaims"): NodeAuthorizer._claim,
    ("", "serviceaccounts"): NodeAuthorizer._account,
    ("", "nodes"): NodeAuthorizer._node,
    ("", "pods"): NodeAuthorizer._pod,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csinode,
    ("storage.k8s.io", "volumeattachments"): NodeAuthorizer._referenced,
    ("resource.k8s.io", "resourceclaims"): NodeAuthorizer._referenced,
    ("resource.k8s.io", "resourceslices"): NodeAuthorizer._slice,
}
