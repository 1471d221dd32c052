"""The client certificate of a connection, read once per connection and without a certificate library."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A certificate that TLS verified: chain, dates and the extended key usage for clients.

    common_name, organizations, uid: from the subject. not_after: Unix seconds. der: the certificate itself.
    root: DER of the trust anchor its chain ends in (b"" if the TLS library does not tell), which distinguishes the
    client CA from the front proxy's. fingerprint: lower-case hexadecimal SHA-256 of `der`.
    """

    common_name: str
    organizations: tuple[str, ...]
    uid: str
    not_after: float
    der: bytes
    root: bytes
    fingerprint: str


def peer_certificate(tls: ssl.SSLObject | None) -> PeerCertificate | None:
    """The verified client certificate of a TLS connection, or None."""
    if tls is None:
        return None
    der = tls.getpeercert(binary_form=True)
    parsed: Any = tls.getpeercert()
    if not der or not parsed:  # an empty dict: presented but not verified
        return None
    names: dict[str, list[str]] = {}
    for group in parsed.get("subject", ()):
        for key, value in group:
            names.setdefault(key, []).append(value)
    return PeerCertificate(
        common_name=names.get("commonName", [""])[-1],
        organizations=tuple(names.get("organizationName", ())),
        uid=names.get("1.3.6.1.4.1.57683.2", [""])[0],
        not_after=float(ssl.cert_time_to_seconds(parsed["notAfter"])),
        der=der,
        root=_root(tls),
        fingerprint=hashlib.sha256(der).hexdigest(),
    )


def _root(tls: ssl.SSLObject) -> bytes:
    if hasattr(tls, "get_verified_chain"):  # Python 3.13
        chain = tls.get_verified_chain()
        return bytes(chain[-1]) if chain else b""
    inner: Any = getattr(tls, "_sslobj", None)
    try:
        certificates = inner.get_verified_chain()
    except AttributeError:
        return b""
    if not certificates:
        return b""
    import _ssl

    return bytes(certificates[-1].public_bytes(_ssl.ENCODING_DER))
