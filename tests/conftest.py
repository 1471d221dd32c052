"""Shared by all tests: coroutine tests under virtual time, and leaks that fail.

`async def` tests run on a virtual-time loop (marker `real_time` asks for the wall clock): a sleep of an hour costs
nothing, and elapsed time can be asserted. A task still alive at the end of a test fails it.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Iterator
from typing import Any

import looptime
import pytest

from pybernetes.aio import clock

_LOOKS = 42  # looptime's own number
EPOCH = 1_767_225_600.0  # 2026-01-01T00:00:00Z


class VirtualLoop(looptime.LoopTimeEventLoop, asyncio.SelectorEventLoop):
    """A selector loop whose clock jumps to the next timer when nothing else is to be done.

    Before a jump looptime looks some forty times whether something comes from outside after all. Where neither sockets
    nor threads are in play nothing can, and the looking would be most of a simulation's time.
    """

    _outside = False

    def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        self._outside = self._outside or fd != self._ssock.fileno()  # type: ignore[attr-defined]
        return super()._add_reader(fd, callback, *args)  # type: ignore[misc]

    def _looks(self) -> int:
        return _LOOKS if self._outside or threading.active_count() > 1 else 0

    _LoopTimeEventLoop__noop_cycles = property(_looks, lambda self, value: None)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time: run the coroutine test on the wall clock")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    kwargs = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
    run_coroutine(pyfuncitem.obj(**kwargs), virtual=pyfuncitem.get_closest_marker("real_time") is None)
    return True


def run_coroutine(coroutine: Any, *, virtual: bool) -> None:
    """Run one test; raise if it leaves tasks behind."""
    loop: asyncio.AbstractEventLoop
    if virtual:
        loop = VirtualLoop(start=0)
        clock.use_virtual_epoch(EPOCH)
        clock.seed(1)
    else:
        loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(coroutine)
        leaked = [t for t in asyncio.all_tasks(loop) if not t.done()]
        for task in leaked:
            task.cancel()
        if leaked:
            loop.run_until_complete(asyncio.wait(leaked))
            raise AssertionError(f"tasks left behind: {[t.get_name() for t in leaked]}")
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        clock.use_virtual_epoch(None)
        loop.close()


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    """What a module leaves unclosed fails it, and not the test in which the collector happens to find it."""
    yield
    gc.collect()
