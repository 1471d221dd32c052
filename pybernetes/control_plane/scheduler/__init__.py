"""The scheduler: which Pod runs on which node. `plugins/` decide, `plan.py` combines, `loop.py` carries out.

Importing this package is cheap; numpy comes with the first Pod that needs a node.
"""

from __future__ import annotations

from pybernetes.control_plane.scheduler.config import Config, Enabled, ProfileConfig
from pybernetes.control_plane.scheduler.loop import Scheduler

__all__ = ["Config", "Enabled", "ProfileConfig", "Scheduler"]
