"""What systemd is asked of a member's units."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pybernetes.bootstrap import units
from pybernetes.bootstrap.cluster import Cluster, ClusterState


@pytest.mark.parametrize(
    ("state", "ran"), [("active", True), ("activating", True), ("inactive", False), ("failed", False)]
)
def test_what_waits_is_started_again_like_what_runs(monkeypatch: pytest.MonkeyPatch, state: str, ran: bool) -> None:
    asked = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command[1])
        return subprocess.CompletedProcess(command, 3 if command[1] == "is-active" and state != "active" else 0, state)

    monkeypatch.setattr(subprocess, "run", run)
    cluster = Cluster(
        Path("/nowhere"),
        ClusterState(name="dev", api_host="", api_port=1, store="", pod_cidr="", service_cidr="", nodes=[], created=""),
    )
    assert units.pause(cluster, "control-plane") is ran
    assert asked == ["is-active", "stop"]
