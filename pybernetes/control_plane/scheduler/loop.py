"""The scheduler as a component: take a Pod from the queue, plan, assume, bind; and take in the news meanwhile.

Planning is synchronous and needs microseconds; writing to the API is not and is done by as many tasks as `in_flight`
allows. Between them stands the assumption: a planned Pod counts as placed until its binding is seen, or has failed.

numpy is imported with the first Pod that needs a node and not before: an idle control plane starts sooner and needs
less memory. Until then the informers' caches hold all there is to know.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery, Ready
from pybernetes.api.apps_v1 import ReplicaSet, StatefulSet
from pybernetes.api.core_v1 import Namespace, Node, Pod, ReplicationController, Service
from pybernetes.api.policy_v1 import PodDisruptionBudget
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.scheduler.claim_effects import ClaimEffects, ClaimInformers, ClaimsNotReserved
from pybernetes.control_plane.scheduler.config import Config
from pybernetes.control_plane.scheduler.effects import Effects
from pybernetes.control_plane.scheduler.extended_resources import LEFT_OVER
from pybernetes.control_plane.scheduler.extenders import ExtenderError, Extenders
from pybernetes.control_plane.scheduler.volume_effects import VolumeEffects, VolumesNotBound
from pybernetes.machinery.errors import StatusError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pybernetes.control_plane.scheduler.facts import PodFacts
    from pybernetes.control_plane.scheduler.plan import Placement
    from pybernetes.control_plane.scheduler.queue import Queued
    from pybernetes.control_plane.scheduler.world import World

log = logging.getLogger(__name__)

#: A refusal with its search for victims takes about as long as so many placements.
_REFUSAL_EFFORT = 16
#: How often a decision is made anew because the nodes changed while extenders were asked.
_AGAIN = 5


def _may_need_devices(pod: PodFacts) -> bool:
    return bool(pod.pod.spec.resource_claims or pod.pod_class.maybe_devices)


class Scheduler:
    """`run()` until cancelled; `ready` is set when the caches are filled. Informers and events are made when not given,
    and then run by `run()`."""

    def __init__(
        self,
        config: Config,
        client: Client,
        informers: InformerFactory | None = None,
        events: EventRecorder | None = None,
    ) -> None:
        self.config = config
        self.client = client.named("kube-scheduler")
        self._own_informers = informers is None
        self._own_events = events is None
        self.informers = informers or InformerFactory(self.client)
        self.events = events or EventRecorder(self.client, config.scheduler_names[0])
        self.ready: Ready[None] = Ready()
        self._effects = {name: Effects(self.client, self.events.named(name), name) for name in config.scheduler_names}
        informer = self.informers.informer
        self._pods = informer(Pod)
        self._nodes = informer(Node)
        self._namespaces = informer(Namespace)
        self._budgets = informer(PodDisruptionBudget)
        self._services = informer(Service)
        self._replication_controllers = informer(ReplicationController)
        self._replica_sets = informer(ReplicaSet)
        self._stateful_sets = informer(StatefulSet)
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._world: World | None = None
        self._nursery = Nursery("scheduler")
        self._volume_effects: VolumeEffects | None = None
        self._claim_effects: ClaimEffects | None = None
        self._extenders = Extenders(config.extenders)
        self._in_flight = 0
        #: Pods bound since the start.
        self.bound = 0

    @property
    def world(self) -> World:
        """The planner's state, made on first use."""
        if self._world is None:
            self._world = self._begin()
        return self._world

    async def run(self) -> None:
        """See the class."""
        try:
            async with self._nursery as nursery:
                if self._own_informers:
                    nursery.start(self.informers.run(), "informers")
                if self._own_events:
                    nursery.start(self.events.run(), "events")
                self._pods.on(added=self._pod_seen)
                await self.informers.synced()
                self.ready.set(None)
                await self._wake.wait()
                await self._schedule(self.world)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._extenders.close()

    # The world

    def _pod_seen(self, pod: Pod) -> None:
        """Before there is a world: whether it is needed."""
        if self._world is None and not pod.spec.node_name and pod.spec.scheduler_name in self.config.scheduler_names:
            self._wake.set()

    def _begin(self) -> World:
        from pybernetes.control_plane.scheduler.plugins.topology_spread import PodTopologySpread
        from pybernetes.control_plane.scheduler.profiles import build
        from pybernetes.control_plane.scheduler.spread_defaults import SpreadDefaults
        from pybernetes.control_plane.scheduler.world import World

        config = self.config
        profiles = [build(profile) for profile in config.profiles]
        world = World(profiles, self._wake.set, config.first_backoff, config.max_backoff)
        world.budgets = self._budgets.list
        defaults = SpreadDefaults(
            self._services, self._replication_controllers, self._replica_sets, self._stateful_sets
        )
        for plugin in world.plugins():
            if isinstance(plugin, PodTopologySpread):
                plugin.default_selector = defaults.selector
        # A handler added late is told of everything there is, so namespaces and nodes come first.
        self._namespaces.on(
            added=world.namespace_set,
            updated=lambda old, new: world.namespace_set(new),
            deleted=world.namespace_deleted,
        )
        self._nodes.on(added=world.node_added, updated=world.node_updated, deleted=world.node_deleted)
        self._pods.on(added=world.pod_added, updated=world.pod_updated, deleted=world.pod_deleted)
        return world

    async def _start_storage(self, world: World) -> None:
        """The first Pod with volumes is here."""
        from pybernetes.control_plane.scheduler.storage_informers import StorageInformers

        objects = StorageInformers(self.informers, world.event)
        self._volume_effects = VolumeEffects(self.client, objects.claims, self.config.volume_timeout)
        await objects.synced()
        world.snapshot.storage.objects = objects

    async def _start_claims(self, world: World) -> None:
        """The first Pod with claims for devices is here."""
        devices = world.snapshot.devices

        def event(name: str, old: object, new: object) -> None:
            devices.changed(name)
            if name.startswith("DeviceClass"):  # what a node must offer by itself may be another now
                world.snapshot.nodes.generation += 1
            world.event(name, old, new)

        objects = ClaimInformers(self.informers, event)
        self._claim_effects = ClaimEffects(self.client, objects.all_claims)
        await objects.synced()
        devices.objects = objects

    # The loop

    async def _schedule(self, world: World) -> None:
        queue = world.queue
        while True:
            self._wake.clear()
            queue.advance(clock.monotonic())
            effort = 0
            while effort < self.config.batch and self._in_flight < self.config.in_flight:
                queued = queue.pop(clock.monotonic())
                if queued is None:
                    break
                if queued.pod.volumes and self._volume_effects is None:
                    await self._start_storage(world)
                if self._claim_effects is None and _may_need_devices(queued.pod):
                    await self._start_claims(world)
                if queue.pods.get(queued.pod.uid) is not queued:
                    continue  # it went away meanwhile
                if self.config.extenders and self._extenders.concern(queued.pod):
                    await self._schedule_extended(world, queued)
                    effort = self.config.batch
                else:
                    effort += 1 if self._schedule_one(world, queued) else _REFUSAL_EFFORT
            else:
                if effort >= self.config.batch:
                    self._wake.set()
            self._set_timer(queue.next_due())
            if self._wake.is_set():
                await clock.sleep(0)
            else:
                await self._wake.wait()

    def _set_timer(self, due: float | None) -> None:
        if due == self._due:
            return
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._timed_out)

    def _timed_out(self) -> None:
        self._due = None
        self._wake.set()

    def _schedule_one(self, world: World, queued: Queued) -> bool:
        """Whether a node was found."""
        pod = queued.pod
        try:
            placement = world.plan(pod)
        except Exception as error:
            log.exception("planning %s failed", pod.key)
            self._start(self._error(world, queued, str(error)), "error")
            return False
        return self._act(world, queued, placement)

    async def _schedule_extended(self, world: World, queued: Queued) -> None:
        """The same for a Pod that extenders have a say in; nothing else is planned meanwhile."""
        from pybernetes.control_plane.scheduler.plan import Placement
        from pybernetes.control_plane.scheduler.preemption import best

        pod, planner, nodes = queued.pod, world.planner_of(queued.pod), world.snapshot.nodes
        try:
            for _ in range(_AGAIN):
                generation = nodes.generation
                weighed = planner.weigh(pod)
                if isinstance(weighed, Placement):
                    placement = weighed
                    break
                await self._extenders.consider(weighed, world.snapshot)
                if world.queue.pods.get(pod.uid) is not queued:
                    return
                if nodes.generation != generation:
                    continue
                placement = planner.settle(weighed)
                if not placement.node or planner.trial(pod).refusal(nodes.rows[placement.node]) is None:
                    break
            else:
                raise ExtenderError("the nodes keep changing")
            if (outcome := world.room_for(placement)) is not None:
                if outcome.candidates:
                    agreed = await self._extenders.preempt(pod, outcome.candidates)
                    if world.queue.pods.get(pod.uid) is not queued:
                        return
                    outcome.candidate = best(agreed)
                world.nominate(placement, outcome)
        except ExtenderError as error:
            await self._error(world, queued, str(error))
            return
        self._act(world, queued, placement)

    def _act(self, world: World, queued: Queued, placement: Placement) -> bool:
        """Have a plan carried out; whether a node was found."""
        pod = queued.pod
        if placement.node:
            world.assume(placement)
            if placement.reservations:  # may take minutes, and must not stand in the way of others
                self._nursery.start(self._bind(world, queued, placement), "bind with volumes")
            else:
                self._start(self._bind(world, queued, placement), "bind")
            return True
        assert placement.refusal is not None
        world.queue.refused(queued, placement.refusal.plugins, clock.monotonic())
        for victim in placement.victims:
            self._start(self._evict(world, queued, placement, victim), "evict")
        if placement.nominated:
            for other in world.nominations.behind(pod, placement.nominated):
                world.nominations.pop(other.uid)
                self._start(self._try(self._effects_of(other).clear_nomination(other), other), "clear")
        tried = ""
        if self._claim_effects is not None:
            if (claim := self._claim_effects.superfluous(pod, placement.refusal.reasons)) is not None:
                self._start(self._try(self._claim_effects.give_up(claim, pod), pod), "give up devices")
                tried = "deallocation of ResourceClaim completed"
            elif LEFT_OVER in placement.refusal.reasons:
                self._start(self._try(self._claim_effects.remove_extended(pod), pod), "remove claim")
                tried = "deletion of ResourceClaim completed"
        world.explain(placement, tried)
        self._start(self._refuse(placement), "refuse")
        return False

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        self._in_flight += 1
        self._nursery.start(work, name).add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_flight -= 1
        if self._in_flight < self.config.in_flight:
            self._wake.set()

    # Carrying out

    def _effects_of(self, pod: PodFacts) -> Effects:
        return self._effects[pod.pod.spec.scheduler_name or ""]

    async def _bind(self, world: World, queued: Queued, placement: Placement) -> None:
        pod, effects = placement.pod, self._effects_of(placement.pod)
        doing = ""
        try:
            if placement.reservations:  # it may take a while: others see where the Pod will be
                await self._try(effects.nominate(pod, placement.node), pod)
            if (work := placement.reservations.get("VolumeBinding")) is not None:
                assert self._volume_effects is not None
                doing = 'running PreBind plugin "VolumeBinding"'
                await self._volume_effects.carry_out(work, placement.node)
            if (claims := placement.reservations.get("DynamicResources")) is not None:
                assert self._claim_effects is not None
                doing = 'running PreBind plugin "DynamicResources"'
                claims = await self._claim_effects.carry_out(claims, pod)
                await self._claim_effects.ready(claims, pod, lambda: effects.waiting_event(pod, placement.node))
            doing = 'binding rejected: running Bind plugin "DefaultBinder"'
            if self.config.extenders and await self._extenders.bind(pod, placement.node):
                effects.bound_event(pod, placement.node)
            else:
                await effects.bind(pod, placement.node)
        except (StatusError, Unavailable, VolumesNotBound, ClaimsNotReserved, ExtenderError) as error:
            if self._claim_effects is not None and (claims := placement.reservations.get("DynamicResources")):
                await self._try(self._claim_effects.undo(claims, pod), pod)
            world.settled(placement)
            world.forget(pod.uid)
            if doing.startswith("binding") and isinstance(error, StatusError) and error.code == 404:
                world.queue.remove(pod.uid)  # it is gone
                return
            await self._error(world, queued, f"{doing}: {error}")
            return
        self.bound += 1
        world.settled(placement)
        world.queue.remove(pod.uid)

    async def _error(self, world: World, queued: Queued, message: str) -> None:
        """Something that is not the Pod's fault: try again later."""
        pod = queued.pod
        log.warning("%s: %s", pod.key, message)
        world.queue.failed(queued, clock.monotonic())
        self._wake.set()
        effects = self._effects_of(pod)
        effects.failed_event(pod, message)
        await self._try(effects.refuse(pod, "SchedulerError", message, None), pod)

    async def _evict(self, world: World, queued: Queued, placement: Placement, victim: PodFacts) -> None:
        pod = placement.pod
        try:
            await self._effects_of(pod).evict(victim, pod, placement.nominated or "")
        except (StatusError, Unavailable) as error:
            if not (isinstance(error, StatusError) and error.code in (404, 409)):
                log.warning("%s cannot make room for %s: %s", victim.key, pod.key, error)
            world.queue.wake(pod.uid, clock.monotonic())  # whatever it is, the plan no longer holds
            self._wake.set()

    async def _refuse(self, placement: Placement) -> None:
        pod, refusal = placement.pod, placement.refusal
        assert refusal is not None
        effects = self._effects_of(pod)
        message = refusal.message
        effects.failed_event(pod, message)
        await self._try(effects.refuse(pod, "Unschedulable", message, placement.nominated), pod)

    async def _try(self, writing: Coroutine[None, None, None], pod: PodFacts) -> None:
        try:
            await writing
        except (StatusError, Unavailable) as error:
            log.debug("status of %s not written: %s", pod.key, error)
