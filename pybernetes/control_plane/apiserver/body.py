"""From a request's body to the object it means.

Over HTTP: JSON, YAML or protobuf, decoded into the resource's type; unknown and repeated fields are an error, a
warning or nothing, by `fieldValidation`. In process the body is an object already: it is copied, because it belongs
to the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from pybernetes.control_plane.apiserver.objects import AnyObject, Custom, StructCodec
from pybernetes.machinery import codec, errors
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


def to_wire(call: Call, problems: list[str] | None = None) -> Any:
    """The body as new plain data (dict, list). Raises 400 for what cannot be parsed, 415 for other media types."""
    body = call.body
    if body.__class__ is not bytes:
        if isinstance(body, Custom):
            return codec.copy(body.to_wire())
        return codec.copy(body) if isinstance(body, dict | list) else msgspec.to_builtins(body)
    kind = media_type(call)
    try:
        if kind == JSON or kind.endswith("+json"):
            return msgspec.json.decode(body)
        if kind == YAML or kind.endswith("+yaml"):
            from pybernetes.machinery import yaml

            return yaml.load(body, repeated=problems)
        if kind == PROTOBUF:
            from pybernetes.machinery import protobuf

            return protobuf.decode(body)
    except ValueError as error:
        raise errors.bad_request(error) from None
    raise errors.unsupported_media_type(ACCEPTED)


def read_object(call: Call, resource: Resource) -> AnyObject:
    """The body as an object of the resource, its own to change. Raises 400 when it is of another kind or malformed."""
    kind_codec = resource.codec
    body = call.body
    if body is None:
        body = call.body = b""
    if body.__class__ is not bytes:
        if isinstance(body, dict):
            return kind_codec.convert(codec.copy(body), None)
        if isinstance(kind_codec, StructCodec) and body.__class__ is not kind_codec.type:
            return kind_codec.convert(msgspec.to_builtins(body), None)
        return kind_codec.copy(body)
    validation = call.param("fieldValidation") or "Warn"
    problems: list[str] | None = None if validation == "Ignore" else []
    if media_type(call) == JSON:
        obj = kind_codec.read(body, problems, problems is not None)
    else:
        wire = to_wire(call, problems)
        if not isinstance(wire, dict):
            raise errors.bad_request(f"the object provided is unrecognized (must be of type {resource.kind.kind})")
        obj = kind_codec.convert(wire, problems)
    report(call, resource, obj, problems)
    return obj


def report(call: Call, resource: Resource, obj: AnyObject, problems: list[str] | None) -> None:
    """Refuse, or warn of, unknown and repeated fields."""
    if not problems:
        return
    if call.param("fieldValidation") == "Strict":
        if isinstance(obj, Custom):
            raise errors.bad_request(
                f'{obj.kind} in version "{resource.kind.version}" cannot be handled as a {resource.kind.kind}: '
                f"strict decoding error: {', '.join(problems)}"
            )
        raise codec.strict_error(obj, type(obj), problems)
    for text in problems:
        call.warn(text)


def read_as(call: Call, type_: type[T]) -> T | None:
    """The body as a struct of another type (Scale, Binding, DeleteOptions...); None when there is no body."""
    body = call.body
    if body is None or (body.__class__ is bytes and not body):
        return None
    if isinstance(body, type_):
        return cast(T, codec.copy(body))
    if body.__class__ is bytes and media_type(call) == JSON:
        return codec.decode(type_, body)
    wire = to_wire(call)
    if not isinstance(wire, dict):
        raise errors.bad_request(f"the object provided is unrecognized (must be of type {type_.__name__})")
    return codec.convert(type_, wire)


def check_kind(obj: AnyObject, resource: Resource) -> None:
    """Set what is empty; refuse an object of another version or kind."""
    kind = resource.kind
    if not obj.api_version:
        obj.api_version = kind.api_version
    elif obj.api_version != kind.api_version:
        raise errors.bad_request(
            f"the API version in the data ({obj.api_version}) does not match "
            f"the expected API version ({kind.api_version})"
        )
    if not obj.kind:
        obj.kind = kind.kind
    elif obj.kind != kind.kind:
        raise errors.bad_request(
            f'{obj.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: converting '
            f"({obj.api_version}.{obj.kind}) to ({kind.api_version}.{kind.kind}): unknown conversion"
        )


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
    elif "dryRun" in call.params and not options.dry_run:
        options.dry_run = list(call.params["dryRun"])
    return options
