"""An aggregated server behind ours, over real TLS: routing, identity, trust, conditions, discovery."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pybernetes.api.apiregistration_v1 import APIService, APIServiceSpec, ServiceReference
from pybernetes.api.core_v1 import Service, ServicePort, ServiceSpec
from pybernetes.api.discovery_v1 import Endpoint, EndpointPort, EndpointSlice
from pybernetes.bootstrap import pki as certificates
from pybernetes.client.client import Client
from pybernetes.client.transport import Request
from pybernetes.control_plane.apiserver.aggregation.remote import Remotes
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.machinery import errors
from pybernetes.machinery.meta import ObjectMeta
from tests.suites.api_server import client_of, running

pytestmark = pytest.mark.real_time

NAME = "v1alpha1.wardle.example.com"
PATH = "/apis/wardle.example.com/v1alpha1"
FLUNDERS = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": "wardle.example.com/v1alpha1",
    "resources": [
        {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": ["list", "get"]}
    ],
}
USER = User("mary", "7", ("system:masters", "crew"), {"scopes": ("a",)})


@asynccontextmanager
async def backend(pki: Path, seen: list[web.Request]) -> AsyncIterator[int]:
    """A server for `wardle` that wants the front proxy's certificate; gives its port."""

    async def discovery(request: web.Request) -> web.Response:
        return web.json_response(FLUNDERS)

    async def flunders(request: web.Request) -> web.Response:
        seen.append(request)
        if request.match_info["name"] == "gone":
            body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            return web.json_response({**body, "message": "no such flunder"}, status=404)
        return web.json_response({"kind": "Flunder", "metadata": {"name": request.match_info["name"]}})

    async def index(request: web.Request) -> web.Response:
        return web.json_response({"paths": {PATH[1:]: {"serverRelativeURL": f"/openapi/v3{PATH}?hash=H1"}}})

    async def document(request: web.Request) -> web.Response:
        return web.json_response({"openapi": "3.0.0", "info": {"title": "wardle"}, "hash": request.query["hash"]})

    authority = certificates.KeyPair((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes())
    own = certificates.server(authority, "wardle", ["wardle.default.svc"])
    (pki / "wardle.pem").write_bytes(own.certificate + own.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "front-proxy-ca.crt"))
    context.load_cert_chain(pki / "wardle.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_get(PATH, discovery)
    app.router.add_get("/openapi/v3", index)
    app.router.add_get("/openapi/v3" + PATH, document)
    app.router.add_get(PATH + "/namespaces/default/flunders/{name}", flunders)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def to_loopback(server: Any) -> None:
    """Loopback is no address for an endpoint: what is found is turned there."""
    found = server.core.connector.service
    server.core.connector.service = lambda *where: replace(found(*where), host="127.0.0.1")


async def register(client: Client, pki: Path, port: int) -> None:
    meta = ObjectMeta(name="wardle", namespace="default", labels={"kubernetes.io/service-name": "wardle"})
    await client.resource(Service).create(
        Service(metadata=meta, spec=ServiceSpec(cluster_ip="None", ports=[ServicePort(port=443, name="api")]))
    )
    await client.resource(EndpointSlice).create(
        EndpointSlice(
            metadata=meta,
            address_type="IPv4",
            endpoints=[Endpoint(addresses=["10.9.9.9"])],
            ports=[EndpointPort(name="api", port=port, protocol="TCP")],
        )
    )
    await create_api(client, base64.b64encode((pki / "ca.crt").read_bytes()).decode())


async def create_api(client: Client, bundle: str) -> None:
    spec = APIServiceSpec(
        group="wardle.example.com",
        version="v1alpha1",
        group_priority_minimum=2000,
        version_priority=200,
        ca_bundle=bundle,
        service=ServiceReference(namespace="default", name="wardle", port=443),
    )
    await client.resource(APIService).create(APIService(metadata=ObjectMeta(name=NAME), spec=spec))


async def condition(client: Client, *reasons: str) -> Any:
    """The Available condition once it has one of these reasons."""
    async with asyncio.timeout(10):
        page = await client.resource(APIService).list()
        found = next(a for a in page.items if a.metadata.name == NAME)
        stream = client.resource(APIService).watch(resource_version=page.resource_version)
        while True:
            for one in found.status.conditions or ():
                if one.reason in reasons:
                    return one
            found = next(e.object for e in [await anext(stream)] if e.object.metadata.name == NAME)


async def test_an_aggregated_server(tmp_path: Path) -> None:
    certificates.ensure(tmp_path)
    seen: list[web.Request] = []
    async with backend(tmp_path, seen) as port, running(listen=True, pki=tmp_path, static_tokens={"t": USER}) as server:
        client = client_of(server)
        to_loopback(server)
        await register(client, tmp_path, port)
        available = await condition(client, "Passed")
        assert (available.status, available.message) == ("True", "all checks passed")

        host, own_port = await server.ready.wait()
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        async with aiohttp.ClientSession(f"https://{host}:{own_port}") as session:

            async def get(path: str, **more: str) -> tuple[int, Any]:
                headers = {"Authorization": "Bearer t", **more}
                async with session.get(path, ssl=trust, headers=headers) as answer:
                    return answer.status, json.loads(await answer.read())

            forged = {"X-Remote-User": "root", "X-Remote-Group": "system:nodes"}
            status, body = await get(PATH + "/namespaces/default/flunders/one?pretty=a%20b", **forged)
            assert (status, body["metadata"]["name"]) == (200, "one")
            asked = seen[-1]
            assert asked.query == {"pretty": "a b"}
            assert asked.headers.getall("X-Remote-User") == ["mary"] and asked.headers["X-Remote-Uid"] == "7"
            assert asked.headers.getall("X-Remote-Group") == ["system:masters", "crew", "system:authenticated"]
            assert asked.headers["X-Remote-Extra-scopes"] == "a"
            assert "Authorization" not in asked.headers and asked.headers["Host"] == "wardle.default.svc"
            status, body = await get(PATH + "/namespaces/default/flunders/gone")
            assert (status, body["message"]) == (404, "no such flunder")

            assert (await get(PATH))[1] == FLUNDERS
            groups = {g["name"]: g for g in (await get("/apis"))[1]["groups"]}
            assert groups["wardle.example.com"]["preferredVersion"]["version"] == "v1alpha1"
            wanted = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"
            items = {g["metadata"]["name"]: g for g in (await get("/apis", Accept=wanted))[1]["items"]}
            (version,) = items["wardle.example.com"]["versions"]
            async with asyncio.timeout(10):
                shown: dict[str, Any] = {}
                while PATH[1:] not in shown:
                    shown = (await get("/openapi/v3"))[1]["paths"]
            url = shown[PATH[1:]]["serverRelativeURL"]
            assert url == f"/openapi/v3{PATH}?hash=H1"
            assert (await get(url))[1] == {"openapi": "3.0.0", "info": {"title": "wardle"}, "hash": "H1"}
            assert version["freshness"] == "Current" and version["resources"][0]["resource"] == "flunders"

        inside = await client.transport.request(Request("GET", PATH + "/namespaces/default/flunders/two"))
        assert json.loads(inside.body)["metadata"]["name"] == "two"
        assert seen[-1].headers["X-Remote-User"] == "system:apiserver"
        with pytest.raises(errors.StatusError) as missing:
            await client.transport.request(Request("GET", PATH + "/namespaces/default/flunders/gone"))
        assert errors.is_not_found(missing.value)

        await client.resource(APIService).delete(NAME)
        with pytest.raises(errors.StatusError) as after:
            await client.transport.request(Request("GET", PATH + "/namespaces/default/flunders/two"))
        assert not server.foreign_documents
        assert after.value.code == 404 and ("wardle.example.com", "v1alpha1") not in server.discovery.remote


async def test_a_document_without_a_hash_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [b"one", b"two"]

    async def fetch(
        self: Remotes, api: APIService, method: str, path: str, query: Any, *rest: Any
    ) -> tuple[int, bytes]:
        if path == "/openapi/v3":
            return 200, json.dumps({"paths": {PATH[1:]: {"serverRelativeURL": f"/openapi/v3{PATH}"}}}).encode()
        assert query == []
        return 200, bodies.pop(0)

    monkeypatch.setattr(Remotes, "fetch", fetch)
    remotes = Remotes.__new__(Remotes)
    api = APIService(spec=APIServiceSpec(group="wardle.example.com", version="v1alpha1"))
    first = await remotes.document(api, None)
    second = await remotes.document(api, first)
    assert first is not None and second is not None
    assert (first[1], second[1]) == (b"one", b"two") and first[0] and first[0] != second[0]


async def test_what_is_missing_is_told(tmp_path: Path) -> None:
    certificates.ensure(tmp_path)
    async with backend(tmp_path, []) as port, running(pki=tmp_path) as server:
        client = client_of(server)
        to_loopback(server)
        await create_api(client, "")
        problem = await condition(client, "ServiceNotFound")
        assert problem.status == "False" and problem.message == 'service/wardle in "default" is not present'
        with pytest.raises(errors.StatusError) as refused:
            await client.transport.request(Request("GET", PATH + "/namespaces/default/flunders/one"))
        assert refused.value.code == 503
        await client.resource(APIService).delete(NAME)
        await register(client, tmp_path, port)
        await condition(client, "Passed")
        await client.resource(EndpointSlice).delete("wardle", "default")
        problem = await condition(client, "MissingEndpoints")
        assert problem.message == 'endpoints for service/wardle in "default" have no addresses with port name "api"'


async def test_another_authority_is_not_trusted(tmp_path: Path) -> None:
    certificates.ensure(tmp_path / "a")
    certificates.ensure(tmp_path / "b")
    async with backend(tmp_path / "a", []) as port, running(pki=tmp_path / "a") as server:
        client = client_of(server)
        to_loopback(server)
        await register(client, tmp_path / "b", port)
        problem = await condition(client, "FailedDiscoveryCheck")
        assert "certificate verify failed" in problem.message.lower()


async def test_local_api_services() -> None:
    async with running() as server:
        client = client_of(server)
        page = await client.resource(APIService).list()
        while "v1.apps" not in {a.metadata.name for a in page.items} or "v1." not in {
            a.metadata.name for a in page.items
        }:
            event = await anext(client.resource(APIService).watch(resource_version=page.resource_version))
            assert event.type == "ADDED"
            page = await client.resource(APIService).list()
        apps = next(a for a in page.items if a.metadata.name == "v1.apps")
        (local,) = apps.status.conditions or ()
        assert (local.status, local.reason) == ("True", "Local") and apps.spec.group_priority_minimum == 17800
