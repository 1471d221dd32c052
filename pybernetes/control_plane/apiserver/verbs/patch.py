"""PATCH: JSON patch, merge patch, strategic merge patch; server-side apply is in `apply.py`."""

from __future__ import annotations

from typing import Any

import msgspec

from pybernetes.control_plane.apiserver.body import media_type, report
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Resource
from pybernetes.control_plane.apiserver.verbs.apply import APPLY, apply
from pybernetes.control_plane.apiserver.verbs.change import change
from pybernetes.control_plane.apiserver.verbs.writing import OTHER_NAMESPACE, check_options
from pybernetes.machinery import codec, errors, field
from pybernetes.machinery import patch as patches

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
_MAX_OPERATIONS = 10_000


async def patch(core: Core, call: Call, subresource: str = "") -> Result:
    """PATCH of an object, or of its status."""
    check_options(call, "PatchOptions")
    resource = call.resource
    kind = check_type(call, resource)
    if kind == APPLY:
        return await apply(core, call, subresource)
    if call.flag("force") is not None:
        wrong = field.forbidden("force", "may not be specified for non-apply patch")
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [wrong])
    body = body_of(call, kind)

    def produce(old: AnyObject) -> AnyObject:
        problems: list[str] | None = None if call.param("fieldValidation") == "Ignore" else []
        wire = patched(resource.codec.to_wire(old), body, kind, resource)
        new = resource.codec.convert(wire, problems)
        check_identity(new, old, resource)
        report(call, resource, new, problems)
        resource.strategy.set_defaults(new)
        return new

    return await change(core, call, produce, subresource=subresource, again=True)


def check_type(call: Call, resource: Resource) -> str:
    """The patch's media type. Raises 415 with those that the resource takes."""
    kind = media_type(call)
    accepted = [JSON_PATCH, MERGE_PATCH, *([STRATEGIC] if resource.kind.module else []), APPLY]
    if kind not in accepted:
        raise errors.unsupported_media_type(accepted)
    return kind


def body_of(call: Call, kind: str) -> Any:
    """The patch as plain data. Raises 400."""
    body = call.body
    if body.__class__ is bytes:
        try:
            body = msgspec.json.decode(body)
        except msgspec.MsgspecError as error:
            raise errors.bad_request(f"error decoding patch: {error}") from None
    elif isinstance(body, msgspec.Struct):
        body = msgspec.to_builtins(body)
    if kind == JSON_PATCH:
        if not isinstance(body, list):
            text = "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
            raise errors.bad_request(f"error decoding patch: {text}")
        if len(body) > _MAX_OPERATIONS:
            raise errors.too_large(
                f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got {len(body)}"
            )
    elif not isinstance(body, dict):
        raise errors.bad_request("error decoding patch: the patch is not an object")
    return body


def patched(wire: dict[str, Any], body: Any, kind: str, resource: Resource) -> dict[str, Any]:
    """The wire dict after the patch. Raises 422 or 400."""
    if kind == JSON_PATCH:
        try:
            result = patches.json_patch(wire, body)
        except patches.PatchError:
            raise errors.StatusError(
                422, "Invalid", "the server rejected our request due to an error in our request", None
            ) from None
    elif kind == MERGE_PATCH:
        result = patches.merge_patch(wire, body)
    else:
        from pybernetes.machinery import strategic

        try:
            result = strategic.strategic_merge(wire, body, resource.codec.schema)
        except ValueError as error:
            raise errors.bad_request(error) from None
    if not isinstance(result, dict):
        raise errors.bad_request("the patch does not leave an object")
    return codec.copy(result)  # type: ignore[no-any-return]


def check_identity(new: AnyObject, old: AnyObject, resource: Resource) -> None:
    """A patch cannot make an object another one."""
    if new.api_version != old.api_version or new.kind != old.kind:
        raise errors.bad_request(
            f"the API version in the data ({new.api_version}) does not match "
            f"the expected API version ({old.api_version})"
            if new.api_version != old.api_version
            else f"the kind in the data ({new.kind}) does not match the expected kind ({old.kind})"
        )
    name, before = new.metadata.name, old.metadata.name
    if name != before:
        raise errors.bad_request(f"the name of the object ({name}) does not match the name on the URL ({before})")
    if new.metadata.namespace != old.metadata.namespace:
        raise errors.bad_request(OTHER_NAMESPACE)
