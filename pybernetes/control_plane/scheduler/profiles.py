"""The default profile: all plugins in the order they filter, and the weights they score with.

The order is upstream's: it decides which plugin's reason is counted for a node that several refuse, and puts cheap and
selective ones first.
"""

from __future__ import annotations

from pybernetes.control_plane.scheduler.plan import Profile
from pybernetes.control_plane.scheduler.plugins.base import Plugin
from pybernetes.control_plane.scheduler.plugins.image_locality import ImageLocality
from pybernetes.control_plane.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from pybernetes.control_plane.scheduler.plugins.node_affinity import NodeAffinity, NodeName
from pybernetes.control_plane.scheduler.plugins.node_ports import NodePorts
from pybernetes.control_plane.scheduler.plugins.resources import NodeResourcesBalancedAllocation, NodeResourcesFit
from pybernetes.control_plane.scheduler.plugins.taints import NodeUnschedulable, TaintToleration
from pybernetes.control_plane.scheduler.plugins.topology_spread import PodTopologySpread
from pybernetes.control_plane.scheduler.plugins.volume_binding import VolumeBinding
from pybernetes.control_plane.scheduler.plugins.volumes import NodeVolumeLimits, VolumeRestrictions, VolumeZone

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
    (NodeResourcesBalancedAllocation, 1),
    (ImageLocality, 1),
)


def default_profile(name: str) -> Profile:
    """All default plugins with their default arguments."""
    plugins = [(kind(), weight) for kind, weight in DEFAULT]
    return Profile(
        name,
        tuple(p for p, _ in plugins if p.filters()),
        tuple((p, weight) for p, weight in plugins if p.scores()),
    )
