"""What a server with an audit policy records of requests over HTTP and in process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from pybernetes.api.core_v1 import ConfigMap
from pybernetes.control_plane.apiserver.audit import Config
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.machinery.meta import ObjectMeta
from tests.suites.api_server import client_of, running
from tests.suites.remote_hook import answering

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, users: [system:apiserver]}
- {level: RequestResponse, resources: [{resources: [configmaps]}], omitManagedFields: true}
- {level: Metadata, omitStages: [RequestReceived]}
"""
ADMIN = User("admin", "", ("system:masters", "system:authenticated"), {})


def policy(tmp_path: Path) -> Config:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return Config(policy=path, log_path=str(tmp_path / "audit.log"))


def recorded(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]


async def test_a_write_in_process(tmp_path: Path) -> None:
    async with running(audit=policy(tmp_path)) as server:
        maps = client_of(server, ADMIN).resource(ConfigMap)
        made = ConfigMap(metadata=ObjectMeta(name="a", namespace="default"), data={"k": "v"})
        await maps.create(made)
        await client_of(server).resource(ConfigMap).delete("a", namespace="default")
    received, complete = recorded(tmp_path)
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert received["auditID"] == complete["auditID"] and "requestObject" not in received
    assert complete["verb"] == "create" and complete["user"]["username"] == "admin"
    assert complete["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "name": "a",
        "apiVersion": "v1",
    }
    assert complete["requestObject"]["data"] == complete["responseObject"]["data"] == {"k": "v"}
    assert "managedFields" not in complete["responseObject"]["metadata"]
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["annotations"]["authorization.k8s.io/decision"] == "allow"


async def ask(port: int, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), answer


def test_requests_over_http(tmp_path: Path) -> None:
    async def main() -> None:
        users = {"good": ADMIN, "poor": User("poor")}
        async with running(audit=policy(tmp_path), listen=True, static_tokens=users) as server:
            _, port = await server.ready.wait()
            code, answer = await ask(port, "GET", "/version?x=1", Authorization="Bearer good")
            assert code == 200 and b"\r\nAudit-Id: " in answer
            forbidden = {"Authorization": "Bearer poor", "User-Agent": "tester/1"}
            assert (await ask(port, "GET", "/api/v1/namespaces/x/secrets", **forbidden))[0] == 403
            assert (await ask(port, "GET", "/api/v1/nodes", Authorization="Bearer wrong"))[0] == 401
            named = {"Authorization": "Bearer good", "Impersonate-User": "else", "Audit-ID": "of-the-client"}
            assert (await ask(port, "GET", "/api/v1/nodes", **named))[0] == 403
            path = "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=1"
            code, answer = await ask(port, "GET", path, Authorization="Bearer good")
            assert code == 200 and b"\r\nAudit-Id: " in answer

    asyncio.run(main())
    version, forbidden, unknown, acting, *watch = recorded(tmp_path)
    assert version["requestURI"] == "/version?x=1" and version["verb"] == "get" and "objectRef" not in version
    assert version["sourceIPs"] == ["127.0.0.1"]
    assert forbidden["responseStatus"]["reason"] == "Forbidden" and forbidden["responseStatus"]["code"] == 403
    assert forbidden["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert forbidden["userAgent"] == "tester/1" and "responseObject" not in forbidden
    assert unknown["stage"] == "ResponseStarted" and unknown["user"] == {}
    assert unknown["responseStatus"]["code"] == 401
    assert acting["impersonatedUser"]["username"] == "else" and acting["auditID"] == "of-the-client"
    assert [e["stage"] for e in watch] == ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    assert watch[0]["verb"] == "watch"


def test_a_webhook_gets_lists(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []

    async def main() -> None:
        refusals, arrived = [503], asyncio.Event()

        def answer(body: dict[str, Any]) -> Any:
            if refusals:
                return refusals.pop()
            assert (body["kind"], body["apiVersion"]) == ("EventList", "audit.k8s.io/v1")
            heard.extend(body["items"])
            arrived.set()
            return {}

        async with answering(tmp_path, answer) as hook:
            written = policy(tmp_path)
            config = Config(policy=written.policy, webhook=hook, webhook_wait=3600, webhook_batch=2)
            async with running(audit=config) as server:
                maps = client_of(server, ADMIN).resource(ConfigMap)
                await maps.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="default")))
                await arrived.wait()
                await maps.delete("a", namespace="default")

    asyncio.run(asyncio.wait_for(main(), 60))
    assert [(e["verb"], e["stage"]) for e in heard] == [
        ("create", "RequestReceived"),
        ("create", "ResponseComplete"),
        ("delete", "RequestReceived"),
        ("delete", "ResponseComplete"),
    ]
