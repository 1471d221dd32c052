"""Signed tokens: compact JWS, signed and verified with `cryptography`.

Not a JOSE library: of its many algorithms and forms a cluster uses two, the caller here decides which keys are
trusted, and nothing in a token's header is believed but the key id. `cryptography` is imported with the first key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Literal

import msgspec

Algorithm = Literal["ES256", "RS256"]


class InvalidToken(Exception):
    """The text is no token of ours, or one that is not (or no longer) valid; the message says why."""


class Key:
    """A public key, with the private half where we sign. PEM; P-256 (ES256) or RSA (RS256).

    id: as upstream's, the unpadded URL-safe base64 of the SHA-256 of the DER public key.
    """

    def __init__(self, pem: bytes) -> None:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

        self._sha256 = hashes.SHA256()
        self._ecdsa = ec.ECDSA(self._sha256)
        self._padding = padding.PKCS1v15()
        self._utils = utils
        self._private: Any = None
        if b"PRIVATE KEY" in pem:
            self._private = serialization.load_pem_private_key(pem, None)
            self._public: Any = self._private.public_key()
        else:
            self._public = serialization.load_pem_public_key(pem)
        self.algorithm: Algorithm
        if isinstance(self._public, ec.EllipticCurvePublicKey) and isinstance(self._public.curve, ec.SECP256R1):
            self.algorithm = "ES256"
        elif isinstance(self._public, rsa.RSAPublicKey):
            self.algorithm = "RS256"
        else:
            raise ValueError("a token key must be a P-256 or an RSA key")
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        der = self._public.public_bytes(serialization.Encoding.DER, form)
        self.id = encode(hashlib.sha256(der).digest())
        self._head = encode(msgspec.json.encode({"alg": self.algorithm, "kid": self.id}))

    def sign(self, claims: dict[str, Any]) -> str:
        """The token."""
        if self._private is None:
            raise ValueError("no private key to sign with")
        signed = f"{self._head}.{encode(msgspec.json.encode(claims))}"
        data = signed.encode()
        if self.algorithm == "ES256":
            r, s = self._utils.decode_dss_signature(self._private.sign(data, self._ecdsa))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        else:
            signature = self._private.sign(data, self._padding, self._sha256)
        return f"{signed}.{encode(signature)}"

    def verify(self, signed: bytes, signature: bytes) -> bool:
        """`signature` over `signed` was made with this key."""
        from cryptography.exceptions import InvalidSignature

        try:
            if self.algorithm == "ES256":
                if len(signature) != 64:
                    return False
                der = self._utils.encode_dss_signature(
                    int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                )
                self._public.verify(der, signed, self._ecdsa)
            else:
                self._public.verify(signature, signed, self._padding, self._sha256)
        except InvalidSignature:
            return False
        return True

    def jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key."""
        numbers = self._public.public_numbers()
        common = {"use": "sig", "kid": self.id, "alg": self.algorithm}
        if self.algorithm == "ES256":
            x, y = (encode(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **common}
        n, e = (encode(v.to_bytes((v.bit_length() + 7) // 8, "big")) for v in (numbers.n, numbers.e))
        return {"kty": "RSA", "n": n, "e": e, **common}


def encode(data: bytes) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The reverse. Raises InvalidToken."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidToken("illegal base64 data") from error


def looks_like_one(token: str) -> bool:
    """Three parts; whether it is valid only `claims` can tell."""
    return token.count(".") == 2 and token.startswith("ey")


def unverified(token: str) -> dict[str, Any]:
    """The claims of a token nobody has checked: to see who could have issued it. Raises InvalidToken."""
    try:
        _, payload, _ = token.split(".")
        claims = msgspec.json.decode(decode(payload))
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidToken("not a token") from error
    if not isinstance(claims, dict):
        raise InvalidToken("not a token")
    return claims


def verified(token: str, keys: dict[str, Key]) -> dict[str, Any]:
    """The claims, if one of `keys` (by id) signed them. Raises InvalidToken. Times and audience are the caller's."""
    try:
        head, payload, signature = token.split(".")
        header = msgspec.json.decode(decode(head))
        key_id, algorithm = str(header.get("kid") or ""), header.get("alg")
        signed = f"{head}.{payload}".encode("ascii")
        raw = decode(signature)
    except (ValueError, AttributeError, msgspec.MsgspecError) as error:
        raise InvalidToken("not a token") from error
    candidates = [keys[key_id]] if key_id in keys else [] if key_id else list(keys.values())
    for key in candidates:
        if key.algorithm == algorithm and key.verify(signed, raw):
            return unverified(token)
    raise InvalidToken("the token's signature is not of a known key")
