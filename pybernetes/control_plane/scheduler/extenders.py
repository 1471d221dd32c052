"""Extenders: servers that take part in decisions over HTTP (`extenders` of a KubeSchedulerConfiguration).

A Pod that one is interested in costs a request for each of its verbs, and the others wait meanwhile, as upstream. The
snapshot goes on changing during a request: the loop asks the planner again about the node that comes out, and starts
over when nodes have come or gone. Plugins are the better way for everything that does not have to run elsewhere.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from pybernetes.control_plane.scheduler.config import Extender
from pybernetes.machinery import codec

if TYPE_CHECKING:
    import aiohttp

    from pybernetes.control_plane.scheduler.facts import PodFacts
    from pybernetes.control_plane.scheduler.plan import Weighed
    from pybernetes.control_plane.scheduler.preemption import Candidate
    from pybernetes.control_plane.scheduler.snapshot import Snapshot

log = logging.getLogger(__name__)

#: Their scores go to 10, ours to 100.
_SCALE = 100 // 10
#: What the reasons of all extenders count as, for waking Pods: any change may please them.
NAME = "Extender"


class Wishes:
    """What extenders may be pleased by (`queue.Waker`): nobody knows, so anything."""

    wakes_on = frozenset(
        {"Node/added", "Node/updated", "Node/removed", "Pod/added", "Pod/removed", "Pod/labels", "Pod/scaled-down",
         "PersistentVolumeClaim", "PersistentVolume", "StorageClass", "CSINode", "ResourceClaim", "ResourceSlice"}
    )  # fmt: skip

    def helps(self, event: str, pod: PodFacts, old: Any, new: Any) -> bool:
        return True


class ExtenderError(Exception):
    """An extender that may not be ignored did not answer, or answered with an error."""


class Extenders:
    """Asks them in order. `close()` when done."""

    def __init__(self, extenders: Sequence[Extender]) -> None:
        self._extenders = tuple(extenders)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def concern(self, pod: PodFacts) -> bool:
        """Whether any of them wants to be asked about the Pod."""
        return any(interested(one, pod) for one in self._extenders)

    async def consider(self, weighed: Weighed, snapshot: Snapshot) -> None:
        """Rule out nodes and add points. Raises ExtenderError."""
        for one in self._extenders:
            if one.filter_verb and interested(one, weighed.pod) and weighed.feasible():
                try:
                    await self._filter(one, weighed, snapshot)
                except ExtenderError:
                    if not one.ignorable:
                        raise
                    log.warning("%s is skipped: it is ignorable", one.url)
        found = weighed.feasible()
        if len(found) < 2:
            return
        points: Counter[str] = Counter()
        for one in self._extenders:
            if one.prioritize_verb and interested(one, weighed.pod):
                try:
                    answer = await self._ask(one, one.prioritize_verb, _nodes(one, weighed, snapshot))
                except ExtenderError as error:
                    log.warning("its points do not count: %s", error)  # as upstream: a score is never worth a failure
                    continue
                for each in answer or ():
                    points[each.get("host", "")] += int(each.get("score", 0)) * one.weight
        for index, row in found:
            weighed.points[index] += points[snapshot.nodes.names[row]] * _SCALE

    async def _filter(self, one: Extender, weighed: Weighed, snapshot: Snapshot) -> None:
        answer = await self._ask(one, one.filter_verb, _nodes(one, weighed, snapshot)) or {}
        if answer.get("error"):
            raise ExtenderError(answer["error"])
        names = answer.get("nodenames")
        if names is None:
            names = [node["metadata"]["name"] for node in (answer.get("nodes") or {}).get("items") or ()]
        failed, final = answer.get("failedNodes") or {}, answer.get("failedAndUnresolvableNodes") or {}
        kept = {*names}
        for index, row in weighed.feasible():
            name = snapshot.nodes.names[row]
            if name in final:
                weighed.strike(index, row, ([final[name]], False, NAME))
            elif name in failed or name not in kept:
                weighed.strike(index, row, ([failed.get(name, "node(s) refused by an extender")], True, NAME))

    async def preempt(self, pod: PodFacts, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates they agree with, with the victims they want. Raises ExtenderError."""
        found = {candidate.node: candidate for candidate in candidates}
        for one in self._extenders:
            if not one.preempt_verb or not interested(one, pod) or not found:
                continue
            body: dict[str, Any] = {"pod": pod.pod}
            if one.node_cache:
                body["nodeNameToMetaVictims"] = {name: _victims(c, meta=True) for name, c in found.items()}
            else:
                body["nodeNameToVictims"] = {name: _victims(c, meta=False) for name, c in found.items()}
            try:
                answer = await self._ask(one, one.preempt_verb, body)
            except ExtenderError:
                if one.ignorable:
                    continue
                raise
            agreed: dict[str, Candidate] = {}
            for name, victims in ((answer or {}).get("nodeNameToMetaVictims") or {}).items():
                if name not in found:
                    continue
                uids = {victim.get("uid") for victim in victims.get("pods") or ()}
                agreed[name] = replace(
                    found[name],
                    victims=[v for v in found[name].victims if v.uid in uids],
                    violations=int(victims.get("numPDBViolations") or 0),
                )
            found = agreed
        return [*found.values()]

    async def bind(self, pod: PodFacts, node: str) -> bool:
        """Let the one that binds do it; False: none does. Raises ExtenderError."""
        for one in self._extenders:
            if one.bind_verb and interested(one, pod):
                body = {"podName": pod.name, "podNamespace": pod.namespace, "podUID": pod.uid, "node": node}
                answer = await self._ask(one, one.bind_verb, body) or {}
                if answer.get("error"):
                    raise ExtenderError(answer["error"])
                return True
        return False

    async def _ask(self, one: Extender, verb: str, body: Any) -> Any:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        url = f"{one.url.rstrip('/')}/{verb}"
        try:
            async with self._session.post(
                url,
                data=codec.encode(body),
                headers={"Content-Type": "application/json"},
                ssl=one.tls if one.tls is not None else True,
                timeout=aiohttp.ClientTimeout(total=one.timeout),
            ) as response:
                text = await response.read()
                if response.status != 200:
                    raise ExtenderError(f"failed {verb} with extender at URL {one.url}, code {response.status}")
                return msgspec.json.decode(text) if text else None
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            raise ExtenderError(f"failed {verb} with extender at URL {one.url}: {error!r}") from None


def interested(one: Extender, pod: PodFacts) -> bool:
    """Whether the Pod asks for a resource that the extender manages."""
    return not one.resources or not one.resources.isdisjoint(pod.pod_class.requests)


def _nodes(one: Extender, weighed: Weighed, snapshot: Snapshot) -> dict[str, Any]:
    """The arguments of filter and prioritize."""
    rows = [row for _, row in weighed.feasible()]
    body: dict[str, Any] = {"pod": weighed.pod.pod}
    if one.node_cache:
        body["nodenames"] = [snapshot.nodes.names[row] for row in rows]
    else:
        objects = [snapshot.nodes.objects[row] for row in rows]
        body["nodes"] = {"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": objects}
    return body


def _victims(candidate: Candidate, *, meta: bool) -> dict[str, Any]:
    pods = [{"uid": v.uid} for v in candidate.victims] if meta else [v.pod for v in candidate.victims]
    return {"pods": pods, "numPDBViolations": candidate.violations}
