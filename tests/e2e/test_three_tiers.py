"""examples/three-tier on a real node: an Ingress with TLS, names, Services, policies, and updates nobody notices."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.bootstrap import pki
from pybernetes.bootstrap.ingress import binary
from tests.e2e.conftest import ROOT, RealCluster

EXAMPLE = ROOT / "examples" / "three-tier"
HOST, NAMESPACE = "shop.example", "three-tier"

pytestmark = pytest.mark.skipif(binary() is None, reason="haproxy is not installed")


class Shop:
    """A client that trusts one certificate and asks one address for one name."""

    def __init__(self, cluster: RealCluster, address: str, authority: bytes) -> None:
        self.cluster, self.address = cluster, address
        self.context = ssl.create_default_context(cadata=authority.decode())

    def connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(HOST, 443, timeout=30, context=self.context)
        plain = socket.create_connection((self.address, 443), timeout=30)
        connection.sock = self.context.wrap_socket(plain, server_hostname=HOST)
        return connection

    def ask(self, connection: http.client.HTTPSConnection) -> tuple[int, str]:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip()

    def once(self) -> tuple[int, str]:
        connection = self.connect()
        try:
            return self.ask(connection)
        finally:
            connection.close()

    def worker(self) -> int:
        """The pid of the haproxy that takes connections now: another one after a reload."""
        directory = next(iter((self.cluster.directory / "nodes").iterdir())) / "ingress"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(directory / "haproxy.sock"))
            connection.sendall(b"show info\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        return int(next(line for line in text.splitlines() if line.startswith("Pid:")).split()[1])

    def kubectl(self, *arguments: str, timeout: float = 120) -> str:
        return self.cluster.kubectl("-n", NAMESPACE, *arguments, timeout=timeout).stdout


@pytest.fixture(scope="module")
def shop(cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("tls")
    authority = pki.create_authority("shop")
    pair = pki.server(authority, HOST, (HOST,))
    pki.write(directory / "certificate.pem", pair.certificate, 0o644)
    pki.write(directory / "key.pem", pair.key, 0o600)
    cluster.kubectl("apply", "-f", str(EXAMPLE / "namespace.yaml"))
    files = [f"--cert={directory / 'certificate.pem'}", f"--key={directory / 'key.pem'}"]
    cluster.kubectl("-n", NAMESPACE, "create", "secret", "tls", "shop", *files)
    for name in ("tiers", "policies", "ingress"):
        cluster.kubectl("apply", "-f", str(EXAMPLE / f"{name}.yaml"))
    address = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    found = Shop(cluster, address, authority.certificate)
    for kind in ("deployment/web", "deployment/app", "statefulset/db"):
        found.kubectl("rollout", "status", kind, "--timeout=100s")
    waiting = "--for=jsonpath={.status.loadBalancer.ingress[0].ip}=" + address
    found.kubectl("wait", waiting, "ingress/shop", "--timeout=60s")
    deadline = time.monotonic() + 60
    while found.once()[0] != 200 and time.monotonic() < deadline:
        pass
    yield found
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true", timeout=120)


def test_all_tiers_answer_through_the_ingress(shop: Shop) -> None:
    assert shop.once() == (200, "web 1: app 1: db 1: one row of data")
    assert (
        shop.kubectl("get", "ingressclass", "pybernetes", "-o", "jsonpath={.spec.controller}")
        == "pybernetes.io/ingress"
    )
    assert shop.kubectl("get", "ingress", "shop", "-o", "jsonpath={.spec.ingressClassName}") == "pybernetes"


def test_policies_leave_only_the_ways_that_are_needed(shop: Shop) -> None:
    reach = "timeout 2 wget -q -O /dev/null http://{address}:{port}/ && echo reached || echo refused"

    def tries(tier: str, other: str, port: int) -> str:
        name = shop.kubectl("get", "pods", "-l", f"tier={tier}", "-o", "jsonpath={.items[0].metadata.name}")
        pod = shop.kubectl("get", "pods", "-l", f"tier={other}", "-o", "jsonpath={.items[0].status.podIP}")
        return shop.kubectl("exec", name, "--", "sh", "-c", reach.format(address=pod, port=port)).strip()

    ways = {("web", "app", 8080), ("app", "db", 5432)}
    ports = {"web": 8080, "app": 8080, "db": 5432}

    def found() -> set[tuple[str, str, int]]:
        tried = [(tier, other, ports[other]) for tier in ports for other in ports if tier != other and other != "web"]
        return {way for way in tried if tries(*way) == "reached"}

    deadline = time.monotonic() + 30  # policies hold soon after they are written, not at once
    while (reached := found()) != ways and time.monotonic() < deadline:
        pass
    assert reached == ways


@pytest.mark.parametrize("tier", ["web", "app", "db"])
def test_a_rolling_update_fails_no_request(shop: Shop, tier: str) -> None:
    kind = "statefulset/db" if tier == "db" else f"deployment/{tier}"
    results: Counter[str] = Counter()
    failures: list[str] = []
    stop = threading.Event()
    worker = shop.worker()

    def customer(keep: bool) -> None:
        """One that keeps its connection, or opens a new one each time."""
        connection = shop.connect()
        while not stop.is_set():
            try:
                if not keep or connection.sock is None:  # the server may close after an answer, but not before
                    connection.close()
                    connection = shop.connect()
                status, text = shop.ask(connection)
                results[text] += 1
                if status != 200:
                    failures.append(f"{status} {text}")
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                connection.close()
                connection = shop.connect()
        connection.close()

    threads = [threading.Thread(target=customer, args=(keep,)) for keep in (True, False)]
    for thread in threads:
        thread.start()
    try:
        shop.kubectl("set", "env", kind, "RELEASE=2")
        shop.kubectl("rollout", "status", kind, "--timeout=150s", timeout=170)
        deadline = time.monotonic() + 60
        while len(shop.kubectl("get", "pods", "-l", f"tier={tier}", "-o", "name").split()) > 2:
            assert time.monotonic() < deadline, "old Pods do not end"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert shop.worker() == worker, "Pods that come and go need no reload"
    assert any(f"{tier} 1" in text for text in results) and any(f"{tier} 2" in text for text in results)


def test_haproxy_ends_with_its_agent_and_comes_back(shop: Shop) -> None:
    worker = shop.worker()
    (record,) = (shop.cluster.directory / "run").glob("agent-*.pid")
    agent = json.loads(record.read_text())["pid"]
    os.kill(agent, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline, "haproxy outlives its agent"
        time.sleep(0.1)
    shop.cluster.pybernetes("up", "--no-merge")
    deadline = time.monotonic() + 60
    while True:
        try:
            if shop.once()[0] == 200:
                break
        except OSError:
            assert time.monotonic() < deadline, "haproxy does not come back"
        time.sleep(0.2)
