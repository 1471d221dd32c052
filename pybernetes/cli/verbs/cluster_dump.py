"""`kubectl cluster-info dump`: nodes, and per namespace events, workloads, Pods and their logs, to look at later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import APIError, CLIError
from pybernetes.cli.printers import objects

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

#: (file, resource), in upstream's order.
_KINDS = (
    ("events", "events"),
    ("replication-controllers", "replicationcontrollers"),
    ("services", "services"),
    ("daemonsets", "daemonsets.apps"),
    ("deployments", "deployments.apps"),
    ("replicasets", "replicasets.apps"),
    ("pods", "pods"),
)


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if arguments:
        raise CLIError(f"Unexpected args: [{' '.join(arguments)}]\nSee 'kubectl cluster-info dump -h' for help")
    directory = flags.text("output-directory")
    to_files = directory not in ("", "-")
    show = objects.printer(flags, flags.text("output") or "json")
    extension = {"yaml": ".yaml", "kyaml": ".kyaml"}.get(flags.text("output") or "json", ".json")
    if extension == ".json" and flags.text("output") not in ("", "json"):
        extension = ".txt"

    def put(text: str, *path: str) -> None:
        if not to_files:
            session.out.write(text)
            return
        where = os.path.join(directory, *path)
        os.makedirs(os.path.dirname(where), exist_ok=True)
        with open(where, "w", encoding="utf-8") as file:
            file.write(text)

    def collection(name: str, namespace: str) -> list[dict[str, Any]]:
        resource = session.resources.find(name)
        listed = session.call("GET", resource.path(namespace))
        for item in listed.get("items") or ():
            item.pop("kind", None)  # the list says it
            item.pop("apiVersion", None)
        put(show(listed), *([namespace] if namespace else []), (files.get(name) or name) + extension)
        return list(listed.get("items") or ())

    files = {resource: file for file, resource in _KINDS}
    collection("nodes", "")
    for namespace in _namespaces(session, flags):
        pods = [collection(resource, namespace) for _, resource in _KINDS][-1]
        for pod in pods:
            put(_logs(session, namespace, pod), namespace, pod["metadata"]["name"], "logs.txt")
    if to_files:
        session.say(f"Cluster info dumped to {directory}")
    return None


def _namespaces(session: Session, flags: Flags) -> list[str]:
    if flags.on("all-namespaces"):
        return [n["metadata"]["name"] for n in session.list(session.resources.find("namespaces"), "")]
    if given := [name for names in flags.many("namespaces") for name in names.split(",")]:
        return given
    return ["kube-system", *([session.namespace] if session.namespace != "kube-system" else [])]


def _logs(session: Session, namespace: str, pod: dict[str, Any]) -> str:
    name, spec, parts = pod["metadata"]["name"], pod.get("spec") or {}, []
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        head = f"logs for container {container['name']} of pod {namespace}/{name}"
        parts.append(f"==== START {head} ====\n")
        path = session.resources.find("pods").path(namespace, name, "log")
        try:
            text = session.open("GET", path, query={"container": container["name"]}).read().decode("utf-8", "replace")
        except APIError as error:
            text = f"Request log error: {error}\n"
        parts.append(text)
        parts.append(f"==== END {head} ====\n")
    return "".join(parts)
