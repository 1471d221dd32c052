"""What init and join decide and check, without a machine that they would change."""

from __future__ import annotations

import argparse
import contextlib
import email.utils
import http.server
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import (
    dual_stack,
    etcd_member,
    kubeconfigs,
    member_processes,
    pki,
    processes,
    units,
    upgrade,
)
from pybernetes.bootstrap.cluster import ClusterError, ClusterState, Member, NodeState
from pybernetes.bootstrap.dual_stack import Six
from pybernetes.bootstrap.phases import certs, discovery, etcd, preflight, settings, upload_certs, upload_config
from pybernetes.bootstrap.phases.preflight import Problem
from pybernetes.control_plane.controllers.bootstrap_tokens import sign
from pybernetes.store.errors import StoreError, StoreUnavailable
from pybernetes.store.etcd_members import EtcdMember


def state(**changes: Any) -> ClusterState:
    member = Member(address="192.0.2.1", endpoint="192.0.2.1:6443", **changes.pop("member", {}))
    given: dict[str, Any] = {
        "name": "default",
        "api_host": "127.0.0.1",
        "api_port": 6443,
        "store": "sqlite:///x/store.db",
        "pod_cidr": "10.244.0.0/16",
        "service_cidr": "10.96.0.0/12",
        "nodes": [NodeState("cp1")],
    }
    return ClusterState(**{**given, **changes}, member=member)


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1", "192.0.2.1:6443"),
        ("192.0.2.1:443", "192.0.2.1:443"),
        ("api.example", "api.example:6443"),
        ("fd00::1", "[fd00::1]:6443"),
        ("[fd00::1]:443", "[fd00::1]:443"),
    ],
)
def test_endpoints_get_a_port(text: str, endpoint: str) -> None:
    assert settings.with_port(text, 6443) == endpoint


@pytest.mark.parametrize("cidr", ["10.0.0.1/8", "nonsense", "fd00::/64", "10.244.0.0/24"])
def test_ranges_that_are_refused(cidr: str) -> None:
    with pytest.raises(ClusterError, match="--pod-network-cidr"):
        settings.check_range("pod-network-cidr", cidr)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "fd00::1", "x"])
def test_addresses_nobody_else_reaches(address: str) -> None:
    with pytest.raises(ClusterError, match="--apiserver-advertise-address"):
        settings.advertise_address(argparse.Namespace(apiserver_advertise_address=address))


def test_a_second_family_over_several_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pods, services = "10.244.0.0/16,fd00:10:244::/48", "10.96.0.0/12,fd00:10:96::/112"
    assert settings.check_range("pod-network-cidr", pods) == "10.244.0.0/16"
    assert settings.second(pods, services) == Six("fd00:10:244::/48", "fd00:10:96::/112")
    with pytest.raises(ClusterError, match="both need an IPv6 range"):
        settings.second(pods, "10.96.0.0/12")
    there = {"-4": [{"ifname": "eth0"}], "-6": [{"addr_info": [{"local": "fd01::9", "temporary": True}]}]}
    monkeypatch.setattr(settings, "_addresses", lambda family, *_: there[family])
    monkeypatch.setattr(dual_stack, "missing", lambda: "")
    with pytest.raises(ClusterError, match=r"the interface with 192\.0\.2\.1 has none"):
        settings.address6("192.0.2.1")
    there["-6"][0]["addr_info"].append({"local": "fd01::1"})  # type: ignore[attr-defined]
    assert settings.address6("192.0.2.1") == "fd01::1"
    monkeypatch.setattr(dual_stack, "missing", lambda: "its kernel has no IPv6")
    with pytest.raises(ClusterError, match="its kernel has no IPv6"):
        settings.address6("192.0.2.1")
    found = clusters.Cluster(tmp_path, state(six=settings.second(pods, services), member={"address6": "fd01::1"}))
    assert found.state.node_addresses("cp1") == ("192.0.2.1", "fd01::1")
    assert found.state.node_pod_cidrs("cp1") == ("", "")
    found.save()
    found.remember_range("cp1", "10.244.3.0/24,fd00:10:244:3::/64")
    again = clusters.find("", str(tmp_path))
    assert again is not None and again.state.node_pod_cidrs("cp1") == ("10.244.3.0/24", "fd00:10:244:3::/64")
    *four, six = again.state.kept_sources
    assert six == "fd00:10:244::/48" and len(four) == 8
    assert not any(ipaddress.ip_network("10.244.255.0/24").overlaps(ipaddress.ip_network(c)) for c in four)


def test_where_clients_on_a_member_find_the_api() -> None:
    assert state().server == "https://192.0.2.1:6443"
    second = state()
    assert second.member is not None
    second.member.address = "192.0.2.2"
    assert second.server == second.local_server == "https://192.0.2.2:6443", "a control plane is its own"
    second.member.control_plane = False
    assert second.local_server == "https://192.0.2.1:6443"
    second.member.endpoint, second.member.control_plane = "api.example:6443", True
    assert (second.server, second.local_server) == ("https://api.example:6443", "https://192.0.2.2:6443")


# -- preflight --------------------------------------------------------------------------------------------------------


def test_ignored_errors_become_warnings() -> None:
    found = [Problem("Swap", "t", "r"), Problem("Port-6443", "t", "r"), Problem("NumCPU", "t", "r", fatal=False)]
    assert [p.fatal for p in preflight.judge(found, "")] == [True, True, False]
    assert [p.fatal for p in preflight.judge(found, "swap,Other")] == [False, True, False]
    assert not any(p.fatal for p in preflight.judge(found, "all"))
    assert str(found[0]) == "\t[ERROR Swap]: t; r"
    assert str(found[2]).startswith("\t[WARNING NumCPU]")


# -- discovery --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [0, 299, -299])
def test_clocks_that_agree(skew: float) -> None:
    assert discovery.clock_problem(1_000_000.0, 1_000_000.0 + skew) == ""


def test_clocks_that_differ() -> None:
    assert "24.0 hours ahead of that of the API server" in discovery.clock_problem(1e9, 1e9 + 86400)
    assert "6 minutes behind" in discovery.clock_problem(1e9, 1e9 - 360)
    assert discovery.clock_problem(None, 1e9) == ""


class _Api:
    """A server that publishes cluster-info, with a clock of its own."""

    def __init__(self, directory: Path, offset: float) -> None:
        self.authority = pki.create_authority("kubernetes")
        pair = pki.server(self.authority, "kube-apiserver", ("127.0.0.1",))
        pki.write(directory / "x.crt", pair.certificate, 0o644)
        pki.write(directory / "x.key", pair.key, 0o600)
        text = kubeconfigs.render_public("https://127.0.0.1:1", self.authority.certificate)
        data = {"kubeconfig": text, "jws-kubeconfig-abcdef": sign(text, "abcdef", "0123456789abcdef")}
        body = json.dumps({"kind": "ConfigMap", "data": data}).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response_only(200)
                now = email.utils.formatdate(offset + discovery.clock.timestamp(), usegmt=True)
                self.send_header("Date", now)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "x.crt", directory / "x.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)


@contextlib.contextmanager
def api(directory: Path, offset: float = 0.0) -> Iterator[_Api]:
    made = _Api(directory, offset)
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()


def asked(made: _Api, **changes: Any) -> bytes:
    options = argparse.Namespace(
        token="abcdef.0123456789abcdef",
        discovery_token_ca_cert_hash=[pki.certificate_hash(made.authority.certificate)],
        discovery_token_unsafe_skip_ca_verification=False,
    )
    vars(options).update(changes)
    return discovery.trusted("127.0.0.1", made.server.server_address[1], options)


def test_discovery_trusts_what_is_signed_and_pinned(tmp_path: Path) -> None:
    with api(tmp_path) as made:
        assert asked(made) == made.authority.certificate
        with pytest.raises(ClusterError, match=r"has the CA certificate sha256:.*, not sha256:00"):
            asked(made, discovery_token_ca_cert_hash=["sha256:" + "0" * 64])
        with pytest.raises(ClusterError, match="not of the form sha256"):
            asked(made, discovery_token_ca_cert_hash=["md5:1"])
        with pytest.raises(ClusterError, match="is missing"):
            asked(made, discovery_token_ca_cert_hash=None)
        skipping = {"discovery_token_ca_cert_hash": None, "discovery_token_unsafe_skip_ca_verification": True}
        assert asked(made, **skipping) == made.authority.certificate


def test_a_clock_that_is_off_by_a_day_is_told_before_anything_else(tmp_path: Path) -> None:
    with api(tmp_path, offset=-86400) as made, pytest.raises(ClusterError, match=r"24\.0 hours ahead of"):
        asked(made, token="abcdef.ffffffffffffffff")


# -- secrets and configuration on their way to others ------------------------------------------------------------------


def test_uploaded_secrets_open_with_their_key_only() -> None:
    key = upload_certs.key_of("ab" * 32)
    sealed = upload_certs.encrypt(b"secret", key)
    assert upload_certs.encrypt(b"secret", key) != sealed
    assert upload_certs.decrypt(sealed, key) == b"secret"
    with pytest.raises(ClusterError, match="is not the one"):
        upload_certs.decrypt(sealed, upload_certs.key_of("cd" * 32))
    for text in ("", "zz", "ab" * 31):
        with pytest.raises(ClusterError, match="64 hex digits"):
            upload_certs.key_of(text)


def test_a_store_goes_to_others_without_paths_and_gets_theirs() -> None:
    url = "etcd://a:1,b:2?prefix=/mine&cafile=/x/ca&certfile=/x/c&keyfile=/x/k"
    assert upload_config.portable(url) == "etcd://a:1,b:2?prefix=/mine"
    assert upload_config.portable("etcd://a:1?cafile=/x") == "etcd://a:1"
    assert upload_config.portable("sqlite:///x/store.db") == "sqlite"
    found = upload_certs.store_files(url)
    assert {name: str(path) for name, path in found.items()} == {
        "external-etcd-ca.crt": "/x/ca",
        "external-etcd.crt": "/x/c",
        "external-etcd.key": "/x/k",
    }
    there = upload_certs.with_files("etcd://a:1", Path("/y"), set(found))
    assert there == "etcd://a:1?cafile=/y/etcd/ca.crt&certfile=/y/apiserver-etcd-client.crt" + (
        "&keyfile=/y/apiserver-etcd-client.key"
    )


def test_cluster_configuration_is_kubeadms(tmp_path: Path) -> None:
    given = state(store="etcd://a:2379?cafile=/x")
    config = upload_config.cluster_configuration(clusters.Cluster(tmp_path, given))
    assert config["kind"] == "ClusterConfiguration" and config["controlPlaneEndpoint"] == "192.0.2.1:6443"
    assert config["etcd"] == {"external": {"endpoints": ["https://a:2379"]}}
    assert config["networking"]["podSubnet"] == "10.244.0.0/16"
    given.six = Six("fd00:10:244::/48", "fd00:10:96::/112")
    config = upload_config.cluster_configuration(clusters.Cluster(tmp_path, given))
    assert config["networking"]["podSubnet"] == "10.244.0.0/16,fd00:10:244::/48"
    assert config["networking"]["serviceSubnet"] == "10.96.0.0/12,fd00:10:96::/112"


# -- units and plans ---------------------------------------------------------------------------------------------------


def test_units(tmp_path: Path) -> None:
    cluster = clusters.Cluster(tmp_path, state())
    text = units.render(cluster, "agent", ["agent", "--data-dir", "/a b/100%", "--node", "cp1"])
    assert "After=network-online.target\n" in text and "Type=notify" in text
    assert '"-m" "pybernetes" "agent" "--data-dir" "/a b/100%%" "--node" "cp1"' in text
    assert "KillMode=process" in text and "Restart=always" in text


def test_systemd_is_told_when_a_process_is_ready(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as keeper:
        keeper.bind(str(tmp_path / "notify"))
        processes.notify(str(tmp_path / "notify"), "READY=1", "STATUS=node a")
        assert keeper.recv(100) == b"READY=1\nSTATUS=node a"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as keeper:
        keeper.bind(f"\0pybernetes-{os.getpid()}")
        processes.notify(f"@pybernetes-{os.getpid()}", "READY=1", "STATUS=b")
        assert keeper.recv(100) == b"READY=1\nSTATUS=b"
    processes.notify("", "READY=1")
    processes.notify(str(tmp_path / "gone"), "READY=1")


def test_a_member_of_etcd_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    first = clusters.Cluster(tmp_path, state(member={"etcd": "cp1=https://192.0.2.1:2380"}))
    first.state.store = etcd_member.store_url(first)
    command = etcd_member.command(first)
    assert command[:5] == ["/bin/setpriv", "--pdeathsig", "TERM", "/bin/etcd", "--name=cp1"]
    assert {"--initial-cluster-state=new", "--client-cert-auth", "--peer-client-cert-auth"} <= {*command}
    assert "--listen-client-urls=https://127.0.0.1:2379,https://192.0.2.1:2379" in command
    both = "cp0=https://192.0.2.7:2380,cp1=https://192.0.2.1:2380"
    second = clusters.Cluster(tmp_path, state(member={"etcd": both}))
    assert {"--initial-cluster-state=existing", f"--initial-cluster={both}"} <= {*etcd_member.command(second)}
    told = upload_config.cluster_configuration(first)["etcd"]
    assert told == {"local": {"dataDir": str(tmp_path / "etcd")}}
    made = {spec.name: spec.names for spec in pki.specs(certs.config_of(first))}
    assert "192.0.2.1" in made["etcd/server"] and "192.0.2.1" in made["etcd/peer"]
    assert "apiserver-etcd-client" in made


@pytest.mark.parametrize("used", [False, True])
def test_a_begun_etcd_stays_once_the_cluster_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: bool
) -> None:
    cluster = clusters.Cluster(tmp_path, state(member={"control_plane": True}))
    stopped: list[clusters.Cluster] = []
    monkeypatch.setattr(etcd, "_check", lambda address: None)
    monkeypatch.setattr(pki, "ensure", lambda directory, config: None)
    monkeypatch.setattr(member_processes, "start_etcd", lambda cluster, patience: (tmp_path / "etcd").mkdir())
    monkeypatch.setattr(member_processes, "stop_etcd", stopped.append)
    with pytest.raises(ClusterError), etcd.begun(cluster) as store:
        if used:
            cluster.state.store = store
            cluster.save()
        raise ClusterError("the control plane is not ready")
    saved = clusters.find("", str(tmp_path))
    assert saved is not None and saved.state.member is not None
    assert (saved.state.member.etcd is not None, (tmp_path / "etcd").exists(), not stopped) == (used, used, used)


class _Others:
    """An etcd that adds and promotes a member, and whose answers to that are lost."""

    def __init__(self) -> None:
        self.known = [EtcdMember(1, "cp0", ("https://192.0.2.7:2380",), (), False)]

    async def __aenter__(self) -> _Others:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def list(self) -> list[EtcdMember]:
        return [*self.known]

    async def add(self, peer_url: str) -> None:
        if any(peer_url in one.peer_urls for one in self.known):
            raise StoreError("etcd: Peer URLs already exists")
        self.known.append(EtcdMember(2, "", (peer_url,), (), True))
        raise StoreUnavailable("etcd member_add: timed out")

    async def promote(self, id: int) -> None:
        if not self.known[1].learner:
            raise StoreError("etcd: can only promote a learner member")
        self.known[1] = self.known[1]._replace(learner=False)
        raise StoreUnavailable("etcd member_promote: timed out")


async def test_a_member_joins_though_answers_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = clusters.Cluster(tmp_path, state(member={"control_plane": True}))
    monkeypatch.setattr(etcd_member, "members", lambda cluster, *addresses: _Others())
    monkeypatch.setattr(member_processes, "start_etcd", lambda cluster, patience: None)
    assert await etcd._join(cluster, ["192.0.2.7"]) == 2
    assert cluster.state.member is not None
    assert cluster.state.member.etcd == "cp0=https://192.0.2.7:2380,cp1=https://192.0.2.1:2380"


def test_a_new_range_changes_nothing_else_that_was_written_meanwhile(tmp_path: Path) -> None:
    commands = clusters.Cluster(tmp_path, state())
    commands.save()
    agent = clusters.find("", str(tmp_path))
    assert agent is not None
    commands.state.store = "etcd://127.0.0.1:2379"
    commands.save()
    agent.remember_range("cp1", "10.244.7.0/24")
    saved = clusters.find("", str(tmp_path))
    assert saved is not None and saved.state.store == "etcd://127.0.0.1:2379"
    assert saved.state.node("cp1").pod_cidr == agent.state.node("cp1").pod_cidr == "10.244.7.0/24"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    cluster = clusters.Cluster(tmp_path / "a b", state())
    for part in ("etcd", "control-plane", "agent"):
        arguments = [part, "--data-dir", str(cluster.directory)]
        (tmp_path / units.name(cluster, part)).write_text(units.render(cluster, part, arguments))
    files = sorted(map(str, tmp_path.glob("*.service")))
    assert len(files) == 3
    command = ["systemd-analyze", "verify", "--man=no", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_plan_of_an_upgrade() -> None:
    from collections import Counter

    assert "nothing to upgrade" in upgrade.render("v1.36.2", Counter({"v1.36.2": 3}), "v1.36.2")
    text = upgrade.render("v1.36.2", Counter({"v1.36.1": 2, "v1.36.2": 1}), "v1.36.2")
    assert "2 x" in text and "control planes first" in text
