"""The cluster's configuration, where joining machines and `upgrade plan` find it: ConfigMaps in kube-system."""

from __future__ import annotations

from typing import Any

from pybernetes import KUBERNETES_VERSION
from pybernetes.bootstrap import join_tokens
from pybernetes.bootstrap.cluster import Cluster
from pybernetes.bootstrap.phases.objects import config_map, put, readers
from pybernetes.bootstrap.phases.run import Run
from pybernetes.client.client import Client

CONFIG, KUBELET = "kubeadm-config", "kubelet-config"
_SUBJECTS = (f"g:{join_tokens.NODE_GROUP}", "g:system:nodes")


def run(run: Run) -> None:
    """Both ConfigMaps and the rights to read them."""
    run.admin(lambda client: upload(client, run.cluster))
    run.say("upload-config", f"ConfigMaps {CONFIG} and {KUBELET} in kube-system")


async def upload(client: Client, cluster: Cluster) -> None:
    """Make them what the cluster is now."""
    state = cluster.state
    data = {
        "ClusterConfiguration": _yaml(cluster_configuration(cluster)),
        "store": "etcd" if state.member is not None and state.member.etcd is not None else portable(state.store),
        "network": state.network,
        "load-balancer": "node-address" if state.load_balancer else "none",
        "ingress": "haproxy" if state.ingress else "none",
    }
    await put(
        client,
        [
            config_map("kube-system", CONFIG, data),
            config_map("kube-system", KUBELET, {"kubelet": _yaml(kubelet_configuration(cluster))}),
            *readers("kubeadm:nodes-kubeadm-config", "kube-system", "configmaps", CONFIG, _SUBJECTS),
            *readers("kubeadm:kubelet-config", "kube-system", "configmaps", KUBELET, _SUBJECTS),
        ],
    )


def portable(store: str) -> str:
    """The store as other machines may know it: one on this machine's disk is only named, files are left out."""
    if not store.startswith("etcd"):
        return "sqlite"
    base, _, query = store.partition("?")
    kept = [part for part in query.split("&") if part.startswith("prefix=")]
    return f"{base}?{'&'.join(kept)}" if kept else base


def cluster_configuration(cluster: Cluster) -> dict[str, Any]:
    """kubeadm.k8s.io/v1beta4 ClusterConfiguration."""
    state, pki = cluster.state, cluster.pki
    assert state.member is not None
    found: dict[str, Any] = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": state.name,
        "kubernetesVersion": KUBERNETES_VERSION,
        "controlPlaneEndpoint": state.member.endpoint,
        "certificatesDir": str(pki),
        "networking": {
            "podSubnet": ",".join(state.pod_cidrs),
            "serviceSubnet": ",".join(state.service_cidrs),
            "dnsDomain": state.domain,
        },
    }
    if state.member.etcd is not None:
        found["etcd"] = {"local": {"dataDir": str(cluster.directory / "etcd")}}
    elif state.store.startswith("etcd"):
        hosts = state.store.partition("://")[2].partition("?")[0].split(",")
        scheme = "https" if "cafile=" in state.store or state.store.startswith("etcds") else "http"
        found["etcd"] = {"external": {"endpoints": [f"{scheme}://{host}" for host in hosts]}}
    return found


def kubelet_configuration(cluster: Cluster) -> dict[str, Any]:
    """kubelet.config.k8s.io/v1beta1 KubeletConfiguration: what all nodes have in common."""
    state = cluster.state
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "clusterDNS": [state.dns_address],
        "clusterDomain": state.domain,
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}},
        "authorization": {"mode": "Webhook"},
        "rotateCertificates": True,
        "serverTLSBootstrap": True,
    }


def _yaml(value: Any) -> str:
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False))
