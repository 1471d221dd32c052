"""What may be configured about the scheduler. No numpy here: reading a configuration must be cheap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from pybernetes.control_plane.scheduler.plugins.base import Plugin

DEFAULT_SCHEDULER = "default-scheduler"


@dataclass(frozen=True)
class Enabled:
    """A plugin added to a profile, or one of the default ones with another weight."""

    #: A default plugin's name, `module:Class` of one of your own, or the class itself.
    plugin: str | type[Plugin]
    #: Of its score; 0: as by default (1 for your own).
    weight: int = 0
    #: `filter`, `score`, or "" for both.
    point: str = ""


@dataclass(frozen=True)
class ProfileConfig:
    """The rules for Pods of one scheduler name: the default plugins, less `disabled`, plus `enabled`."""

    name: str = DEFAULT_SCHEDULER
    enabled: tuple[Enabled, ...] = ()
    #: (name or `*`, `filter`, `score` or "" for both).
    disabled: tuple[tuple[str, str], ...] = ()
    #: Arguments by plugin name, as in `pluginConfig` of a KubeSchedulerConfiguration.
    args: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Extender:
    """A server that takes part in decisions over HTTP, with upstream's messages (k8s.io/kube-scheduler/extender/v1)."""

    #: `http://host:port/path`; a verb is appended with a slash.
    url: str
    #: What it is asked for; "" is not.
    filter_verb: str = ""
    prioritize_verb: str = ""
    preempt_verb: str = ""
    bind_verb: str = ""
    #: Of its scores, which are 0 to 10.
    weight: int = 1
    #: Seconds for one answer.
    timeout: float = 5.0
    #: It knows the nodes: send names instead of objects.
    node_cache: bool = False
    #: Only Pods that ask for one of these are sent there; none: all Pods.
    resources: frozenset[str] = frozenset()
    #: Resources that are its own business: NodeResourcesFit does not look at them.
    ignored: frozenset[str] = frozenset()
    #: When it does not answer, go on without it.
    ignorable: bool = False
    #: For https. None: the machine's authorities.
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True)
class Config:
    """Beside the API."""

    #: One per scheduler name this scheduler answers to (`spec.schedulerName`).
    profiles: tuple[ProfileConfig, ...] = (ProfileConfig(),)
    #: Bindings and status writes under way at once; planning pauses beyond. More helps a store that commits in groups.
    in_flight: int = 128
    #: Pods planned at a stretch (some milliseconds) before others on the loop have their turn.
    batch: int = 32
    #: Seconds a Pod waits after its first and at most after later failures.
    first_backoff: float = 1.0
    max_backoff: float = 10.0
    #: Seconds a Pod's volumes may take to be bound or made.
    volume_timeout: float = 600.0
    #: Asked in this order.
    extenders: tuple[Extender, ...] = ()

    @property
    def scheduler_names(self) -> tuple[str, ...]:
        return tuple(profile.name for profile in self.profiles)
