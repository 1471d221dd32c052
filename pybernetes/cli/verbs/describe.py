"""`kubectl describe`: objects in detail, with what belongs to them and their events."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, Command
from pybernetes.cli.errors import APIError, CLIError, ExitCode, lines

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

#: (group, kind) -> function in `describe`.
REGISTRY: dict[tuple[str, str], str] = {
    ("", "Pod"): "pods:pod",
    ("", "Node"): "others:node",
    ("", "Service"): "others:service",
    ("", "Namespace"): "others:namespace",
    ("", "Secret"): "others:secret",
    ("", "ConfigMap"): "others:config_map",
    ("", "ServiceAccount"): "others:service_account",
    ("", "ReplicationController"): "workloads:replica_set",
    ("scheduling.k8s.io", "PriorityClass"): "others:priority_class",
    ("networking.k8s.io", "NetworkPolicy"): "network_policy:network_policy",
    ("apps", "Deployment"): "workloads:deployment",
    ("apps", "ReplicaSet"): "workloads:replica_set",
    ("apps", "StatefulSet"): "workloads:stateful_set",
    ("apps", "DaemonSet"): "workloads:daemon_set",
    ("batch", "Job"): "workloads:job",
    ("batch", "CronJob"): "workloads:cron_job",
    ("", "PersistentVolumeClaim"): "claims:claim",
    ("", "PersistentVolume"): "claims:volume",
    ("storage.k8s.io", "StorageClass"): "claims:storage_class",
    ("", "Endpoints"): "routing:endpoints",
    ("discovery.k8s.io", "EndpointSlice"): "routing:endpoint_slice",
    ("networking.k8s.io", "Ingress"): "routing:ingress",
    ("networking.k8s.io", "IngressClass"): "routing:ingress_class",
    ("networking.k8s.io", "ServiceCIDR"): "cluster:service_cidr",
    ("networking.k8s.io", "IPAddress"): "cluster:ip_address",
    ("storage.k8s.io", "CSINode"): "cluster:csi_node",
    ("certificates.k8s.io", "CertificateSigningRequest"): "cluster:signing_request",
    ("", "ResourceQuota"): "policies:quota",
    ("", "LimitRange"): "policies:limits",
    ("policy", "PodDisruptionBudget"): "policies:disruption_budget",
    ("autoscaling", "HorizontalPodAutoscaler"): "policies:autoscaler",
    ("rbac.authorization.k8s.io", "Role"): "others:rules",
    ("rbac.authorization.k8s.io", "ClusterRole"): "others:rules",
    ("rbac.authorization.k8s.io", "RoleBinding"): "others:binding",
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): "others:binding",
}


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    targets = finder.targets(session, flags, arguments)
    if not targets:
        raise CLIError(
            'You must specify the type of resource to describe. Use "kubectl api-resources" for a complete list of '
            "supported resources.",
            plain=True,
        )
    found: list[finder.Found] = []
    errors: list[str] = []
    for target in targets:
        try:
            found += finder.fetch(session, flags, [target])
        except APIError as error:
            if error.reason == "NotFound" and target.name and not target.source:
                matching = [
                    f
                    for f in finder.fetch(session, flags, [finder.Target(target.resource, target.namespace)])
                    if f.name.startswith(target.name)
                ]
                if matching:
                    found += matching
                    continue
            errors.append(lines(error))
    session.show_events = flags.on("show-events") and (len(found) < 2 or flags.given("show-events"))
    for index, f in enumerate(found):
        place = REGISTRY.get((f.resource.group, f.resource.kind), "others:generic")
        module, _, name = place.partition(":")
        show: Callable[[Session, dict[str, Any]], str] = getattr(
            import_module(f"pybernetes.cli.describe.{module}"), name
        )
        session.out.write(("\n\n" if index else "") + show(session, f.object))
    if not found and not errors:
        if flags.on("all-namespaces"):
            session.warn("No resources found")
        else:
            session.warn(f"No resources found in {session.namespace} namespace.")
    for line in errors:
        session.warn(line)
    if errors:
        raise ExitCode(1)
    return None


COMMAND = Command(
    "Show details of a specific resource or group of resources.",
    usage="kubectl describe (-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)",
    flags=f"{FILES} A:all-namespaces? chunk-size#500 l:selector= show-events?true",
    run=run,
)
