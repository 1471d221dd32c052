"""The request chain with an audit around it.

A subclass instead of a step: an event is about the whole way, from the moment the user is known to the answer, whatever
it is. Watches are over when their stream is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from pybernetes.control_plane.apiserver import requestinfo
from pybernetes.control_plane.apiserver.audit import Backend, events
from pybernetes.control_plane.apiserver.audit.policy import Decision, Rules
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authorization.attributes import of_request
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.chain import Chain
from pybernetes.control_plane.apiserver.http import Request, Response
from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError


class Audit:
    """The event of one request on its way. `begin` when its user is known; `end` once, whatever happened."""

    __slots__ = ("_auditor", "annotations", "decision", "event", "id", "user")

    def __init__(self, auditor: Auditor, call: Call) -> None:
        self._auditor = auditor
        self.id = events.audit_id(call)
        self.annotations: dict[str, str] = {}
        self.decision: Decision | None = None
        self.event: dict[str, Any] = {}
        self.user: User | None = None

    def begin(self, call: Call) -> None:
        """The request has come in, from `call.user`."""
        self.user = call.user
        self.decision = self._auditor.rules.decide(call.user, call.info)
        if self.decision.level == "None":
            return
        self.event = events.received(call, self.decision, self.id)
        self._emit("RequestReceived")

    def end(self, call: Call, result: Result | None, error: Exception | None) -> None:
        """The answer is there, or begins (`result` None: a stream)."""
        refused_user = self.decision is None
        if refused_user:  # nobody was let in; there was no moment of receiving
            self.decision = self._auditor.rules.decide(None, call.info)
            if self.decision.level != "None":
                self.event = events.received(call, self.decision, self.id)
        decision = self.decision
        if decision is None or decision.level == "None":
            return
        event = self.event
        if not refused_user:
            if call.user is not self.user:
                event["impersonatedUser"] = events.user_of(call.user)
            self._decided(call)
            events.add_request(event, call, decision)
        if self.annotations:
            event["annotations"] = self.annotations
        if isinstance(error, StatusError):
            events.add_status(event, msgspec.to_builtins(error.status), decision)
            if refused_user:
                event["responseStatus"]["message"] = "Authentication failed"
        elif error is not None:
            event["responseStatus"] = {"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500}
            self._emit("Panic")
            return
        else:
            events.add_answer(event, result, decision)
        if refused_user or events.is_long(call):
            self._emit("ResponseStarted")
            if refused_user:
                return
        stream = call.request.open_stream if call.request is not None else None
        if result is None and stream is not None:
            stream.on_close(lambda: self._emit("ResponseComplete"))
        else:
            self._emit("ResponseComplete")

    def _decided(self, call: Call) -> None:
        user = call.user
        if user is None:
            return
        decision = self._auditor.authorizer.explain(user, of_request(call.info, call.params))
        self.annotations["authorization.k8s.io/decision"] = "allow" if decision.allowed else "forbid"
        self.annotations["authorization.k8s.io/reason"] = decision.reason

    def _emit(self, stage: str) -> None:
        assert self.decision is not None
        if stage not in self.decision.omit_stages:
            self._auditor.emit(events.at_stage(self.event, stage))


class Auditor:
    """Rules, and the places that events go to."""

    def __init__(self, rules: Rules, backends: Sequence[Backend], authorizer: Any) -> None:
        self.rules = rules
        self.backends = tuple(backends)
        self.authorizer = authorizer

    def emit(self, event: dict[str, Any]) -> None:
        """Hand one event to all backends."""
        for backend in self.backends:
            backend.write((event,))

    def start(self) -> None:
        """Nothing: the backends are open."""

    async def run(self) -> None:
        """Run the backends until cancelled."""
        async with asyncio.TaskGroup() as group:
            for index, backend in enumerate(self.backends):
                group.create_task(backend.run(), name=f"audit/{index}")


def received(call: Call) -> None:
    """The step after authentication."""
    if call.audit is not None:
        call.audit.begin(call)


class AuditedChain(Chain):
    """See the module; `auditor` is set by the server."""

    auditor: Auditor

    async def serve_http(self, request: Request) -> Response | None:
        """As the chain's, with the id in the answer."""
        response = await super().serve_http(request)
        if response is not None and request.context is not None:
            response.headers = b"%bAudit-Id: %b\r\n" % (response.header_block(), request.context.encode("latin-1"))
        return response

    async def serve(self, call: Call) -> Result | None:
        """As the chain's, and recorded."""
        audit = call.audit = Audit(self.auditor, call)
        if call.request is not None:
            call.request.context = audit.id
        result: Result | None = None
        failure: Exception | None = None
        try:
            result = await super().serve(call)
            return result
        except asyncio.CancelledError:
            failure = errors.StatusError(499, "", "the client went away")
            raise
        except Exception as error:
            failure = error
            raise
        finally:
            if not hasattr(call, "info"):
                call.info = requestinfo.parse(call.method, call.path, call.params)
            audit.end(call, result, failure)
