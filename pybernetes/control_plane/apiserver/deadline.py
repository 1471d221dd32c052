"""The `timeout` that a request brings in its URL: one that cannot be read is refused.

It bounds nothing here: no request that is not a stream waits for anything but webhooks, which have limits of their own.
The value is looked at all the same, because a client that mistypes it is to hear so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pybernetes.machinery import errors

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.call import Call

_STREAMS = frozenset({"attach", "exec", "log", "portforward", "proxy"})
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)


def check(call: Call) -> None:
    """Raises 400."""
    given = call.params.get("timeout")
    if given is None or not given[0] or _DURATION.fullmatch(given[0]):
        return
    info = call.info
    if info.verb == "watch" or info.subresource in _STREAMS:
        return
    text = given[0]
    unit = re.fullmatch(r"[-+]?\d+(?:\.\d*)?", text)
    said = f'missing unit in duration "{text}"' if unit is not None else f'invalid duration "{text}"'
    raise errors.bad_request(f"invalid timeout specified in the request URL - time: {said}")
