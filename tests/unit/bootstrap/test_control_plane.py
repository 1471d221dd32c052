"""What a cluster's control plane is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.bootstrap.cluster import Cluster, ClusterState
from pybernetes.bootstrap.control_plane import configure


@pytest.mark.parametrize("domain", ["cluster.local", "example.internal"])
def test_tokens_are_issued_in_the_clusters_domain(tmp_path: Path, domain: str) -> None:
    state = ClusterState("c", "127.0.0.1", 6444, "memory:", "10.244.0.0/16", "10.96.0.0/16", domain=domain)
    cluster = Cluster(tmp_path, state)
    cluster.pki.mkdir()
    (cluster.pki / "ca.crt").write_text("authority")
    accounts = configure(cluster).apiserver.service_accounts
    assert accounts.issuer == f"https://kubernetes.default.svc.{domain}"
    assert accounts.api_audiences == (accounts.issuer,)
