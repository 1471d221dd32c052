"""Join tokens: their form, their Secrets, and what a joining machine can check with one.

A token is `ID.SECRET`. As a Secret in kube-system it lets its bearer authenticate as a bootstrapper, and the
controllers sign the public cluster-info with it; who knows the token can check that signature before trusting
anything else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Secret
from pybernetes.machinery.meta import ObjectMeta

TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE = "kube-system"
NODE_GROUP = "system:bootstrappers:kubeadm:default-node-token"
DEFAULT_TTL = 24 * 3600.0
USAGES = ("signing", "authentication")
_FORM = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_LETTERS = string.ascii_lowercase + string.digits
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class TokenError(Exception):
    """A token, or something given for one, is not usable; the text is for the user."""


@dataclass(frozen=True)
class Token:
    """One join token. expires: Unix seconds; None: never."""

    id: str
    secret: str
    expires: float | None = None
    usages: tuple[str, ...] = USAGES
    groups: tuple[str, ...] = (NODE_GROUP,)
    description: str = ""

    @property
    def text(self) -> str:
        return f"{self.id}.{self.secret}"


def generate() -> str:
    """A new token's text, of cryptographic chance."""
    return f"{_chars(6)}.{_chars(16)}"


def _chars(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def split(text: str) -> tuple[str, str]:
    """(id, secret). Raises TokenError."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise TokenError(f"the bootstrap token {text!r} is not of the form [a-z0-9]{{6}}.[a-z0-9]{{16}}")
    return match[1], match[2]


def duration(text: str) -> float:
    """Seconds of a duration like `24h0m0s`, `90m` or `0`. Raises TokenError."""
    if text == "0":
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise TokenError(f"{text!r} is not a duration; examples: 24h, 1h30m, 45s, 0 for a token that never expires")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def secret_of(token: Token) -> Secret:
    """The Secret that makes it a token of the cluster."""
    fields = {"token-id": token.id, "token-secret": token.secret}
    if token.expires is not None:
        fields["expiration"] = clock.format_rfc3339(token.expires)
    fields |= {f"usage-bootstrap-{usage}": "true" for usage in token.usages}
    if token.groups:
        fields["auth-extra-groups"] = ",".join(token.groups)
    if token.description:
        fields["description"] = token.description
    data = {name: base64.b64encode(value.encode()).decode() for name, value in fields.items()}
    return Secret(metadata=ObjectMeta(name=f"bootstrap-token-{token.id}", namespace=NAMESPACE), type=TYPE, data=data)


def token_of(secret: Secret) -> Token | None:
    """The token of a Secret; None when it is none, or damaged."""
    try:
        fields = {name: base64.b64decode(value).decode() for name, value in (secret.data or {}).items()}
        expires = clock.parse_rfc3339(fields["expiration"]) if fields.get("expiration") else None
        split(f"{fields['token-id']}.{fields['token-secret']}")
    except (KeyError, ValueError, TokenError):
        return None
    return Token(
        fields["token-id"],
        fields["token-secret"],
        expires,
        tuple(usage for usage in USAGES if fields.get(f"usage-bootstrap-{usage}") == "true"),
        tuple(filter(None, fields.get("auth-extra-groups", "").split(","))),
        fields.get("description", ""),
    )


def verified_kubeconfig(info: Mapping[str, str], token: str) -> str:
    """The kubeconfig in cluster-info's data, if it bears a signature made with the token. Raises TokenError."""
    token_id, secret = split(token)
    content, signature = info.get("kubeconfig", ""), info.get(f"jws-kubeconfig-{token_id}", "")
    if not content:
        raise TokenError("the cluster publishes no kubeconfig in ConfigMap kube-public/cluster-info")
    if not signature:
        raise TokenError(
            f"the cluster knows no token with the id {token_id!r}: it is mistyped, has expired or was deleted; "
            "'pybernetes token create --print-join-command' on a control plane makes a new one"
        )
    header, _, given = signature.partition("..")
    signed = f"{header}.{_base64url(content.encode())}".encode()
    expected = _base64url(hmac.new(secret.encode(), signed, hashlib.sha256).digest())
    if _algorithm(header) != "HS256" or not hmac.compare_digest(given, expected):
        raise TokenError(
            f"the signature of cluster-info was not made with this token: its id {token_id!r} is known, "
            "its secret is not the right one, or somebody in between has changed the answer"
        )
    return content


def _algorithm(header: str) -> str:
    try:
        return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["alg"])
    except (ValueError, KeyError, TypeError):
        return ""


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
