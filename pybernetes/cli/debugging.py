"""What `debug` makes: ephemeral containers, copies of Pods, Pods on nodes, and the profiles that say what they may.

Pure: specs in, specs out. Profiles are KEP-1441's: legacy, general, baseline, netadmin, restricted, sysadmin.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from pybernetes.cli.errors import CLIError

PROFILES = ("legacy", "general", "baseline", "netadmin", "restricted", "sysadmin")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_TAINTS = [{"operator": "Exists"}]

Object = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """The flags that shape a debugging container. `images` are those of `--set-image`."""

    image: str
    name: str
    profile: str
    arguments: tuple[str, ...] = ()
    arguments_only: bool = False
    env: tuple[tuple[str, str], ...] = ()
    pull_policy: str = ""
    stdin: bool = False
    tty: bool = False
    target: str = ""
    custom: Object | None = None
    images: tuple[tuple[str, str], ...] = ()
    share: bool | None = None
    same_node: bool = False
    keep: frozenset[str] = frozenset()

    @property
    def security(self) -> Object | None:
        """The security context of the profile."""
        match self.profile:
            case "general":
                return {"capabilities": {"add": ["SYS_PTRACE"]}}
            case "netadmin":
                return {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}
            case "sysadmin":
                return {"privileged": True}
            case "restricted":
                return {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                }
        return None


def ephemeral(wish: Wish) -> Object:
    """The container to be added to a running Pod."""
    made = _container(wish)
    if wish.target:
        made["targetContainerName"] = wish.target
    return _finished(made, wish, wish.security)


def copied(pod: Object, name: str, wish: Wish) -> Object:
    """A Pod of another name with the container added or changed. Raises CLIError."""
    metadata = pod["metadata"]
    spec: Object = copy.deepcopy(pod["spec"])
    made: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": metadata["namespace"]}}
    for part in ("annotations", "labels"):
        if metadata.get(part):
            made["metadata"][part] = dict(metadata[part])
    made["spec"] = spec
    spec.pop("ephemeralContainers", None)
    if wish.share is not None:
        spec["shareProcessNamespace"] = wish.share
    if not wish.same_node:
        spec.pop("nodeName", None)
    images = dict(wish.images)
    for container in spec["containers"]:
        if image := images.get(container["name"], images.get("*")):
            container["image"] = image
    if not wish.name and not wish.image:
        return made  # only images were to be changed
    _strip(made, wish)
    container = next((c for c in spec["containers"] if c["name"] == wish.name), None)
    if container is None:
        if not wish.image:
            raise CLIError("you must specify image when creating new container")
        container = _container(wish)
        spec["containers"].append(container)
    else:
        _change(container, wish)
    if wish.share is None and wish.profile != "legacy":
        spec["shareProcessNamespace"] = True
    return _with(made, container, _finished(container, wish, wish.security))


def on_node(node: str, name: str, namespace: str, wish: Wish) -> Object:
    """A Pod on a node that sees as much of it as the profile allows."""
    container = _container(wish)
    spec: Object = {
        "containers": [container],
        "nodeName": node,
        "restartPolicy": "Never",
        "tolerations": _TAINTS,
    }
    if wish.profile in ("legacy", "general", "sysadmin"):
        container["volumeMounts"] = [{"mountPath": "/host", "name": "host-root"}]
        spec["volumes"] = [{"name": "host-root", "hostPath": {"path": "/"}}]
    if wish.profile in ("legacy", "general", "sysadmin", "netadmin"):
        spec |= {"hostNetwork": True, "hostPID": True, "hostIPC": True}
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "kubectl-debug"}}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    security = None if wish.profile == "general" else wish.security
    return _with(made, container, _finished(container, wish, security))


def _with(pod: Object, old: Object, new: Object) -> Object:
    containers = pod["spec"]["containers"]
    pod["spec"]["containers"] = [new if c is old else c for c in containers]
    return pod


def _container(wish: Wish) -> Object:
    made: Object = {"name": wish.name, "image": wish.image, "terminationMessagePolicy": "File"}
    _change(made, wish)
    return made


def _change(container: Object, wish: Wish) -> None:
    if wish.image:
        container["image"] = wish.image
    if wish.arguments_only:
        container["args"] = list(wish.arguments)
    elif wish.arguments:
        container["command"] = list(wish.arguments)
        container.pop("args", None)
    if wish.env:
        container["env"] = [{"name": k, "value": v} for k, v in wish.env]
    if wish.pull_policy:
        container["imagePullPolicy"] = wish.pull_policy
    for name, on in (("stdin", wish.stdin), ("tty", wish.tty)):
        if on:
            container[name] = True


def _finished(container: Object, wish: Wish, security: Object | None) -> Object:
    if security is not None:
        old = container.get("securityContext") or {}
        merged = {**old, **security}
        if "add" in security.get("capabilities", {}):
            have = (old.get("capabilities") or {}).get("add") or []
            wanted = [c for c in security["capabilities"]["add"] if c not in have]
            merged["capabilities"] = {**(old.get("capabilities") or {}), "add": [*have, *wanted]}
        container["securityContext"] = merged
    if wish.custom is not None:
        from pybernetes.api.core_v1 import Container
        from pybernetes.machinery.patch import strategic_merge
        from pybernetes.machinery.schema import of_struct

        name = container["name"]
        container = {**strategic_merge(container, wish.custom, of_struct(Container)), "name": name}
    return container


def _strip(pod: Object, wish: Wish) -> None:
    """Remove what would make a copy receive traffic, be restarted, or be adopted."""
    for part in ("labels", "annotations"):
        if part not in wish.keep and (part == "labels" or wish.profile != "legacy"):
            pod["metadata"].pop(part, None)
    if wish.profile == "legacy":
        return
    if "init-containers" not in wish.keep:
        pod["spec"].pop("initContainers", None)
    for container in pod["spec"]["containers"]:
        for probe in _PROBES:
            if probe.removesuffix("Probe") not in wish.keep:
                container.pop(probe, None)
