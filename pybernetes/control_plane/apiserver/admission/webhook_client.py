"""Calling webhooks: HTTPS POST of a review, to a URL or to a Service of the cluster.

A Service is reached at one of its endpoints that are ready (at the cluster IP where it has none), so that webhooks
work on a machine without service proxy too. The certificate must be for `NAME.NAMESPACE.svc` either way. `aiohttp` is
imported with the first call: most API servers never make one.
"""

from __future__ import annotations

import ssl
from base64 import b64decode
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Protocol, cast
from weakref import WeakKeyDictionary

from pybernetes.aio import clock
from pybernetes.api.core_v1.service import Service
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.control_plane.apiserver.http.calls import ensure_task

if TYPE_CHECKING:
    import aiohttp

    from pybernetes.control_plane.apiserver.core import Core


class ServiceRef(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str | None: ...
    @property
    def port(self) -> int | None: ...


class ClientConfig(Protocol):
    """`WebhookClientConfig` of either group."""

    @property
    def url(self) -> str | None: ...
    @property
    def service(self) -> Any: ...
    @property
    def ca_bundle(self) -> str | None: ...


_CLIENTS: WeakKeyDictionary[Core, WebhookClient] = WeakKeyDictionary()


def client_of(core: Core) -> WebhookClient:
    """The client that all callers of one server share."""
    found = _CLIENTS.get(core)
    if found is None:
        found = _CLIENTS[core] = WebhookClient(core)
    return found


class WebhookError(Exception):
    """The call did not lead to an answer."""


class WebhookClient:
    """`post` a review and get the answer. One session, opened at the first call; `close()` ends it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._session: aiohttp.ClientSession | None = None

    async def post(self, config: ClientConfig, body: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The decoded JSON answer. Raises WebhookError with a text for the client."""
        import aiohttp
        import msgspec

        await ensure_task()  # aiohttp's timeouts need one
        query = f"?timeout={int(seconds)}s"
        shown = config.url or _shown(config.service)
        shown += query if "?" not in shown else ""
        url, host, name = self._target(config, shown)
        try:
            context = tls_context(config.ca_bundle or "")
        except (ssl.SSLError, ValueError) as error:
            raise WebhookError(f"unable to load root certificates: {error}") from None
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=10)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if host:
            headers["Host"] = host
        send = partial(
            self._session.post,
            url,
            data=msgspec.json.encode(body),
            params={"timeout": f"{int(seconds)}s"},
            headers=headers,
            ssl=context,
            server_hostname=name if config.service else None,
            timeout=aiohttp.ClientTimeout(total=seconds),
            allow_redirects=False,
        )
        try:
            try:
                status, data = await _answer(send)
            except aiohttp.ServerDisconnectedError:  # it had given up a connection that we kept
                status, data = await _answer(send)
        except TimeoutError:
            raise WebhookError(f'Post "{shown}": context deadline exceeded') from None
        except aiohttp.ClientError as error:
            raise WebhookError(f'Post "{shown}": {error}') from None
        if not 200 <= status < 300:
            raise WebhookError(_refused(status, data))
        try:
            answer = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise WebhookError(str(error)) from None
        if not isinstance(answer, dict):
            raise WebhookError("the response is no object")
        return answer

    def _target(self, config: ClientConfig, shown: str) -> tuple[str, str, str]:
        """(URL to call, Host header, name in the certificate). shown: the URL that errors name."""
        if config.url:
            return config.url, "", ""
        reference = cast(ServiceRef, config.service)
        item = self._core.item("", "services", reference.namespace, reference.name)
        name = f"{reference.name}.{reference.namespace}.svc"
        if item is None:
            raise WebhookError(f'Post "{shown}": service "{reference.name}" not found')
        try:
            address, port = self._endpoint(cast(Service, item.obj), reference.port or 443)
        except WebhookError as error:
            raise WebhookError(f'Post "{shown}": {error}') from None
        host = f"[{address}]" if ":" in address else address
        return f"https://{host}:{port}{_path(reference)}", name, name

    def _endpoint(self, service: Service, port: int) -> tuple[str, int]:
        wanted = next((p for p in service.spec.ports or () if p.port == port), None)
        if wanted is None:
            raise WebhookError(f'no service port {port} found for service "{service.metadata.name}"')
        if service.spec.type == "ExternalName":
            return service.spec.external_name or "", port
        found: list[tuple[str, int]] = []
        slices = self._core.cache.storage("discovery.k8s.io", "endpointslices").list(service.metadata.namespace)
        for entry in slices:
            endpoint_slice = cast(EndpointSlice, entry.obj)
            if (endpoint_slice.metadata.labels or {}).get("kubernetes.io/service-name") != service.metadata.name:
                continue
            numbers = [p.port for p in endpoint_slice.ports or () if (p.name or "") == (wanted.name or "") and p.port]
            for endpoint in endpoint_slice.endpoints or ():
                if (
                    numbers
                    and endpoint.addresses
                    and (endpoint.conditions is None or endpoint.conditions.ready is not False)
                ):
                    found.append((endpoint.addresses[0], numbers[0]))
        if found:
            return clock.rng.choice(found)
        if service.spec.cluster_ip and service.spec.cluster_ip != "None":
            return service.spec.cluster_ip, port
        raise WebhookError(f'no endpoints available for service "{service.metadata.name}"')

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _answer(send: Callable[[], AbstractAsyncContextManager[aiohttp.ClientResponse]]) -> tuple[int, bytes]:
    async with send() as response:
        return response.status, await response.read()


def _path(reference: ServiceRef) -> str:
    return "/" + (reference.path or "").removeprefix("/")


def _shown(reference: ServiceRef) -> str:
    """A Service's URL as a client of the cluster would write it."""
    return f"https://{reference.name}.{reference.namespace}.svc:{reference.port or 443}{_path(reference)}"


def _refused(status: int, data: bytes) -> str:
    import msgspec

    try:
        body = msgspec.json.decode(data)
        if isinstance(body, dict) and body.get("message"):
            return str(body["message"])
    except msgspec.DecodeError:
        pass
    if status in (404, 410):
        return "the server could not find the requested resource"
    return (
        f"an error on the server ({data[:200].decode('utf-8', 'replace')!r}) has prevented the request from succeeding"
    )


@lru_cache(64)
def tls_context(bundle: str) -> ssl.SSLContext:
    """A context that trusts the authorities in a caBundle (base64 of PEM); the machine's when there is none."""
    context = ssl.create_default_context()
    if bundle:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=b64decode(bundle).decode())
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as in Go, whatever is in the bundle is a root
    return context
