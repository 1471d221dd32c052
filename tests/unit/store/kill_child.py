"""A child for `test_sqlite_crash.py`: writes as fast as it can and says what was acknowledged, until it is killed.

`python kill_child.py PATH ROUND`: prints `KEY REVISION` (a put) or `-KEY REVISION` (a deletion) per line; compacts now
and then, so that it is also killed in the middle of that.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from pybernetes.store.sqlite import SqliteStore


async def main(path: str, round_: int) -> None:
    store = SqliteStore(path)
    await store.start()

    def say(text: str) -> None:
        os.write(1, text.encode() + b"\n")

    async def write(worker: int) -> None:
        number = 0
        while True:
            key = f"/{round_}/{worker}/{number}"
            entry = await store.create(key, key.encode() * 20)
            say(f"{key} {entry.revision}")
            entry = await store.update(key, key.encode() * 30, entry.revision)
            say(f"{key} {entry.revision}")
            if number % 2:
                entry = await store.delete(key, entry.revision)
                say(f"-{key} {entry.revision}")
            if worker == 0 and number % 20 == 19:
                await store.compact(entry.revision)
            number += 1

    async with asyncio.TaskGroup() as group:
        for worker in range(8):
            group.create_task(write(worker), name=f"writer-{worker}")


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
