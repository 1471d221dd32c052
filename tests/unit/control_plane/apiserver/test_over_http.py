"""The same server over real sockets: media types, tables, warnings, streams to a kubelet, proxies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from pybernetes.api.core_v1 import Binding, Node, NodeAddress, Pod, ServiceAccount
from pybernetes.api.core_v1.node import DaemonEndpoint, NodeDaemonEndpoints
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.machinery import codec, protobuf, yaml
from pybernetes.machinery.meta import ObjectMeta
from tests.suites.api_server import client_of, running
from tests.suites.resource_contract import sample

pytestmark = pytest.mark.real_time

ADMIN = {"Authorization": "Bearer t"}
NAMESPACE = "/api/v1/namespaces/default"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Caller:
    """Requests to one server."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def __call__(
        self, method: str, path: str, body: Any = None, *, accept: str = "", content: str = "application/json"
    ) -> tuple[int, Any, bytes]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {**ADMIN, "Content-Type": content, "User-Agent": "test/1"}
        if accept:
            headers["Accept"] = accept
        async with self.session.request(
            method, self.base + path, data=data, headers=headers, allow_redirects=False
        ) as got:
            return got.status, got.headers, await got.read()


async def serve(work: Callable[[Any, Caller], Awaitable[None]]) -> None:
    admin = User("admin", "", ("system:masters",))
    async with running(listen=True, static_tokens={"t": admin}) as server:
        host, port = await server.ready.wait()
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            await work(server, Caller(session, f"http://{host}:{port}"))


async def test_media_types() -> None:
    async def work(server: Any, call: Caller) -> None:
        obj = sample("v1 ConfigMap", "m", "default")
        status, headers, body = await call("POST", f"{NAMESPACE}/configmaps", obj)
        assert status == 201 and headers["Content-Type"] == "application/json"
        stored = json.loads(body)
        path = f"{NAMESPACE}/configmaps/m"
        status, headers, body = await call("GET", path, accept="application/yaml")
        assert headers["Content-Type"] == "application/yaml" and yaml.load(body) == stored
        status, headers, body = await call("GET", path, accept="application/vnd.kubernetes.protobuf")
        assert headers["Content-Type"] == "application/vnd.kubernetes.protobuf"
        assert protobuf.decode(body)["data"] == {"a": "b"}
        wire = protobuf.encode(sample("v1 ConfigMap", "p", "default"))
        status, _, body = await call(
            "POST", f"{NAMESPACE}/configmaps", wire, content="application/vnd.kubernetes.protobuf"
        )
        assert status == 201, body
        status, _, body = await call("POST", f"{NAMESPACE}/configmaps", b"x", content="text/plain")
        assert status == 415 and json.loads(body)["reason"] == "UnsupportedMediaType"
        status, _, body = await call("GET", path, accept="text/html")
        assert status == 406 and json.loads(body)["reason"] == "NotAcceptable"
        status, _, body = await call("GET", f"{NAMESPACE}/configmaps", accept=TABLE)
        table = json.loads(body)
        assert table["kind"] == "Table" and [c["name"] for c in table["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert [row["cells"][:2] for row in table["rows"]] == [["m", 1], ["p", 1]]
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        for whole in (f"{NAMESPACE}/configmaps", f"{NAMESPACE}/configmaps/m"):
            _, _, body = await call("GET", f"{whole}?includeObject=Object", accept=TABLE)
            found = json.loads(body)["rows"][0]["object"]
            assert (found["apiVersion"], found["kind"], found["data"]) == ("v1", "ConfigMap", {"a": "b"})
            _, _, body = await call("GET", f"{whole}?includeObject=None", accept=TABLE)
            assert json.loads(body)["rows"][0]["object"] is None
            status, _, body = await call("GET", f"{whole}?includeObject=x", accept=TABLE)
            assert (status, json.loads(body)["message"]) == (400, 'unrecognized includeObject value: "x"')
        status, _, body = await call(
            "GET", f"{NAMESPACE}/configmaps", accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        )
        listed = json.loads(body)
        assert listed["kind"] == "PartialObjectMetadataList" and "data" not in listed["items"][0]

    await serve(work)


async def test_unknown_fields_and_anonymity() -> None:
    async def work(server: Any, call: Caller) -> None:
        odd = {**sample("v1 ConfigMap", "m", "default"), "dota": {}}
        status, headers, _ = await call("POST", f"{NAMESPACE}/configmaps", odd)
        assert status == 201 and headers["Warning"] == '299 - "unknown field \\"dota\\""'
        status, _, body = await call("POST", f"{NAMESPACE}/configmaps?fieldValidation=Strict", odd)
        assert status == 400 and "strict decoding error" in json.loads(body)["message"]
        async with call.session.get(f"{call.base}{NAMESPACE}/configmaps") as got:
            assert got.status == 403
            assert 'User "system:anonymous" cannot list resource "configmaps"' in (await got.json())["message"]
        async with call.session.get(f"{call.base}/readyz") as got:
            assert (got.status, await got.text()) == (200, "ok")
        async with call.session.get(f"{call.base}/version", headers={"Authorization": "Bearer bad"}) as got:
            assert got.status == 401

    await serve(work)


async def test_a_timeout_that_cannot_be_read_is_refused() -> None:
    async def work(server: Any, call: Caller) -> None:
        for good in ("500ms", "0s", "1h30m", "0", ""):
            assert (await call("GET", f"{NAMESPACE}/configmaps?timeout={good}"))[0] == 200
        for bad, text in (("foo", 'invalid duration "foo"'), ("5", 'missing unit in duration "5"')):
            status, _, body = await call("GET", f"/version?timeout={bad}")
            said = json.loads(body)["message"]
            assert (status, said) == (400, f"invalid timeout specified in the request URL - time: {text}")

    await serve(work)


async def test_health_as_numbers() -> None:
    async def work(server: Any, call: Caller) -> None:
        status, _, body = await call("GET", "/metrics/slis")
        assert status == 200 and b'kubernetes_healthcheck{name="etcd",type="readyz"} 1\n' in body

    await serve(work)


async def test_warnings_over_http() -> None:
    async def work(server: Any, call: Caller) -> None:
        spec = {"ports": [{"port": 80}], "externalName": "a.b", "trafficDistribution": "PreferClose"}
        service = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s"}, "spec": spec}
        status, headers, body = await call("POST", f"{NAMESPACE}/services", service)
        assert status == 201, body
        assert headers.getall("Warning") == [
            r'299 - "spec.externalName is ignored when spec.type is not \"ExternalName\""',
            r'299 - "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""',
        ]
        _, headers, _ = await call("GET", f"{NAMESPACE}/endpoints")
        assert headers.getall("Warning") == [
            '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
        ]
        url = f"{call.base}{NAMESPACE}/endpoints?watch=1&timeoutSeconds=1"
        async with call.session.get(url, headers=ADMIN) as got:
            assert got.headers["Warning"].startswith('299 - "v1 Endpoints is deprecated')
        for check in ("poststarthook/crd-informer-synced", "autoregister-completion"):
            assert (await call("GET", f"/livez/{check}"))[0] == 200

    await serve(work)


async def test_equal_owners_are_one() -> None:
    async def work(server: Any, call: Caller) -> None:
        obj = sample("v1 ConfigMap", "m", "default")
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
        for method, path in (("POST", f"{NAMESPACE}/configmaps"), ("PUT", f"{NAMESPACE}/configmaps/m")):
            obj["metadata"]["ownerReferences"] = [owner, owner, {**owner, "uid": "v"}]
            _, headers, body = await call(method, path, obj)
            (said,) = headers.getall("Warning")
            assert ".metadata.ownerReferences contains duplicate entries;" in said
            assert said.endswith('duplicate UID(s) observed: u"')
            owners = json.loads(body)["metadata"]["ownerReferences"]
            assert [o["uid"] for o in owners] == ["u", "v"]
        more = [{"op": "add", "path": "/metadata/ownerReferences/-", "value": o} for o in owners]
        path = f"{NAMESPACE}/configmaps/m"
        _, headers, _ = await call("PATCH", path, more, content="application/json-patch+json")
        (said,) = headers.getall("Warning")
        assert ".metadata.ownerReferences contains duplicate entries after mutating admission happens;" in said
        assert said.endswith('duplicate UID(s) observed: u, v"')

    await serve(work)


async def test_watch_over_http() -> None:
    async def work(server: Any, call: Caller) -> None:
        url = f"{call.base}{NAMESPACE}/configmaps?watch=1&timeoutSeconds=1&allowWatchBookmarks=true"
        async with call.session.get(url, headers=ADMIN) as got:
            await call("POST", f"{NAMESPACE}/configmaps", sample("v1 ConfigMap", "m", "default"))
            lines = [json.loads(line) async for line in got.content]
        assert [line["type"] for line in lines] == ["ADDED", "BOOKMARK"]
        assert lines[0]["object"]["metadata"]["name"] == "m"
        assert int(lines[1]["object"]["metadata"]["resourceVersion"]) >= int(
            lines[0]["object"]["metadata"]["resourceVersion"]
        )

    await serve(work)


class Kubelet:
    """Answers like a kubelet, and remembers what it was asked."""

    def __init__(self) -> None:
        self.heads: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if "Upgrade: SPDY/3.1" in head:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello ")
            writer.write((await reader.readexactly(5)).upper())
        elif head.startswith("HEAD "):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n")
            await reader.read()  # says nothing more, and leaves the connection open
        elif "/page" in head:
            page = b'<a href="/next">x</a><img src="other.png">'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page) + page)
        elif "/away" in head:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlogs\r\n1\r\n!\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()


async def test_streams_to_a_kubelet() -> None:
    async def work(server: Any, call: Caller) -> None:
        kubelet = Kubelet()
        backend = await asyncio.start_server(kubelet, "127.0.0.1", 0)
        port = backend.sockets[0].getsockname()[1]
        client = client_of(server)
        node = Node(metadata=ObjectMeta(name="n"))
        node.status.addresses = [NodeAddress(type="InternalIP", address="127.0.0.1")]
        node.status.daemon_endpoints = NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=port))
        await client.resource(Node).create(node)
        await client.resource(ServiceAccount).create(
            ServiceAccount(metadata=ObjectMeta(name="default", namespace="default"))
        )
        pods = client.resource(Pod)
        await pods.create(codec.from_dict(Pod, sample("v1 Pod", "p", "default")))
        status, _, body = await call("GET", f"{NAMESPACE}/pods/p/log")
        assert (status, body) == (204, b""), "not on a node yet"
        binding = Binding(metadata=ObjectMeta(name="p", namespace="default"))
        binding.target.name = "n"
        await pods.create_subresource("p", "default", "binding", binding)

        status, _, body = await call("GET", f"{NAMESPACE}/pods/p/log?tailLines=5&follow=true")
        assert (status, body) == (200, b"logs!")
        assert kubelet.heads[-1].startswith("GET /containerLogs/default/p/c?follow=true&tailLines=5 HTTP/1.1")
        assert "Authorization" not in kubelet.heads[-1]
        status, _, body = await call("GET", f"{NAMESPACE}/pods/p/log?container=none")
        assert status == 400 and json.loads(body)["message"] == "container none is not valid for pod p"

        reader, writer = await asyncio.open_connection(*call.base.removeprefix("http://").split(":"))
        path = f"{NAMESPACE}/pods/p/exec?command=sh&command=-c&stdin=1&stdout=1"
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nConnection: Upgrade\r\n"
            "Upgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\nthere".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(11) == b"hello THERE"
        writer.close()
        assert kubelet.heads[-1].startswith("POST /exec/default/p/c?command=sh&command=-c&input=1&output=1 HTTP/1.1")

        status, headers, _ = await call("GET", "/api/v1/nodes/n/proxy")
        assert status == 301 and headers["Location"] == "/api/v1/nodes/n/proxy/"
        status, _, body = await call("GET", "/api/v1/nodes/n/proxy/page")
        assert body == b'<a href="/api/v1/nodes/n/proxy/next">x</a><img src="other.png">'
        status, headers, _ = await call("GET", "/api/v1/nodes/n/proxy/away?x=1")
        assert status == 302 and headers["Location"] == "/api/v1/nodes/n/proxy/there"
        assert kubelet.heads[-1].startswith("GET /away?x=1 HTTP/1.1")
        status, _, body = await call("OPTIONS", "/api/v1/nodes/n/proxy/o%2Fp")
        assert status == 200 and kubelet.heads[-1].startswith("OPTIONS /o%2Fp HTTP/1.1")
        status, _, body = await call("HEAD", "/api/v1/nodes/n/proxy/file")
        assert (status, body) == (200, b"") and kubelet.heads[-1].startswith("HEAD /file HTTP/1.1")
        # A name that begins as the subresource does, and characters that need no quoting.
        node.metadata = ObjectMeta(name="proxy-1")
        await client.resource(Node).create(node)
        await call("GET", "/api/v1/nodes/proxy-1/proxy/a%2Fb@c:d")
        assert kubelet.heads[-1].startswith("GET /a%2Fb@c:d HTTP/1.1")
        await call("GET", "/api/v1/nodes/proxy-1/proxy/results/udp@name.svc")
        assert kubelet.heads[-1].startswith("GET /results/udp@name.svc HTTP/1.1")
        backend.close()
        await backend.wait_closed()
        status, _, body = await call("GET", f"{NAMESPACE}/pods/p/log")
        assert status == 500 and "error reading the log" in json.loads(body)["message"]

    await serve(work)
