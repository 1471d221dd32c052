"""PATCH: JSON patch, merge patch, strategic merge patch; server-side apply is in `apply.py`."""

from __future__ import annotations

from typing import Any

import msgspec

from pybernetes.control_plane.apiserver.body import media_type
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.verbs.writing import check_options
from pybernetes.machinery import errors

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


async def patch(core: Core, call: Call, subresource: str = "") -> Result:
    """PATCH of an object, or of its status."""
    check_options(call, "PatchOptions")
    kind = media_type(call)
    accepted = [JSON_PATCH, MERGE_PATCH, *([STRATEGIC] if call.resource.kind.module else []), APPLY]
    if kind not in accepted:
        raise errors.unsupported_media_type(accepted)
    raise errors.internal("patch is not there yet")


def body_of(call: Call) -> Any:
    """The patch as plain data."""
    body = call.body
    if body.__class__ is not bytes:
        return msgspec.to_builtins(body)
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError as error:
        raise errors.bad_request(f"error decoding patch: {error}") from None
