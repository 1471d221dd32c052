"""`kubectl expose`: a Service for what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import CLIError
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    writer = Writer(session, flags, "kubectl-expose")
    found = finder.fetch(session, flags, finder.targets(session, flags, arguments))
    if not found:
        raise CLIError("resource(s) were provided, but no name was specified")
    for f in found:
        service = _service(flags, f)
        resource = session.resources.find("services")
        if f.namespace != "default" or session.flags.text("namespace"):
            service["metadata"]["namespace"] = f.namespace
        made = writer.create(resource, f.namespace, service)
        writer.report(made, f"service/{made['metadata']['name']}", "exposed")
    return None


def _service(flags: Flags, f: finder.Found) -> dict[str, Any]:
    spec, kind = f.object.get("spec") or {}, f.resource.kind
    if flags.text("selector"):
        selector = dict(pair.split("=", 1) for pair in flags.text("selector").split(","))
    elif kind == "Pod":
        selector = f.object["metadata"].get("labels") or {}
        if not selector:
            raise CLIError(
                "couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and "
                "cannot be exposed"
            )
    elif kind in ("Service", "ReplicationController"):
        selector = spec.get("selector") or {}
    elif kind in ("Deployment", "ReplicaSet"):
        if (spec.get("selector") or {}).get("matchExpressions"):
            raise CLIError(
                "couldn't retrieve selectors via --selector flag or introspection: couldn't convert expressions - "
                f'"{spec["selector"]["matchExpressions"]}" to map-based selector format'
            )
        selector = (spec.get("selector") or {}).get("matchLabels") or {}
    else:
        group = f".{f.resource.group}" if f.resource.group else ""
        raise CLIError(f"cannot expose a {kind}{group}")
    ports = _ports(flags, f)
    name = flags.text("name") or f.name[:63]
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": ports, "selector": selector},
        "status": {"loadBalancer": {}},
    }
    labels = flags.text("labels")
    if labels:
        service["metadata"]["labels"] = dict(pair.split("=", 1) for pair in labels.split(","))
    elif f.object["metadata"].get("labels"):
        service["metadata"]["labels"] = f.object["metadata"]["labels"]
    out = service["spec"]
    if flags.text("type"):
        out["type"] = flags.text("type")
    if flags.text("cluster-ip"):
        out["clusterIP"] = flags.text("cluster-ip")
    if flags.text("external-ip"):
        out["externalIPs"] = [flags.text("external-ip")]
    if flags.text("load-balancer-ip"):
        out["loadBalancerIP"] = flags.text("load-balancer-ip")
    if flags.text("session-affinity"):
        out["sessionAffinity"] = flags.text("session-affinity")
    if flags.text("overrides"):
        from pybernetes.cli.writing import parse_json
        from pybernetes.machinery.patch import merge_patch

        service = merge_patch(service, parse_json(flags.text("overrides")))
    return service


def _ports(flags: Flags, f: finder.Found) -> list[dict[str, Any]]:
    protocol = flags.text("protocol") or "TCP"
    target = flags.text("target-port")
    goal: Any = int(target) if target.isdigit() else target
    if flags.text("port"):
        given = flags.text("port").split(",")
        found = [{"port": int(p), "protocol": protocol, "targetPort": goal or int(p)} for p in given]
    else:
        spec = f.object.get("spec") or {}
        if f.resource.kind == "Service":
            found = [
                {"port": p["port"], "protocol": p.get("protocol", "TCP"), "targetPort": goal or p["port"]}
                for p in spec.get("ports") or ()
            ]
        else:
            pod = spec if f.resource.kind == "Pod" else (spec.get("template") or {}).get("spec") or {}
            found = [
                {
                    "port": p["containerPort"],
                    "protocol": flags.text("protocol") or p.get("protocol", "TCP"),
                    "targetPort": goal or p["containerPort"],
                }
                for c in pod.get("containers") or ()
                for p in c.get("ports") or ()
            ]
        if not found:
            raise CLIError(
                "couldn't find port via --port flag or introspection\nSee 'kubectl expose -h' for help and examples"
            )
    if len(found) > 1:
        for number, port in enumerate(found, 1):
            port["name"] = f"port-{number}"
    return found


COMMAND = Command(
    "Expose a resource as a new Kubernetes service.",
    usage="kubectl expose (-f FILENAME | TYPE NAME) [--port=port] [--protocol=TCP|UDP|SCTP] "
    "[--target-port=number-or-name] "
    "[--name=name] [--external-ip=external-ip-of-service] [--type=type]",
    flags=f"{FILES} {PRINT} cluster-ip= dry-run~unchanged:none external-ip= field-manager= l:labels= load-balancer-ip= "
    "name= override-type=merge overrides= port= protocol= save-config? selector= session-affinity= target-port= type=",
    run=run,
    examples="kubectl expose deployment nginx --port=80 --target-port=8000",
)
