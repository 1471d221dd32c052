"""Audit: who did what, when, and what came of it, as audit.k8s.io/v1 Events.

Off unless a policy and a place to write to are configured, and then not in the way: the server runs an `AuditedChain`
instead of a `Chain`, and nothing else asks whether there is an audit. `policy.py` decides (pure), `events.py` words,
`chain.py` accompanies a request, `log.py` and `webhook.py` bring the events away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Backend(Protocol):
    """Takes events in wire form. `write` never waits and never raises; `run()` until cancelled, then all is out."""

    def write(self, events: Sequence[dict[str, object]]) -> None: ...

    async def run(self) -> None: ...


@dataclass(frozen=True)
class Config:
    """What to record and where to; at least one of `log_path` and `webhook`."""

    #: File with an audit.k8s.io/v1 Policy. Read at the start.
    policy: Path
    #: File of events, one JSON object a line; "-" is standard output. "": no file.
    log_path: str = ""
    #: Megabytes after which the file is renamed and a new one begun; 0: never.
    log_max_size: int = 100
    #: Days and number of renamed files that are kept; 0: all.
    log_max_age: int = 0
    log_max_backups: int = 0
    #: Kubeconfig of a server that is sent EventLists. None: none.
    webhook: Path | None = None
    #: Seconds that events may wait for others before they are sent, and events in one list at most.
    webhook_wait: float = 30.0
    webhook_batch: int = 400


def backends(config: Config) -> list[Backend]:
    """The backends of a configuration. Raises OSError, ValueError or the kubeconfig's error."""
    found: list[Backend] = []
    if config.log_path:
        from pybernetes.control_plane.apiserver.audit.log import LogFile

        size = config.log_max_size * 1024 * 1024
        found.append(LogFile(config.log_path, size, config.log_max_age, config.log_max_backups))
    if config.webhook is not None:
        from pybernetes.control_plane.apiserver.audit.webhook import Webhook

        found.append(Webhook(config.webhook, config.webhook_wait, config.webhook_batch))
    return found
