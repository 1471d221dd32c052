"""Watching one object with a deadline: `wait`, `rollout status`, `delete --wait`, `run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import APIError

if TYPE_CHECKING:
    from pybernetes.cli.finder import Found, Target
    from pybernetes.cli.session import Session


class Deadline:
    """Seconds from now; 0 is never."""

    def __init__(self, seconds: float) -> None:
        from pybernetes.aio import clock

        self._clock = clock.monotonic
        self._at = self._clock() + seconds if seconds > 0 else None

    @property
    def passed(self) -> bool:
        """True when the time is over."""
        return self._at is not None and self._clock() >= self._at

    @property
    def left(self) -> float | None:
        """Seconds that remain, None for no end."""
        return None if self._at is None else max(0.0, self._at - self._clock())


def watch_one(
    session: Session, target: Target | Found, version: str, deadline: Deadline
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(event type, object) of one object, until the watch ends or the deadline passes."""
    query = {
        "fieldSelector": f"metadata.name={target.name}",
        "resourceVersion": version,
        "watch": "true",
    }
    left = deadline.left
    http = session.http.another()
    http.patience(left)
    if left is not None and left <= 0:
        return
    try:
        reply = session.open("GET", target.resource.path(target.namespace), query=query, http=http)
        import json

        for line in reply.lines():
            if not line.strip():
                continue
            event = json.loads(line)
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "ERROR":
                if event["object"].get("code") == 410:
                    return
                raise APIError(event["object"])
            yield event["type"], event["object"]
            left = deadline.left
            if left is not None:
                if left <= 0:
                    return
                http.patience(left)
    except (TimeoutError, EOFError):
        return
    finally:
        http.close()
