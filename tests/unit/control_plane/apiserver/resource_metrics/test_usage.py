"""Rates from a kubelet's figures."""

from __future__ import annotations

import pytest

from pybernetes.control_plane.apiserver.resource_metrics.usage import NODE, Used, between, parse

C = 'container="c",namespace="n",pod="p"'


def text(cpu: float, memory: int, node: float, started: float = 900.0) -> str:
    return f"""# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{{{C}}} {cpu}
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{{{C}}} {memory}
container_start_time_seconds{{{C}}} {started}
node_cpu_usage_seconds_total {node}
node_memory_working_set_bytes 2e+06
resource_scrape_error 0
"""


def test_rates_between_two_answers() -> None:
    usage = between(parse(text(10, 4096, 100), 1000.0), parse(text(13, 8192, 120), 1010.0))
    assert usage.window == 10.0
    assert usage.used[("n", "p", "c")] == Used(300_000_000, 8192)
    assert usage.used[NODE] == Used(2_000_000_000, 2_000_000)


@pytest.mark.parametrize("before", [text(10, 1, 1), "node_cpu_usage_seconds_total 1\n"])
def test_a_container_that_started_in_between_counts_from_its_start(before: str) -> None:
    usage = between(parse(before, 1000.0), parse(text(2, 4096, 120, started=1006.0), 1010.0))
    assert usage.used[("n", "p", "c")].nanocores == 500_000_000
