"""The proxy's numbers as Prometheus reads them."""

from __future__ import annotations

from dataclasses import replace

from pybernetes.network.proxy.metrics import Histogram, Metrics
from pybernetes.network.proxy.rules import PortRules

HERE = (("10.200.0.1", 8080),)
PORT = PortRules(
    namespace="default", service="s", port_name="", protocol="TCP", port=80, cluster_ip="10.96.0.1", external_ips=(),
    node_port=30080, inside=HERE, outside=HERE, cluster=HERE, outside_local=False, elsewhere=True, affinity_seconds=0,
    source_ranges=(), guarded_ips=(),
)  # fmt: skip


def test_a_histogram_counts_what_is_at_most_each_bound() -> None:
    histogram = Histogram((0.5, 1))
    for seconds in (0.5, 0.75, 2):
        histogram.observe(seconds)
    assert [line.rsplit(" ", 1)[1] for line in histogram.lines("x", 'a="b"')] == ["1", "2", "3", "3.25", "3"]
    assert next(histogram.lines("x", 'a="b"')) == 'x_bucket{a="b",le="0.5"} 1'


def test_the_page() -> None:
    metrics = Metrics("iptables", ("IPv4", "IPv6"))
    metrics.families["IPv4"].round(0.003, 1_700_000_000.5, full=False)
    metrics.changed(1_700_000_000.0, endpoints=True)
    metrics.livez[200] += 1
    alone = replace(PORT, inside=(), outside=(), outside_local=True)
    page = metrics.text({"IPv4": [PORT, alone], "IPv6": []}).splitlines()
    for line in (
        "# TYPE kubeproxy_network_programming_duration_seconds histogram",
        'kubeproxy_sync_partial_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.004"} 1',
        'kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 0',
        'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1700000000.500000',
        'kubeproxy_sync_proxy_rules_endpoint_changes_pending{ip_family="IPv6"} 1',
        'kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 0',
        'kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="internal"} 1',
        'kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="external"} 1',
        'kubeproxy_proxy_livez_total{code="200"} 1',
    ):
        assert line in page
