"""The audit log's file: lines in order, renamed when large, old ones removed."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.audit.log import LogFile


async def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.log"
    log = LogFile(str(path), 200, 0, 2)
    running = asyncio.get_running_loop().create_task(log.run(), name="log")
    for number in range(30):
        log.write([{"number": number, "text": "x" * 60}])
        await clock.sleep(1)
    running.cancel()
    await asyncio.wait([running])
    files = sorted(path.parent.iterdir(), key=lambda file: (file != path, file.name))
    assert files[0] == path and len(files) == 3
    assert all(file.stat().st_size <= 200 for file in files)
    lines = [json.loads(line)["number"] for file in (*files[1:], path) for line in file.read_text().splitlines()]
    assert lines == list(range(30 - len(lines), 30))
    assert os.stat(path).st_mode & 0o777 == 0o600


async def test_lines_of_one_turn_are_written_together(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = LogFile(str(path), 0, 0, 0)
    running = asyncio.get_running_loop().create_task(log.run(), name="log")
    await asyncio.sleep(0)
    for number in range(3):
        log.write([{"number": number}])
    assert path.read_text() == ""
    running.cancel()
    await asyncio.wait([running])
    assert path.read_text() == '{"number":0}\n{"number":1}\n{"number":2}\n'
