"""Settings of the machine that several want changed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pybernetes.network import sysctls
from pybernetes.network.links import NetworkError

pytestmark = pytest.mark.real_time


class Machine:
    """A place whose settings take a moment to read and write."""

    def __init__(self) -> None:
        self.settings = {"a": "0", "b": "0"}

    async def read_sysctl(self, name: str) -> str | None:
        await asyncio.sleep(0.01)
        return self.settings.get(name)

    async def write_sysctl(self, name: str, value: str) -> None:
        await asyncio.sleep(0.01)
        self.settings[name] = value


async def test_parts_of_one_process_wait_for_each_other(tmp_path: Path) -> None:
    machine: Any = Machine()
    registry = tmp_path / "run" / "sysctls.json"
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for owner, wanted in (("network", {"a": "1"}), ("proxy", {"a": "1", "b": "1"}), ("third", {"none": "1"})):
            group.create_task(sysctls.claim(machine, owner, wanted, registry), name=owner)
    assert machine.settings == {"a": "1", "b": "1"}
    await sysctls.release(machine, "network", registry)
    assert machine.settings == {"a": "1", "b": "1"}
    await sysctls.release(machine, "proxy", registry)
    assert machine.settings == {"a": "0", "b": "0"} and not registry.parent.exists()


async def test_a_setting_of_an_interface_that_has_gone_is_forgotten(tmp_path: Path) -> None:
    machine: Any = Machine()
    registry = tmp_path / "run" / "sysctls.json"
    await sysctls.claim(machine, "network", {"a": "1", "b": "1"}, registry)
    del machine.settings["b"]
    await sysctls.release(machine, "network", registry)
    assert machine.settings == {"a": "0"} and not registry.exists()


async def test_a_change_that_is_cut_off_is_remembered(tmp_path: Path) -> None:
    class Stubborn(Machine):
        async def write_sysctl(self, name: str, value: str) -> None:
            if name == "b":
                raise NetworkError("no")
            await super().write_sysctl(name, value)

    machine: Any = Stubborn()
    registry = tmp_path / "run" / "sysctls.json"
    for _ in range(2):
        with pytest.raises(NetworkError):
            await sysctls.claim(machine, "network", {"a": "1", "b": "1"}, registry)
        assert machine.settings == {"a": "1", "b": "0"}
    await sysctls.release(machine, "network", registry)
    assert machine.settings == {"a": "0", "b": "0"} and not registry.parent.exists()
