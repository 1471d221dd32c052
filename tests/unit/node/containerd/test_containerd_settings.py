from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from pybernetes.node.containerd import process
from pybernetes.node.containerd.settings import Config, Machine, probe, render

CONFIG = Config(data_dir=Path('/data/"odd" node'), cni_conf_dir=Path("/data/cni"), sandbox_image="pause:1")
CRI = "io.containerd.grpc.v1.cri"


def machine(**changes: object) -> Machine:
    facts = {
        "can_lower_oom_score": True,
        "overlayfs": True,
        "cni_bin_dir": Path("/usr/lib/cni"),
    }
    return Machine(**{**facts, **changes})  # type: ignore[arg-type]


def cri(**changes: object) -> dict[str, object]:
    parsed = tomllib.loads(render(CONFIG, machine(**changes)))
    assert parsed["version"] == 2
    found: dict[str, object] = parsed["plugins"][CRI]
    return found


def test_it_is_toml_and_says_what_the_node_wants() -> None:
    parsed = tomllib.loads(render(CONFIG, machine()))
    assert parsed["root"] == '/data/"odd" node/root'
    assert parsed["grpc"]["address"] == str(CONFIG.socket)
    settings = parsed["plugins"][CRI]
    assert settings["sandbox_image"] == "pause:1"
    assert settings["cni"] == {"conf_dir": "/data/cni", "bin_dir": "/usr/lib/cni", "max_conf_num": 1}
    assert settings["stream_server_address"] == "127.0.0.1"


def test_what_the_machine_cannot_do_is_left_out() -> None:
    assert cri()["restrict_oom_score_adj"] is False
    assert cri(can_lower_oom_score=False)["restrict_oom_score_adj"] is True
    assert cri()["containerd"]["snapshotter"] == "overlayfs"  # type: ignore[index]
    assert cri(overlayfs=False)["containerd"]["snapshotter"] == "native"  # type: ignore[index]


def test_cgroups_are_not_systemds() -> None:
    """runc refuses a cgroup parent that is no slice when it is told that they are."""
    assert cri()["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False  # type: ignore[index]


def test_the_socket_path_is_short_and_the_nodes_own() -> None:
    deep = Config(data_dir=Path("/" + "x" * 200), cni_conf_dir=Path("/c"), sandbox_image="p")
    other = Config(data_dir=Path("/" + "x" * 201), cni_conf_dir=Path("/c"), sandbox_image="p")
    assert len(str(deep.socket)) < 100
    assert deep.socket != other.socket


def test_this_machine_can_be_probed() -> None:
    assert probe().cni_bin_dir.is_absolute()


def test_a_pid_file_of_another_process_is_nobody(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, cni_conf_dir=tmp_path, sandbox_image="p", state_dir=tmp_path / "state")
    config.pid_file.parent.mkdir()
    assert process.running(config) is None
    config.pid_file.write_text("not json")
    assert process.running(config) is None
    started = process.start_time(os.getpid())
    assert started is not None
    config.pid_file.write_text(f'{{"pid":{os.getpid()},"started":{started}}}')
    assert process.running(config) is None  # alive, but its command line is not containerd's


@pytest.mark.real_time
async def test_a_missing_containerd_is_a_clear_error(tmp_path: Path) -> None:
    config = Config(
        data_dir=tmp_path, cni_conf_dir=tmp_path, sandbox_image="p", state_dir=tmp_path / "s", binary="no-containerd"
    )
    with pytest.raises(process.ContainerdError, match="no-containerd is not installed"):
        await process.Containerd(config).run()
