"""Priority and fairness as a step of the request chain.

What a request is classified as depends on its user and on what it asks for, not on the object: so it is remembered,
and the ordinary request pays a dictionary lookup and two counters.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any, cast

from pybernetes.aio import clock
from pybernetes.api.flowcontrol_v1 import FlowSchema, FlowSchemaCondition, PriorityLevelConfiguration
from pybernetes.client.transport import Request
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.flowcontrol.levels import Full, Level, Seats
from pybernetes.control_plane.apiserver.flowcontrol.matching import flow_of, in_order, matches, seats
from pybernetes.control_plane.apiserver.http import ensure_task
from pybernetes.machinery import codec, errors
from pybernetes.machinery.exposition import ALPHA, BETA, head

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.cache import Storage
    from pybernetes.control_plane.apiserver.core import Core
    from pybernetes.control_plane.apiserver.requestinfo import RequestInfo
    from pybernetes.control_plane.apiserver.transport import LocalTransport

GROUP = "flowcontrol.apiserver.k8s.io"
#: Seconds that a request may wait in a queue.
LONGEST_WAIT = 15.0
_REMEMBERED = 8192
#: Subresources whose answers last: they hold no seat, as upstream's do not.
_LONG = frozenset(("attach", "exec", "log", "portforward", "proxy"))
_FULL = "Too many requests, please try again later."


class Flow:
    """What requests of one kind are classified as. headers: that tell it to the client, as a block."""

    __slots__ = ("dispatched", "headers", "level", "rejected", "schema")

    def __init__(self, schema: FlowSchema, level: Level) -> None:
        self.schema = schema
        self.level = level
        self.headers = b"X-Kubernetes-Pf-Flowschema-Uid: %b\r\nX-Kubernetes-Pf-Prioritylevel-Uid: %b\r\n" % (
            schema.metadata.uid.encode(),
            level.uid.encode(),
        )
        self.dispatched = 0
        self.rejected: dict[str, int] = {}


class FlowControl:
    """See the module. total: seats of all levels together; 0: nobody is queued."""

    def __init__(self, core: Core, total: int) -> None:
        self._core = core
        self.seats = Seats(total)
        self._schemas: list[tuple[FlowSchema, Flow]] = []
        self._flows: dict[str, Flow] = {}
        self._known: dict[Any, Flow] = {}
        self._changed = asyncio.Event()
        #: Who writes the schemas' status; set by the server.
        self.transport: LocalTransport | None = None

    # -- following the objects --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Read what exists, and follow it."""
        for resource in ("flowschemas", "prioritylevelconfigurations"):
            self._storage(resource).listeners.append(lambda change: self.refresh())
        self.refresh()

    def _storage(self, resource: str) -> Storage:
        return self._core.cache.storage(GROUP, resource)

    def refresh(self) -> None:
        """Classify by what is in the store now."""
        levels = [cast(PriorityLevelConfiguration, i.obj) for i in self._storage("prioritylevelconfigurations").list()]
        self.seats.configure(levels)
        schemas = in_order(cast(FlowSchema, item.obj) for item in self._storage("flowschemas").list())
        self._schemas = []
        before, self._flows = self._flows, {}
        for schema in schemas:
            level = self.seats.levels.get(schema.spec.priority_level_configuration.name)
            if level is None:
                continue
            flow = self._flows[schema.metadata.name] = Flow(schema, level)
            if (old := before.get(schema.metadata.name)) is not None:
                flow.dispatched, flow.rejected = old.dispatched, old.rejected
            self._schemas.append((schema, flow))
        self._known.clear()
        self._changed.set()

    async def run(self) -> None:
        """Tell in the status of each schema whether its level exists, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for item in self._storage("flowschemas").list():
                await self._tell(cast(FlowSchema, item.obj))

    async def _tell(self, schema: FlowSchema) -> None:
        name = schema.spec.priority_level_configuration.name
        found = self._core.item(GROUP, "prioritylevelconfigurations", "", name) is not None
        status = "False" if found else "True"
        listed = schema.status.conditions or []
        if any(condition.type == "Dangling" and condition.status == status for condition in listed):
            return
        text = f'This FlowSchema references the PriorityLevelConfiguration object named "{name}"'
        message = f"{text} and it exists" if found else f"{text} but there is no such object"
        reason = "Found" if found else "NotFound"
        condition = FlowSchemaCondition(
            type="Dangling", status=status, reason=reason, message=message, last_transition_time=clock.rfc3339()
        )
        changed = codec.copy(schema)
        changed.status.conditions = [*(c for c in listed if c.type != "Dangling"), condition]
        path = f"/apis/{GROUP}/v1/flowschemas/{schema.metadata.name}/status"
        assert self.transport is not None
        try:
            await self.transport.request(Request("PUT", path, body=changed))
        except errors.StatusError as error:
            if not (errors.is_conflict(error) or errors.is_not_found(error)):
                raise

    # -- requests ---------------------------------------------------------------------------------------------------

    def classify(self, user: User, info: RequestInfo) -> Flow | None:
        """The flow of a request; None while there are no schemas."""
        key = (
            (user.key, info.verb, info.group, info.resource, info.subresource, info.namespace)
            if info.is_resource
            else (user.key, info.verb, info.path)
        )
        flow = self._known.get(key)
        if flow is None:
            flow = next((flow for schema, flow in self._schemas if matches(schema, user, info)), None)
            flow = flow or self._flows.get("catch-all")
            if flow is not None:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[key] = flow
        return flow

    def admit(self, call: Call) -> Awaitable[None] | None:
        """Give the request its seats, or let it wait for them. Raises 429."""
        if call.request is None:
            return None
        user, info = call.user, call.info
        assert user is not None
        flow = call.flow = self.classify(user, info)
        if flow is None:
            return None
        level = flow.level
        if level.exempt or info.subresource in _LONG or not self.seats.total:
            flow.dispatched += 1
            return None
        width = seats(info.verb, self._objects(info)) if info.verb in ("list", "watch", "deletecollection") else 1
        if self.seats.free(level, width) and not (level.executing and level.waiting):
            flow.dispatched += 1
            self.seats.take(level, width)
            call.seats = width
            return None
        return self._wait(call, flow, width)

    def _objects(self, info: RequestInfo) -> int:
        resource = self._core.registry.get(info.group, info.version, info.resource)
        if resource is None or resource.storage is None:
            return 0
        first, last = resource.storage.span(info.namespace)
        return last - first

    async def _wait(self, call: Call, flow: Flow, width: int) -> None:
        await ensure_task()
        level = flow.level
        assert call.user is not None
        distinguisher = f"{flow.schema.metadata.name}\0{flow_of(flow.schema, call.user, call.info)}"
        hash_ = int.from_bytes(hashlib.blake2b(distinguisher.encode(), digest_size=8).digest(), "big")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            waiter = level.enqueue(hash_, width, turn)
        except Full as full:
            raise self._refused(flow, str(full)) from None
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                await turn
        except BaseException as error:
            level.drop(waiter)
            if turn.done() and not turn.cancelled():  # it had its seats when it gave up
                self.seats.give_back(level, width)
            if isinstance(error, TimeoutError):
                raise self._refused(flow, "time-out") from None
            raise
        flow.dispatched += 1
        call.seats = width

    def _refused(self, flow: Flow, reason: str) -> errors.StatusError:
        flow.rejected[reason] = flow.rejected.get(reason, 0) + 1
        return errors.too_many_requests(_FULL, 1)

    def release(self, call: Call) -> None:
        """The request is answered."""
        if call.seats:
            width, call.seats = call.seats, 0
            self.seats.give_back(cast(Flow, call.flow).level, width)

    def metrics(self) -> Iterator[str]:
        """Lines for /metrics."""
        prefix = "apiserver_flowcontrol"
        yield from head(f"{prefix}_dispatched_requests_total", "counter", "Requests that were let through", BETA)
        for name, flow in self._flows.items():
            labels = f'flow_schema="{name}",priority_level="{flow.level.name}"'
            yield f"apiserver_flowcontrol_dispatched_requests_total{{{labels}}} {flow.dispatched}"
        yield from head(f"{prefix}_rejected_requests_total", "counter", "Requests refused, by reason", BETA)
        for name, flow in self._flows.items():
            for reason, count in flow.rejected.items():
                labels = f'flow_schema="{name}",priority_level="{flow.level.name}",reason="{reason}"'
                yield f"apiserver_flowcontrol_rejected_requests_total{{{labels}}} {count}"
        gauges = {
            "current_inqueue_requests": ("waiting", "Requests that wait in queues", BETA),
            "current_executing_requests": ("executing", "Requests under way", BETA),
            "current_executing_seats": ("in_use", "Seats that requests under way take", BETA),
            "nominal_limit_seats": ("nominal", "Seats of a priority level before any are lent", BETA),
            "request_concurrency_limit": ("nominal", "The same under its former name", ALPHA),
        }
        for gauge, (attribute, about, stability) in gauges.items():
            yield from head(f"{prefix}_{gauge}", "gauge", about, stability)
            for level in self.seats.levels.values():
                value = getattr(level, attribute)
                yield f'apiserver_flowcontrol_{gauge}{{priority_level="{level.name}"}} {value}'
