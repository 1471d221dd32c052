"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) to `Config`.

What has no meaning here is noted in the log (all nodes are scored, planning has one thread); what would change
decisions and is not supported is refused by name.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pybernetes.control_plane.scheduler.config import Config, Enabled, ProfileConfig

log = logging.getLogger(__name__)

API_VERSION = "kubescheduler.config.k8s.io/v1"
_POINTS = {"multiPoint": "", "preFilter": "filter", "filter": "filter", "preScore": "score", "score": "score"}
#: Extension points that have one plugin here, which cannot be exchanged.
_FIXED = {
    "queueSort": {"PrioritySort"},
    "preEnqueue": {"SchedulingGates", "DefaultPreemption", "DynamicResources"},
    "postFilter": {"DefaultPreemption", "DynamicResources"},
    "reserve": {"VolumeBinding", "DynamicResources"},
    "permit": set[str](),
    "preBind": {"VolumeBinding", "DynamicResources"},
    "bind": {"DefaultBinder"},
    "postBind": set[str](),
}
_IGNORED = {
    "parallelism": "planning has one thread and looks at all nodes at once",
    "percentageOfNodesToScore": "all nodes are scored",
    "clientConnection": "the client is given by whoever starts the scheduler",
    "leaderElection": "whoever starts the scheduler elects",
    "enableProfiling": "",
    "enableContentionProfiling": "",
    "delayCacheUntilActive": "",
    "healthzBindAddress": "",
    "metricsBindAddress": "",
}


class ConfigurationError(ValueError):
    """The configuration is wrong or asks for something that is not supported; the text names the field."""


def load(document: Any) -> Config:
    """The configuration of a decoded YAML document. Raises ConfigurationError."""
    if not isinstance(document, dict):
        raise ConfigurationError("a KubeSchedulerConfiguration is an object")
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, "KubeSchedulerConfiguration"):
        raise ConfigurationError(f"want apiVersion {API_VERSION}, kind KubeSchedulerConfiguration")
    known = {"apiVersion", "kind", "profiles", "extenders", "podInitialBackoffSeconds", "podMaxBackoffSeconds"}
    for name in document:
        if name not in known and name not in _IGNORED:
            raise ConfigurationError(f"{name}: unknown field")
        if _IGNORED.get(name):
            log.warning("%s has no effect: %s", name, _IGNORED[name])
    if document.get("extenders"):
        raise ConfigurationError("extenders: not supported; write a plugin instead")
    profiles = tuple(_profile(i, p) for i, p in enumerate(document.get("profiles") or [{}]))
    names = [p.name for p in profiles]
    if len(set(names)) < len(names):
        raise ConfigurationError("profiles: schedulerName must be unique")
    first, last = document.get("podInitialBackoffSeconds") or 1, document.get("podMaxBackoffSeconds") or 10
    if not 0 < first <= last:
        raise ConfigurationError("podMaxBackoffSeconds: must be greater than or equal to podInitialBackoffSeconds")
    timeouts = [p.args["VolumeBinding"].get("bindTimeoutSeconds") for p in profiles if "VolumeBinding" in p.args]
    timeout = next((t for t in timeouts if t is not None), 600)
    return Config(profiles, first_backoff=float(first), max_backoff=float(last), volume_timeout=float(timeout))


def _profile(number: int, document: Mapping[str, Any]) -> ProfileConfig:
    where = f"profiles[{number}]"
    _only(document, where, "schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig")
    enabled: list[Enabled] = []
    disabled: list[tuple[str, str]] = []
    for point, sets in (document.get("plugins") or {}).items():
        at = f"{where}.plugins.{point}"
        if point not in _POINTS and point not in _FIXED:
            raise ConfigurationError(f"{at}: unknown extension point")
        _only(sets or {}, at, "enabled", "disabled")
        for one in (sets or {}).get("enabled") or ():
            _only(one, f"{at}.enabled", "name", "weight")
            name = one.get("name") or ""
            if point in _FIXED and name not in _FIXED[point]:
                raise ConfigurationError(f"{at}.enabled: {name} is not supported there")
            if point in _POINTS:
                enabled.append(Enabled(name, int(one.get("weight") or 0), _POINTS[point]))
        for one in (sets or {}).get("disabled") or ():
            name = one.get("name") or ""
            if point in _POINTS:
                disabled.append((name, _POINTS[point]))
            elif point == "postFilter" and name in ("*", "DefaultPreemption"):
                disabled.append(("DefaultPreemption", ""))
            elif not any(e.get("name") in _FIXED[point] for e in (sets or {}).get("enabled") or ()):
                raise ConfigurationError(f"{at}.disabled: {name} cannot be disabled")
    args: dict[str, Mapping[str, Any]] = {}
    for one in document.get("pluginConfig") or ():
        _only(one, f"{where}.pluginConfig", "name", "args")
        name = one.get("name") or ""
        if name in args:
            raise ConfigurationError(f"{where}.pluginConfig: {name} is there twice")
        args[name] = {k: v for k, v in (one.get("args") or {}).items() if k not in ("apiVersion", "kind")}
    return ProfileConfig(document.get("schedulerName") or "default-scheduler", tuple(enabled), tuple(disabled), args)


def _only(document: Mapping[str, Any], where: str, *names: str) -> None:
    for name in document:
        if name not in names:
            raise ConfigurationError(f"{where}.{name}: unknown field")
