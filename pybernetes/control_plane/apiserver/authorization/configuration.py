"""Which authorizers decide, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: What may be in the list; ABAC is upstream's, and refused by name.
MODES = ("Node", "RBAC", "Webhook", "AlwaysAllow", "AlwaysDeny")


@dataclass(frozen=True)
class Config:
    """See the module."""

    #: The first that allows or denies decides.
    modes: tuple[str, ...] = ("Node", "RBAC")
    #: Kubeconfig of a server that is sent SubjectAccessReviews, for mode Webhook.
    webhook: Path | None = None
    #: Seconds that its answers are remembered.
    authorized_ttl: float = 300.0
    unauthorized_ttl: float = 30.0


def check(config: Config) -> None:
    """Raises ValueError for a list that cannot be."""
    if not config.modes:
        raise ValueError("--authorization-mode: at least one mode is needed")
    for mode in config.modes:
        if mode == "ABAC":
            raise ValueError("--authorization-mode: ABAC is not supported; grant the same with RBAC")
        if mode not in MODES:
            raise ValueError(f"--authorization-mode: {mode!r} is none of {', '.join(MODES)}")
        if config.modes.count(mode) > 1:
            raise ValueError(f"--authorization-mode: {mode} is there more than once")
    if ("Webhook" in config.modes) != (config.webhook is not None):
        raise ValueError("--authorization-mode Webhook and --authorization-webhook-config-file go together")
