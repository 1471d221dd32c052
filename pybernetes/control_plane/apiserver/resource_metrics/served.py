"""NodeMetrics and PodMetrics: get and list, with selectors, in the form metrics-server gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Node, Pod
from pybernetes.api.kinds import GroupResource, Kind
from pybernetes.api.metrics_v1beta1 import ContainerMetrics, NodeMetrics, PodMetrics
from pybernetes.control_plane.apiserver import selection
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.resource import Resource, Subresource
from pybernetes.control_plane.apiserver.resource_metrics.usage import NODE, Usage, Used
from pybernetes.machinery import codec, errors
from pybernetes.machinery.meta import ObjectMeta

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.cache import Item
    from pybernetes.control_plane.apiserver.core import Core
    from pybernetes.control_plane.apiserver.resource_metrics.samples import Samples

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
_READ = ("get", "list")
KINDS = (
    Kind(GROUP, VERSION, "NodeMetrics", "nodes", False, "metrics_v1beta1", verbs=_READ),
    Kind(GROUP, VERSION, "PodMetrics", "pods", True, "metrics_v1beta1", verbs=_READ),
)


class _Metrics(Subresource):
    """What nodes and Pods have in common."""

    verbs = _READ
    about = ""  #: the resource whose objects are measured
    missing = ""  #: how a refusal calls them

    def __init__(self, core: Core, resource: Resource, samples: Samples) -> None:
        super().__init__(core, resource)
        self._samples = samples

    async def handle(self, call: Call) -> Result | None:
        info = call.info
        if info.verb == "get":
            item = self.core.item("", self.about, info.namespace, info.name)
            found = await self._measure([item] if item is not None else [])
            if not found:
                name = f"{info.namespace}/{info.name}" if info.namespace else info.name
                raise errors.not_found(GroupResource(GROUP, self.missing), name)
            return Result(resource=self.resource, obj=found[0])
        wanted = selection.of(call, self.resource)
        items = [
            item
            for item in self.core.cache.storage("", self.about).list(wanted.namespace)
            if wanted.predicate is None or wanted.predicate(item)
        ]
        kind = self.resource.kind
        shown: dict[str, Any] = {
            "kind": f"{kind.kind}List",
            "apiVersion": kind.api_version,
            "metadata": {},
            "items": [codec.to_dict(one) for one in await self._measure(items)],
        }
        return Result(resource=self.resource, obj=shown)

    async def _measure(self, items: Iterable[Item]) -> list[Any]:
        raise NotImplementedError


class NodesUsage(_Metrics):
    """What nodes use."""

    about = "nodes"
    missing = "nodemetrics"

    async def _measure(self, items: Iterable[Item]) -> list[Any]:
        nodes = {item.name: cast(Node, item.obj) for item in items}
        pods = (cast(Pod, item.obj) for item in self.core.cache.storage("", "pods").list())
        usages = await self._samples.of(nodes, (p for p in pods if p.spec.node_name in nodes and _runs(p)))
        return [
            NodeMetrics(
                metadata=_metadata(node.metadata, usages[name]),
                timestamp=clock.format_rfc3339(usages[name].time),
                window=_window(usages[name]),
                usage=_amounts(usages[name].used[NODE]),
            )
            for name, node in nodes.items()
            if name in usages and NODE in usages[name].used
        ]


class PodsUsage(_Metrics):
    """What the containers of Pods use; Pods of which one is not known are left out."""

    about = "pods"
    missing = "podmetrics"

    async def _measure(self, items: Iterable[Item]) -> list[Any]:
        pods = [pod for item in items if _runs(pod := cast(Pod, item.obj))]
        usages = await self._samples.of((pod.spec.node_name or "" for pod in pods), pods)
        found: list[Any] = []
        for pod in pods:
            meta, usage = pod.metadata, usages.get(pod.spec.node_name or "")
            if usage is None:
                continue
            each = [(c.name, usage.used.get((meta.namespace, meta.name, c.name))) for c in pod.spec.containers]
            known = [(name, used) for name, used in each if used is not None]
            if len(known) < len(each):
                continue
            found.append(
                PodMetrics(
                    metadata=_metadata(meta, usage),
                    timestamp=clock.format_rfc3339(usage.time),
                    window=_window(usage),
                    containers=[ContainerMetrics(name=name, usage=_amounts(used)) for name, used in known],
                )
            )
        return found


def _runs(pod: Pod) -> bool:
    return pod.status.phase == "Running" and bool(pod.spec.node_name)


def _metadata(of: ObjectMeta, usage: Usage) -> ObjectMeta:
    created = clock.format_rfc3339(usage.time)
    return ObjectMeta(name=of.name, namespace=of.namespace, labels=of.labels, creation_timestamp=created)


def _amounts(used: Used) -> dict[str, str]:
    return {"cpu": f"{used.nanocores}n", "memory": f"{used.bytes // 1024}Ki"}


def _window(usage: Usage) -> str:
    return f"{usage.window:.3f}".rstrip("0").rstrip(".") + "s"
