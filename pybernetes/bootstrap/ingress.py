"""The Ingress controller's place in a cluster on this machine: its class, its certificate, its settings on a node."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from pybernetes.bootstrap import pki
from pybernetes.bootstrap.cluster import Cluster

if TYPE_CHECKING:
    from pybernetes.api.networking_v1 import IngressClass

CONTROLLER = "pybernetes.io/ingress"
_DEFAULT = "ingressclass.kubernetes.io/is-default-class"


def binary() -> str | None:
    """Where haproxy is; None: not installed, so there is no Ingress controller."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def standard_class() -> IngressClass:
    """The class of Ingresses that name none."""
    from pybernetes.api.networking_v1 import IngressClass, IngressClassSpec  # `up` does without API types
    from pybernetes.machinery.meta import ObjectMeta

    return IngressClass(
        metadata=ObjectMeta(name="pybernetes", annotations={_DEFAULT: "true"}),
        spec=IngressClassSpec(controller=CONTROLLER),
    )


def ensure_certificate(cluster: Cluster, authority: pki.KeyPair) -> None:
    """The certificate for hosts that have none of their own, signed by the cluster's authority."""
    path = cluster.directory / "ingress.pem"
    if cluster.state.ingress and pki.due(path, pki.Config.renew_before):
        pair = pki.server(authority, "ingress", ("ingress.local",))
        pki.write(path, pair.certificate + pair.key, 0o600)
