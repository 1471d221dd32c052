"""Stale disruptions: a Pod that was announced to be disrupted, and then was not, loses the announcement.

Who evicts a Pod writes the condition DisruptionTarget first and deletes the Pod next. If the second never happens, the
condition would count as a reason for whatever becomes of the Pod later (a Job's failure policy reads it).
"""

from __future__ import annotations

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod
from pybernetes.client.controller import Controller, RequeueAfter, key_of, split_key
from pybernetes.control_plane.controllers.pods import condition, is_terminal
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

#: Seconds within which the deletion must follow the announcement.
PATIENCE = 120.0


class StaleDisruptionController(Controller):
    """Keys are Pods."""

    name = "stale-pod-disruption-controller"

    def setup(self) -> None:
        """Pods that bear the condition."""
        self.pods = self.informers.informer(Pod)
        self.pods.on(self._pod, lambda old, new: self._pod(new))

    def _pod(self, pod: Pod) -> None:
        if _announced(pod) is not None:
            self.queue.add(key_of(pod))

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Take the condition back when its time is over."""
        pod = self.pods.get(*split_key(key))
        if pod is None or (since := _announced(pod)) is None:
            return None
        if (remaining := since + PATIENCE - clock.timestamp()) > 0:
            return RequeueAfter(remaining)
        changed = codec.copy(pod)
        target = condition(changed, "DisruptionTarget")
        assert target is not None
        target.status, target.reason, target.message = "False", None, None
        target.last_transition_time = clock.rfc3339()
        try:
            await self.pods.caught_up(await self.client.resource(Pod).update_status(changed))
        except StatusError as error:
            if error.code != 404:
                raise
        return None


def _announced(pod: Pod) -> float | None:
    """When the Pod was said to be disrupted (Unix seconds); None if it was not, or is going already."""
    target = condition(pod, "DisruptionTarget")
    if target is None or target.status != "True" or pod.metadata.deletion_timestamp is not None or is_terminal(pod):
        return None
    return clock.parse_rfc3339(target.last_transition_time) if target.last_transition_time else 0.0
