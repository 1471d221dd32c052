from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pybernetes.bootstrap import images, pause
from pybernetes.bootstrap.images import File, ImageConfig, ImageError, assemble, build_image


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "program"
    source.write_bytes(b"#!/bin/sh\n")
    layer = {
        "/usr/bin/program": File(source, mode=0o755),
        "/bin": File(link="usr/bin"),
        "/tmp": images.directory(0o1777),
    }
    one = build_image("app", [layer], ImageConfig(cmd=["program"]), tmp_path / "one.tar").read_bytes()
    source.touch()
    two = build_image("app", [dict(reversed(layer.items()))], ImageConfig(cmd=["program"]), tmp_path / "two.tar")
    assert two.read_bytes() == one


def test_layers_have_parents_modes_and_owners(tmp_path: Path) -> None:
    layer = {
        "/a/b/c": File(b"text", mode=0o600, uid=7, gid=8),
        "/a/l": File(link="b/c"),
        "/t": images.directory(0o1777),
    }
    path = build_image("app", [layer], ImageConfig(), tmp_path / "app.tar")
    with tarfile.open(path) as archive:
        index = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
        digest = index["manifests"][0]["digest"].removeprefix("sha256:")
        manifest = json.load(archive.extractfile(f"blobs/sha256/{digest}"))  # type: ignore[arg-type]
        name = manifest["layers"][0]["digest"].removeprefix("sha256:")
        with tarfile.open(fileobj=archive.extractfile(f"blobs/sha256/{name}")) as tar:
            members = {m.name: m for m in tar.getmembers()}
            assert list(members) == ["a", "a/b", "a/b/c", "a/l", "t"]
            assert (members["a/b/c"].mode, members["a/b/c"].uid, members["a/b/c"].gid) == (0o600, 7, 8)
            assert members["a"].isdir() and members["a/l"].linkname == "b/c" and members["t"].mode == 0o1777
            assert {m.mtime for m in members.values()} == {0}


def test_paths_must_be_absolute(tmp_path: Path) -> None:
    for path in ("a", "/a/../b"):
        with pytest.raises(ImageError):
            build_image("app", [{path: File(b"")}], ImageConfig(), tmp_path / "app.tar")


def test_an_image_is_built_once(tmp_path: Path) -> None:
    (first,) = assemble(tmp_path)
    stamp = first.stat().st_mtime_ns
    assert assemble(tmp_path) == [first] and first.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_pause_is_a_small_static_program(machine: str, number: int) -> None:
    program = pause.program(machine)
    assert program[:4] == b"\x7fELF" and len(program) < 300
    assert int.from_bytes(program[18:20], "little") == number
    assert program.endswith(b"\xff" * 8)
    with pytest.raises(pause.UnknownMachine):
        pause.program("vax")


def test_the_arm_program() -> None:
    """Word for word what a disassembler read, and an emulator ran: mask, wait, reap, wait, end on SIGTERM."""
    code = pause.program("aarch64")[120:-8]
    words = [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code), 4)]
    expected = (  # as objdump prints it
        "d28010e8 d2800000 10000341 d2800002 d2800103 d4000001 "  # rt_sigprocmask(SIG_BLOCK, mask, 0, 8)
        "d2801128 100002a0 d2800001 d2800002 d2800103 d4000001 "  # rt_sigtimedwait(mask, 0, 0, 8)
        "71003c1f 54000180 7100081f 54000140 "  # SIGTERM or SIGINT: end
        "d2802088 92800000 d2800001 d2800022 d2800003 d4000001 "  # wait4(-1, 0, WNOHANG, 0)
        "7100001f 54ffff2c 17ffffee "  # again while it reaps, then wait
        "d2800ba8 d2800000 d4000001"  # exit(0)
    )
    assert " ".join(f"{word:08x}" for word in words) == expected


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no program for this machine")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_pause_waits_and_ends_when_told(tmp_path: Path, end: signal.Signals) -> None:
    path = tmp_path / "pause"
    path.write_bytes(pause.program(platform.machine()))
    path.chmod(0o755)
    process = subprocess.Popen([path])
    try:
        for _ in range(10_000):  # until it has masked all signals (but the two that cannot be)
            if "SigBlk:\tfffffffffffbfeff" in Path(f"/proc/{process.pid}/status").read_text():
                break
        for harmless in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
            process.send_signal(harmless)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.send_signal(end)
        assert process.wait(5) == 0
    finally:
        process.kill()


def test_several_nodes_may_assemble_the_same_image_at_once(tmp_path: Path) -> None:
    """Each in a process of its own; none may trip over what another one moves away."""
    program = (
        "import sys; from pathlib import Path; from pybernetes.bootstrap.images import build_pause\n"
        "for _ in range(50): build_pause(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "pause.tar")]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[3]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["pause.tar"]
