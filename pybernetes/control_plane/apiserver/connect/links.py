"""Proxied web pages: what they link to must go through the proxy as well."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from pybernetes.control_plane.apiserver.http.messages import Header

#: Attributes of HTML elements that hold a URL.
_LINK = re.compile(
    rb"""(\b(?:action|cite|data|formaction|href|icon|longdesc|manifest|poster|profile|src|usemap|background)\s*=\s*)"""
    rb"""(?:"(/[^"]*)"|'(/[^']*)')""",
    re.IGNORECASE,
)


def rewriter(prefix: str, authority: str) -> Callable[[list[Header]], Callable[[bytes], bytes] | None]:
    """A `relay.Rewrite` for answers of `authority` (host:port) shown below the path `prefix`."""

    def rewrite(headers: list[Header]) -> Callable[[bytes], bytes] | None:
        html = encoded = False
        for at, (name, value) in enumerate(headers):
            lower = name.lower()
            if lower == b"location":
                headers[at] = (name, moved(value.decode("latin-1"), prefix, authority).encode("latin-1"))
            elif lower == b"content-type":
                html = value.partition(b";")[0].strip().lower() == b"text/html"
            elif lower == b"content-encoding":
                encoded = True
        return page if html and not encoded else None

    def page(body: bytes) -> bytes:
        start = prefix.encode()

        def link(match: re.Match[bytes]) -> bytes:
            quote, url = (b'"', match[2]) if match[2] is not None else (b"'", match[3])
            if url.startswith((b"//", start + b"/")):
                return match[0]
            return match[1] + quote + start + url + quote

        return _LINK.sub(link, body)

    return rewrite


def moved(location: str, prefix: str, authority: str) -> str:
    """A redirect's target as seen through the proxy; other hosts stay as they are."""
    parts = urlsplit(location)
    if parts.netloc and parts.netloc != authority:
        return location
    if not parts.netloc and not parts.path.startswith("/"):
        return location
    if parts.path.startswith(prefix + "/"):
        return parts.path + (f"?{parts.query}" if parts.query else "")
    return prefix + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
