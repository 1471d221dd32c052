"""`top`, with the metrics API played by custom resources of its group."""

from __future__ import annotations

from pathlib import Path

import pytest

from .kubectl import OURS, assert_same, needs_official, run

pytestmark = needs_official

KIND = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %(plural)s.metrics.k8s.io, annotations: {api-approved.kubernetes.io: unapproved}}
spec:
  group: metrics.k8s.io
  scope: %(scope)s
  names: {plural: %(plural)s, singular: %(singular)s, kind: %(kind)s, listKind: %(kind)sList}
  versions:
  - name: v1beta1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
"""
MEASURED = """
apiVersion: metrics.k8s.io/v1beta1
kind: NodeMetrics
metadata: {name: fake-0}
usage: {cpu: 1500m, memory: 2Gi}
---
apiVersion: metrics.k8s.io/v1beta1
kind: PodMetrics
metadata: {name: one, labels: {app: one}}
containers: [{name: c, usage: {cpu: 250001n, memory: 20Mi}}]
---
apiVersion: metrics.k8s.io/v1beta1
kind: PodMetrics
metadata: {name: two}
containers: [{name: b, usage: {cpu: 100m, memory: 1000Ki}}, {name: a, usage: {cpu: "2", memory: 3Gi}}]
"""


@pytest.fixture(scope="module")
def measured(kubeconfig: Path) -> Path:
    assert_same(kubeconfig, ["top", "pod"])  # there is none yet
    names = (("nodes", "node", "NodeMetrics", "Cluster"), ("pods", "pod", "PodMetrics", "Namespaced"))
    keys = ("plural", "singular", "kind", "scope")
    text = "".join(KIND % dict(zip(keys, values, strict=True)) for values in names) + MEASURED
    code, _, err = run(OURS, kubeconfig, ["apply", "-f", "-"], text)
    assert code == 0, err
    return kubeconfig


@pytest.mark.parametrize(
    "line",
    [
        "top pod",
        "top pods -A --containers --sum",
        "top pod one --show-swap",
        "top po absent",
        "top pod --sort-by=memory --no-headers",
        "top pod -l app=one",
        "top pod -n kube-system",
        "top pod --sort-by=x",
        "top pod one two",
        "top node --show-capacity",
        "top no fake-0 --show-swap --no-headers",
    ],
)
def test_the_same_figures(measured: Path, line: str) -> None:
    assert_same(measured, line.split())
