"""Profiles: all default plugins in the order they filter, with weights and arguments; and how a configuration changes
them.

The order is upstream's: it decides which plugin's reason is counted for a node that several refuse, and puts cheap and
selective ones first.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from pybernetes.api.core_v1 import NodeAffinity as NodeAffinityStruct
from pybernetes.api.core_v1 import TopologySpreadConstraint
from pybernetes.control_plane.scheduler.config import ProfileConfig
from pybernetes.control_plane.scheduler.configuration import ConfigurationError, seconds
from pybernetes.control_plane.scheduler.plan import Profile
from pybernetes.control_plane.scheduler.plugins.base import Plugin
from pybernetes.control_plane.scheduler.plugins.declared_features import NodeDeclaredFeatures
from pybernetes.control_plane.scheduler.plugins.dynamic_resources import DynamicResources
from pybernetes.control_plane.scheduler.plugins.image_locality import ImageLocality
from pybernetes.control_plane.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from pybernetes.control_plane.scheduler.plugins.node_affinity import NodeAffinity, NodeName
from pybernetes.control_plane.scheduler.plugins.node_ports import NodePorts
from pybernetes.control_plane.scheduler.plugins.resources import (
    NodeResourcesBalancedAllocation,
    NodeResourcesFit,
    Strategy,
)
from pybernetes.control_plane.scheduler.plugins.taints import NodeUnschedulable, TaintToleration
from pybernetes.control_plane.scheduler.plugins.topology_spread import SYSTEM_DEFAULTS, PodTopologySpread
from pybernetes.control_plane.scheduler.plugins.volume_binding import VolumeBinding
from pybernetes.control_plane.scheduler.plugins.volumes import NodeVolumeLimits, VolumeRestrictions, VolumeZone
from pybernetes.machinery import codec

#: (plugin, weight of its score), in order.
DEFAULT: tuple[tuple[type[Plugin], int], ...] = (
    (NodeUnschedulable, 0),
    (NodeName, 0),
    (TaintToleration, 3),
    (NodeAffinity, 2),
    (NodePorts, 0),
    (NodeResourcesFit, 1),
    (VolumeRestrictions, 0),
    (NodeVolumeLimits, 0),
    (VolumeBinding, 0),
    (VolumeZone, 0),
    (PodTopologySpread, 2),
    (InterPodAffinity, 2),
    (DynamicResources, 1),
    (NodeDeclaredFeatures, 0),
    (NodeResourcesBalancedAllocation, 1),
    (ImageLocality, 1),
)
#: Parts of the queue, the loop and preemption that upstream has as plugins.
BUILT_IN = ("PrioritySort", "SchedulingGates", "DefaultPreemption", "DefaultBinder")

_DEFAULTS = {kind.name: (kind, weight) for kind, weight in DEFAULT}


def default_profile(name: str) -> Profile:
    """All default plugins with their default arguments."""
    return build(ProfileConfig(name))


def build(config: ProfileConfig) -> Profile:
    """The profile of a configuration. Raises ConfigurationError."""
    disabled = set(config.disabled)
    for name, _ in disabled:
        if name != "*" and name not in _DEFAULTS and name not in BUILT_IN:
            raise ConfigurationError(f"plugins.disabled: there is no plugin {name}")
    filters: list[tuple[str, type[Plugin]]] = []
    scores: dict[str, tuple[type[Plugin], int]] = {}
    for kind, weight in DEFAULT:
        if kind.filters() and not disabled & {(kind.name, ""), (kind.name, "filter"), ("*", ""), ("*", "filter")}:
            filters.append((kind.name, kind))
        if kind.scores() and not disabled & {(kind.name, ""), (kind.name, "score"), ("*", ""), ("*", "score")}:
            scores[kind.name] = (kind, weight)
    for enabled in config.enabled:
        if enabled.plugin in BUILT_IN:
            continue
        kind, weight = _find(enabled.plugin)
        if kind.filters() and enabled.point != "score" and kind.name not in dict(filters):
            filters.append((kind.name, kind))
        if kind.scores() and enabled.point != "filter":
            scores[kind.name] = (kind, enabled.weight or weight or 1)
    made: dict[str, Plugin] = {}

    def one(name: str, kind: type[Plugin]) -> Plugin:
        if name not in made:
            made[name] = _make(kind, config.args.get(name, {}))
        return made[name]

    profile = Profile(
        config.name,
        tuple(one(name, kind) for name, kind in filters),
        tuple((one(name, kind), weight) for name, (kind, weight) in scores.items()),
        preempts=("DefaultPreemption", "") not in disabled and (("*", "") not in disabled or _wants_preemption(config)),
        **_preemption(config.args.get("DefaultPreemption", {})),
    )
    unknown = set(config.args) - set(made) - set(BUILT_IN) - set(_DEFAULTS)
    if unknown:
        raise ConfigurationError(f"pluginConfig: there is no plugin {', '.join(sorted(unknown))}")
    return profile


def _wants_preemption(config: ProfileConfig) -> bool:
    return any(e.plugin == "DefaultPreemption" for e in config.enabled)


def _find(plugin: str | type[Plugin]) -> tuple[type[Plugin], int]:
    """The class, and its default weight."""
    if isinstance(plugin, type):
        return plugin, 0
    if plugin in _DEFAULTS:
        return _DEFAULTS[plugin]
    module, colon, name = plugin.partition(":")
    if not colon:
        raise ConfigurationError(f"plugins.enabled: there is no plugin {plugin}; your own are written module:Class")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"plugins.enabled: {plugin}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise ConfigurationError(f"plugins.enabled: {plugin} is no Plugin")
    return found, 0


def _make(kind: type[Plugin], args: Mapping[str, Any]) -> Plugin:
    reader = _READERS.get(kind.name)
    if reader is not None and kind.name in _DEFAULTS:
        return reader(args)
    try:
        return kind(**args)
    except TypeError as error:
        raise ConfigurationError(f"pluginConfig: {kind.name}: {error}") from error


# Arguments of the default plugins


def _take(name: str, args: Mapping[str, Any], *known: str) -> list[Any]:
    for key in args:
        if key not in known:
            raise ConfigurationError(f"pluginConfig: {name}: unknown field {key}")
    return [args.get(key) for key in known]


def _weights(name: str, resources: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, int]]:
    found = [(str(r.get("name")), int(r.get("weight") or 1)) for r in resources or ()]
    for resource, weight in found:
        if not 1 <= weight <= 100:
            raise ConfigurationError(f"pluginConfig: {name}: weight of {resource} should be between 1 and 100")
    return found or [("cpu", 1), ("memory", 1)]


def _fit(args: Mapping[str, Any]) -> Plugin:
    name = NodeResourcesFit.name
    ignored, groups, strategy = _take(name, args, "ignoredResources", "ignoredResourceGroups", "scoringStrategy")
    kind, resources, ratio = _take(name, strategy or {}, "type", "resources", "requestedToCapacityRatio")
    kind = kind or "LeastAllocated"
    if kind not in get_args(Strategy):
        raise ConfigurationError(f"pluginConfig: {name}: scoringStrategy.type {kind} is unknown")
    shape = [(int(p.get("utilization") or 0), int(p.get("score") or 0)) for p in (ratio or {}).get("shape") or ()]
    if kind == "RequestedToCapacityRatio":
        if not shape or sorted({x for x, _ in shape}) != [x for x, _ in shape]:
            raise ConfigurationError(f"pluginConfig: {name}: shape needs points of growing utilization")
        if any(not 0 <= x <= 100 or not 0 <= y <= 10 for x, y in shape):
            raise ConfigurationError(f"pluginConfig: {name}: shape: utilization is 0 to 100, score 0 to 10")
    return NodeResourcesFit(
        cast(Strategy, kind), _weights(name, resources), shape or ((0, 0), (100, 10)), ignored or (), groups or ()
    )


def _balanced(args: Mapping[str, Any]) -> Plugin:
    name = NodeResourcesBalancedAllocation.name
    (resources,) = _take(name, args, "resources")
    return NodeResourcesBalancedAllocation(_weights(name, resources))


def _affinity(args: Mapping[str, Any]) -> Plugin:
    (added,) = _take(NodeAffinity.name, args, "addedAffinity")
    return NodeAffinity(codec.from_dict(NodeAffinityStruct, added) if added else None)


def _between(args: Mapping[str, Any]) -> Plugin:
    name = InterPodAffinity.name
    weight, ignore = _take(name, args, "hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods")
    weight = 1 if weight is None else int(weight)
    if not 0 <= weight <= 100:
        raise ConfigurationError(f"pluginConfig: {name}: hardPodAffinityWeight: not in valid range [0, 100]")
    return InterPodAffinity(weight, ignore_preferred_of_existing=bool(ignore))


def _spread(args: Mapping[str, Any]) -> Plugin:
    name = PodTopologySpread.name
    constraints, kind = _take(name, args, "defaultConstraints", "defaultingType")
    if (kind or ("List" if constraints else "System")) == "System":
        if constraints:
            raise ConfigurationError(f"pluginConfig: {name}: defaultConstraints must be empty for type System")
        return PodTopologySpread(SYSTEM_DEFAULTS)
    listed = [codec.from_dict(TopologySpreadConstraint, c) for c in constraints or ()]
    if any(c.label_selector is not None for c in listed):
        raise ConfigurationError(f"pluginConfig: {name}: defaultConstraints must not have a labelSelector")
    return PodTopologySpread(listed, system_defaults=False)


def _volume_binding(args: Mapping[str, Any]) -> Plugin:
    _, shape = _take(VolumeBinding.name, args, "bindTimeoutSeconds", "shape")
    if shape:
        raise ConfigurationError(f"pluginConfig: {VolumeBinding.name}: shape is not supported")
    return VolumeBinding()


def _devices(args: Mapping[str, Any]) -> Plugin:
    name = DynamicResources.name
    binding, search = _take(name, args, "bindingTimeout", "filterTimeout")
    if search is not None:  # the search ends after so many steps, which needs no clock
        raise ConfigurationError(f"pluginConfig: {name}: filterTimeout is not supported")
    if binding is None:
        return DynamicResources()
    timeout = seconds(f"pluginConfig: {name}: bindingTimeout", binding)
    if timeout < 1:
        raise ConfigurationError(f"pluginConfig: {name}: bindingTimeout: must be at least 1 second")
    return DynamicResources(timeout)


_READERS: dict[str, Callable[[Mapping[str, Any]], Plugin]] = {
    NodeResourcesFit.name: _fit,
    NodeResourcesBalancedAllocation.name: _balanced,
    NodeAffinity.name: _affinity,
    InterPodAffinity.name: _between,
    PodTopologySpread.name: _spread,
    VolumeBinding.name: _volume_binding,
    DynamicResources.name: _devices,
}


def _preemption(args: Mapping[str, Any]) -> dict[str, Any]:
    percent, least = _take("DefaultPreemption", args, "minCandidateNodesPercentage", "minCandidateNodesAbsolute")
    found: dict[str, Any] = {}
    if percent is not None:
        if not 0 <= percent <= 100:
            raise ConfigurationError("pluginConfig: DefaultPreemption: minCandidateNodesPercentage: not in [0, 100]")
        found["preemption_percent"] = int(percent)
    if least is not None:
        found["preemption_least"] = int(least)
    return found
