"""The request chain: one ordered list of steps that every request passes, whichever transport brought it.

A step looks at the call, fills something in or refuses by raising a StatusError. It returns None, or an awaitable when
it really has to wait: a GET runs from the socket to the answer without a task switch. There are no wrappers around
wrappers; what must happen after the verb (metrics, audit) is written in `serve` itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from pybernetes.control_plane.apiserver import requestinfo
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.http import Request, Response
from pybernetes.control_plane.apiserver.render import error_response, respond
from pybernetes.control_plane.apiserver.verbs import VERBS
from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import StatusDetails

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.flowcontrol.control import Flow

log = logging.getLogger(__name__)

Step = Callable[[Call], Awaitable[None] | None]
#: Answers a path that is no resource.
PathHandler = Callable[[Call], Awaitable[Result | None]]


class Chain:
    """Steps, then routing, then the verb. `paths(path)` finds the handler of a non-resource path."""

    def __init__(
        self,
        core: Core,
        steps: Sequence[Step],
        paths: Callable[[str], PathHandler | None],
        observe: Callable[[Call, int], None] | None = None,
        delegate: Callable[[Call], PathHandler | None] | None = None,
    ) -> None:
        self.core = core
        self.steps = tuple(steps)
        self.paths = paths
        self.observe = observe
        #: Takes over requests of aggregated group versions.
        self.delegate = delegate

    async def serve_http(self, request: Request) -> Response | None:
        """The handler of the HTTP server."""
        call = Call(
            request.method,
            request.path,
            request.params,
            request.body,
            request.header(b"content-type").decode("latin-1"),
            request.headers,
            request,
        )
        status = 200
        try:
            result = await self.serve(call)
            if result is None:
                return None
            response = respond(call, result)
            status = response.status
            return response if call.flow is None else _told(call.flow, response)
        except StatusError as error:
            status = error.code
            response = error_response(call, error)
            return response if call.flow is None else _told(call.flow, response)
        except ConnectionError:
            status = 0
            raise
        except Exception as error:
            log.exception("%s %s failed", call.method, call.path)
            status = 500
            return error_response(call, errors.internal(error))
        finally:
            if self.observe is not None:
                self.observe(call, status)

    async def serve(self, call: Call) -> Result | None:
        """Pass `call` through the chain. Raises StatusError; None: answered by itself (stream, hijacked)."""
        info = call.info = requestinfo.parse(call.method, call.path, call.params)
        for step in self.steps:
            waiting = step(call)
            if waiting is not None:
                await waiting
        if not info.is_resource:
            handler = self.paths(info.path)
            if handler is None:
                raise page_not_found()
            return await handler(call)
        core = self.core
        resource = core.registry.get(info.group, info.version, info.resource)
        if resource is None:
            if self.delegate is not None and (delegated := self.delegate(call)) is not None:
                return await delegated(call)
            handler = self.paths(info.path)
            if handler is not None:
                return await handler(call)
            raise page_not_found()
        call.resource = resource
        if resource.strategy.deprecation:
            call.warn(resource.strategy.deprecation)
        if info.subresource:
            subresource = resource.subresources.get(info.subresource)
            if subresource is None:
                raise page_not_found()
            if info.verb not in subresource.verbs and not subresource.any_method:
                raise not_allowed()
            return await subresource.handle(call)
        if resource.kind.namespaced and not info.namespace and info.verb not in ("list", "watch"):
            raise not_allowed() if info.name else page_not_found()
        if resource.special is not None:
            if info.verb not in resource.special.verbs:
                raise not_allowed()
            return await resource.special.handle(call)
        verb = VERBS.get(info.verb)
        if verb is None or (info.verb == "create" if info.name else info.verb in ("update", "patch")):
            raise not_allowed()
        return await verb(core, call)


def _told(flow: Flow, response: Response) -> Response:
    """The response, with what flow control made of the request."""
    response.headers = flow.headers + response.header_block()
    return response


def page_not_found() -> StatusError:
    """404 for a path that nothing serves."""
    return errors.page_not_found()


def not_allowed() -> StatusError:
    """405 for a method that the path does not have."""
    text = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", text, StatusDetails())
