"""Certificates under way: asked for, approved, signed, and renewed for years without anybody's hand."""

from __future__ import annotations

import asyncio
import base64
import http.client
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pybernetes.aio import clock, files
from pybernetes.aio.tasks import Nursery
from pybernetes.api.authentication_v1 import TokenReview, TokenReviewSpec
from pybernetes.api.certificates_v1 import CertificateSigningRequest
from pybernetes.api.core_v1 import Container, Node, NodeAddress, NodeStatus, Pod, PodSpec, ServiceAccount
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import join_tokens, kubeconfigs, pki, renewal
from pybernetes.bootstrap.cluster import Cluster, ClusterState, Member, NodeState
from pybernetes.bootstrap.control_plane import ADMIN, Config, ControlPlane, signer
from pybernetes.bootstrap.phases import certs
from pybernetes.bootstrap.phases.kubeconfig import control_plane as write_kubeconfigs
from pybernetes.client import informer, own_certificate
from pybernetes.client.client import Client
from pybernetes.client.own_certificate import OwnCertificate
from pybernetes.control_plane.apiserver import fanout, housekeeping
from pybernetes.control_plane.apiserver.allocation import services
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import APIServer
from pybernetes.control_plane.apiserver.server import Config as APIServerConfig
from pybernetes.control_plane.controllers import certificates
from pybernetes.control_plane.controllers.manager import Config as ControllersConfig
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.node.kubelet.volumes.tokens import Tokens

DAY = 86400.0
YEARS = 3
KUBELET, SERVING, CLIENT = certificates.KUBELET_CLIENT, certificates.KUBELET_SERVING, certificates.CLIENT
CONTROLLERS = (
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-signing-controller",
    "certificatesigningrequest-cleaner-controller",
    "serviceaccount-controller",
)


def member(directory: Path, etcd: str | None = None) -> Cluster:
    """A control plane's directory, with all its certificates. etcd: it has a member of its own."""
    state = ClusterState(
        name="years",
        api_host="127.0.0.1",
        api_port=6443,
        store="memory:",
        pod_cidr="10.244.0.0/16",
        service_cidr="10.96.0.0/16",
        nodes=[NodeState("cp1")],
        member=Member(address="192.0.2.10", endpoint="192.0.2.10:6443", etcd=etcd),
    )
    cluster = clusters.Cluster(directory, state)
    pki.ensure(cluster.pki, certs.config_of(cluster))
    authority = pki.KeyPair((cluster.pki / "ca.crt").read_bytes(), (cluster.pki / "ca.key").read_bytes())
    write_kubeconfigs(cluster, authority)
    return cluster


def as_node(control_plane: ControlPlane, name: str) -> Client:
    return control_plane.client(User(f"system:node:{name}", "", ("system:nodes", "system:authenticated"), {}))


def as_bootstrapper(control_plane: ControlPlane) -> Client:
    groups = ("system:bootstrappers", join_tokens.NODE_GROUP, "system:authenticated")
    return control_plane.client(User("system:bootstrap:abcdef", "", groups, {}))


def of_node(directory: Path, name: str, address: str) -> dict[str, own_certificate.Config]:
    """What a node has: its certificates, by signer."""
    user, group = f"system:node:{name}", ("system:nodes",)
    usages = own_certificate.SERVER_USAGES
    return {
        KUBELET: own_certificate.Config(directory / f"{name}-client.pem", KUBELET, user, group),
        CLIENT: own_certificate.Config(directory / f"{name}-proxy.pem", CLIENT, kubeconfigs.PROXY),
        SERVING: own_certificate.Config(
            directory / f"{name}-serving.pem", SERVING, user, group, usages, lambda: (name, address)
        ),
    }


async def with_control_plane(cluster: Cluster, work: Callable[[ControlPlane], Awaitable[None]]) -> None:
    control_plane = ControlPlane(
        Config(
            apiserver=APIServerConfig(listen=False, pki=cluster.pki, compact_interval=DAY),
            controllers=ControllersConfig(
                controllers=CONTROLLERS, certificates=certificates.Config(sign=signer(cluster.pki))
            ),
            scheduler=False,
            renew=lambda: renewal.renew(cluster),
        )
    )
    async with Nursery("test") as nursery:
        nursery.start(control_plane.run(), "control-plane")
        await control_plane.ready.wait()
        await work(control_plane)


async def register(client: Client, name: str, *addresses: str) -> None:
    found = [NodeAddress(type="InternalIP", address=address) for address in addresses]
    found.append(NodeAddress(type="Hostname", address=name))
    await client.resource(Node).create(Node(metadata=ObjectMeta(name=name), status=NodeStatus(addresses=found)))


async def test_three_years(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No certificate and no token of a control plane and two nodes ever comes near its end."""
    # What goes on by the minute or hour goes on by the day here: it has nothing to do with certificates.
    for module, name in (
        (files, "INTERVAL"),
        (housekeeping, "_SWEEP"),
        (fanout, "BOOKMARK_INTERVAL"),
        (services, "REPAIR_INTERVAL"),
        (own_certificate, "LOOK"),
    ):
        monkeypatch.setattr(module, name, DAY)
    # After 2^24 s a virtual moment and a timer's differ by more than the loop thinks floats can.
    monkeypatch.setattr(asyncio.get_running_loop(), "_clock_resolution", 1e-3)
    monkeypatch.setattr(informer, "WATCH_SECONDS", 2 * YEARS * 365 * DAY)
    cluster = member(tmp_path, etcd="cp1=https://192.0.2.10:2380")
    nodes = {"w1": "192.0.2.11", "w2": "192.0.2.12"}
    seen: dict[str, set[bytes]] = {}

    def look() -> None:
        """Every certificate has a month left at least."""
        found = [*pki.expirations(cluster.pki), *kubeconfigs.expirations(tmp_path)]
        found += [pki.expiry(path.name, path.read_bytes()) for path in tmp_path.glob("*.pem")]
        assert len(found) >= 5 + 5 + 4 + 3 * len(nodes)
        for one in found:
            assert one.remaining > 30 * DAY, one
        for path in (*cluster.pki.rglob("*.crt"), *tmp_path.glob("*.conf"), *tmp_path.glob("*.pem")):
            seen.setdefault(str(path.relative_to(tmp_path)), set()).add(path.read_bytes())

    async def live(control_plane: ControlPlane) -> None:
        admin = control_plane.client(ADMIN)
        async with Nursery("nodes") as nursery:
            for name, address in nodes.items():
                await register(admin, name, address)
                configs = of_node(tmp_path, name, address)
                await OwnCertificate(configs[KUBELET], as_bootstrapper(control_plane)).renew()
                for config in configs.values():
                    own = OwnCertificate(config, as_node(control_plane, name))
                    nursery.start(own.run(), name)
                    await own.ready.wait()
            await admin.resource(ServiceAccount).create(
                ServiceAccount(metadata=ObjectMeta(name="app", namespace="default"))
            )
            pod = await admin.resource(Pod).create(app_pod("w1"))
            tokens = Tokens(as_node(control_plane, "w1"))
            begin = clock.timestamp()
            while clock.timestamp() < begin + YEARS * 365 * DAY:
                token, renew = await tokens.get(pod, "", 7 * 86400)
                while clock.timestamp() < renew:
                    await clock.sleep(min(DAY, max(renew - clock.timestamp(), 1.0)))
                    review = TokenReview(spec=TokenReviewSpec(token=token))
                    status = (await admin.resource(TokenReview).create(review)).status
                    assert status.authenticated, status.error
                look()

    await with_control_plane(cluster, live)
    for name, versions in seen.items():
        if Path(name).name.startswith(("ca.", "front-proxy-ca.")):
            assert len(versions) == 1, "an authority lasts ten years"
        else:
            assert len(versions) >= 4, f"{name} was renewed {len(versions) - 1} times in three years"


def app_pod(node: str) -> Pod:
    spec = PodSpec(containers=[Container(name="c", image="web:1")], node_name=node, service_account_name="app")
    return Pod(metadata=ObjectMeta(name="app", namespace="default"), spec=spec)


async def test_serving_certificates_are_for_the_nodes_own_addresses(tmp_path: Path) -> None:
    cluster = member(tmp_path)

    async def work(control_plane: ControlPlane) -> None:
        admin = control_plane.client(ADMIN)
        await register(admin, "w1", "192.0.2.11")
        await register(admin, "w2", "192.0.2.12", "192.0.2.13")
        await register(admin, "w3", "192.0.2.13")

        async def outcome(name: str, address: str) -> str:
            """`good`, or what stays when nobody approves."""
            config = of_node(tmp_path, name, address)[SERVING]
            own = OwnCertificate(config, as_node(control_plane, name))
            try:
                await own.renew()
            except TimeoutError:
                (open_one,) = [r for r in (await requests.list()).items if not r.status.conditions]
                await requests.delete(open_one.metadata.name)
                return "open"
            assert own_certificate.renewal_time(config.file.read_bytes(), (name, address)) > clock.timestamp()
            return "good"

        requests = admin.resource(CertificateSigningRequest)
        assert await outcome("w1", "192.0.2.11") == "good"
        assert await outcome("w1", "192.0.2.12") == "open", "an address of another node"
        assert await outcome("w2", "192.0.2.13") == "open", "an address that two nodes claim"
        assert await outcome("w4", "192.0.2.14") == "open", "a node that is not there"

    await with_control_plane(cluster, work)


async def test_what_is_not_a_nodes_is_left_to_an_administrator(tmp_path: Path) -> None:
    cluster = member(tmp_path)

    async def work(control_plane: ControlPlane) -> None:
        requests = control_plane.client(ADMIN).resource(CertificateSigningRequest)
        node, joining = as_node(control_plane, "w1"), as_bootstrapper(control_plane)
        file = tmp_path / "never.pem"
        asked = [
            (node, own_certificate.Config(file, CLIENT, "kubernetes-admin")),
            (node, own_certificate.Config(file, CLIENT, kubeconfigs.PROXY, ("system:nodes",))),
            (joining, own_certificate.Config(file, CLIENT, kubeconfigs.PROXY)),
            (node, own_certificate.Config(file, KUBELET, "system:node:w2", ("system:nodes",))),
        ]
        for client, config in asked:
            with pytest.raises(TimeoutError):
                await OwnCertificate(config, client).renew()
        assert not file.exists()
        assert all(not r.status.conditions for r in (await requests.list()).items)

    await with_control_plane(cluster, work)


async def test_a_denied_request_is_told(tmp_path: Path) -> None:
    cluster = member(tmp_path)

    async def work(control_plane: ControlPlane) -> None:
        admin = control_plane.client(ADMIN)
        requests = admin.resource(CertificateSigningRequest)
        config = own_certificate.Config(tmp_path / "never.pem", CLIENT, "somebody")

        async def deny() -> None:
            async for event in requests.watch():
                denied = event.object
                denied.status.conditions = [
                    certificates.CertificateSigningRequestCondition(
                        type="Denied", status="True", reason="No", message="we do not know you"
                    )
                ]
                await requests.update(denied, "approval")
                return

        async with asyncio.TaskGroup() as group:
            group.create_task(deny(), name="deny")
            with pytest.raises(own_certificate.Refused, match="was denied: we do not know you"):
                await OwnCertificate(config, admin).renew()

    await with_control_plane(cluster, work)


@pytest.mark.real_time
async def test_a_renewed_certificate_is_shown_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New connections see the new certificate of the server, the old one goes on; and a client shows its new one."""
    monkeypatch.setattr(files, "INTERVAL", 0.05)
    directory = tmp_path / "pki"
    pki.ensure(directory)
    server = APIServer(APIServerConfig(pki=directory))
    async with Nursery("server") as nursery:
        nursery.start(server.run(), "server")
        host, port = await server.ready.wait()
        context = ssl.create_default_context(cafile=str(directory / "ca.crt"))

        def shown() -> bytes:
            connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
            try:
                connection.request("GET", "/readyz")
                assert connection.getresponse().status == 200
                return connection.sock.getpeercert(binary_form=True)  # type: ignore[union-attr, no-any-return]
            finally:
                connection.close()

        before = await asyncio.to_thread(shown)
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        (directory / "apiserver.crt").unlink()
        assert pki.ensure(directory) == ["apiserver.crt", "apiserver.key"]
        async with asyncio.timeout(30):
            while await asyncio.to_thread(shown) == before:
                await clock.sleep(0.05)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
        await whoami_follows_the_file(tmp_path, directory, f"https://{host}:{port}")


async def whoami_follows_the_file(tmp_path: Path, directory: Path, server: str) -> None:
    """A client with a kubeconfig that names a file, or holds the certificate: both are read again."""
    from pybernetes.api.authentication_v1 import SelfSubjectReview
    from pybernetes.client import kubeconfig
    from pybernetes.client.http import HTTPTransport

    authority = pki.KeyPair((directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes())
    named, held, pem = tmp_path / "named.conf", tmp_path / "held.conf", tmp_path / "client.pem"

    def give(user: str) -> None:
        pair = pki.client(authority, user, "system:masters")
        pki.write(pem, pair.certificate + pair.key, 0o600)
        by_name = kubeconfigs.Credentials(server, authority.certificate, client_file=str(pem))
        pki.write(named, kubeconfigs.render("c", "u", by_name).encode(), 0o600)
        inside = kubeconfigs.Credentials(server, authority.certificate, pair)
        pki.write(held, kubeconfigs.render("c", "u", inside).encode(), 0o600)

    give("first")
    transports = [HTTPTransport(kubeconfig.load([path]).connection()) for path in (named, held)]
    try:

        async def names() -> list[str]:
            answers = [await Client(t).resource(SelfSubjectReview).create(SelfSubjectReview()) for t in transports]
            return [(a.status.user_info.username or "") if a.status and a.status.user_info else "" for a in answers]

        assert await names() == ["first", "first"]
        give("second")
        async with asyncio.timeout(30):
            while await names() != ["second", "second"]:
                await clock.sleep(0.05)
    finally:
        for transport in transports:
            await transport.close()


def test_requests_of_nodes_are_recognised() -> None:
    """The pure part: what a request must look like."""
    spec = own_certificate.Config(Path("/x"), CLIENT, kubeconfigs.PROXY)
    _, pem = own_certificate.make_request(spec, ())
    request = CertificateSigningRequest()
    request.spec.usages = list(own_certificate.CLIENT_USAGES)
    request.spec.request = base64.b64encode(pem).decode()
    assert certificates.network_problem(request, pem) == ""
    request.spec.usages = list(own_certificate.SERVER_USAGES)
    assert certificates.network_problem(request, pem) == "usages did not match"
    _, named = own_certificate.make_request(spec, ("evil.example",))
    assert certificates.network_problem(request, named) == "extensions are not allowed"
