"""Descriptions of kinds that the demo application does not have."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from .kubectl import ROOT, assert_same, needs_official, ours

pytestmark = needs_official


@pytest.fixture(scope="module")
def described(kubeconfig: Path) -> Path:
    ours(kubeconfig, "create", "namespace", "described")
    ours(kubeconfig, "-n", "described", "apply", "-f", str(ROOT / "tests" / "clients" / "described.yaml"))
    return kubeconfig


@pytest.mark.parametrize(
    "what",
    [
        *("ingress", "pvc", "pv described", "pdb", "quota", "limits", "cj", "sc described", "ingressclass described"),
        *("pod restricted", "namespace described", "crd described.example.com"),
    ],
)
def test_the_same_description(described: Path, what: str) -> None:
    assert_same(described, ["-n", "described", "describe", *what.split(), "--show-events=false"])


def test_endpoints(described: Path) -> None:
    for kind in ("endpoints", "endpointslices"):
        assert_same(described, ["-n", "kube-system", "describe", kind])
        assert_same(described, ["describe", kind])


FIELDS = """url urls apiURL nonResourceURLs uid uids someUIDs ips podIPs podIP dnsPolicy guid someGUIDs podCIDRs fooAPIs
apiVersions APIGroup HTTPGet tlsMode a_b kebab-case x1y2 with.dot JSON myJSONPath URLs IDs caBundle PVCName
abcURLsXyz"""


def test_names_of_fields_are_spelled_out(kubeconfig: Path) -> None:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "labs.described.example"},
        "spec": {
            "group": "described.example",
            "scope": "Cluster",
            "names": {"plural": "labs", "singular": "lab", "kind": "Lab"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}],
        },
    }
    lab = {"apiVersion": "described.example/v1", "kind": "Lab", "metadata": {"name": "a"}}
    both = [crd, {**lab, "spec": dict.fromkeys(FIELDS.split(), 1)}]  # ours waits for the kind
    ours(kubeconfig, "apply", "-f", "-", text="\n---\n".join(map(json.dumps, both)))
    assert "Abc URLs Xyz:" in assert_same(kubeconfig, ["describe", "lab", "a"])[1]


def test_what_has_no_rollouts(kubeconfig: Path) -> None:
    text = """
    ---
    {apiVersion: apps/v1, kind: StatefulSet, metadata: {name: rolled}, spec: {serviceName: a, replicas: 0,
     selector: {matchLabels: {a: rolled}}, template: {metadata: {labels: {a: rolled}},
     spec: {containers: [{name: c, image: x, env: [{name: A, value: b}]}]}}}}
    ---
    {apiVersion: v1, kind: ReplicationController, metadata: {name: rolled}, spec: {replicas: 0, selector: {a: rc},
      template: {metadata: {labels: {a: rc}}, spec: {containers: [{name: c, image: x}]}}}}
    """
    ours(kubeconfig, "apply", "-f", "-", text=textwrap.dedent(text))
    ours(kubeconfig, "rollout", "status", "sts/rolled", "--timeout=60s")
    for line in (
        *(f"rollout {word} rc/rolled" for word in ("pause", "resume", "restart", "undo", "history", "status")),
        *(f"rollout {word} sts/rolled" for word in ("pause", "resume", "status", "history")),
        "set env sts/rolled --list",
        "describe sts rolled --show-events=false",
    ):
        assert_same(kubeconfig, line.split())
