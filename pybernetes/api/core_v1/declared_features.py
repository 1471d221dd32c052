"""`status.declaredFeatures` of a Node: what its kubelet can do that another version's may not, and who needs which.

The names are upstream's of v1.36, where each kubelet that has them says so. A node that does not say so is not given
what needs them: not to place a Pod there, not to change a Pod that is there.
"""

from __future__ import annotations

from pybernetes.api.core_v1.node import Node
from pybernetes.api.core_v1.pod import Pod
from pybernetes.machinery import quantity

GUARANTEED_CPU_RESIZE = "GuaranteedQoSPodCPUResize"
POD_LEVEL_RESIZE = "InPlacePodLevelResourcesVerticalScaling"
RESTART_ALL_CONTAINERS = "RestartAllContainersOnContainerExits"
#: What our kubelet can do, sorted.
OURS = [GUARANTEED_CPU_RESIZE, POD_LEVEL_RESIZE, RESTART_ALL_CONTAINERS]


def needed_to_run(pod: Pod) -> list[str]:
    """What a node must declare for this Pod to be placed there."""
    containers = (*pod.spec.containers, *(pod.spec.init_containers or ()))
    for container in containers:
        if container.restart_policy_rules and any(
            rule.action == "RestartAllContainers" for rule in container.restart_policy_rules
        ):
            return [RESTART_ALL_CONTAINERS]
    return []


def needed_to_change(new: Pod, old: Pod) -> list[str]:
    """What its node must declare for the Pod to be changed like this."""
    needed = []
    if old.status.qos_class == "Guaranteed" and _cpu_requests(new) != _cpu_requests(old):
        needed.append(GUARANTEED_CPU_RESIZE)
    if new.spec.resources != old.spec.resources:
        needed.append(POD_LEVEL_RESIZE)
    return needed


def missing(needed: list[str], node: Node) -> list[str]:
    """Those of `needed` that the node does not declare."""
    declared = node.status.declared_features or ()
    return [feature for feature in needed if feature not in declared]


def _cpu_requests(pod: Pod) -> list[int]:
    requests = [(c.resources.requests if c.resources else None) or {} for c in pod.spec.containers]
    return [quantity.parse(amounts.get("cpu", "0")).nano for amounts in requests]
