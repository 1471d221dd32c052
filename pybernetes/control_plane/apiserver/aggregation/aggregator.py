"""Routing to aggregated servers, and whether they are available.

A change of an APIService takes effect at once; whether its server answers is looked at then, when its Service or the
endpoints change, and every 30 seconds while there is any remote one (a server that ends without losing its endpoint
tells nobody). Requests for a server that did not answer last time are refused with 503 without trying.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from pybernetes.aio import clock
from pybernetes.api import kinds
from pybernetes.api.apiregistration_v1 import APIService, APIServiceCondition
from pybernetes.api.core_v1 import Service
from pybernetes.client.transport import Request
from pybernetes.control_plane.apiserver.aggregation.local import AUTOMANAGED, local
from pybernetes.control_plane.apiserver.aggregation.remote import Remotes
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.machinery import codec, errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pybernetes.control_plane.apiserver.cache import Change
    from pybernetes.control_plane.apiserver.server import APIServer

log = logging.getLogger(__name__)

GROUP, RESOURCE = "apiregistration.k8s.io", "apiservices"
#: Seconds between looks at remote servers when nothing changes, and after a failure.
LOOK_AGAIN, RETRY = 30.0, 2.0

Version = tuple[str, str]


class Aggregator:
    """`start()` once the cache is loaded, `run()` until cancelled."""

    def __init__(self, server: APIServer) -> None:
        self._server = server
        self._core = server.core
        self._remotes = Remotes(server.core, server.config.pki)
        self._storage = server.cache.storage(GROUP, RESOURCE)
        self._kind = kinds.of(APIService)
        #: Group versions that others serve.
        self._routes: dict[Version, APIService] = {}
        #: Those whose server answered when it was last asked.
        self._available: set[Version] = set()
        self._woken = asyncio.Event()
        self._local_changed = True

    def start(self) -> None:
        """Route what is stored, follow what changes."""
        server = self._server
        for item in self._storage.list():
            self._route(cast(APIService, item.obj))
        self._storage.listeners.append(self._seen)
        server.cache.storage("", "services").listeners.append(self._service_changed)
        server.cache.storage("discovery.k8s.io", "endpointslices").listeners.append(self._endpoints_changed)
        server.registry.on_change(self._registry_changed)
        server.chain.delegate = self.find

    def find(self, call: Call) -> Callable[[Call], Awaitable[Result | None]] | None:
        """The handler of a request for a group version that another server has."""
        return self._serve if (call.info.group, call.info.version) in self._routes else None

    async def run(self) -> None:
        """Keep local APIServices and the conditions of remote ones."""
        try:
            while True:
                self._woken.clear()
                if self._local_changed:
                    self._local_changed = False
                    await self._keep_local()
                failed = await self._look()
                seconds = (RETRY if failed else LOOK_AGAIN) if self._routes else None
                try:
                    async with asyncio.timeout(seconds):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            await self._remotes.close()

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _serve(self, call: Call) -> Result | None:
        version = (call.info.group, call.info.version)
        if not call.info.is_resource:  # the discovery document of the version itself
            _, group, name = call.path.strip("/").split("/")
            version = (group, name)
        api = self._routes.get(version)
        if api is None:
            raise errors.page_not_found()
        if version not in self._available:
            raise errors.service_unavailable("service unavailable")
        if call.request is None:
            return await self._remotes.ask(api, call)
        await self._remotes.relay(api, call)
        return None

    # -- routes -------------------------------------------------------------------------------------------------------

    def _seen(self, change: Change) -> None:
        api = cast(APIService, change.item.obj)
        before = self._routes.get(_version(api))
        if change.deleted or api.spec.service is None:
            self._forget(_version(api))
            self._local_changed = True
            self._woken.set()
        elif before is None or before.spec != api.spec:
            self._route(api)
            self._woken.set()

    def _route(self, api: APIService) -> None:
        version = _version(api)
        if api.spec.service is None or not version[0]:
            return
        self._routes[version] = api
        if any(c.type == "Available" and c.status == "True" for c in api.status.conditions or ()):
            self._available.add(version)
        discovery = self._server.discovery
        discovery.remote.setdefault(version, None)
        discovery.changed()
        self._server.paths.mount(_path(version), self._serve)

    def _forget(self, version: Version) -> None:
        if self._routes.pop(version, None) is None:
            return
        self._available.discard(version)
        discovery = self._server.discovery
        discovery.remote.pop(version, None)
        self._server.foreign_documents.pop(_path(version).strip("/"), None)
        discovery.changed()
        self._server.paths.unmount(_path(version))

    def _service_changed(self, change: Change) -> None:
        if self._routes:
            metadata = change.item.obj.metadata
            self._wake_for(metadata.namespace, metadata.name)

    def _endpoints_changed(self, change: Change) -> None:
        if self._routes:
            metadata = change.item.obj.metadata
            self._wake_for(metadata.namespace, (metadata.labels or {}).get("kubernetes.io/service-name", ""))

    def _wake_for(self, namespace: str, name: str) -> None:
        for api in self._routes.values():
            service = api.spec.service
            if service is not None and service.namespace == namespace and service.name == name:
                self._woken.set()

    def _registry_changed(self) -> None:
        self._local_changed = True
        self._woken.set()

    # -- conditions ---------------------------------------------------------------------------------------------------

    async def _look(self) -> bool:
        """Ask all remote servers; True if one did not answer."""
        routes = dict(self._routes)
        if not routes:
            return False
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._look_at(version, api), name=f"apiserver/aggregation/{version[1]}.{version[0]}")
                for version, api in routes.items()
            ]
        return not all(task.result() for task in asked)

    async def _look_at(self, version: Version, api: APIService) -> bool:
        reason, message = self._backend_problem(api)
        rows = None
        if not reason:
            try:
                rows = await self._remotes.resources(api)
            except errors.StatusError as error:
                reason = "FailedDiscoveryCheck"
                message = f"failing or missing response from {_path(version)}: {error.message}"
        if version not in self._routes:
            return True
        discovery = self._server.discovery
        if rows is None:
            self._available.discard(version)
        else:
            self._available.add(version)
        if discovery.remote.get(version) != rows:
            discovery.remote[version] = rows
            discovery.changed()
        await self._tell(api, reason, message)
        if rows is not None:
            await self._document(version, api)
        return rows is not None

    async def _document(self, version: Version, api: APIService) -> None:
        """Keep the server's OpenAPI document beside ours."""
        documents = self._server.foreign_documents
        path = _path(version).strip("/")
        found = await self._remotes.document(api, documents.get(path))
        if version in self._routes and found is not None:
            documents[path] = found
        elif version not in self._routes or found is None:
            documents.pop(path, None)

    def _backend_problem(self, api: APIService) -> tuple[str, str]:
        """(reason, message) when there is no endpoint to ask; ("", "") when there is one."""
        reference = api.spec.service
        assert reference is not None
        namespace, name, port = reference.namespace or "", reference.name or "", reference.port or 443
        item = self._core.item("", "services", namespace, name)
        if item is None:
            return "ServiceNotFound", f'service/{name} in "{namespace}" is not present'
        service = cast(Service, item.obj)
        found = next((p for p in service.spec.ports or () if p.port == port), None)
        if found is None:
            return "ServicePortError", f'service/{name} in "{namespace}" is not listening on port {port}'
        try:
            self._remotes.backend(api)
        except errors.StatusError as error:
            if error.message.startswith("no endpoints available"):
                where = f'service/{name} in "{namespace}"'
                text = f'endpoints for {where} have no addresses with port name "{found.name or ""}"'
                return "MissingEndpoints", text
            return "FailedDiscoveryCheck", error.message
        return "", ""

    async def _tell(self, api: APIService, reason: str, message: str) -> None:
        """Write the condition if it changed."""
        item = self._core.item(GROUP, RESOURCE, "", api.metadata.name)
        if item is None:
            return
        current = cast(APIService, item.obj)
        old = next((c for c in current.status.conditions or () if c.type == "Available"), None)
        status = "False" if reason else "True"
        reason, message = reason or "Passed", message or "all checks passed"
        if old is not None and (old.status, old.reason, old.message) == (status, reason, message):
            return
        changed = codec.copy(current)
        time = old.last_transition_time if old is not None and old.status == status else clock.rfc3339()
        others = [c for c in changed.status.conditions or () if c.type != "Available"]
        changed.status.conditions = [
            *others,
            APIServiceCondition(
                type="Available", status=status, last_transition_time=time, reason=reason, message=message
            ),
        ]
        await self._write("PUT", self._kind.path("", api.metadata.name, "status"), changed)

    # -- what we serve ourselves --------------------------------------------------------------------------------------

    async def _keep_local(self) -> None:
        """Make the missing APIServices of ours; remove those of custom groups that are gone."""
        served = {(r.kind.group, r.kind.version) for r in self._server.registry}
        there = {_version(api): api for item in self._storage.list() if (api := cast(APIService, item.obj))}
        for group, version in sorted(served - there.keys()):
            await self._write("POST", self._kind.path(), local(group, version))
        for known, api in there.items():
            ours = (api.metadata.labels or {}).get(AUTOMANAGED) == "true"
            if ours and api.spec.service is None and known not in served:
                await self._write("DELETE", self._kind.path("", api.metadata.name), None)

    async def _write(self, method: str, path: str, body: APIService | None) -> None:
        from pybernetes.control_plane.apiserver.server import SELF

        try:
            await self._server.transport(SELF).request(Request(method, path, body=body))
        except errors.StatusError as error:  # somebody was faster; the next look sees it
            if error.code not in (404, 409):
                log.warning("%s %s: %s", method, path, error)


def _version(api: APIService) -> Version:
    return api.spec.group or "", api.spec.version or ""


def _path(version: Version) -> str:
    return f"/apis/{version[0]}/{version[1]}"
