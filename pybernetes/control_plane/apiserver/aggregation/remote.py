"""One aggregated server: where it is, how it is trusted, and requests to it in the name of a user.

HTTP requests are relayed byte for byte (`connect.relay`). Components in this process have no bytes: for them, and for
discovery, the request is made with aiohttp, imported at its first use.
"""

from __future__ import annotations

import hashlib
import ssl
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec

from pybernetes.aio import files
from pybernetes.api.apiregistration_v1 import APIService
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.connect.relay import Backend, relay
from pybernetes.control_plane.apiserver.objects import Custom
from pybernetes.machinery import codec, errors
from pybernetes.machinery.meta import Status

if TYPE_CHECKING:
    import aiohttp

    from pybernetes.control_plane.apiserver.core import Core

#: Who asks when the server asks for itself.
AGGREGATOR = User("system:kube-aggregator", "", ("system:masters",))
#: Seconds for one answer to our own questions, and for requests of components in this process.
DISCOVERY_SECONDS, REQUEST_SECONDS = 5.0, 60.0


class Remotes:
    """Requests to aggregated servers. pki: directory of front-proxy-client.crt and .key; None: we show none."""

    def __init__(self, core: Core, pki: Path | None) -> None:
        self._core = core
        self._certificate = pki / "front-proxy-client.crt" if pki is not None else None
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._watched = files.Watched((self._certificate,) if self._certificate is not None else ())
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def backend(self, api: APIService) -> Backend:
        """A ready endpoint of the APIService's Service. Raises 404 and 503 as `connect.targets` does."""
        service = api.spec.service
        assert service is not None
        namespace, name, port = service.namespace or "", service.name or "", service.port or 443
        found = cast(Backend, self._core.connector.service(namespace, name, "", str(port)))
        host = f"{name}.{namespace}.svc"
        tls = self._context(api.spec.ca_bundle or "", bool(api.spec.insecure_skip_tls_verify))
        return replace(found, tls=tls, host_header=host, server_name=host)

    async def relay(self, api: APIService, call: Call) -> None:
        """Answer an HTTP request with what the server says to it."""
        request = call.request
        assert request is not None and call.user is not None
        target = request.raw_path + (b"?" + request.raw_query if request.raw_query else b"")
        headers = tuple((name.encode(), _line(value)) for name, value in identity(call.user))
        await relay(request, self.backend(api), target, _unreachable, extra=headers)

    async def ask(self, api: APIService, call: Call) -> Result:
        """The same for a request from this process. Raises the server's refusal as StatusError."""
        if call.open_sink is not None:
            raise errors.method_not_allowed((call.info.group, call.info.resource), "watch")
        body = call.body
        if isinstance(body, Custom):
            body = body.to_wire()
        data = body if isinstance(body, bytes) else codec.encode(body) if body is not None else b""
        assert call.user is not None
        query = [(k, v) for k, values in call.params.items() for v in values]
        status, answer = await self.fetch(
            api, call.method, call.path, query, data, call.content_type, call.user, REQUEST_SECONDS
        )
        if status >= 400:
            raise _refusal(status, answer)
        return Result(status, raw=answer)

    async def fetch(
        self,
        api: APIService,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        body: bytes,
        content_type: str,
        user: User,
        seconds: float,
    ) -> tuple[int, bytes]:
        """(status, body) of one request. Raises StatusError (503) when there is no answer."""
        import aiohttp
        from multidict import CIMultiDict
        from yarl import URL

        backend = self.backend(api)
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=True)
        headers: CIMultiDict[str] = CIMultiDict(identity(user))
        headers["Accept"] = "application/json"
        headers["Host"] = backend.server_name
        if body:
            headers["Content-Type"] = content_type or "application/json"
        host = f"[{backend.host}]" if ":" in backend.host else backend.host
        url = URL(f"https://{host}:{backend.port}{quote(path)}?{urlencode(query)}".removesuffix("?"), encoded=True)
        assert backend.tls is not None
        try:
            async with self._session.request(
                method,
                url,
                data=body or None,
                headers=headers,
                ssl=backend.tls,
                server_hostname=backend.server_name,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(error) from None

    async def resources(self, api: APIService) -> list[dict[str, Any]]:
        """What the server has in the group version, in the rows of aggregated discovery. Raises StatusError."""
        path = f"/apis/{api.spec.group}/{api.spec.version}"
        status, body = await self.fetch(api, "GET", path, [], b"", "", AGGREGATOR, DISCOVERY_SECONDS)
        if not 200 <= status < 300:
            raise errors.service_unavailable(f"bad status from {path}: {status}")
        try:
            return rows(msgspec.json.decode(body), api.spec.group or "", api.spec.version or "")
        except (msgspec.DecodeError, TypeError, KeyError, AttributeError) as error:
            raise errors.service_unavailable(f"bad answer from {path}: {error!r}") from None

    async def document(self, api: APIService, known: tuple[str, bytes] | None) -> tuple[str, bytes] | None:
        """(hash, OpenAPI v3 document) of the group version, `known` when it has not changed; None: there is none."""
        path = f"apis/{api.spec.group}/{api.spec.version}"
        try:
            status, body = await self.fetch(api, "GET", "/openapi/v3", [], b"", "", AGGREGATOR, DISCOVERY_SECONDS)
            url = msgspec.json.decode(body)["paths"][path]["serverRelativeURL"] if status == 200 else ""
            hashed = parse_qs(urlsplit(url).query).get("hash", [""])[0]
            if not url or (hashed and known is not None and hashed == known[0]):
                return known if url else None
            query = [("hash", hashed)] if hashed else []
            where = f"/openapi/v3/{path}"
            status, body = await self.fetch(api, "GET", where, query, b"", "", AGGREGATOR, DISCOVERY_SECONDS)
        except (errors.StatusError, msgspec.DecodeError, TypeError, KeyError, AttributeError, ValueError):
            return None
        # Clients keep for good what they ask for by its hash, so one that the server does not tell is made here.
        return (hashed or hashlib.sha512(body).hexdigest().upper(), body) if status == 200 else None

    def _context(self, bundle: str, insecure: bool) -> ssl.SSLContext:
        if self._watched.changed():  # our certificate was renewed
            self._contexts.clear()
        key = (bundle, insecure)
        context = self._contexts.get(key)
        if context is None:
            if bundle:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                try:
                    context.load_verify_locations(cadata=b64decode(bundle).decode())
                except (ssl.SSLError, ValueError) as error:
                    raise errors.service_unavailable(f"unable to load root certificates: {error}") from None
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as in Go, whatever is in the bundle is a root
            else:
                context = ssl.create_default_context()
            if insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self._certificate is not None and self._certificate.exists():
                context.load_cert_chain(self._certificate, self._certificate.with_suffix(".key"))
            self._contexts[key] = context
        return context


def identity(user: User) -> list[tuple[str, str]]:
    """The headers that tell an aggregated server who asks (values are text as the user has it)."""
    found = [("X-Remote-User", user.name)]
    if user.uid:
        found.append(("X-Remote-Uid", user.uid))
    found.extend(("X-Remote-Group", group) for group in user.groups)
    for key, values in user.extra.items():
        found.extend((f"X-Remote-Extra-{quote(key, safe='')}", value) for value in values)
    return found


def rows(listed: dict[str, Any], group: str, version: str) -> list[dict[str, Any]]:
    """An APIResourceList as rows of an APIGroupDiscovery."""
    found: dict[str, dict[str, Any]] = {}
    for resource in listed["resources"]:
        name, _, sub = resource["name"].partition("/")
        kind = {
            "group": resource.get("group") or group,
            "version": resource.get("version") or version,
            "kind": resource.get("kind") or "",
        }
        row = found.setdefault(name, {"resource": name, "scope": "Namespaced", "verbs": []})
        if sub:
            row.setdefault("subresources", []).append(
                {"subresource": sub, "responseKind": kind, "verbs": sorted(resource.get("verbs") or ())}
            )
            continue
        row["responseKind"] = kind
        row["scope"] = "Namespaced" if resource.get("namespaced") else "Cluster"
        row["singularResource"] = resource.get("singularName") or ""
        row["verbs"] = sorted(resource.get("verbs") or ())
        for key in ("shortNames", "categories"):
            if resource.get(key):
                row[key] = list(resource[key])
    return [found[name] for name in sorted(found)]


def _line(value: str) -> bytes:
    return value.encode("utf-8", "replace").translate(None, b"\r\n")


def _unreachable(error: Exception) -> errors.StatusError:
    return errors.service_unavailable(f"error trying to reach service: {error}")


def _refusal(code: int, body: bytes) -> errors.StatusError:
    try:
        status = codec.decode(Status, body)
        if status.kind == "Status" and status.reason:
            return errors.StatusError.of(status)
    except errors.StatusError:
        pass
    return errors.StatusError(code, "", body[:2048].decode("utf-8", "replace"))
