"""Server-side apply (KEP-555): the caller owns the fields it sends; creates what does not exist."""

from __future__ import annotations

from typing import Any

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver import managed
from pybernetes.control_plane.apiserver.body import report
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.verbs.change import change
from pybernetes.control_plane.apiserver.verbs.create import settle_namespace, store_new
from pybernetes.control_plane.apiserver.verbs.writing import OTHER_NAMESPACE
from pybernetes.machinery import apply as applying
from pybernetes.machinery import codec, errors, field

APPLY = "application/apply-patch+yaml"


async def apply(core: Core, call: Call, subresource: str = "") -> Result:
    """PATCH with an apply configuration."""
    resource = call.resource
    manager = call.param("fieldManager")
    if not manager:
        wrong = field.required("fieldManager", "is required for apply patch")
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [wrong])
    applied = body_of(call)
    _check(applied, call)
    problems: list[str] | None = None if call.param("fieldValidation") == "Ignore" else []

    def produce(old: AnyObject) -> AnyObject:
        live = resource.codec.to_wire(old)
        if problems:
            problems.clear()
        new = merged(live)
        if "resourceVersion" not in (applied.get("metadata") or {}):
            new.metadata.resource_version = old.metadata.resource_version
        return new

    def merged(live: dict[str, Any] | None) -> AnyObject:
        wire = applying.apply(
            live,
            applied,
            resource.codec.schema,
            manager=manager,
            time=clock.rfc3339(),
            force=bool(call.flag("force")),
            subresource=subresource,
            reset=managed.reset_of(resource, subresource),
            elsewhere=resource.views.changes if resource.views is not None else None,
        )
        new = resource.codec.convert(codec.copy(wire), problems)
        report(call, resource, new, problems)
        resource.strategy.set_defaults(new)
        return new

    storage = resource.storage
    assert storage is not None
    if not subresource and resource.key(call.info.namespace, call.info.name) not in storage.items:
        if uid := (applied.get("metadata") or {}).get("uid"):
            text = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(resource.group_resource, call.info.name, text)
        new = merged(None)
        settle_namespace(new.metadata, resource, call.info.namespace)
        try:
            return await store_new(core, call, new, track=False)
        except errors.StatusError as error:
            if not errors.is_already_exists(error):
                raise
    return await change(core, call, produce, subresource=subresource, track=False, again=True)


def body_of(call: Call) -> dict[str, Any]:
    """The apply configuration as a wire dict. Raises 400."""
    from pybernetes.machinery import yaml

    body = call.body
    if body.__class__ is bytes:
        repeated: list[str] = []
        try:
            body = yaml.load(body, repeated=repeated)
        except ValueError as error:
            raise errors.bad_request(f"error decoding YAML: {error}") from None
        if repeated and call.param("fieldValidation") == "Strict":
            raise errors.bad_request(f"error strict decoding YAML: {'; '.join(repeated)}")
        if call.param("fieldValidation") != "Ignore":
            for text in repeated:
                call.warn(text)
    elif not isinstance(body, dict):
        body = codec.to_dict(body)
    if not isinstance(body, dict):
        raise errors.bad_request("error decoding YAML: the apply configuration is not an object")
    return body


def _check(applied: dict[str, Any], call: Call) -> None:
    kind = call.resource.kind
    api_version, name = applied.get("apiVersion"), applied.get("kind")
    if not api_version or not name:
        raise errors.bad_request("the apply configuration must have apiVersion and kind")
    if api_version != kind.api_version:
        text = f"the API version in the data ({api_version}) does not match the expected API version"
        raise errors.bad_request(f"{text} ({kind.api_version})")
    if name != kind.kind:
        raise errors.bad_request(f"the kind in the data ({name}) does not match the expected kind ({kind.kind})")
    metadata = applied.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise errors.bad_request("metadata is not an object")
    wanted = call.info.name
    if metadata.setdefault("name", wanted) != wanted:
        raise errors.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({wanted})"
        )
    if kind.namespaced and metadata.setdefault("namespace", call.info.namespace) != call.info.namespace:
        raise errors.bad_request(OTHER_NAMESPACE)
