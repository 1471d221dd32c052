"""`kubectl cluster-info`: where the control plane and the services of the cluster answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pybernetes.cli.command import Command

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    server = session.connection.server
    services = session.list(
        session.resources.find("services"),
        session.flags.text("namespace") or "kube-system",
        selector="kubernetes.io/cluster-service=true",
    )
    _line(session, "Kubernetes control plane", server)
    for service in services:
        metadata, spec = service["metadata"], service["spec"]
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if ingress:
            address = ingress[0].get("ip") or ingress[0].get("hostname", "")
            link = " ".join(f"http://{address}:{p['port']}" for p in spec.get("ports") or ())
        else:
            name = metadata["name"]
            ports = spec.get("ports") or []
            scheme = "https:" if ports and (ports[0]["port"] == 443 or ports[0].get("name") == "https") else ""
            port = ports[0].get("name", "") if ports else ""
            name = f"{scheme}{name}:{port}" if scheme or port else name
            link = f"{server}/api/v1/namespaces/{metadata['namespace']}/services/{name}/proxy"
        _line(session, (metadata.get("labels") or {}).get("kubernetes.io/name") or metadata["name"], link)
    session.say("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.")
    return None


def _line(session: Session, name: str, link: str) -> None:
    if sys.stdout.isatty():
        session.say(f"\x1b[0;32m{name}\x1b[0m is running at \x1b[0;33m{link}\x1b[0m")
    else:
        session.say(f"{name} is running at {link}")


def _dump(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    from pybernetes.cli.verbs import cluster_dump

    return cluster_dump.run(session, flags, arguments)


COMMAND = Command(
    "Display addresses of the control plane and services with label kubernetes.io/cluster-service=true.",
    usage="kubectl cluster-info",
    run=run,
    subcommands={
        "dump": Command(
            "Dump relevant information for debugging and diagnosis.",
            run=_dump,
            flags="A:all-namespaces? namespaces* output-directory= pod-running-timeout=20s o:output=json template= "
            "allow-missing-template-keys?true show-managed-fields?",
        )
    },
)
