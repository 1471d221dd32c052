"""How a member's node proves who it is: as kubelet, as the node's network part, and to those who call its API.

Three certificates, each asked for through the API and renewed there (`client.own_certificate`). The first one is got
with the join token, in `bootstrap-kubelet.conf`, which is removed when it has served; everything after it is asked for
as the node itself. The network part (proxy, DNS, policies) acts as `system:kube-proxy`, which may read Services of all
namespaces where a node may not.
"""

from __future__ import annotations

from pathlib import Path

from pybernetes.aio.tasks import Nursery
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.bootstrap import kubeconfigs, pki
from pybernetes.bootstrap.cluster import Cluster
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.factory import InformerFactory
from pybernetes.client.http import HTTPTransport
from pybernetes.client.kubeconfig import Connection
from pybernetes.client.own_certificate import SERVER_USAGES, Config, OwnCertificate
from pybernetes.node.kubelet.kubelet import Kubelet

KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
CLIENT = "kubernetes.io/kube-apiserver-client"


class NodeIdentity:
    """The files, and the certificates to keep in them."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster, self.node = cluster, node
        self.directory = cluster.node_directory(node) / "pki"
        self.kubelet_conf = cluster.directory / "kubelet.conf"
        self.proxy_conf = cluster.directory / "kube-proxy.conf"
        self.bootstrap_conf = cluster.directory / "bootstrap-kubelet.conf"
        self.serving_file = self.directory / "kubelet-server-current.pem"
        self.client_file = self.directory / "kubelet-client-current.pem"
        self.proxy_file = self.directory / "kube-proxy-current.pem"

    def write_kubeconfigs(self, authority: bytes, alternates: tuple[str, ...] = ()) -> None:
        """Kubeconfigs that name the certificate files, which may be still to come."""
        state = self.cluster.state
        for path, user, file in (
            (self.kubelet_conf, f"system:node:{self.node}", self.client_file),
            (self.proxy_conf, kubeconfigs.PROXY, self.proxy_file),
        ):
            credentials = kubeconfigs.Credentials(
                state.local_server, authority, client_file=str(file), alternates=alternates
            )
            text = kubeconfigs.render(state.name, user, credentials).encode()
            if not path.exists() or path.read_bytes() != text:
                pki.write(path, text, 0o600)

    def issue(self, authority: pki.KeyPair) -> None:
        """Make the client certificates here and now: on the machine of the authority nobody needs to be asked."""
        spec = kubeconfigs.kubelet_spec(self.node)
        for file, pair in (
            (self.client_file, pki.client(authority, spec.common_name, *spec.organizations)),
            (self.proxy_file, pki.client(authority, kubeconfigs.PROXY)),
        ):
            pki.write(file, pair.certificate + pair.key, 0o600)

    async def bootstrap(self) -> None:
        """Have a client certificate, with the join token if need be. Waits for the API as long as it takes."""
        if self.client_file.exists():
            return
        transport = HTTPTransport(_connection(self.bootstrap_conf))
        try:
            own = OwnCertificate(self._client_config(), Client(transport))
            await until_ready(own)
        finally:
            await transport.close()
        self.bootstrap_conf.unlink(missing_ok=True)

    def connection(self) -> Connection:
        """As the node."""
        return _connection(self.kubelet_conf)

    def network_connection(self) -> Connection:
        """As the node's network part."""
        return _connection(self.proxy_conf)

    def client_certificates(self, client: Client) -> list[OwnCertificate]:
        """To be kept running as the node."""
        proxy = Config(self.proxy_file, CLIENT, kubeconfigs.PROXY)
        return [OwnCertificate(self._client_config(), client), OwnCertificate(proxy, client)]

    def serving_certificate(self, client: Client, kubelet: Kubelet) -> OwnCertificate:
        """To be kept running as the node; the signer compares names with the Node's addresses, so it is there first."""
        state = self.cluster.state

        def names() -> tuple[str, ...] | None:
            return (self.node, state.node_address(self.node)) if kubelet.node.node is not None else None

        config = Config(
            self.serving_file,
            KUBELET_SERVING,
            f"system:node:{self.node}",
            ("system:nodes",),
            SERVER_USAGES,
            names,
        )
        return OwnCertificate(config, client)

    def follow_servers(self, informers: InformerFactory) -> None:
        """Keep in the kubeconfigs which other API servers there are: when ours is gone the node asks another."""
        authority = (self.cluster.pki / "ca.crt").read_bytes()

        def see(slice_: EndpointSlice) -> None:
            if (slice_.metadata.namespace, slice_.metadata.name) == ("default", "kubernetes"):
                found = servers_of(slice_)
                if found:
                    others = tuple(server for server in found if server != self.cluster.state.local_server)
                    self.write_kubeconfigs(authority, others)

        informers.informer(EndpointSlice).on(see, lambda _, slice_: see(slice_))

    def _client_config(self) -> Config:
        spec = kubeconfigs.kubelet_spec(self.node)
        return Config(self.client_file, KUBELET_CLIENT, spec.common_name, spec.organizations)


def servers_of(slice_: EndpointSlice) -> list[str]:
    """The API servers that a slice of Service default/kubernetes leads to."""
    port = next((p.port for p in slice_.ports or () if p.port), 6443)
    return [f"https://{address}:{port}" for endpoint in slice_.endpoints or () for address in endpoint.addresses]


async def until_ready(own: OwnCertificate) -> None:
    """Run until there is a certificate."""
    async with Nursery("bootstrap") as nursery:
        nursery.start(own.run(), "certificate")
        await own.ready.wait()


def _connection(path: Path) -> Connection:
    return kubeconfig.load([path], explicit=True).connection()
