"""What kube-proxy measures of itself, under upstream's names, in Prometheus' text form.

Plain numbers that the proxy adds to as it works; the text is made when somebody asks. What rules say by themselves
(policies that find nobody on this node) is counted from the rules at that moment.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from pybernetes.machinery import exposition
from pybernetes.network.proxy.rules import PortRules

_ROUNDS = tuple(0.001 * 2**i for i in range(15))
_PROGRAMMING = (0, 0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 301, 30))


class Histogram:
    """How often a duration (seconds) was at most each of `bounds`."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str, labels: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*map(_number, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
        yield f"{name}_sum{{{labels}}} {_number(self._sum)}"
        yield f"{name}_count{{{labels}}} {total}"


class FamilyMetrics:
    """Those of one address family."""

    def __init__(self) -> None:
        self.rounds, self.full, self.partial = Histogram(_ROUNDS), Histogram(_ROUNDS), Histogram(_ROUNDS)
        self.programming = Histogram(_PROGRAMMING)
        #: Unix seconds of the last round that succeeded.
        self.synced = 0.0
        self.failures = 0

    def round(self, seconds: float, now: float, *, full: bool) -> None:
        """One transaction succeeded."""
        self.rounds.observe(seconds)
        (self.full if full else self.partial).observe(seconds)
        self.synced = now


class Metrics:
    """Those of one proxy. backend: "nftables" or "iptables"."""

    def __init__(self, backend: str, families: Iterable[str]) -> None:
        self._backend = backend
        self.families = {family: FamilyMetrics() for family in families}
        #: Changes seen, and those among them that are not programmed yet.
        self.services, self.endpoints = 0, 0
        self.services_pending, self.endpoints_pending = 0, 0
        #: Unix seconds of the last change.
        self.queued = 0.0
        #: Answers by status code.
        self.healthz: Counter[int] = Counter()
        self.livez: Counter[int] = Counter()

    def changed(self, now: float, *, endpoints: bool) -> None:
        """A Service or its endpoints changed."""
        self.queued = now
        if endpoints:
            self.endpoints += 1
            self.endpoints_pending += 1
        else:
            self.services += 1
            self.services_pending += 1

    def text(self, rules: Mapping[str, Iterable[PortRules]]) -> str:
        """The page. rules: of all Services, by family."""
        return "\n".join(self._lines(rules)) + "\n"

    def _lines(self, rules: Mapping[str, Iterable[PortRules]]) -> Iterator[str]:
        for name, kind, help_, values in (
            ("sync_proxy_rules_duration_seconds", "histogram", "SyncProxyRules latency", "rounds"),
            ("sync_full_proxy_rules_duration_seconds", "histogram", "Latency of full resyncs", "full"),
            ("sync_partial_proxy_rules_duration_seconds", "histogram", "Latency of partial syncs", "partial"),
            ("network_programming_duration_seconds", "histogram", "From a change to its rules", "programming"),
            ("sync_proxy_rules_last_timestamp_seconds", "gauge", "When rules were last synced", "synced"),
            (f"sync_proxy_rules_{_FAILURES[self._backend]}_total", "counter", "Syncs that failed", "failures"),
        ):
            yield from _head(name, kind, help_)
            for family, numbers in self.families.items():
                value, labels = getattr(numbers, values), f'ip_family="{family}"'
                if isinstance(value, Histogram):
                    yield from value.lines(f"kubeproxy_{name}", labels)
                else:
                    yield f"kubeproxy_{name}{{{labels}}} {_number(value)}"
        for name, kind, help_, number in (
            ("sync_proxy_rules_last_queued_timestamp_seconds", "gauge", "When a sync was last asked for", self.queued),
            ("sync_proxy_rules_service_changes_total", "counter", "Changes of Services", self.services),
            ("sync_proxy_rules_service_changes_pending", "gauge", "Those not programmed", self.services_pending),
            ("sync_proxy_rules_endpoint_changes_total", "counter", "Changes of endpoints", self.endpoints),
            ("sync_proxy_rules_endpoint_changes_pending", "gauge", "Those not programmed", self.endpoints_pending),
        ):
            yield from _head(name, kind, help_)
            yield from (f'kubeproxy_{name}{{ip_family="{family}"}} {_number(number)}' for family in self.families)
        name = "sync_proxy_rules_no_local_endpoints_total"
        yield from _head(name, "gauge", "Service ports of policy Local without endpoints on this node")
        for family, ports in rules.items():
            for policy, number in zip(("internal", "external"), _without_local(ports), strict=True):
                yield f'kubeproxy_{name}{{ip_family="{family}",traffic_policy="{policy}"}} {number}'
        for name, codes in (("proxy_healthz_total", self.healthz), ("proxy_livez_total", self.livez)):
            yield from _head(name, "counter", "Answers by code")
            yield from (f'kubeproxy_{name}{{code="{code}"}} {codes[code]}' for code in sorted(codes))


_FAILURES = {"nftables": "nftables_sync_failures", "iptables": "iptables_restore_failures"}


def _head(name: str, kind: str, help_: str) -> tuple[str, str]:
    return exposition.head(f"kubeproxy_{name}", kind, help_, exposition.ALPHA)


def _number(value: float) -> str:
    return f"{value:.10g}" if value < 1e9 else f"{value:.6f}"


def _without_local(ports: Iterable[PortRules]) -> tuple[int, int]:
    internal = external = 0
    for port in ports:
        internal += port.elsewhere and not port.inside
        external += port.elsewhere and port.outside_local and not port.outside
    return internal, external
