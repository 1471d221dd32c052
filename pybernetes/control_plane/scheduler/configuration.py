"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) to `Config`.

What has no meaning here is noted in the log (all nodes are scored, planning has one thread); what would change
decisions and is not supported is refused by name.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pybernetes.control_plane.scheduler.config import Config, Enabled, Extender, ProfileConfig

if TYPE_CHECKING:
    import ssl

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
    asked = tuple(extender(i, e) for i, e in enumerate(document.get("extenders") or ()))
    if sum(bool(e.bind_verb) for e in asked) > 1:
        raise ConfigurationError("extenders: found more than one extender implementing bind")
    ignored = sorted({name for e in asked for name in e.ignored})
    profiles = tuple(_profile(i, p, ignored) for i, p in enumerate(document.get("profiles") or [{}]))
    names = [p.name for p in profiles]
    if len(set(names)) < len(names):
        raise ConfigurationError("profiles: schedulerName must be unique")
    first, last = document.get("podInitialBackoffSeconds") or 1, document.get("podMaxBackoffSeconds") or 10
    if not 0 < first <= last:
        raise ConfigurationError("podMaxBackoffSeconds: must be greater than or equal to podInitialBackoffSeconds")
    timeouts = [p.args["VolumeBinding"].get("bindTimeoutSeconds") for p in profiles if "VolumeBinding" in p.args]
    timeout = next((t for t in timeouts if t is not None), 600)
    return Config(
        profiles,
        first_backoff=float(first),
        max_backoff=float(last),
        volume_timeout=float(timeout),
        extenders=asked,
    )


def _profile(number: int, document: Mapping[str, Any], ignored: Sequence[str] = ()) -> ProfileConfig:
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
    if ignored:
        fit = args.get("NodeResourcesFit", {})
        args["NodeResourcesFit"] = {**fit, "ignoredResources": [*(fit.get("ignoredResources") or ()), *ignored]}
    return ProfileConfig(document.get("schedulerName") or "default-scheduler", tuple(enabled), tuple(disabled), args)


def extender(number: int, document: Mapping[str, Any]) -> Extender:
    """One of `extenders`. Raises ConfigurationError."""
    where = f"extenders[{number}]"
    known = "urlPrefix filterVerb preemptVerb prioritizeVerb weight bindVerb enableHTTPS tlsConfig httpTimeout"
    _only(document, where, *known.split(), "nodeCacheCapable", "managedResources", "ignorable")
    url = document.get("urlPrefix") or ""
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{where}.urlPrefix: must be an http or https URL")
    weight = int(document.get("weight") or 1)
    if document.get("prioritizeVerb") and weight <= 0:
        raise ConfigurationError(f"{where}.weight: must have a positive weight applied to it")
    resources = document.get("managedResources") or []
    for one in resources:
        _only(one, f"{where}.managedResources", "name", "ignoredByScheduler")
        if "/" not in str(one.get("name") or ""):
            text = f"{one.get('name')} is an invalid extended resource name"
            raise ConfigurationError(f"{where}.managedResources: {text}")
    secure = document.get("enableHTTPS") or url.startswith("https://")
    return Extender(
        url="https://" + url.partition("://")[2] if secure else url,
        filter_verb=document.get("filterVerb") or "",
        prioritize_verb=document.get("prioritizeVerb") or "",
        preempt_verb=document.get("preemptVerb") or "",
        bind_verb=document.get("bindVerb") or "",
        weight=weight,
        timeout=seconds(f"{where}.httpTimeout", document.get("httpTimeout") or "5s"),
        node_cache=bool(document.get("nodeCacheCapable")),
        resources=frozenset(str(one["name"]) for one in resources),
        ignored=frozenset(str(one["name"]) for one in resources if one.get("ignoredByScheduler")),
        ignorable=bool(document.get("ignorable")),
        tls=_tls(f"{where}.tlsConfig", document.get("tlsConfig")) if secure else None,
    )


def seconds(where: str, text: Any) -> float:
    """A Go duration of one or more parts. Raises ConfigurationError."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"([\d.]+)(ms|s|m|h)", str(text))
    if not parts or "".join(number + unit for number, unit in parts) != str(text):
        raise ConfigurationError(f"{where}: {text} is no duration")
    return sum(float(number) * units[unit] for number, unit in parts)


def _tls(where: str, document: Mapping[str, Any] | None) -> ssl.SSLContext:
    import ssl

    document = document or {}
    _only(document, where, "insecure", "serverName", "certFile", "keyFile", "caFile", "caData")
    if document.get("serverName"):
        raise ConfigurationError(f"{where}.serverName: not supported")
    data = document.get("caData")
    authority = base64.b64decode(data).decode() if data else None
    context = ssl.create_default_context(cafile=document.get("caFile") or None, cadata=authority)
    if document.get("insecure"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if document.get("certFile"):
        context.load_cert_chain(document["certFile"], document.get("keyFile") or None)
    return context


def _only(document: Mapping[str, Any], where: str, *names: str) -> None:
    for name in document:
        if name not in names:
            raise ConfigurationError(f"{where}.{name}: unknown field")
