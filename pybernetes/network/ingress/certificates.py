"""Certificates out of Secrets of type kubernetes.io/tls: checked before haproxy sees them.

haproxy refuses a whole configuration for one bad certificate, so a broken Secret must be found here, and cost only the
hosts it is for. The last word has OpenSSL, which is haproxy's as well: it refuses keys that are too short, for example.
It reads files only, so it gets one that lives in memory.
"""

from __future__ import annotations

import base64
import os
import ssl
from functools import lru_cache

from pybernetes.api.core_v1 import Secret
from pybernetes.network.ingress.backends import Problem

TYPE = "kubernetes.io/tls"


def bundle(namespace: str, name: str, secret: Secret | None) -> bytes | Problem:
    """Certificate chain and key as one PEM text, or what is wrong."""
    if secret is None or secret.type != TYPE:
        return Problem("MissingSecret", f"Secret {namespace}/{name} of type {TYPE} does not exist")
    data = secret.data or {}
    try:
        return _joined(data.get("tls.crt") or "", data.get("tls.key") or "")
    except (ValueError, TypeError) as error:
        return Problem("InvalidCertificate", f"Secret {namespace}/{name} cannot be used: {error}")


@lru_cache(1024)  # the plan is made anew for each change, and reading a key takes a millisecond
def _joined(certificate: str, key: str) -> bytes:
    """Both in one; raises ValueError unless they can be read and belong together. Base64 in, PEM out."""
    chain, private = (base64.b64decode(text, validate=True) for text in (certificate, key))
    _check(chain, private)
    pem = chain.rstrip() + b"\n" + private.rstrip() + b"\n"
    file = os.memfd_create("certificate")
    try:
        os.write(file, pem)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{file}")
    except ssl.SSLError as error:
        raise ValueError(error.reason or str(error)) from error
    finally:
        os.close(file)
    return pem


def _check(certificate: bytes, key: bytes) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    chain = x509.load_pem_x509_certificates(certificate)
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = serialization.load_pem_private_key(key, None)
    if private.public_key().public_bytes(*form) != chain[0].public_key().public_bytes(*form):
        raise ValueError("the key does not belong to the certificate")
