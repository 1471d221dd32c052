"""Pods whose address went out of use: their sandboxes are stopped, and the kubelet makes new ones with new addresses.

A Pod's address is given once, when its sandbox is made. When the node's Pod range has changed, nobody routes the old
addresses to this node any more, and the range may be another node's already.
"""

from __future__ import annotations

import ipaddress
import logging

from pybernetes.aio import clock
from pybernetes.aio.backoff import Backoff
from pybernetes.node.cri import ContainerRuntime, CRIError
from pybernetes.node.cri import types as t

log = logging.getLogger(__name__)

#: The runtime sees its new network configuration a moment after it was written: look again then, seconds.
SETTLED = 2.0


async def renew_outside(runtime: ContainerRuntime, cidrs: str) -> None:
    """Stop every sandbox with an address of its own that is not in the range, or in none of two by comma.

    Returns when none is left.
    """
    backoff = Backoff(0.5, 10.0)
    looked = False
    while True:
        try:
            found = await _stop_outside(runtime, cidrs)
        except CRIError as error:
            log.warning("Pods outside of %s are not all stopped: %s", cidrs, error)
            await backoff.wait()
            continue
        if not found and looked:
            return
        looked = True
        await clock.sleep(SETTLED)


async def _stop_outside(runtime: ContainerRuntime, cidrs: str) -> int:
    ranges, stopped = [ipaddress.ip_network(cidr) for cidr in cidrs.split(",")], 0
    for box in await runtime.list_pod_sandboxes(state=t.PodSandboxState.READY):
        status = await runtime.pod_sandbox_status(box.id)  # of the host's network: without address
        addresses = [ipaddress.ip_address(ip) for ip in status.ips]
        if any(not any(address in range_ for range_ in ranges) for address in addresses):
            log.info("%s/%s has an address outside of %s", box.metadata.namespace, box.metadata.name, cidrs)
            await runtime.stop_pod_sandbox(box.id)
            stopped += 1
    return stopped
