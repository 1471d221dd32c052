"""What the scheduler writes: bindings, conditions, nominations, victims' conditions and deletions, Events.

Every function here is one decision carried out; errors are the caller's to judge.
"""

from __future__ import annotations

from typing import Any

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Binding, ObjectReference, Pod, PodCondition
from pybernetes.client.client import Client
from pybernetes.client.events import EventRecorder
from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.machinery.meta import ObjectMeta

#: Longest note of an Event.
_NOTE = 1024


class Effects:
    """Writes for one scheduler name."""

    def __init__(self, client: Client, events: EventRecorder, name: str) -> None:
        self._pods = client.resource(Pod)
        self._events = events
        self.name = name

    async def bind(self, pod: PodFacts, node: str) -> None:
        """Assign the Pod to a node. Raises StatusError or Unavailable."""
        binding = Binding(
            metadata=ObjectMeta(name=pod.name, namespace=pod.namespace, uid=pod.uid),
            target=ObjectReference(kind="Node", name=node),
        )
        await self._pods.create_subresource(pod.name, pod.namespace, "binding", binding)
        self.bound_event(pod, node)

    def bound_event(self, pod: PodFacts, node: str) -> None:
        """Tell people where a Pod went."""
        self._events.event(
            pod.pod, "Normal", "Scheduled", f"Successfully assigned {pod.namespace}/{pod.name} to {node}",
            action="Binding",
        )  # fmt: skip

    def failed_event(self, pod: PodFacts, message: str) -> None:
        """Tell people why a Pod is not scheduled."""
        self._events.event(pod.pod, "Warning", "FailedScheduling", _shortened(message), action="Scheduling")

    def waiting_event(self, pod: PodFacts, node: str) -> None:
        """Tell people that a device is being got ready."""
        message = f"waiting for binding conditions for device on node {node}"
        self._events.event(pod.pod, "Normal", "BindingConditionsPending", message, action="Scheduling")

    async def refuse(self, pod: PodFacts, reason: str, message: str, nominated: str | None) -> None:
        """Set PodScheduled to False, and the nominated node (None: leave it) if that changes anything."""
        status: dict[str, Any] = {}
        old = condition(pod.pod, "PodScheduled")
        generation = pod.pod.metadata.generation
        if (
            old is None
            or (old.status, old.reason, old.message) != ("False", reason, message)
            or (old.observed_generation or 0) != (generation or 0)
        ):
            since = old.last_transition_time if old is not None and old.status == "False" else None
            fresh: dict[str, Any] = {
                "type": "PodScheduled",
                "status": "False",
                "reason": reason,
                "message": message,
                "lastProbeTime": None,
                "lastTransitionTime": since or clock.rfc3339(),
            }
            if generation:
                fresh["observedGeneration"] = generation
            status["conditions"] = [fresh]
        if nominated is not None and nominated != (pod.pod.status.nominated_node_name or ""):
            status["nominatedNodeName"] = nominated or None
        if status:
            await self._patch_status(pod, status)

    async def nominate(self, pod: PodFacts, node: str) -> None:
        """The Pod will go to the node, as soon as what it needs there is ready."""
        if pod.pod.status.nominated_node_name != node:
            await self._patch_status(pod, {"nominatedNodeName": node})

    async def clear_nomination(self, pod: PodFacts) -> None:
        """The Pod no longer waits for the node it was nominated to."""
        await self._patch_status(pod, {"nominatedNodeName": None})

    async def evict(self, victim: PodFacts, preemptor: PodFacts, node: str) -> None:
        """Mark a victim as disrupted by the scheduler, delete it gracefully, say so."""
        message = f"{self.name}: preempting to accommodate a higher priority pod"
        old = condition(victim.pod, "DisruptionTarget")
        if old is None or old.status != "True":
            disrupted: dict[str, Any] = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "PreemptionByScheduler",
                "message": message,
                "lastTransitionTime": clock.rfc3339(),
            }
            if victim.pod.metadata.generation:
                disrupted["observedGeneration"] = victim.pod.metadata.generation
            await self._patch_status(victim, {"conditions": [disrupted]})
        await self._pods.delete(victim.name, victim.namespace, uid=victim.uid)
        text = f"Preempted by pod {preemptor.uid} on node {node}"
        self._events.event(victim.pod, "Normal", "Preempted", text, action="Preempting", related=preemptor.pod)

    async def _patch_status(self, pod: PodFacts, status: dict[str, Any]) -> None:
        body = {"metadata": {"uid": pod.uid}, "status": status}
        await self._pods.patch(pod.name, pod.namespace, body, type="strategic", subresource="status")


def condition(pod: Pod, type_: str) -> PodCondition | None:
    """The condition of that type."""
    for found in pod.status.conditions or ():
        if found.type == type_:
            return found
    return None


def _shortened(message: str) -> str:
    return message if len(message) <= _NOTE else message[: _NOTE - 4] + " ..."
