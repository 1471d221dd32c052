"""Unauthenticated, unauthorised, malformed, oversized, slow and abandoned requests, over real TLS: each gets the right
Status, costs nothing afterwards, and the server goes on."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.bootstrap import pki as certificates
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import APIServer
from pybernetes.machinery import codec, errors, patch, protobuf, yaml
from tests.conftest import run_coroutine
from tests.suites.api_server import client_of, running
from tests.suites.resource_contract import sample

pytestmark = pytest.mark.real_time

USERS = {"root": User("root", "", ("system:masters",)), "ann": User("ann")}
MAPS = "/api/v1/namespaces/default/configmaps"
JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
SERVED = f"{JSON}, {YAML}, {PROTOBUF}"
UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): "


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certificates.ensure(directory)
    return directory


class Caller:
    """Requests to one server over TLS."""

    def __init__(self, server: APIServer, session: aiohttp.ClientSession, port: int, trust: ssl.SSLContext) -> None:
        self.server, self.session, self.port, self.trust = server, session, port, trust

    async def __call__(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        token: str = "root",
        content: str = JSON,
        **more: str,
    ) -> tuple[int, Any]:
        headers = {"Content-Type": content, **more}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = f"https://127.0.0.1:{self.port}{path}"
        data = body if body is None else io.BytesIO(body)
        async with self.session.request(method, url, data=data, headers=headers, ssl=self.trust) as answer:
            return answer.status, json.loads(await answer.read())

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to write anything into."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust, server_hostname="127.0.0.1")


@asynccontextmanager
async def serving(pki: Path, **config: Any) -> AsyncIterator[Caller]:
    async with running(listen=True, pki=pki, static_tokens=USERS, **config) as server:
        _, port = await server.ready.wait()
        trust = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        async with aiohttp.ClientSession() as session:
            yield Caller(server, session, port, trust)


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    """A failure as it must come, to the letter."""
    made: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    made |= {"message": message, "reason": reason, "code": code}
    return made | details


FORBIDDEN = (
    'configmaps is forbidden: User "{}" cannot list resource "configmaps" in API group "" in the namespace "default"'
)
NOT_THERE = status(404, "NotFound", "the server could not find the requested resource", details={})
NOT_ALLOWED = status(
    405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={}
)

REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no credentials": (
        {"token": ""},
        status(403, "Forbidden", FORBIDDEN.format("system:anonymous"), details={"kind": "configmaps"}),
    ),
    "bad credentials": ({"token": "wrong"}, status(401, "Unauthorized", "Unauthorized")),
    "not allowed to": (
        {"token": "ann"},
        status(403, "Forbidden", FORBIDDEN.format("ann"), details={"kind": "configmaps"}),
    ),
    "half a body": (
        {"method": "POST", "body": b'{"data":'},
        status(400, "BadRequest", UNRECOGNIZED + 'unexpected EOF ("{\\"data\\":")'),
    ),
    "no body": ({"method": "POST", "body": b""}, status(400, "BadRequest", UNRECOGNIZED + 'EOF ("")')),
    "wrong type": (
        {"method": "POST", "body": b'{"data":{"a":1}}'},
        status(400, "BadRequest", "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
    ),
    "no protobuf": (
        {"method": "POST", "body": b"k8s", "content": PROTOBUF},
        status(
            400,
            "BadRequest",
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ),
    ),
    "other media type": (
        {"method": "POST", "body": b"{}", "content": "text/plain"},
        status(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format - accepted media types include: {SERVED}",
        ),
    ),
    "nothing to accept": (
        {"Accept": "text/html"},
        status(406, "NotAcceptable", f"only the following media types are accepted: {SERVED}"),
    ),
    "too large": (
        {"method": "POST", "body": b" " * (3 * 1024 * 1024 + 1)},
        status(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
    ),
    "update of a collection": ({"method": "PUT", "body": b"{}"}, NOT_ALLOWED),
    "patch of a collection": ({"method": "PATCH", "body": b"{}"}, NOT_ALLOWED),
    "creation of an item": ({"method": "POST", "path": f"{MAPS}/x", "body": b"{}"}, NOT_ALLOWED),
    "no such object": (
        {"path": f"{MAPS}/x"},
        status(404, "NotFound", 'configmaps "x" not found', details={"name": "x", "kind": "configmaps"}),
    ),
    "no such resource": ({"path": "/api/v1/nonsense"}, NOT_THERE),
    "no such group": ({"path": "/apis/none.example.com/v1/things"}, NOT_THERE),
    "no such path": ({"path": "/nonsense"}, NOT_THERE),
    "no such subresource": ({"path": f"{MAPS}/x/parts"}, NOT_THERE),
    "bad limit": (
        {"path": f"{MAPS}?limit=x"},
        status(400, "BadRequest", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ),
    "bad continue": (
        {"path": f"{MAPS}?continue=x"},
        status(400, "BadRequest", "continue key is not valid: encoded start key is not valid"),
    ),
}


async def test_refusals_to_the_letter(pki: Path) -> None:
    async with serving(pki) as call:
        for name, (given_, wanted) in REFUSALS.items():
            asked = dict(given_)
            got = await call(asked.pop("method", "GET"), asked.pop("path", MAPS), **asked)
            assert got == (wanted["code"], wanted), name
        assert (await call("GET", "/version"))[0] == 200


async def test_a_thousand_idle_connections(pki: Path) -> None:
    async with serving(pki) as call:
        limit = asyncio.Semaphore(50)

        async def connect() -> asyncio.StreamWriter:
            async with limit:
                return (await call.raw())[1]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(connect()) for _ in range(1000)]
        writers = [task.result() for task in tasks]
        before = len(asyncio.all_tasks())
        async with asyncio.timeout(2):
            for _ in range(20):
                assert (await call("GET", MAPS))[0] == 200
        assert before < 100, "an idle connection must not have a task"
        for writer in writers:
            writer.transport.abort()


async def test_slow_senders_are_cut(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = APIServer._http_config

    def impatient(self: APIServer) -> Any:
        return replace(original(self), header_timeout=0.3, body_timeout=0.3)

    monkeypatch.setattr(APIServer, "_http_config", impatient)
    async with serving(pki) as call:
        for part in (
            b"GET /api/v1/pods HTTP/1.1\r\nHost: a\r\nX-Slow:",
            b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
        ):
            reader, writer = await call.raw()
            writer.write(part)
            async with asyncio.timeout(5):
                answer = await reader.read()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408")
            writer.close()
        assert (await call("GET", "/version"))[0] == 200


async def test_abandoned_requests_leave_nothing(pki: Path) -> None:
    async with serving(pki) as call:
        server = call.server
        storage = server.cache.storage("", "configmaps")
        tasks = len(asyncio.all_tasks())

        def watchers() -> int:
            return sum(len(group.watchers) for group in storage.groups)

        for _ in range(20):
            reader, writer = await call.raw()
            head = b"GET " + MAPS.encode() + b"?watch=true HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer root\r\n\r\n"
            writer.write(head)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.transport.abort()
        async with asyncio.timeout(5):
            while watchers() or len(asyncio.all_tasks()) > tasks:
                await client_of(server).dynamic("v1", "ConfigMap").list("default")
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        reader, writer = await call.raw()
        writer.write(b"POST " + MAPS.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        writer.transport.abort()
        assert (await call("GET", MAPS))[0] == 200


def _keys() -> st.SearchStrategy[str]:
    known = (
        "metadata",
        "data",
        "kind",
        "apiVersion",
        "name",
        "labels",
        "spec",
        "$patch",
        "op",
        "path",
        "managedFields",
    )
    return st.sampled_from(known) | st.text(max_size=6)


def _bitten(at: int, byte: int) -> bytes:
    """A good protobuf body with one byte changed."""
    body = bytearray(protobuf.encode(sample("v1 ConfigMap", "x", "default")))
    body[at % len(body)] = byte
    return bytes(body)


BROKEN = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys(), inner, max_size=4),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=120).map(lambda tail: b"k8s\0" + tail),
    st.tuples(st.integers(0, 400), st.integers(0, 255)).map(lambda at: _bitten(*at)),
)


async def test_integers_that_do_not_fit(pki: Path) -> None:
    async with serving(pki) as call:
        await call("POST", MAPS, json.dumps(sample("v1 ConfigMap", "x", "default")).encode())
        huge = b'{"data":{"a":%d}}' % 2**80
        for content in ("merge-patch+json", "strategic-merge-patch+json"):
            code, answer = await call("PATCH", f"{MAPS}/x", huge, content=f"application/{content}")
            assert (code, answer["reason"]) == (400, "BadRequest")
            assert answer["message"] == "json: cannot unmarshal number into Go value of type int64"
        assert (await call("POST", MAPS, huge))[0] == 400


@settings(max_examples=300, deadline=None)
@given(BROKEN)
def test_decoders_refuse_and_never_break(body: bytes) -> None:
    from pybernetes.api.core_v1 import ConfigMap, Pod

    for type_ in (ConfigMap, Pod):
        try:
            obj = codec.decode(type_, body, [], duplicates=True)
            codec.normalise(obj)
        except errors.StatusError as error:
            assert error.code == 400
    for load in (yaml.load, protobuf.decode):
        try:
            load(body)
        except (ValueError, errors.StatusError):
            pass
    wire = sample("v1 ConfigMap", "x", "default")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    try:
        patch.merge_patch(wire, value)
    except errors.StatusError as error:
        assert 400 <= error.code < 500


def test_any_body_gets_an_answer_below_500(pki: Path) -> None:
    """One server takes hundreds of broken bodies of all kinds; each is refused, or was no mistake."""
    bodies: list[tuple[str, bytes]] = []
    types = (JSON, YAML, PROTOBUF)
    patches = ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")

    @settings(max_examples=120, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(BROKEN, st.sampled_from([*types, *(f"application/{name}" for name in patches)]))
    def collect(body: bytes, content: str) -> None:
        bodies.append((content, body))

    collect()

    async def send() -> None:
        async with serving(pki) as call:
            await call("POST", MAPS, json.dumps(sample("v1 ConfigMap", "x", "default")).encode())
            for content, body in bodies:
                method, path = ("POST", MAPS) if content in types else ("PATCH", f"{MAPS}/x?fieldManager=f")
                code, answer = await call(method, path, body, content=content)
                assert code < 500, (content, body, answer)
                assert code < 300 or answer["kind"] == "Status", (content, body)
            assert (await call("GET", f"{MAPS}/x"))[0] == 200

    run_coroutine(send(), virtual=False)
