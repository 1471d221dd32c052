"""A scheduler plugin that decides about all nodes at once: Pods go to nodes whose price they can pay, cheap ones first.

python examples/scheduler_plugin_vectorised.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import Container, Node, Pod, PodSpec
from pybernetes.control_plane.scheduler import Config, Enabled, ProfileConfig, Scheduler
from pybernetes.control_plane.scheduler.plugins.base import UNRESOLVABLE, Plugin, Scope
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.testing import LocalCluster


class Price(Plugin):
    """`prepare` sees the Pod, once; `filter` and `score` answer for all rows they are asked about with one array."""

    name = "Price"
    scope = Scope.CLUSTER  # the budget is not part of what makes Pods a class, so every Pod is asked for
    wakes_on = frozenset({"Node/added", "Node/labels"})

    def __init__(self, factor: float = 1.0) -> None:
        self._factor = factor  # from `pluginConfig`

    def prepare(self, pod: Any, snapshot: Any) -> Any:
        budget = (pod.pod.metadata.annotations or {}).get("example.com/budget")
        return float(budget) if budget else None  # None: all nodes pass

    prepare_score = prepare

    def _prices(self, snapshot: Any, rows: Any) -> Any:
        objects = np.array([*snapshot.nodes.objects], dtype=object)[rows]
        return np.array([float(((o.metadata.labels if o else None) or {}).get("price", "0")) for o in objects])

    def filter(self, state: Any, snapshot: Any, rows: Any) -> Any:
        return np.where(self._prices(snapshot, rows) * self._factor > state, 1 | UNRESOLVABLE, 0)

    def reasons(self, state: Any, code: int) -> Sequence[str]:
        return ["node(s) cost too much"]

    def score(self, state: Any, snapshot: Any, rows: Any) -> Any:
        return 100.0 * np.maximum(0.0, 1.0 - self._prices(snapshot, rows) * self._factor / state)


async def main() -> dict[str, str]:
    """Nodes for 1, 5 and 9: where does a Pod with 6 go, and why does one with 0.5 wait?"""
    enabled = (Enabled(Price, weight=10),)
    config = Config(profiles=(ProfileConfig("thrifty", enabled, args={"Price": {"factor": 1.0}}),))
    async with LocalCluster(nodes=3) as cluster, Nursery("example") as nursery:
        nursery.start(Scheduler(config, cluster.client).run(), "thrifty")
        for i, price in enumerate((9, 5, 1)):
            labels = {"metadata": {"labels": {"price": str(price)}}}
            await cluster.client.resource(Node).patch(f"fake-{i}", "", labels)
        pods = cluster.client.resource(Pod)
        for name, budget in (("rich", "6"), ("poor", "0.5")):
            meta = ObjectMeta(name=name, namespace="default", annotations={"example.com/budget": budget})
            spec = PodSpec(containers=[Container(name="c", image="web:1")], scheduler_name="thrifty")
            await pods.create(Pod(metadata=meta, spec=spec))
        while True:
            rich, poor = await pods.get("rich", "default"), await pods.get("poor", "default")
            told = next((c.message for c in poor.status.conditions or () if c.type == "PodScheduled"), "")
            if rich.spec.node_name and told:
                return {"rich": rich.spec.node_name, "poor": told}
            await clock.sleep(0.01)


if __name__ == "__main__":
    print(asyncio.run(main()))
