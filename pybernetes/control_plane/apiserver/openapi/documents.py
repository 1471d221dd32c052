"""Puts the documents together and answers /openapi/v2 and /openapi/v3.

A group version's v3 document is made when it is first asked for and kept until its resources change; its hash is part
of the URL in the index, so that clients keep it for good. The hash is of what the document is made from, so that the
index costs no documents.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

import msgspec

from pybernetes import KUBERNETES_VERSION
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.openapi import gnostic, names
from pybernetes.control_plane.apiserver.openapi.definitions import Definitions
from pybernetes.control_plane.apiserver.openapi.paths import Operations
from pybernetes.machinery import errors

if TYPE_CHECKING:
    from pybernetes.api.apiextensions_v1 import JSONSchemaProps
    from pybernetes.api.kinds import Kind
    from pybernetes.control_plane.apiserver.crd.strategy import CustomStrategy
    from pybernetes.control_plane.apiserver.registry import Registry
    from pybernetes.control_plane.apiserver.resource import Resource

VERSION = KUBERNETES_VERSION
_V2_PROTOBUF = b"application/com.github.proto-openapi.spec.v2"
_V3_PROTOBUF = b"application/com.github.proto-openapi.spec.v3"
_encode = msgspec.json.Encoder(order="sorted").encode


class Documents:
    """The documents of one server, and those of aggregated servers: `remote` has them by path."""

    def __init__(self, registry: Registry, remote: dict[str, tuple[str, bytes]]) -> None:
        self._registry = registry
        self._v2: tuple[int, bytes, bytes] | None = None
        self._v2_protobuf: tuple[int, bytes] | None = None
        self._v3: dict[str, tuple[str, bytes]] = {}
        #: `apis/GROUP/VERSION` of other servers -> (hash, document).
        self.remote = remote

    # -- answering --------------------------------------------------------------------------------------------------

    async def answer_v2(self, call: Call) -> Result:
        """GET /openapi/v2."""
        accept = call.headers.get(b"accept", b"")
        if accept.startswith(_V2_PROTOBUF):
            if self._v2_protobuf is None or self._v2_protobuf[0] != self._registry.revision:
                self._v2_protobuf = (self._registry.revision, gnostic.document(self.v2()))
            return _cached(call, self._v2_protobuf[1], b"", gnostic.MEDIA_TYPE)
        if self._v2 is None or self._v2[0] != self._registry.revision:
            body = _encode(self.v2())
            tag = f'"{hashlib.sha512(body).hexdigest().upper()}"'.encode()
            self._v2 = (self._registry.revision, body, tag)
        _, body, tag = self._v2
        return _cached(call, body, tag)

    async def answer_v3(self, call: Call) -> Result:
        """GET /openapi/v3 (the index) and /openapi/v3/apis/GROUP/VERSION."""
        rest = call.path.removeprefix("/openapi/v3").strip("/")
        if not rest:
            return _cached(call, _encode(self.index()), b"")
        accept = call.headers.get(b"accept", b"")
        if accept.startswith(_V3_PROTOBUF) and b"json" not in accept and b"*/*" not in accept:
            raise errors.not_acceptable(["application/json"])
        if rest in self.remote:
            hashed, body = self.remote[rest]
        else:
            resources = self._resources(rest)
            if not resources:
                raise errors.page_not_found()
            hashed = self._hash(rest, resources)
            have = self._v3.get(rest)
            if have is None or have[0] != hashed:
                have = self._v3[rest] = (hashed, _encode(self.v3(rest, resources)))
            body = have[1]
        result = _cached(call, body, f'"{hashed}"'.encode())
        if call.param("hash") == hashed:
            forever = ((b"Cache-Control", b"public, immutable"), (b"Expires", b"Thu, 31 Dec 2099 23:59:59 GMT"))
            result.headers = (*result.headers, *forever)
        return result

    # -- documents --------------------------------------------------------------------------------------------------

    def index(self) -> dict[str, Any]:
        """Which v3 documents there are."""
        urls = {}
        for path in self._paths():
            hashed = self.remote[path][0] if path in self.remote else self._hash(path, self._resources(path))
            urls[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashed}"}
        return {"paths": urls}

    def v3(self, path: str, resources: list[Resource]) -> dict[str, Any]:
        """The document of one group version."""
        definitions = Definitions(3)
        operations = Operations(definitions)
        self._fill(definitions, operations, resources)
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": VERSION},
            "paths": operations.paths,
            "components": {
                "schemas": definitions.found,
                "securitySchemes": {
                    "BearerToken": {
                        "type": "apiKey",
                        "description": "Bearer Token authentication",
                        "name": "authorization",
                        "in": "header",
                    }
                },
            },
        }

    def v2(self) -> dict[str, Any]:
        """The one document of OpenAPI v2."""
        definitions = Definitions(2)
        operations = Operations(definitions)
        self._fill(definitions, operations, list(self._registry))
        return {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": VERSION},
            "paths": operations.paths,
            "definitions": definitions.found,
            "securityDefinitions": {
                "BearerToken": {
                    "description": "Bearer Token authentication",
                    "type": "apiKey",
                    "name": "authorization",
                    "in": "header",
                }
            },
            "security": [{"BearerToken": []}],
        }

    def _fill(self, definitions: Definitions, operations: Operations, resources: list[Resource]) -> None:
        definitions.common()
        for resource in resources:
            kind = resource.kind
            if kind.module:
                name = definitions.struct(kind.type, [kind])
                list_name = f"{names.of_module(kind.module)}.{resource.list_kind}"
            else:
                name = definitions.custom(kind, _props(resource))
                list_name = names.of_custom(kind, "List")
            if "list" in kind.verbs:
                definitions.list_of(kind, resource.list_kind, name, list_name)
            operations.add(resource, name, list_name)
            for subresource in resource.subresources.values():
                self._sub_kind(definitions, subresource.api_version, subresource.kind)

    def _sub_kind(self, definitions: Definitions, api_version: str, kind: str) -> None:
        """Define what a subresource exchanges (Scale, Eviction, TokenRequest)."""
        from importlib import import_module

        from pybernetes.api.kinds import Kind

        if not kind:
            return
        group, _, version = api_version.rpartition("/")
        module = f"{(group.split('.')[0] or 'core').replace('-', '_')}_{version}"
        try:
            struct = getattr(import_module(f"pybernetes.api.{module}"), kind)
        except (ModuleNotFoundError, AttributeError):
            return
        definitions.struct(struct, [Kind(group, version, kind, "", False, module)])

    # -- what there is ----------------------------------------------------------------------------------------------

    def _paths(self) -> list[str]:
        found = {self._path(resource.kind): None for resource in self._registry}
        return [*found, *(path for path in self.remote if path not in found)]

    @staticmethod
    def _path(kind: Kind) -> str:
        return kind.base_path.lstrip("/")

    def _resources(self, path: str) -> list[Resource]:
        return [resource for resource in self._registry if self._path(resource.kind) == path]

    def _hash(self, path: str, resources: list[Resource]) -> str:
        digest = hashlib.sha512(f"{VERSION} {path}".encode())
        for resource in resources:
            kind = resource.kind
            digest.update(f"{kind.resource} {kind.kind} {sorted(resource.subresources)}".encode())
            if not kind.module:
                digest.update(_encode(_props(resource)))
        return digest.hexdigest().upper()


def _props(resource: Resource) -> JSONSchemaProps | None:
    version = cast("CustomStrategy", resource.strategy).version
    return version.schema.open_apiv3_schema if version.schema is not None else None


def _cached(call: Call, body: bytes, tag: bytes, media_type: bytes = b"application/json") -> Result:
    headers: tuple[tuple[bytes, bytes], ...] = ((b"Vary", b"Accept"), (b"Accept-Ranges", b"bytes"))
    if tag:
        headers = ((b"Etag", tag), *headers)
        if call.headers.get(b"if-none-match") == tag:
            return Result(304, raw=b"", media_type=media_type, headers=headers)
    return Result(raw=body, media_type=media_type, headers=headers)
