"""Descriptions of kinds that the demo application does not have."""

from __future__ import annotations

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
