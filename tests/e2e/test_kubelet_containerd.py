# ruff: noqa: ASYNC110
"""Pods of a real containerd under the kubelet: what containers see, how they are limited, and the node's own API."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import os
import shutil
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pybernetes.aio import clock
from pybernetes.api.core_v1 import ConfigMap, Pod, Secret
from pybernetes.bootstrap import images, pki
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.node.kubelet import logs
from pybernetes.node.kubelet.cgroups import Cgroups
from tests.e2e.test_cri_containerd import Node
from tests.unit.node.kubelet.world import World, pod, ready

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real_time,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("containerd") is None, reason="needs root and containerd"),
]

MAIN = {"name": "main", "image": images.BUSYBOX, "imagePullPolicy": "IfNotPresent"}
CGROUPS = "pbt-kubelet-pods"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"), "pbt-kubelet")
    try:
        asyncio.run(node.start())
        yield node
    finally:
        asyncio.run(node.remove())
        Cgroups(CGROUPS).remove_all()
        assert not [*Path("/sys/fs/cgroup").glob(f"*/{CGROUPS}")]


class RealWorld(World):
    """A world over containerd. `run(...)` gives a finished pod and its log."""

    async def run(self, name: str, script: str, **fields: Any) -> tuple[Pod, str]:
        container = {**MAIN, "command": ["sh", "-c", script], **fields.pop("container", {})}
        await self.create(pod(name, container, restartPolicy="Never", **fields))
        found = await self.until(name, lambda p: p.status.phase in ("Succeeded", "Failed"), 30)
        return found, self.log(found)

    def log(self, found: Pod, container: str = "main", count: int = 0) -> str:
        metadata = found.metadata
        path = self.kubelet.host.paths.log_file(metadata.namespace, metadata.name, metadata.uid, container, count)
        return b"".join(logs.read(path, logs.LogOptions())).decode()

    async def clear(self) -> None:
        for one in self.pods.list("default"):
            await self.delete(one.metadata.name, grace_period=1)
        assert await self.pods.until(lambda: not self.pods.list("default"), 30)
        assert await _soon(lambda: not self.kubelet.workers)


async def _soon(condition: Any, seconds: float = 10.0) -> bool:
    end = clock.monotonic() + seconds
    while not condition() and clock.monotonic() < end:
        await asyncio.sleep(0.05)
    return bool(condition())


@asynccontextmanager
async def real_world(node: Node, **config: Any) -> AsyncIterator[RealWorld]:
    async with node.client() as client:
        world = RealWorld(node.directory, cgroup_root=CGROUPS, offload_io=True, real_mounts=True, **config)
        world.runtime = client  # type: ignore[assignment]
        async with world:
            try:
                yield world
            finally:  # the node is shared: what a failed test leaves would fail the next
                await world.clear()


async def test_what_a_container_sees(node: Node) -> None:
    async with real_world(node) as world:
        await world.create(
            ConfigMap(metadata=ObjectMeta(name="cfg", namespace="default"), data={"a": "one", "b": "two"})
        )
        secret = Secret(metadata=ObjectMeta(name="s", namespace="default"), data={"k": base64.b64encode(b"x").decode()})
        await world.create(secret)
        found, log = await world.run(
            "sees",
            "echo $A $B $(hostname); cat /etc/hosts; cat /etc/resolv.conf; cat /cfg/a /one; stat -c %a /cfg/..data/a; "
            "cat /s/k; mount | grep ' /mem '; id -u; id -g; id -G; touch /x && echo wrote; touch /cfg/y; "
            "mkdir /data/sub; echo kept > /deep/file; cat /data/dir/file; echo bye > /dev/termination-log",
            container={
                "env": [
                    {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "B", "value": "b-$(A)"},
                ],
                "securityContext": {"runAsUser": 1001, "runAsGroup": 2002},
                "volumeMounts": [
                    {"name": "cfg", "mountPath": "/cfg"},
                    {"name": "cfg", "mountPath": "/one", "subPath": "b"},
                    {"name": "s", "mountPath": "/s"},
                    {"name": "mem", "mountPath": "/mem"},
                    {"name": "data", "mountPath": "/data"},
                    {"name": "data", "mountPath": "/deep", "subPathExpr": "dir"},
                ],
            },
            securityContext={"fsGroup": 3003},
            hostAliases=[{"ip": "1.2.3.4", "hostnames": ["foo", "bar"]}],
            subdomain="sub",
            volumes=[
                {"name": "cfg", "configMap": {"name": "cfg", "defaultMode": 0o440}},
                {"name": "s", "secret": {"secretName": "s"}},
                {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {"name": "data", "emptyDir": {}},
            ],
        )
        ip = found.status.pod_ip
        assert ip and f"{ip} b-{ip} sees" in log
        assert "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n" in log
        assert f"{ip}\tsees.sub.default.svc.cluster.local\tsees" in log and "1.2.3.4\tfoo\tbar" in log
        assert "nameserver 10.96.0.10" in log and "search default.svc.cluster.local svc.cluster.local" in log
        assert "onetwo440\nx" in log and "tmpfs on /mem" in log and "size=1024k" in log
        # Standard error comes through a pipe of its own and may fall between these lines.
        lines = log.replace("3003 2002", "2002 3003").splitlines()
        assert [line for line in lines if line in ("1001", "2002", "2002 3003")] == ["1001", "2002", "2002 3003"]
        assert "wrote" not in log and "Read-only file system" in log and "\nkept\n" in log
        ended = found.status.container_statuses[0].state.terminated  # type: ignore[index, union-attr]
        assert ended and ended.message == "bye\n" and ended.exit_code == 0 and ended.reason == "Completed"


async def test_exit_codes_messages_and_restarts(node: Node) -> None:
    async with real_world(node) as world:
        found, _ = await world.run(
            "fails", "echo why; exit 3", container={"terminationMessagePolicy": "FallbackToLogsOnError"}
        )
        ended = found.status.container_statuses[0].state.terminated  # type: ignore[index, union-attr]
        assert found.status.phase == "Failed" and ended
        assert (ended.exit_code, ended.reason, ended.message) == (3, "Error", "why\n")
        await world.create(pod("again", {**MAIN, "command": ["sh", "-c", "exit 1"]}))
        found = await world.until(
            "again", lambda p: p.status.container_statuses and p.status.container_statuses[0].restart_count == 2, 30
        )
        await world.create(pod("nothing", {**MAIN, "command": ["/no/such/program"]}))
        found = await world.until(
            "nothing",
            lambda p: p.status.container_statuses and p.status.container_statuses[0].last_state.terminated,
            30,
        )
        last = found.status.container_statuses[0].last_state.terminated  # type: ignore[index, union-attr]
        assert last and last.reason == "StartError" and last.exit_code == 128 and "no such file" in str(last.message)


async def test_limits_and_resize(node: Node) -> None:
    async with real_world(node) as world:
        resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
        await world.create(pod("lim", {**MAIN, "command": ["sleep", "1000"], "resources": resources}))
        found = await world.until("lim", ready, 30)
        v1 = (Path("/sys/fs/cgroup") / "cpu").is_dir()
        container = found.status.container_statuses[0].container_id.rpartition("/")[2]  # type: ignore[index, union-attr]
        if v1:
            pod_group = Path("/sys/fs/cgroup/cpu") / CGROUPS / "burstable" / f"pod{found.metadata.uid}"
            own = pod_group / container
            assert (own / "cpu.cfs_quota_us").read_text().strip() == "20000"
            assert (pod_group / "cpu.cfs_quota_us").read_text().strip() == "20000"
            body = {"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "500m"}}}]}}
            await world.client.resource(Pod).patch("lim", "default", body, type="strategic", subresource="resize")
            assert await _soon(lambda: (own / "cpu.cfs_quota_us").read_text().strip() == "50000")
            assert (pod_group / "cpu.cfs_quota_us").read_text().strip() == "50000"
            after = await world.get("lim")
            assert after.status.container_statuses and after.status.container_statuses[0].restart_count == 0
        await world.delete("lim", grace_period=1)
        await world.until_gone("lim", 30)
        if v1:
            assert await _soon(lambda: not pod_group.exists())
        eater = {"resources": {"limits": {"memory": "16Mi"}}}
        found, _ = await world.run("oom", "tail /dev/zero", container=eater)
        ended = found.status.container_statuses[0].state.terminated  # type: ignore[index, union-attr]
        assert ended and ended.reason == "OOMKilled" and ended.exit_code == 137


async def test_sub_path_cannot_leave_its_volume(node: Node, tmp_path: Path) -> None:
    async with real_world(node) as world:
        (tmp_path / "out").symlink_to("/etc")
        mount = {"name": "h", "mountPath": "/m", "subPath": "out"}
        container = {**MAIN, "command": ["cat", "/m/shadow"], "volumeMounts": [mount]}
        volumes = [{"name": "h", "hostPath": {"path": str(tmp_path)}}]
        await world.create(pod("leak", container, restartPolicy="Never", volumes=volumes))
        found = await world.until(
            "leak", lambda p: p.status.container_statuses and p.status.container_statuses[0].state.waiting.message, 30
        )
        state = found.status.container_statuses[0].state  # type: ignore[index]
        assert state and state.waiting and state.waiting.reason == "CreateContainerConfigError"
        assert state.waiting.message == 'failed to prepare subPath for volumeMount "h" of container "main"'


async def test_host_namespaces_and_devices(node: Node) -> None:
    async with real_world(node) as world:
        found, log = await world.run(
            "host",
            "readlink /proc/self/ns/net; ls /dev/null; cat /etc/hosts | head -1",
            hostNetwork=True,
            hostPID=True,
        )
        assert "# Kubernetes-managed hosts file (host network)." in log
        assert found.status.pod_ip == "10.0.0.1" and "net:[" in log


async def test_node_api(node: Node, tmp_path: Path) -> None:
    authority = pki.create_authority("ca")
    own = pki.server(authority, "node", ["127.0.0.1"])
    client = pki.client(authority, "apiserver", "system:masters")
    for name, data in (
        ("ca.crt", authority.certificate),
        ("s.crt", own.certificate),
        ("s.key", own.key),
        ("c.crt", client.certificate),
        ("c.key", client.key),
    ):
        (tmp_path / name).write_bytes(data)
    files = {"tls_cert": tmp_path / "s.crt", "tls_key": tmp_path / "s.key", "client_ca": tmp_path / "ca.crt"}
    async with real_world(node, port=19250, **files) as world:
        script = "echo one; echo two; sleep 0.2; echo err >&2; sleep 0.5; echo three; exec sleep 1000"
        await world.create(pod("web", {**MAIN, "command": ["sh", "-c", script]}))
        found = await world.until("web", ready, 30)
        async with _bridge(node, world):
            await _check_node_api(world, found, tmp_path)


async def _check_node_api(world: RealWorld, found: Pod, tmp_path: Path) -> None:
    trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    anonymous = await _request(19250, trusted, "GET", "/pods")
    assert anonymous[0] == 401
    trusted.load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
    await _soon(lambda: "three" in world.log(found))
    status, body = await _request(19250, trusted, "GET", "/containerLogs/default/web/main?tailLines=2")
    assert (status, body) == (200, b"err\nthree\n")
    status, body = await _request(
        19250, trusted, "GET", "/containerLogs/default/web/main?timestamps=true&limitBytes=10"
    )
    assert status == 200 and body.startswith(b"20") and len(body) == 10
    assert (await _request(19250, trusted, "GET", "/containerLogs/default/web/other"))[0] == 404
    status, body = await _request(19250, trusted, "GET", "/stats/summary")
    assert status == 200 and b'"podRef":{"name":"web"' in body
    assert b"container_memory_working_set_bytes{" in (await _request(19250, trusted, "GET", "/metrics/resource"))[1]
    assert b'"name":"web"' in (await _request(19250, trusted, "GET", "/pods"))[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", 19250, ssl=trusted)
    path = "/exec/default/web/main?command=echo&command=hello&output=1"
    head = [
        f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io", "", "",
    ]  # fmt: skip
    writer.write("\r\n".join(head).encode())
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer and b"v5.channel.k8s.io" in answer
        data = b""
        while b"hello\n" not in data:
            data += await reader.read(100)
    writer.close()
    refused = await _request(
        19250, trusted, "GET", path, ("Upgrade: websocket", "Sec-WebSocket-Protocol: v6.channel.k8s.io")
    )
    assert refused[0] == 400
    task = asyncio.ensure_future(_request(19250, trusted, "GET", "/containerLogs/default/web/main?follow=true"))  # noqa: TID251
    await asyncio.sleep(0.3)
    await world.delete("web", grace_period=1)
    status, body = await asyncio.wait_for(task, 10)
    assert status == 200 and body.endswith(b"three\n")


@asynccontextmanager
async def _bridge(node: Node, world: RealWorld) -> AsyncIterator[None]:
    """The node's streaming server is in the node's network namespace and this process is not: relay to it."""
    runtime: Any = world.runtime
    original, targets = runtime.exec_url, []

    async def exec_url(*args: Any, **kwargs: Any) -> str:
        parts = urlsplit(await original(*args, **kwargs))
        targets.append((parts.hostname, parts.port))
        return f"http://127.0.0.1:{port}{parts.path}"

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.to_thread(_socket_in, node.namespace, targets[-1])
        there_reader, there_writer = await asyncio.open_connection(sock=there)
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, there_writer))
            group.create_task(_copy(there_reader, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    runtime.exec_url = exec_url
    try:
        yield
    finally:
        del runtime.exec_url
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _socket_in(namespace: str, address: tuple[str, int]) -> socket.socket:
    """A connection from inside a network namespace. Runs in a thread of its own, which stays there."""
    found: list[socket.socket] = []

    def connect() -> None:
        with open(f"/run/netns/{namespace}") as file:
            assert ctypes.CDLL(None).setns(file.fileno(), 0x40000000) == 0
        found.append(socket.create_connection(address))

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    found[0].setblocking(False)
    return found[0]


async def _request(
    port: int, tls: ssl.SSLContext, method: str, path: str, headers: tuple[str, ...] = ()
) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    writer.write("\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode())
    data = await reader.read(-1)
    writer.close()
    head, _, body = data.partition(b"\r\n\r\n")
    if b"chunked" in head:
        out, rest = b"", body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            if not (length := int(size, 16)):
                break
            out, rest = out + rest[:length], rest[length + 2 :]
        body = out
    return int(head.split()[1]), body
