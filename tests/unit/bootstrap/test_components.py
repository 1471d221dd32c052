"""What the process of a component says to those that started it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery, Ready
from pybernetes.bootstrap import components


class Waiting:
    """A component that is ready when somebody else lets it."""

    def __init__(self) -> None:
        self.ready: Ready[str] = Ready()

    async def run(self) -> None:
        await self.ready.wait()


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(keeper: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(keeper.recv(1000).decode())
        except BlockingIOError:
            return found


async def test_systemd_hears_that_a_component_is_alive_until_it_is_ready(keeper: socket.socket) -> None:
    component = Waiting()
    async with Nursery("test") as nursery:
        task = nursery.start(components._announce(component, None, keeper.getsockname()), "announce")
        for _ in range(60):  # an hour without the API server
            await clock.sleep(60)
            said = heard(keeper)
            assert all(one.startswith("EXTEND_TIMEOUT_USEC=180000000\nSTATUS=") for one in said)
            assert len(said) <= 1, "once a minute"
        component.ready.set("node")
        await task
        assert heard(keeper)[-1] == "READY=1\nSTATUS=node"
        await clock.sleep(600)
        assert heard(keeper) == []
