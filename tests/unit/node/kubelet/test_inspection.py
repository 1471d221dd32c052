"""The log directory as seen through the node's API, and the pages for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.aio import clock
from pybernetes.node.kubelet import inspection, machine, stats
from pybernetes.node.kubelet.config import Config
from pybernetes.node.kubelet.http_server import Refusal
from pybernetes.node.kubelet.server_auth import subresource_of
from tests.unit.node.kubelet.world import World, pod


def test_log_directory(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("no")
    root = tmp_path / "log"
    (root / "pods").mkdir(parents=True)
    (root / "a <b>.log").write_text("line\n")
    shown = inspection.system_log(root, "")
    assert shown.content_type == "text/html; charset=utf-8"
    assert shown.body == (
        b'<!doctype html>\n<pre>\n<a href="a%20%3Cb%3E.log">a &lt;b&gt;.log</a>\n<a href="pods/">pods/</a>\n</pre>\n'
    )
    assert inspection.system_log(root, "a <b>.log").body == b"line\n"
    assert (moved := inspection.system_log(root, "pods")).status == 301 and moved.headers == {"Location": "pods/"}
    assert inspection.system_log(root, "pods/").body == b"<!doctype html>\n<pre>\n</pre>\n"
    for path in ("none", "../secret", "pods/../../secret", "/../secret"):
        with pytest.raises(Refusal):
            inspection.system_log(root, path)


async def test_pages_for_people() -> None:
    page = inspection.statusz(clock.timestamp() - 3725, ("/healthz",)).body
    assert isinstance(page, bytes)
    assert page.startswith(b"\nkubelet statusz\nWarning: ") and b"\nUp: 1 hr 02 min 05 sec\n" in page
    page = inspection.flagz(Config(node_name="n", max_pods=7)).body
    assert isinstance(page, bytes) and b"\nmax_pods=7\n" in page and b"\nnode_name=n\n" in page
    assert [subresource_of(p) for p in ("/logs/x", "/statusz", "/flagz")] == ["log", "statusz", "flagz"]


async def test_what_ended_is_counted_and_uses_nothing(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p", {"name": "ends", "command": ["false"]}, {"name": "runs"}, restartPolicy="Never"))
        found = await world.until("p", lambda p: any(s.state.terminated for s in p.status.container_statuses or ()))
        text = stats.own_metrics(world.kubelet)
        assert 'terminated_containers_total{container_type="container",exit_code="1"} 1\n' in text
        told = await stats.summary(world.kubelet)
        (one,) = told["pods"][0]["containers"]
        runs = next(s for s in found.status.container_statuses if s.name == "runs")
        assert (one["name"], one["startTime"]) == ("runs", runs.state.running.started_at)
        assert told["node"]["startTime"] == clock.format_rfc3339(machine.boot_time())
