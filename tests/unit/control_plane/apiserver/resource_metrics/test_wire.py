"""Metrics as protobuf: `kubectl top` takes no other form."""

from __future__ import annotations

from pybernetes.machinery import protobuf


def test_round_trip() -> None:
    usage = {"cpu": "50000000n", "memory": "3072Ki"}
    pod = {
        "metadata": {"name": "p", "namespace": "n"},
        "timestamp": "2030-01-01T00:00:00Z",
        "window": "15.003s",
        "containers": [{"name": "c", "usage": usage}],
    }
    for wire in (
        {"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetricsList", "metadata": {}, "items": [pod]},
        {"apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "window": "1s", "usage": usage},
    ):
        assert protobuf.decode(protobuf.encode(wire)) == wire
