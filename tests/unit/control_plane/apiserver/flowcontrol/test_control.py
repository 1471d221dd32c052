"""Flow control in a server: headers, status, and what happens when a level is full."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pybernetes.api.flowcontrol_v1 import FlowSchema, PriorityLevelConfiguration
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authorization import configuration as authorization
from pybernetes.machinery import codec
from tests.suites.api_server import client_of, running
from tests.suites.remote_hook import answering
from tests.unit.control_plane.apiserver.audit.test_audit import ask


async def eventually(holds: Callable[[], Any]) -> None:
    """Wait until it holds."""
    for _ in range(3000):
        found = holds()
        if await found if inspect.isawaitable(found) else found:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never")


ANNA = User("anna", "", ("system:authenticated",))
SCHEMA = {
    "metadata": {"name": "narrow"},
    "spec": {
        "matchingPrecedence": 50,
        "priorityLevelConfiguration": {"name": "narrow"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": "anna"}}],
                "resourceRules": [
                    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
                ],
            }
        ],
    },
}


def level(**queuing: int) -> Any:
    response = {"type": "Queue", "queuing": queuing} if queuing else {"type": "Reject"}
    spec = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": response}
    wire = {"metadata": {"name": "narrow"}, "spec": {"type": "Limited", "limited": spec}}
    return codec.from_dict(PriorityLevelConfiguration, wire)


async def until_told(server: Any, name: str, status: str) -> None:
    schemas = client_of(server).resource(FlowSchema)

    async def told() -> bool:
        found = (await schemas.get(name)).status.conditions or []
        return any(c.type == "Dangling" and c.status == status for c in found)

    await eventually(told)


async def test_schemas_tell_whether_their_level_exists() -> None:
    async with running() as server:
        await until_told(server, "global-default", "False")
        await client_of(server).resource(FlowSchema).create(codec.from_dict(FlowSchema, SCHEMA))
        await until_told(server, "narrow", "True")
        await client_of(server).resource(PriorityLevelConfiguration).create(level())
        await until_told(server, "narrow", "False")


def test_a_full_level_queues_and_refuses(tmp_path: Path) -> None:
    """Requests are held up by an access webhook that answers when it is told to."""

    async def main() -> None:
        async with answering(tmp_path, lambda review: {"status": {"allowed": True}}) as hook:
            rules = authorization.Config((authorization.Webhook(hook, authorized_ttl=0),))
            async with running(authorization=rules, static_tokens={"anna": ANNA}, listen=True) as server:
                _, port = await server.ready.wait()
                client = client_of(server)
                await client.resource(PriorityLevelConfiguration).create(
                    level(queues=1, handSize=1, queueLengthLimit=1)
                )
                await client.resource(FlowSchema).create(codec.from_dict(FlowSchema, SCHEMA))
                webhook = server.access._hooks[0]
                gate, seen = asyncio.Event(), []
                real = webhook._hook.post

                async def held(review: Any) -> Any:
                    seen.append(review)
                    await gate.wait()
                    return await real(review)

                webhook._hook.post = held
                bearer = {"Authorization": "Bearer anna"}
                async with asyncio.TaskGroup() as group:
                    asked = [group.create_task(ask(port, "GET", f"/api/v1/nodes/n{i}", **bearer)) for i in range(2)]
                    narrow = server.flows.seats.levels["narrow"]
                    await eventually(lambda: bool(seen) and narrow.waiting == 1)
                    assert (narrow.executing, narrow.waiting) == (1, 1)
                    code, answer = await ask(port, "GET", "/api/v1/nodes/n3", **bearer)
                    assert code == 429 and b"Retry-After: 1\r\n" in answer
                    assert b"X-Kubernetes-Pf-Flowschema-Uid: " in answer
                    gate.set()
                assert [task.result()[0] for task in asked] == [404, 404]
                assert (narrow.executing, narrow.waiting, narrow.in_use) == (0, 0, 0)
                metrics = b"\n".join(line.encode() for line in server.flows.metrics())
                assert b'flow_schema="narrow",priority_level="narrow",reason="queue-full"} 1' in metrics
                uid = (await client.resource(FlowSchema).get("narrow")).metadata.uid
                _, answer = await ask(port, "GET", "/api/v1/nodes/x", **bearer)
                assert f"X-Kubernetes-Pf-Flowschema-Uid: {uid}\r\n".encode() in answer

    asyncio.run(asyncio.wait_for(main(), 60))
