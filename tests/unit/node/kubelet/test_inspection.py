"""The log directory as seen through the node's API, and the pages for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.aio import clock
from pybernetes.node.kubelet import inspection, machine, metrics, stats
from pybernetes.node.kubelet.config import Config
from pybernetes.node.kubelet.http_server import Refusal
from pybernetes.node.kubelet.server_auth import subresource_of
from tests.unit.node.kubelet.world import World, pod, ready


async def test_log_directory(tmp_path: Path) -> None:
    config = Config(node_name="n", offload_io=False)
    (tmp_path / "secret").write_text("no")
    root = tmp_path / "log"
    (root / "pods").mkdir(parents=True)
    (root / "a <b>.log").write_text("line\n")
    shown = inspection.system_log(root, "", config)
    assert shown.content_type == "text/html; charset=utf-8"
    assert shown.body == (
        b'<!doctype html>\n<pre>\n<a href="a%20%3Cb%3E.log">a &lt;b&gt;.log</a>\n<a href="pods/">pods/</a>\n</pre>\n'
    )
    large = inspection.system_log(root, "a <b>.log", config)
    with (root / "a <b>.log").open("ab") as growing:
        growing.write(b"x" * 2_000_000)
    assert large.length == 5 and [piece async for piece in large.body] == [b"line\n"], "as it was when asked for"
    large = inspection.system_log(root, "a <b>.log", config)
    sizes = [len(piece) async for piece in large.body]
    assert large.length == sum(sizes) == 2_000_005 and max(sizes) <= 262_144, "never as a whole"
    assert (moved := inspection.system_log(root, "pods", config)).status == 301 and moved.headers == {
        "Location": "pods/"
    }
    assert inspection.system_log(root, "pods/", config).body == b"<!doctype html>\n<pre>\n</pre>\n"
    for path in ("none", "../secret", "pods/../../secret", "/../secret"):
        with pytest.raises(Refusal):
            inspection.system_log(root, path, config)


async def test_pages_for_people() -> None:
    page = inspection.statusz(clock.timestamp() - 3725, ("/healthz",)).body
    assert isinstance(page, bytes)
    assert page.startswith(b"\nkubelet statusz\nWarning: ") and b"\nUp: 1 hr 02 min 05 sec\n" in page
    page = inspection.flagz(Config(node_name="n", max_pods=7)).body
    assert isinstance(page, bytes) and b"\nmax_pods=7\n" in page and b"\nnode_name=n\n" in page
    assert [subresource_of(p) for p in ("/logs/x", "/statusz", "/flagz")] == ["log", "statusz", "flagz"]


async def test_every_metric_says_what_it_is(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p", {"name": "main", "readinessProbe": {"exec": {"command": ["true"]}}}))
        await world.until("p", ready)
        pages = [metrics.own(world.kubelet), metrics.slis(3), metrics.probes(world.kubelet)]
        pages += [await metrics.resources(world.kubelet), await metrics.cadvisor(world.kubelet)]
        for text in pages:
            told: list[str] = []
            for line in text.decode().splitlines():
                if line.startswith("# HELP "):
                    told = [line.split(" ")[2]]
                    assert len(line.split(" ")) > 4
                elif line.startswith("# TYPE "):
                    assert told == [line.split(" ")[2]]
                else:
                    assert told == [line.partition(" ")[0].partition("{")[0]]
        assert b'kubernetes_healthcheck{name="ping",type="healthz"} 1\n' in pages[1]
        assert b'kubernetes_healthchecks_total{name="syncloop",status="success",type="healthz"} 3\n' in pages[1]
        assert b"# HELP container_cpu_usage_seconds_total [STABLE] " in pages[3]


async def test_what_ended_is_counted_and_uses_nothing(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.create(pod("p", {"name": "ends", "command": ["false"]}, {"name": "runs"}, restartPolicy="Never"))
        found = await world.until("p", lambda p: any(s.state.terminated for s in p.status.container_statuses or ()))
        text = metrics.own(world.kubelet).decode()
        assert 'terminated_containers_total{container_type="container",exit_code="1"} 1\n' in text
        told = await stats.summary(world.kubelet)
        (one,) = told["pods"][0]["containers"]
        runs = next(s for s in found.status.container_statuses if s.name == "runs")
        assert (one["name"], one["startTime"]) == ("runs", runs.state.running.started_at)
        assert told["node"]["startTime"] == clock.format_rfc3339(machine.boot_time())
