"""Encryption at rest: upstream's EncryptionConfiguration, as the seal of the store.

Values are sealed on their way to disk or etcd and opened on their way back; memory holds them in the clear. Each sealed
value names its provider and key in a prefix (upstream's), so that keys can be exchanged: the first provider of a
resource's list writes, all of them read. AES is `cryptography`'s, secretbox is NaCl's own.
"""

from __future__ import annotations

import os
from base64 import b64decode
from typing import Any, Protocol

import msgspec

from pybernetes.control_plane.apiserver.cache import ROOT
from pybernetes.store.errors import StoreCorrupt

_PREFIX = b"k8s:enc:"


class Key(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    secret: str


class Keys(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[Key]


class ProviderConfig(msgspec.Struct, forbid_unknown_fields=True):
    """One of them is given."""

    aescbc: Keys | None = None
    aesgcm: Keys | None = None
    secretbox: Keys | None = None
    identity: dict[str, Any] | None = None
    kms: dict[str, Any] | None = None


class ResourceConfig(msgspec.Struct, forbid_unknown_fields=True):
    resources: list[str]
    providers: list[ProviderConfig]


class EncryptionConfiguration(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The document."""

    api_version: str
    kind: str
    resources: list[ResourceConfig]


class Cipher(Protocol):
    """One key. `open` raises ValueError for what it did not seal."""

    def seal(self, value: bytes, context: bytes) -> bytes: ...

    def open(self, data: bytes, context: bytes) -> bytes: ...


class AesCbc:
    """AES in CBC mode with PKCS#7 padding: an attacker who can write may go unnoticed."""

    sizes = (16, 24, 32)

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import algorithms

        self._algorithm = algorithms.AES(key)

    def seal(self, value: bytes, context: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher as Symmetric
        from cryptography.hazmat.primitives.ciphers import modes

        start = os.urandom(16)
        padding = 16 - len(value) % 16
        encryptor = Symmetric(self._algorithm, modes.CBC(start)).encryptor()
        return start + encryptor.update(value + bytes([padding]) * padding) + encryptor.finalize()

    def open(self, data: bytes, context: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher as Symmetric
        from cryptography.hazmat.primitives.ciphers import modes

        if len(data) < 32 or len(data) % 16:
            raise ValueError("the stored data is not a multiple of the block size")
        decryptor = Symmetric(self._algorithm, modes.CBC(data[:16])).decryptor()
        padded = decryptor.update(data[16:]) + decryptor.finalize()
        count = padded[-1]
        if not 1 <= count <= 16 or padded[-count:] != bytes([count]) * count:
            raise ValueError("invalid padding on input")
        return padded[:-count]


class AesGcm:
    """AES in GCM mode, bound to the key that the value is stored under."""

    sizes = (16, 24, 32)

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM(key)

    def seal(self, value: bytes, context: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._aead.encrypt(nonce, value, context)

    def open(self, data: bytes, context: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._aead.decrypt(data[:12], data[12:], context)
        except InvalidTag:
            raise ValueError("message authentication failed") from None


class SecretBox:
    """XSalsa20 and Poly1305."""

    sizes = (32,)

    def __init__(self, key: bytes) -> None:
        from nacl.secret import SecretBox as Box

        self._box = Box(key)

    def seal(self, value: bytes, context: bytes) -> bytes:
        return bytes(self._box.encrypt(value))

    def open(self, data: bytes, context: bytes) -> bytes:
        from nacl.exceptions import CryptoError

        try:
            return self._box.decrypt(data)
        except CryptoError as error:
            raise ValueError(str(error)) from None


_CIPHERS: dict[str, Any] = {"aescbc": AesCbc, "aesgcm": AesGcm, "secretbox": SecretBox}

#: (prefix, cipher); no cipher is the identity.
_Provider = tuple[bytes, Cipher | None]


def load(text: str) -> EncryptionConfiguration:
    """The configuration in a YAML or JSON text. Raises ValueError."""
    from pybernetes.machinery import yaml

    try:
        found = msgspec.convert(yaml.load(text), EncryptionConfiguration)
    except msgspec.ValidationError as error:
        raise ValueError(f"encryption configuration: {error}") from None
    if (found.api_version, found.kind) != ("apiserver.config.k8s.io/v1", "EncryptionConfiguration"):
        raise ValueError(f"encryption configuration: no such kind: {found.api_version}, Kind={found.kind}")
    return found


class Encryption:
    """The seal of a store. Raises ValueError for a configuration that cannot be."""

    def __init__(self, config: EncryptionConfiguration) -> None:
        self._rules = [
            (rule.resources, [made for each in rule.providers for made in _providers(each)])
            for rule in config.resources
        ]
        for resources, providers in self._rules:
            if not resources or not providers:
                raise ValueError("encryption configuration: a rule needs resources and providers")
        self._known: dict[str, list[_Provider]] = {}

    def _of(self, key: str) -> list[_Provider]:
        """The providers for what is stored under a key; none: it is stored as it is."""
        group, resource = key.removeprefix(ROOT).split("/", 2)[:2]
        name = f"{group}/{resource}"
        found = self._known.get(name)
        if found is None:
            group = "" if group == "core" else group
            found = []
            for listed, providers in self._rules:
                if any(_covers(text, group, resource) for text in listed):
                    found = providers
                    break
            self._known[name] = found
        return found

    def seal(self, key: str, value: bytes) -> bytes:
        """The value as it is to be stored."""
        providers = self._of(key)
        if not providers or providers[0][1] is None:
            return value
        prefix, cipher = providers[0]
        assert cipher is not None
        return prefix + cipher.seal(value, key.encode())

    def unseal(self, key: str, data: bytes) -> bytes:
        """The value that was stored. Raises StoreCorrupt when no provider can open it."""
        if not data.startswith(_PREFIX):
            if self._of(key) and all(cipher is not None for _, cipher in self._of(key)):
                raise StoreCorrupt(f"{key} is not encrypted, and its providers do not have identity")
            return data
        reasons = []
        for prefix, cipher in self._of(key):
            if cipher is not None and data.startswith(prefix):
                try:
                    return cipher.open(data[len(prefix) :], key.encode())
                except ValueError as error:
                    reasons.append(str(error))
        said = "; ".join(reasons) or "no matching prefix found"
        raise StoreCorrupt(f"{key} cannot be decrypted: {said}")


def _covers(text: str, group: str, resource: str) -> bool:
    """`secrets`, `deployments.apps`, `*.apps`, `*.` (all of the core group), `*.*`."""
    name, _, wanted = text.partition(".")
    if wanted == "*":
        return name == "*"
    return wanted == group and name in ("*", resource)


def _providers(config: ProviderConfig) -> list[_Provider]:
    given = [name for name in config.__struct_fields__ if getattr(config, name) is not None]
    if len(given) != 1:
        raise ValueError("encryption configuration: a provider is exactly one of aescbc, aesgcm, secretbox, identity")
    kind = given[0]
    if kind == "kms":
        raise ValueError("encryption configuration: kms is not supported")
    if kind == "identity":
        return [(b"", None)]
    found: list[_Provider] = []
    for key in getattr(config, kind).keys:
        try:
            secret = b64decode(key.secret, validate=True)
        except ValueError:
            raise ValueError(f"encryption configuration: key {key.name!r}: secret must be base64 encoded") from None
        cipher = _CIPHERS[kind]
        if len(secret) not in cipher.sizes:
            sizes = ", ".join(map(str, cipher.sizes))
            raise ValueError(f"encryption configuration: key {key.name!r}: expected one of {sizes} bytes")
        found.append((b"%bv1:%b:" % (_PREFIX + kind.encode() + b":", key.name.encode()), cipher(secret)))
    if not found:
        raise ValueError(f"encryption configuration: {kind} has no keys")
    return found
