"""The commands that run components: each parses its flags, assembles, and runs until it is told to stop.

SIGTERM and SIGINT cancel the component, which then leaves in order; a second signal ends the process at once.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery, Ready
from pybernetes.bootstrap import cloud, processes, standalone
from pybernetes.bootstrap.cluster import Cluster, ClusterError, find

#: Seconds between two words to systemd before a part is ready; must be less than the units' TimeoutStartSec.
ALIVE_EVERY = 60


class Component(Protocol):
    """What all components have."""

    @property
    def ready(self) -> Ready[Any]: ...

    def run(self) -> Awaitable[None]: ...


def main(arguments: list[str]) -> int:
    """Run one component; the exit code."""
    command, *rest = arguments
    try:
        component, options = _BUILDERS[command](rest)
    except ClusterError as error:
        print(f"pybernetes {command}: {error}", file=sys.stderr)
        return 1
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        import uvloop

        uvloop.run(_run(component, options.ready_fd))
    except asyncio.CancelledError:
        pass
    except Exception as error:
        log = logging.getLogger("pybernetes")
        if (told := _told(error)) is None:
            log.exception("%s failed", command)
        else:
            log.error("%s failed: %s", command, told)
        return 1
    return 0


def _told(error: BaseException) -> BaseException | None:
    """What all that failed come down to, where it is no fault of ours and its text says enough."""
    from pybernetes.store import StoreError

    if isinstance(error, BaseExceptionGroup):
        told = [_told(one) for one in error.exceptions]
        return None if None in told else told[0]
    return error if isinstance(error, StoreError | ClusterError) else None


async def _run(component: Component, ready_fd: int | None) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def stop(number: int) -> None:
        loop.remove_signal_handler(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    async with asyncio.TaskGroup() as group:
        # containerd and etcd know systemd's socket, too, and are not the ones who are ready.
        keeper = os.environ.pop("NOTIFY_SOCKET", "")
        group.create_task(_announce(component, ready_fd, keeper), name="announce")
        await component.run()


async def _announce(component: Component, ready_fd: int | None, keeper: str) -> None:
    async with Nursery("announce") as nursery:
        nursery.start(_alive(keeper), "alive")
        value = await component.ready.wait()
    # What is alive now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    processes.announce(ready_fd, str(value))
    processes.notify(keeper, "READY=1", f"STATUS={value}")


async def _alive(keeper: str) -> None:
    """Before it is ready a part may have to wait for another machine for hours: that is no reason to begin it again."""
    while True:
        await clock.sleep(ALIVE_EVERY)
        processes.notify(keeper, f"EXTEND_TIMEOUT_USEC={3 * ALIVE_EVERY}000000", "STATUS=waits for what it needs")


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"pybernetes {command}", description=description)
    parser.add_argument("--data-dir", metavar="DIR", required=True, help="the cluster's directory")
    parser.add_argument("--ready-fd", type=int, help="file descriptor to write a line to when ready")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    return parser


def _cluster(directory: str) -> Cluster:
    cluster = find("", directory)
    if cluster is None:
        raise ClusterError(f"{directory} holds no cluster; 'pybernetes up' makes one")
    return cluster


def _control_plane(arguments: list[str]) -> tuple[Component, argparse.Namespace]:
    parser = _parser("control-plane", "API server, controllers and scheduler in one process.")
    options = parser.parse_args(arguments)
    from pybernetes.bootstrap import control_plane

    return control_plane.ControlPlane(control_plane.configure(_cluster(options.data_dir))), options


def _etcd_member(arguments: list[str]) -> tuple[Component, argparse.Namespace]:
    parser = _parser("etcd-member", "This machine's member of the cluster's own etcd.")
    options = parser.parse_args(arguments)
    from pybernetes.bootstrap.etcd_member import StackedEtcd

    return StackedEtcd(_cluster(options.data_dir)), options


def _agent(arguments: list[str]) -> tuple[Component, argparse.Namespace]:
    parser = _parser("agent", "Everything that runs on one node, in one process.")
    parser.add_argument("--node", required=True, help="name of the node")
    options = parser.parse_args(arguments)
    from pybernetes.bootstrap.agent import Agent, Config

    return Agent(Config(_cluster(options.data_dir), options.node)), options


def _dns(arguments: list[str]) -> tuple[Component, argparse.Namespace]:
    from pybernetes.bootstrap import dns

    return dns.parse(arguments)


_BUILDERS: dict[str, Callable[[list[str]], tuple[Component, argparse.Namespace]]] = {
    "control-plane": _control_plane,
    "agent": _agent,
    "etcd-member": _etcd_member,
    "apiserver": standalone.apiserver,
    "controller-manager": standalone.controller_manager,
    "cloud-controller-manager": cloud.parse,
    "scheduler": standalone.scheduler,
    "kubelet": standalone.kubelet,
    "proxy": standalone.proxy,
    "dns": _dns,
}
