"""From a verb's Result to the HTTP response.

The ordinary case does no work: the stored bytes of one object, or those of many joined inside an envelope, are the
body. Everything else (tables, metadata only, YAML, protobuf, another version) is made from the objects.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from pybernetes.control_plane.apiserver import tables
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.http import Response, render_headers
from pybernetes.control_plane.apiserver.http.messages import Header
from pybernetes.control_plane.apiserver.negotiate import JSON, PLAIN, PROTOBUF, YAML, Format, accepted
from pybernetes.control_plane.apiserver.objects import Custom
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Status

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.cache import Item
    from pybernetes.control_plane.apiserver.resource import Resource
    from pybernetes.machinery.errors import StatusError

_NO_CACHE = b"Cache-Control: no-cache, private\r\n"
_JSON_HEADERS = b"Content-Type: application/json\r\n" + _NO_CACHE
#: Bodies above this are compressed for remote clients that accept it (on loopback it would only cost).
_GZIP_ABOVE = 128 * 1024

_encode = msgspec.json.Encoder().encode


def respond(call: Call, result: Result) -> Response:
    """The response to `call`. Raises 406."""
    if result.raw is not None:
        headers = [(b"Content-Type", result.media_type), *result.headers]
        if call.warnings:
            return Response(result.status, render_headers(headers) + warning_headers(call.warnings), result.raw)
        return Response(result.status, headers, result.raw)
    resource = result.resource
    form = format_of(call, resource)
    item = result.item
    plain = form is PLAIN and call.warnings is None and not result.headers
    if plain and item is not None and resource is not None and resource.served is None:
        return Response(result.status, _JSON_HEADERS, item.data)
    body: bytes | list[bytes]
    if result.items is not None:
        body = list_body(result, form)
    elif form.shape and resource is not None:
        body = encode_wire(shaped(result, form), form)
    elif form.media == JSON:
        body = object_json(result)
        if form.pretty:
            body = msgspec.json.format(body, indent=2) + b"\n"
    else:
        body = encode_wire(msgspec.json.decode(object_json(result)), form)
    block = b"Content-Type: %b\r\n%b" % (form.media.encode(), _NO_CACHE)
    if call.warnings:
        block += warning_headers(call.warnings)
    block += render_headers(result.headers)
    if result.items is not None:
        body, block = compress(call, body, block)
    return Response(result.status, block, body)


def format_of(call: Call, resource: Resource | None) -> Format:
    """The format the client accepts, with `pretty` as query or browser ask. Raises 400, 406."""
    form = accepted(call.headers.get(b"accept", b""), False, resource is None or resource.kind.module != "")
    if form.shape == "Table" and call.params and (include := call.param("includeObject", "")):
        if include not in ("None", "Metadata", "Object"):
            raise errors.bad_request(f'unrecognized includeObject value: "{include}"')
        form = replace(form, include=include)
    if call.params and (pretty := call.params.get("pretty")) is not None:
        if pretty[0].lower() not in ("false", "0"):
            return replace(form, pretty=True)
    elif form.media == JSON and not form.pretty and not form.shape:
        agent = call.headers.get(b"user-agent", b"")
        if agent.startswith((b"curl", b"Wget", b"Mozilla/5.0")):
            return replace(form, pretty=True)
    return form


def object_json(result: Result) -> bytes:
    """The JSON of a result's single object, in the version served."""
    resource = result.resource
    item = result.item
    if item is not None:
        if resource is None or resource.served is None:
            return item.data
        return resource.codec.encode(resource.served(item.obj))
    obj = result.obj
    if resource is not None and (isinstance(obj, Custom) or hasattr(obj, "metadata")):
        return resource.codec.encode(obj) if isinstance(obj, Custom) else _encode(obj)
    return _encode(obj)


def item_json(resource: Resource, item: Item) -> bytes:
    """The JSON of an item in the version served."""
    return item.data if resource.served is None else resource.codec.encode(resource.served(item.obj))


def list_meta(result: Result) -> dict[str, Any]:
    """The metadata of a list, in wire form."""
    meta: dict[str, Any] = {"resourceVersion": str(result.revision) if result.revision else ""}
    if not result.revision:
        del meta["resourceVersion"]
    if result.continue_:
        meta["continue"] = result.continue_
        if result.remaining is not None:
            meta["remainingItemCount"] = result.remaining
    return meta


def list_body(result: Result, form: Format) -> bytes | list[bytes]:
    """The body of a list."""
    resource, items = result.resource, result.items
    assert resource is not None and items is not None
    if form.shape == "Table":
        table = tables.table_of(resource, items, form.include, form.version, list_meta(result))
        return encode_wire(table, form)
    if form.shape:
        version = f"meta.k8s.io/{form.version}"
        partial = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": version,
            "metadata": list_meta(result),
            "items": [tables.partial_of(resource, item, form.version) for item in items],
        }
        return encode_wire(partial, form)
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        resource.list_kind.encode(),
        resource.kind.api_version.encode(),
        _encode(list_meta(result)),
    )
    if resource.served is None:
        joined = b",".join([item.data for item in items])
    else:
        joined = b",".join([item_json(resource, item) for item in items])
    if form.media == JSON:
        if form.pretty:
            return msgspec.json.format(b"".join([head, joined, b"]}"]), indent=2) + b"\n"
        return [head, joined, b"]}\n"]
    return encode_wire(msgspec.json.decode(b"".join([head, joined, b"]}"])), form)


def shaped(result: Result, form: Format) -> dict[str, Any]:
    """A single object as Table or PartialObjectMetadata, in wire form."""
    resource = result.resource
    assert resource is not None
    subject: Any = result.item if result.item is not None else result.obj
    if isinstance(subject, Status):
        wire: dict[str, Any] = msgspec.to_builtins(subject)
        return wire
    if isinstance(subject, dict):  # a list of what is not in the store
        objects = [resource.codec.convert(item, None) for item in subject["items"]]
        if form.shape == "Table":
            return tables.table_of(resource, objects, form.include, form.version, subject["metadata"])
        partials = [tables.partial_of(resource, obj, form.version) for obj in objects]
        kind = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{form.version}"}
        return {**kind, "metadata": subject["metadata"], "items": partials}
    if form.shape == "Table":
        return tables.table_of(resource, [subject], form.include, form.version, None)
    return tables.partial_of(resource, subject, form.version)


def encode_wire(wire: dict[str, Any], form: Format) -> bytes:
    """A wire dict in the media type of `form`."""
    if form.media == JSON:
        data = _encode(wire)
        return msgspec.json.format(data, indent=2) + b"\n" if form.pretty else data
    if form.media == PROTOBUF:
        from pybernetes.machinery import protobuf

        if not protobuf.supports(wire.get("apiVersion") or "", wire.get("kind") or ""):
            raise errors.not_acceptable([JSON, YAML])
        return protobuf.encode(wire)
    from pybernetes.machinery import yaml

    return yaml.dump(wire).encode()


def compress(call: Call, body: bytes | list[bytes], headers: bytes) -> tuple[bytes | list[bytes], bytes]:
    """gzip for large bodies, when the client takes it and a network is in between."""
    request = call.request
    if request is None or b"gzip" not in call.headers.get(b"accept-encoding", b""):
        return body, headers
    size = len(body) if isinstance(body, bytes) else sum(len(part) for part in body)
    if size < _GZIP_ABOVE or request.remote[0] in ("127.0.0.1", "::1"):
        return body, headers
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [packer.compress(part) for part in ([body] if isinstance(body, bytes) else body)]
    packed = b"".join([*parts, packer.flush()])
    return packed, headers + b"Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"


def warning_headers(texts: list[str]) -> bytes:
    """`Warning: 299 - "text"` lines."""
    lines = []
    for text in texts:
        clean = "".join(c if c.isprintable() else " " for c in text).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(b'Warning: 299 - "%b"\r\n' % clean.encode("utf-8"))
    return b"".join(lines)


def error_response(call: Call | None, error: StatusError) -> Response:
    """An error as a Status in the format accepted, or JSON."""
    status = error.status
    headers: list[Header] = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-cache, private")]
    if (retry := error.retry_after) is not None:
        headers.append((b"Retry-After", b"%d" % retry))
    if error.code == 401:
        headers.append((b"WWW-Authenticate", b"Bearer"))
    body = _encode(status)
    if call is not None:
        try:
            form = accepted(call.headers.get(b"accept", b""))
        except Exception:
            form = PLAIN
        if form.media != JSON:
            body = encode_wire(msgspec.json.decode(body), form)
            headers[0] = (b"Content-Type", form.media.encode())
    return Response(error.code or 500, headers, body)
