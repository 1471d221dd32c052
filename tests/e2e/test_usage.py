"""What containers use, and an autoscaler that acts by it, on real containers and with the official kubectl."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.e2e.conftest import RealCluster

BUSY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: busybox:latest
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "trap 'exit 0' TERM; while :; do :; done"]
        resources: {requests: {cpu: 20m}, limits: {cpu: 100m}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: busy}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: busy}
  minReplicas: 1
  maxReplicas: 2
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
"""


def test_usage_is_shown_and_scales(cluster: RealCluster, kubectl: Callable[..., str], namespace: str) -> None:
    kubectl("apply", "-f", "-", stdin=BUSY)
    kubectl("wait", "--for=condition=Available", "deployment/busy", "--timeout=60s")
    kubectl("wait", "--for=jsonpath={.status.desiredReplicas}=2", "hpa/busy", "--timeout=60s")
    end = time.monotonic() + 60
    while "busy" not in (shown := kubectl("top", "pods", "--no-headers")):
        assert time.monotonic() < end, shown
    assert int(shown.split()[1].removesuffix("m")) > 10
    nodes = cluster.kubectl("top", "nodes", "--no-headers").stdout.split()
    assert int(nodes[1].removesuffix("m")) > 10
    assert int(nodes[3].removesuffix("Mi")) > 100
