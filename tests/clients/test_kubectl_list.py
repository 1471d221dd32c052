"""kubectl validates a `kind: List` against the OpenAPI v2 document, which it takes as protobuf only."""

from __future__ import annotations

from pybernetes.testing.pytest_plugin import ClusterThread
from tests.clients.test_python_clients import kubectl

LIST = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}
- {apiVersion: v1, kind: Service, metadata: {name: b}, spec: {ports: [{port: 80}]}}
"""


def test_a_list_is_applied(pybernetes_cluster: ClusterThread, pybernetes_namespace: str) -> None:
    printed = kubectl(pybernetes_cluster, "-n", pybernetes_namespace, "apply", "-f", "-", stdin=LIST)
    assert printed.splitlines() == ["configmap/a created", "service/b created"]
