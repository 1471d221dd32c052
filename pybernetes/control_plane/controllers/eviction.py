"""Pods that must leave because something they use is tainted: until when they may stay, and how they are sent away.

Nodes and devices have the same taints and tolerations under different names.
"""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod, PodCondition, Taint, Toleration
from pybernetes.api.resource_v1 import DeviceTaint, DeviceToleration
from pybernetes.client.client import Client
from pybernetes.control_plane.controllers.node_fit import tolerates
from pybernetes.control_plane.controllers.pods import condition
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError


def tolerated_until(
    taints: Sequence[Taint | DeviceTaint],
    tolerations: Sequence[Toleration | DeviceToleration],
    now: float,
    seen: float | None = None,
) -> float | None:
    """The Unix time until which all NoExecute taints are tolerated: None for ever, `now` when one is not at all.

    seen: since when the Pod is known to suffer, for taints that do not say when they were added (as those that people
    put).
    """
    ends: list[float] = []
    for taint in taints:
        fitting = [t for t in tolerations if tolerates(t, taint)]
        if not fitting:
            return now
        since = clock.parse_rfc3339(taint.time_added) if taint.time_added else seen or now
        ends.extend(since + max(0, t.toleration_seconds) for t in fitting if t.toleration_seconds is not None)
    return min(ends) if ends else None


async def evict(client: Client, pod: Pod, reason: str, message: str) -> None:
    """Delete the Pod, with the reason in its DisruptionTarget condition."""
    resource = client.resource(Pod)
    try:
        if (present := condition(pod, "DisruptionTarget")) is None or present.status != "True":
            changed = codec.copy(pod)
            changed.status.conditions = [
                *(c for c in changed.status.conditions or () if c.type != "DisruptionTarget"),
                PodCondition(
                    type="DisruptionTarget",
                    status="True",
                    reason=reason,
                    message=message,
                    observed_generation=pod.metadata.generation,
                    last_transition_time=clock.rfc3339(),
                ),
            ]
            await resource.update_status(changed)
        await resource.delete(pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid)
    except StatusError as error:
        if error.code != 404:
            raise
