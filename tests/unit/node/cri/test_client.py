"""How long the client waits: a runtime that does not answer must not hold up a Pod for longer than it has to."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.node.cri.client import KILL_TIMEOUT, CRIClient
from pybernetes.node.cri.errors import NotFound


@pytest.mark.parametrize(
    ("timeout", "grace", "limit"), [(120, 30, 30 + KILL_TIMEOUT), (120, 0, KILL_TIMEOUT), (5, 2, 7)]
)
async def test_a_stop_is_given_up_soon_after_its_grace_period(
    monkeypatch: pytest.MonkeyPatch, timeout: float, grace: int, limit: float
) -> None:
    client, asked = CRIClient("/nowhere", timeout=timeout), []

    async def call(name: str, limit: float | None = None, /, **arguments: Any) -> Any:
        asked.append((name, limit, arguments))
        raise NotFound("gone is what is wanted")

    monkeypatch.setattr(client, "call", call)
    await client.stop_container("c", grace)
    assert asked == [("StopContainer", limit, {"container_id": "c", "timeout": grace})]
