"""The Event of one request: its fields, filled in as the request goes on.

In wire form from the start (nobody in this process reads it). What a stage may show depends on the level; objects are
cut to it here and nowhere else.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.body import to_wire
from pybernetes.control_plane.apiserver.render import list_meta, object_json
from pybernetes.machinery.errors import StatusError

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.audit.policy import Decision
    from pybernetes.control_plane.apiserver.call import Call, Result

_LONG_SUBRESOURCES = ("attach", "exec", "log", "portforward", "proxy")
_WRITES = ("create", "update", "patch", "delete", "deletecollection")


def audit_id(call: Call) -> str:
    """The client's own id for the request, or a new one."""
    given = call.headers.get(b"audit-id")
    return given.decode("latin-1")[:64] if given else str(uuid.UUID(int=clock.rng.getrandbits(128), version=4))


def is_long(call: Call) -> bool:
    """Whether the answer begins long before it ends."""
    info = call.info
    return info.is_resource and (info.verb == "watch" or info.subresource in _LONG_SUBRESOURCES)


def received(call: Call, decision: Decision, id_: str) -> dict[str, Any]:
    """The event as it is when the request has come in."""
    info = call.info
    event: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": decision.level,
        "auditID": id_,
        "stage": "RequestReceived",
        "requestURI": _uri(call),
        "verb": info.verb,
        "user": user_of(call.user),
        "sourceIPs": _sources(call),
    }
    if agent := call.headers.get(b"user-agent"):
        event["userAgent"] = agent.decode("latin-1")[:1024]
    if info.is_resource:
        names = {
            "resource": info.resource,
            "namespace": info.namespace,
            "name": info.name,
            "apiGroup": info.group,
            "apiVersion": info.version,
            "subresource": info.subresource,
        }
        event["objectRef"] = {name: value for name, value in names.items() if value}
    event["requestReceivedTimestamp"] = event["stageTimestamp"] = clock.rfc3339_micro()
    return event


def at_stage(event: dict[str, Any], stage: str) -> dict[str, Any]:
    """A copy for one stage, as it is now."""
    return {**event, "stage": stage, "stageTimestamp": clock.rfc3339_micro()}


def user_of(user: User | None) -> dict[str, Any]:
    return msgspec.to_builtins(user.info()) if user is not None else {}


def _uri(call: Call) -> str:
    request = call.request
    if request is not None:
        raw = request.raw_path + (b"?" + request.raw_query if request.raw_query else b"")
        return raw.decode("latin-1")
    query = "&".join(f"{name}={value}" for name, values in call.params.items() for value in values)
    return f"{call.path}?{query}" if query else call.path


def _sources(call: Call) -> list[str]:
    request = call.request
    if request is None:
        return ["127.0.0.1"]
    found = [ip.strip() for ip in call.headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",") if ip.strip()]
    real = call.headers.get(b"x-real-ip", b"").decode("latin-1")
    for address in (real, request.remote[0]):
        if address and address not in found:
            found.append(address)
    return found


def add_request(event: dict[str, Any], call: Call, decision: Decision) -> None:
    """What the body says of the object, and from level Request on the body itself."""
    info = call.info
    if not info.is_resource or info.verb not in _WRITES or info.subresource in _LONG_SUBRESOURCES or not call.body:
        return
    try:
        body = to_wire(call)
    except (StatusError, ValueError):
        return
    reference = event["objectRef"]
    metadata = body.get("metadata") if isinstance(body, dict) else None
    if isinstance(metadata, dict) and info.verb in ("create", "update"):
        for name in ("name", "namespace", "uid", "resourceVersion"):
            if value := metadata.get(name):
                reference.setdefault(name, value)
    if decision.at_least("Request"):
        event["requestObject"] = _shown(body, decision)


def add_answer(event: dict[str, Any], result: Result | None, decision: Decision) -> None:
    """The code, and from level RequestResponse on the answer."""
    code = result.status if result is not None else 200
    event["responseStatus"] = {"metadata": {}, "code": code}
    if result is None or result.raw is not None:
        return
    wire = _answer(result)
    if not isinstance(wire, dict):
        return
    if wire.get("kind") == "Status":
        add_status(event, wire, decision)
    elif decision.at_least("RequestResponse"):
        event["responseObject"] = _shown(wire, decision)


def _answer(result: Result) -> Any:
    resource = result.resource
    if result.items is None:
        return msgspec.json.decode(object_json(result))
    assert resource is not None
    from pybernetes.control_plane.apiserver.render import item_json

    items = [msgspec.json.decode(item_json(resource, item)) for item in result.items]
    head = {"kind": resource.list_kind, "apiVersion": resource.kind.api_version, "metadata": list_meta(result)}
    return {**head, "items": items}


def add_status(event: dict[str, Any], status: dict[str, Any], decision: Decision) -> None:
    """A Status as the answer."""
    names = ("status", "message", "reason", "details", "code")
    event["responseStatus"] = {"metadata": {}} | {name: status[name] for name in names if status.get(name)}
    if decision.at_least("RequestResponse"):
        event["responseObject"] = status


def _shown(wire: Any, decision: Decision) -> Any:
    if not decision.omit_managed_fields or not isinstance(wire, dict):
        return wire
    bare = dict(wire)
    if isinstance(metadata := wire.get("metadata"), dict) and "managedFields" in metadata:
        bare["metadata"] = {name: value for name, value in metadata.items() if name != "managedFields"}
    if isinstance(items := wire.get("items"), list):
        bare["items"] = [_shown(item, decision) for item in items]
    return bare
