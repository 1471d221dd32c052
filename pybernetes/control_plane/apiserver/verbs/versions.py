"""Resource versions and continue tokens in queries: parsing, and the rules for combining them.

The texts of refusals are those of `ValidateListOptions` upstream: clients' tests compare them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from pybernetes.control_plane.apiserver.call import Call
from pybernetes.machinery import errors, field

EXACT = "Exact"
NOT_OLDER = "NotOlderThan"


def revision_of(text: str) -> int | None:
    """A resourceVersion as a number; None when unset. Raises 400."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise errors.invalid("", "", "", [field.invalid("resourceVersion", text, _parse_text(text))])
    return int(text)


def _parse_text(text: str) -> str:
    return f'strconv.ParseUint: parsing "{text}": invalid syntax'


@dataclass(frozen=True, slots=True)
class Token:
    """Where a list goes on: the snapshot's revision (-1: whatever is current then), and the last key seen, relative."""

    revision: int
    after: str

    def encode(self) -> str:
        raw = msgspec.json.encode({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.after + "\0"})
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_token(text: str) -> Token:
    """The token of a `continue` parameter. Raises 400."""
    try:
        raw: Any = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if raw["v"] != "meta.k8s.io/v1":
            raise ValueError(raw["v"])
        revision, start = raw["rv"], raw["start"]
        if not isinstance(revision, int) or not isinstance(start, str) or not start or revision == 0:
            raise ValueError(start)
        if start.startswith("/") or ".." in start.split("/"):
            raise ValueError(start)
    except (ValueError, KeyError, TypeError, msgspec.MsgspecError):
        raise errors.bad_request("continue key is not valid: encoded start key is not valid") from None
    return Token(revision, start.removesuffix("\0"))


def check_list(call: Call, *, watching: bool) -> None:
    """Refuse meaningless combinations of resourceVersion, resourceVersionMatch, continue and sendInitialEvents."""
    match = call.param("resourceVersionMatch")
    version = call.param("resourceVersion")
    initial = call.flag("sendInitialEvents")
    found: list[field.FieldError] = []
    if watching:
        if initial is not None and match != NOT_OLDER:
            found.append(
                field.forbidden(
                    "resourceVersionMatch",
                    f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER}",
                )
            )
        if match:
            if initial is None:
                found.append(
                    field.forbidden(
                        "resourceVersionMatch",
                        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                    )
                )
            if match != NOT_OLDER:
                found.append(field.not_supported("resourceVersionMatch", match, [NOT_OLDER]))
        if call.param("continue"):
            found.append(field.forbidden("continue", "continue is forbidden for watch"))
    else:
        if initial is not None:
            found.append(field.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
        if match:
            if not version:
                text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
                found.append(field.forbidden("resourceVersionMatch", text))
            if call.param("continue"):
                text = "resourceVersionMatch is forbidden when continue is provided"
                found.append(field.forbidden("resourceVersionMatch", text))
            if match not in (EXACT, NOT_OLDER):
                found.append(field.not_supported("resourceVersionMatch", match, [EXACT, NOT_OLDER, ""]))
            if match == EXACT and version == "0":
                text = f'resourceVersionMatch "{EXACT}" is forbidden for resourceVersion "0"'
                found.append(field.forbidden("resourceVersionMatch", text))
    if found:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", found)
