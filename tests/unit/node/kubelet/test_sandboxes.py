"""Pods whose address is outside of the node's range get a new one; others are left alone."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pybernetes.api.core_v1 import Pod
from pybernetes.node.kubelet import sandboxes

from .world import World, pod


async def test_a_pod_outside_of_the_range_is_made_anew_and_one_of_the_host_stays(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("inside"))
        await world.create(pod("host", hostNetwork=True))
        for name in ("inside", "host"):
            await world.until(name, lambda p: p.status.phase == "Running")
        (before,) = [box for box in await world.runtime.list_pod_sandboxes() if box.metadata.name == "inside"]
        address = (await world.runtime.pod_sandbox_status(before.id)).ips[0]

        await sandboxes.renew_outside(world.runtime, f"{address}/32")
        assert {box.metadata.attempt for box in await world.runtime.list_pod_sandboxes()} == {0}

        await sandboxes.renew_outside(world.runtime, f"{ip_address(address) + 1}/32")

        def renewed(found: Pod) -> bool:
            (status,) = found.status.container_statuses or ()
            return found.status.pod_ip != address and status.restart_count == 1 and status.ready

        await world.until("inside", renewed)
