"""kill -9 in the middle of writing: nothing acknowledged is lost, no revision is given out twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pybernetes.store import KeyExists
from pybernetes.store.sqlite import SqliteStore

CHILD = Path(__file__).with_name("kill_child.py")


def run_until(path: Path, round_: int, lines: int) -> list[str]:
    """Kill the writing child after it acknowledged `lines` writes; return all that it acknowledged."""
    command = [sys.executable, str(CHILD), str(path), str(round_)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.readlines()
    return [line for line in said if line.endswith("\n")]


@pytest.mark.real_time
async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    last: dict[str, tuple[int, bool]] = {}  # key: (revision, exists)
    given: set[int] = set()
    highest = 0
    for round_, lines in enumerate((1, 40, 300, 700, 1500)):
        said = run_until(path, round_, lines)
        assert len(said) >= lines
        for line in said:
            key, revision = line.split()
            assert int(revision) not in given and int(revision) > highest
            given.add(int(revision))
            last[key.lstrip("-")] = (int(revision), not key.startswith("-"))
        store = SqliteStore(path)
        await store.start()
        try:
            highest = await store.current_revision()
            assert highest >= max(given)
            for key, (revision, exists) in last.items():
                entry = await store.get(key)
                if exists:  # a later write of the child may have been made and not yet said
                    assert entry is None or entry.revision >= revision
                    assert entry is not None or revision > highest - 16
                    assert entry is None or entry.value in (key.encode() * 20, key.encode() * 30)
                elif entry is not None:
                    raise AssertionError(f"{key} is back")
            entries = (await store.list("/")).entries
            for entry in entries[:3]:
                with pytest.raises(KeyExists):
                    await store.create(entry.key, b"")
            last = {entry.key: (entry.revision, True) for entry in entries} | {
                key: state for key, state in last.items() if not state[1]
            }
        finally:
            await store.close()
