"""Start, readiness, identity and end of detached processes, with real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pybernetes.bootstrap import processes


def test_a_record_of_another_process_is_not_ours(tmp_path: Path) -> None:
    me = processes.start_time(os.getpid())
    assert me is not None
    pid_file = tmp_path / "x.pid"
    pid_file.write_bytes(msgspec.json.encode(processes.Record(os.getpid(), me, ["x"])))
    assert processes.running(pid_file) is not None
    pid_file.write_bytes(msgspec.json.encode(processes.Record(os.getpid(), me - 1, ["x"])))
    assert processes.running(pid_file) is None
    assert not processes.stop(pid_file)


def test_stop_ends_the_process_of_the_record(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    started = processes.start_time(child.pid)
    assert started is not None
    pid_file = tmp_path / "c.pid"
    pid_file.write_bytes(msgspec.json.encode(processes.Record(child.pid, started, ["sleep"])))
    assert processes.stop(pid_file)
    assert child.wait() != 0
    assert not pid_file.exists()


def test_a_process_that_fails_tells_why(tmp_path: Path) -> None:
    begun = processes.start("x", ["no-such-command"], pid_file=tmp_path / "x.pid", log=tmp_path / "x.log")
    with pytest.raises(processes.StartError, match="ended before it was ready"):
        begun.wait_ready(20)
    assert begun.process.wait() != 0
