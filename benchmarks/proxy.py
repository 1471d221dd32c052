"""kube-proxy: what a full sync and one change cost, in a network namespace of its own. Needs root.

python benchmarks/proxy.py [SERVICES...]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from pybernetes.api.core_v1 import Service, ServicePort, ServiceSpec
from pybernetes.api.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network.proxy.proxy import BACKENDS
from pybernetes.network.proxy.rules import NodeView, ServiceRules, service_rules

NAMESPACE = "pybernetes-bench"
ENDPOINTS = 3
CHANGES = 200
NODE = NodeView("node")


def service(number: int) -> Service:
    address = f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return Service(
        metadata=ObjectMeta(name=f"s{number}", namespace="default"),
        spec=ServiceSpec(
            type="ClusterIP", cluster_ip=address, cluster_ips=[address],
            ports=[ServicePort(name="http", port=80, protocol="TCP")],
        ),
    )  # fmt: skip


def slice_of(number: int, shift: int = 0) -> EndpointSlice:
    base = number * ENDPOINTS + shift
    return EndpointSlice(
        metadata=ObjectMeta(name=f"s{number}", namespace="default"),
        address_type="IPv4",
        endpoints=[
            Endpoint(
                addresses=[f"10.{200 + (i >> 16)}.{i >> 8 & 255}.{i & 255}"],
                conditions=EndpointConditions(ready=True),
                node_name="another",
            )
            for i in range(base, base + ENDPOINTS)
        ],
        ports=[EndpointPort(name="http", port=8080, protocol="TCP")],
    )


def measure(name: str, count: int) -> None:
    place = Path(f"/run/netns/{NAMESPACE}")
    backend = BACKENDS[name]("pybernetes-bench", "IPv4", ("10.200.0.0/13",), ("192.0.2.1",), place)
    services = [(service(i), slice_of(i)) for i in range(count)]
    start = time.perf_counter()
    rules: dict[str, ServiceRules] = {
        f"default/{item.metadata.name}": service_rules(item, [slice_], NODE) for item, slice_ in services
    }
    planned = time.perf_counter()
    backend.replace(rules)
    synced = time.perf_counter()
    changes = CHANGES if backend.instant else CHANGES // 10
    for i in range(changes):
        number = i * 7919 % count
        changed = service_rules(services[number][0], [slice_of(number, 1 + i % 2)], NODE)
        backend.update({f"default/s{number}": changed})
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{name} {count:6} services, {count * ENDPOINTS:6} endpoints: rules {planned - start:6.3f} s, "
        f"full sync {synced - planned:6.3f} s, one endpoint changed {(done - synced) / changes * 1000:6.3f} ms, "
        f"peak {peak} MB"
    )
    backend.remove()


def main() -> None:
    counts = [int(text) for text in sys.argv[1:]] or [10, 1_000, 10_000]
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        for name in BACKENDS:
            for count in counts:
                measure(name, count)
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


if __name__ == "__main__":
    main()
