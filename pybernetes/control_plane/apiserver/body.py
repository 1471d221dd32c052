"""From a request's body to the object it means.

Over HTTP: JSON, YAML or protobuf, decoded into the resource's type; unknown and duplicate fields are an error, a warning or
nothing, by `fieldValidation`. In process the body is an object already: it is copied, because it belongs to the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from pybernetes.control_plane.apiserver.objects import AnyObject, Custom, StructCodec
from pybernetes.machinery import errors
from pybernetes.machinery.meta import DeleteOptions
from pybernetes.machinery.types import Struct

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.call import Call
    from pybernetes.control_plane.apiserver.resource import Resource

T = TypeVar("T", bound=Struct)

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON, YAML, PROTOBUF)


def media_type(call: Call) -> str:
    """The body's media type without parameters; JSON when the client did not say."""
    return call.content_type.partition(";")[0].strip().lower() or JSON


def to_wire(call: Call) -> Any:
    """The body as plain data (dict, list). Raises 400 for what cannot be parsed, 415 for other media types."""
    body = call.body
    if body.__class__ is not bytes:
        if isinstance(body, Custom):
            return body.to_wire()
        return msgspec.to_builtins(body)
    kind = media_type(call)
    try:
        if kind == JSON or kind.endswith("+json"):
            return msgspec.json.decode(body)
        if kind == YAML or kind.endswith("+yaml"):
            from pybernetes.machinery import yaml

            return yaml.load(body)
        if kind == PROTOBUF:
            from pybernetes.machinery import protobuf

            return protobuf.decode(body)
    except ValueError as error:
        raise errors.bad_request(error) from None
    raise errors.unsupported_media_type(ACCEPTED)


def read_object(call: Call, resource: Resource) -> AnyObject:
    """The body as an object of the resource, its own to change. Raises 400 when it is of another kind or malformed."""
    codec = resource.codec
    body = call.body
    if body.__class__ is bytes:
        if not body:
            raise errors.bad_request("unable to decode the body: it is empty")
        if isinstance(codec, StructCodec):
            return read_struct(call, codec)
        wire = to_wire(call)
    elif isinstance(body, dict):
        wire = body
        if not isinstance(codec, StructCodec):
            wire = msgspec.json.decode(msgspec.json.encode(body))
    else:
        return codec.copy(body)
    if not isinstance(wire, dict):
        raise errors.bad_request("the body is not an object")
    try:
        return codec.from_wire(wire)
    except msgspec.ValidationError as error:
        raise errors.bad_request(error) from None


def read_struct(call: Call, codec: StructCodec) -> AnyObject:
    """The body as a struct."""
    kind = media_type(call)
    try:
        if kind == JSON:
            return codec.decode(call.body)
        return codec.from_wire(to_wire(call))
    except msgspec.MsgspecError as error:
        raise errors.bad_request(error) from None


def read_as(call: Call, type_: type[T]) -> T | None:
    """The body as a struct of another type (Scale, Binding, DeleteOptions...); None when there is no body."""
    body = call.body
    if body is None or body.__class__ is bytes and not body:
        return None
    if isinstance(body, type_):
        return msgspec.json.decode(msgspec.json.encode(body), type=type_)
    try:
        if body.__class__ is bytes and media_type(call) == JSON:
            return msgspec.json.decode(body, type=type_)
        return msgspec.convert(to_wire(call), type_)
    except msgspec.MsgspecError as error:
        raise errors.bad_request(error) from None


def check_kind(obj: AnyObject, resource: Resource) -> None:
    """Set what is empty; refuse an object of another version or kind."""
    kind = resource.kind
    if not obj.api_version:
        obj.api_version = kind.api_version
    elif obj.api_version != kind.api_version:
        raise errors.bad_request(
            f"the API version in the data ({obj.api_version}) does not match the expected API version ({kind.api_version})"
        )
    if not obj.kind:
        obj.kind = kind.kind
    elif obj.kind != kind.kind:
        raise errors.bad_request(f"{obj.kind} in version \"{kind.version}\" cannot be handled as a {kind.kind}")


def read_delete_options(call: Call) -> DeleteOptions:
    """DeleteOptions from the body, or from the query when there is no body."""
    options = read_as(call, DeleteOptions)
    if options is None:
        options = DeleteOptions(
            grace_period_seconds=call.integer("gracePeriodSeconds"),
            orphan_dependents=call.flag("orphanDependents"),
            propagation_policy=call.param("propagationPolicy") or None,
            dry_run=list(call.params["dryRun"]) if "dryRun" in call.params else None,
        )
    return cast(DeleteOptions, options)
