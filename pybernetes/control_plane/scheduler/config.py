"""What may be configured about the scheduler. No numpy here: reading a configuration must be cheap."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_SCHEDULER = "default-scheduler"


@dataclass(frozen=True)
class Config:
    """Beside the API."""

    #: Names of the schedulers this one answers to (`spec.schedulerName`).
    scheduler_names: tuple[str, ...] = (DEFAULT_SCHEDULER,)
    #: Bindings and status writes under way at once; planning pauses beyond. More helps a store that commits in groups.
    in_flight: int = 128
    #: Pods planned at a stretch (some milliseconds) before others on the loop have their turn.
    batch: int = 32
    #: Seconds a Pod waits after its first and at most after later failures.
    first_backoff: float = 1.0
    max_backoff: float = 10.0
    #: Seconds a Pod's volumes may take to be bound or made.
    volume_timeout: float = 600.0
