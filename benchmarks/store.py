"""Commits a second of each store: alone, and with 16 and 128 writers at once.

`python benchmarks/store.py [memory sqlite etcd] [--seconds S] [--dir D]`; the value is as long as a Pod. etcd is
started on loopback with syncs on, if there is a binary on PATH.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pybernetes.aio import clock
from pybernetes.store import Store, open_store

VALUE = b'{"metadata":{"resourceVersion":"0"}' + b"x" * 1500 + b"}"


@asynccontextmanager
async def opened(name: str, directory: Path) -> AsyncIterator[Store]:
    """A started store of the kind `name` with its data below `directory`."""
    if name == "etcd":
        from tests.suites.etcd_server import EtcdServer

        with EtcdServer(directory, fsync=True) as server:
            store = open_store(server.url)
            await store.start()
            yield store
            await store.close()
        return
    store = open_store("memory:" if name == "memory" else f"sqlite://{directory}/store.db")
    await store.start()
    yield store
    await store.close()


async def rate(store: Store, writers: int, seconds: float, prefix: str) -> tuple[float, float]:
    """(commits per second, their median latency in seconds) of `writers` that each update a key of their own."""
    latencies: list[float] = []
    end = clock.monotonic() + seconds

    async def write(key: str) -> None:
        entry = await store.create(key, VALUE)
        began = clock.monotonic()
        while began < end:
            entry = await store.update(key, VALUE, entry.revision)
            now = clock.monotonic()
            latencies.append(now - began)
            began = now
            if store.__class__.__name__ == "MemoryStore":
                await asyncio.sleep(0)

    began = clock.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(write(f"{prefix}/{number}"), name=f"writer-{number}")
    elapsed = clock.monotonic() - began
    return len(latencies) / elapsed, sorted(latencies)[len(latencies) // 2]


async def run(names: list[str], seconds: float, directory: str | None) -> None:
    for name in names:
        if name == "etcd" and shutil.which("etcd") is None:
            print("etcd     no binary on PATH")
            continue
        with tempfile.TemporaryDirectory(dir=directory) as data:
            async with opened(name, Path(data)) as store:
                for writers in (1, 16, 128):
                    commits, median = await rate(store, writers, seconds, f"/bench/{writers}")
                    figures = f"{commits:9,.0f} commits/s   p50 {median * 1000:7.2f} ms"
                    print(f"{name:8} {writers:4} writers {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", default=["memory", "sqlite", "etcd"])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--dir", default=None, help="where the data goes (default: the temporary directory)")
    options = parser.parse_args()
    asyncio.run(run(options.stores, options.seconds, options.dir))


if __name__ == "__main__":
    main()
