"""A scheduler plugin in Python: nodes of a team take only its Pods, and its Pods prefer them.

python examples/scheduler_plugin.py
"""

from __future__ import annotations

import asyncio

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import Container, Node, Pod, PodSpec
from pybernetes.control_plane.scheduler import Config, Enabled, ProfileConfig, Scheduler
from pybernetes.control_plane.scheduler.plugins.base import PerNode
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.testing import LocalCluster


class TeamNodes(PerNode):
    """One call per node: easy. Answers are reused for Pods with equal `depends_on`. For speed derive from `Plugin` and
    decide about all nodes at once, as the plugins in `pybernetes/control_plane/scheduler/plugins` do."""

    name = "TeamNodes"

    def depends_on(self, pod: Pod) -> str:
        return (pod.metadata.labels or {}).get("team", "")

    def fits(self, pod: Pod, node: Node) -> str:
        owner = (node.metadata.labels or {}).get("team")
        return "" if owner in (None, self.depends_on(pod)) else "node(s) belong to another team"

    def points(self, pod: Pod, node: Node) -> float:
        return 100.0 if (node.metadata.labels or {}).get("team") else 0.0


async def main() -> dict[str, str]:
    """Three nodes, one of team blue, and a second scheduler with the plugin: where do Pods of blue and red go?"""
    config = Config(profiles=(ProfileConfig("team-scheduler", enabled=(Enabled(TeamNodes, weight=10),)),))
    async with LocalCluster(nodes=3) as cluster, Nursery("example") as nursery:
        nursery.start(Scheduler(config, cluster.client).run(), "team-scheduler")
        await cluster.client.resource(Node).patch("fake-1", "", {"metadata": {"labels": {"team": "blue"}}})
        pods = cluster.client.resource(Pod)
        for team in ("blue", "red"):
            spec = PodSpec(containers=[Container(name="c", image="web:1")], scheduler_name="team-scheduler")
            await pods.create(
                Pod(metadata=ObjectMeta(name=team, namespace="default", labels={"team": team}), spec=spec)
            )
        while True:
            placed = {p.metadata.name: p.spec.node_name or "" for p in (await pods.list("default")).items}
            if all(placed.values()):
                return placed
            await clock.sleep(0.01)


if __name__ == "__main__":
    print(asyncio.run(main()))
