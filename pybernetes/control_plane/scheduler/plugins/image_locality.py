"""ImageLocality: nodes that have the images already, large ones above all, but not so that all Pods pile up there."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from pybernetes.control_plane.scheduler.facts import PodFacts
from pybernetes.control_plane.scheduler.nodes import Floats, Rows
from pybernetes.control_plane.scheduler.plugins.base import MAX_SCORE, Plugin, Scope
from pybernetes.control_plane.scheduler.snapshot import Snapshot

_MEGABYTE = 1024 * 1024
_LEAST = 23 * _MEGABYTE
_MOST_PER_IMAGE = 1000 * _MEGABYTE


class ImageLocality(Plugin):
    """An image counts with its size times the share of nodes that have it."""

    name = "ImageLocality"
    scope = Scope.NODE

    def prepare_score(self, pod: PodFacts, snapshot: Snapshot) -> Any:
        images = pod.pod_class.images
        return images if any(snapshot.nodes.image(name).any() for name in images) else None

    def context(self, pod: PodFacts, snapshot: Snapshot) -> Hashable:
        nodes = snapshot.nodes
        spread = tuple(int(np.count_nonzero(nodes.image(name))) for name in pod.pod_class.images)
        return (nodes.count, *spread) if any(spread) else None

    def score(self, state: Any, snapshot: Snapshot, rows: Rows) -> Floats:
        nodes = snapshot.nodes
        total = max(1, nodes.count)
        points = np.zeros(len(nodes.alive[rows]))
        for name in state:
            sizes = nodes.image(name)
            points += np.floor(sizes[rows] * (np.count_nonzero(sizes) / total))
        most = _MOST_PER_IMAGE * len(state)
        return np.floor(MAX_SCORE * (np.clip(points, _LEAST, most) - _LEAST) / (most - _LEAST))
