"""Pod garbage collection: Pods that nobody will ever finish.

Those of a node that no longer exists, those deleted before they had a node, those on a node declared out of service,
and the oldest ended ones beyond a threshold. Upstream looks every 20 s; here the event that makes a Pod a candidate
sets its timer.
"""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, Pod, PodCondition
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter, key_of, split_key
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.controllers.indexes import POD_NODE, pods_by_node
from pybernetes.control_plane.controllers.pods import is_terminal
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_TERMINATED = "terminated"
_THRESHOLD_KEY = "*"  # no Pod's key


@dataclass(frozen=True)
class Config:
    """Limits."""

    terminated_threshold: int = 12500  #: ended Pods kept; the oldest beyond it go. 0: keep all
    quarantine: float = 40.0  #: seconds a node must be gone before its Pods are


class PodGarbageCollector(Controller):
    """Keys are Pods, and `*` for the threshold."""

    name = "pod-garbage-collector-controller"

    def __init__(self, config: Config, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._config = config

    def setup(self) -> None:
        """Pods and nodes."""
        self.pods = self.informers.informer(Pod)
        self.nodes = self.informers.informer(Node)
        pods_by_node(self.informers)
        self.pods.add_index(_TERMINATED, lambda pod: ("",) if is_terminal(pod) and not _deleting(pod) else ())
        self.pods.on(self._pod, lambda old, new: self._pod(new))
        self.nodes.on(updated=self._node_updated, deleted=self._node_deleted)
        self._pods = self.client.resource(Pod)

    def _pod(self, pod: Pod) -> None:
        node = pod.spec.node_name
        if not node:
            if _deleting(pod):
                self.queue.add(key_of(pod))
        elif (found := self.nodes.get("", node)) is None:
            self.queue.add_after(key_of(pod), self._config.quarantine)
        elif _deleting(pod) and _out_of_service(found):
            self.queue.add(key_of(pod))
        limit = self._config.terminated_threshold
        if limit and is_terminal(pod) and len(self.pods.by_index(_TERMINATED, "")) > limit:
            self.queue.add(_THRESHOLD_KEY)

    def _node_updated(self, old: Node, new: Node) -> None:
        if _out_of_service(new) and not _out_of_service(old):
            for pod in self.pods.by_index(POD_NODE, new.metadata.name):
                self.queue.add(key_of(pod))

    def _node_deleted(self, node: Node) -> None:
        for pod in self.pods.by_index(POD_NODE, node.metadata.name):
            self.queue.add_after(key_of(pod), self._config.quarantine)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Remove the Pod if it has no future."""
        if key == _THRESHOLD_KEY:
            await self._enforce_threshold()
            return None
        pod = self.pods.get(*split_key(key))
        if pod is None:
            return None
        node = pod.spec.node_name
        if not node:
            if _deleting(pod):
                await self._remove(pod, "", "")
            return None
        found = self.nodes.get("", node)
        if found is None:
            try:
                await self.client.resource(Node).get(node)
            except StatusError as error:
                if error.code != 404:
                    raise
                await self._remove(pod, "DeletionByPodGC", "PodGC: node no longer exists")
        elif _deleting(pod) and _out_of_service(found):
            await self._remove(pod, "DeletionByPodGC", "PodGC: node is out-of-service")
        return None

    async def _enforce_threshold(self) -> None:
        ended = sorted(
            self.pods.by_index(_TERMINATED, ""),
            key=lambda pod: (pod.metadata.creation_timestamp or "", key_of(pod)),
        )
        for pod in ended[: max(0, len(ended) - self._config.terminated_threshold)]:
            await self._remove(pod, "", "")

    async def _remove(self, pod: Pod, reason: str, message: str) -> None:
        """Say why, in a status that is final, and delete without waiting for a node."""
        metadata = pod.metadata
        try:
            if not is_terminal(pod):  # also so that a Job counts it and takes its finalizer away
                changed = codec.copy(pod)
                changed.status.phase = "Failed"
                if reason:
                    others = [c for c in changed.status.conditions or () if c.type != "DisruptionTarget"]
                    condition = PodCondition(
                        type="DisruptionTarget",
                        status="True",
                        reason=reason,
                        message=message,
                        observed_generation=pod.metadata.generation,
                        last_transition_time=clock.rfc3339(),
                    )
                    changed.status.conditions = [*others, condition]
                await self._pods.update_status(changed)
            await self._pods.delete(metadata.name, metadata.namespace, grace_period=0, uid=metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise


def _deleting(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None


def _out_of_service(node: Node) -> bool:
    ready = next((c.status for c in node.status.conditions or () if c.type == "Ready"), "Unknown")
    return ready != "True" and any(taint.key == _OUT_OF_SERVICE for taint in node.spec.taints or ())
