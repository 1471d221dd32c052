"""Encryption at rest: what reaches the disk, and how keys are exchanged."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from pybernetes.api.core_v1 import ConfigMap, Secret
from pybernetes.control_plane.apiserver.cache import ROOT
from pybernetes.control_plane.apiserver.encryption import Encryption, load
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.store.errors import StoreCorrupt
from tests.suites.api_server import client_of, running

HEAD = "{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: ["
KEYS = {name: b64encode(bytes([number]) * 32).decode() for number, name in enumerate(("one", "two"), 1)}


def provider(kind: str, *names: str) -> str:
    listed = ", ".join(f"{{name: {name}, secret: '{KEYS[name]}'}}" for name in names)
    return f"{{{kind}: {{keys: [{listed}]}}}}"


def config(*providers: str, resources: str = "[secrets]") -> str:
    return f"{HEAD}{{resources: {resources}, providers: [{', '.join(providers)}]}}]}}"


def seal(*providers: str, resources: str = "[secrets]") -> Encryption:
    return Encryption(load(config(*providers, resources=resources)))


SECRET = f"{ROOT}core/secrets/default/s"
IDENTITY = "{identity: {}}"


@pytest.mark.parametrize("kind", ["aescbc", "aesgcm", "secretbox"])
@pytest.mark.parametrize("value", [b"", b"x" * 15, b"x" * 16, b"y" * 1000])
def test_there_and_back(kind: str, value: bytes) -> None:
    found = seal(provider(kind, "one"))
    kept = found.seal(SECRET, value)
    assert kept.startswith(f"k8s:enc:{kind}:v1:one:".encode()) and (not value or value not in kept)
    assert kept != found.seal(SECRET, value)
    assert found.unseal(SECRET, kept) == value
    broken = kept[:-1] + bytes([kept[-1] ^ 1])
    if kind != "aescbc":
        with pytest.raises(StoreCorrupt, match="cannot be decrypted"):
            found.unseal(SECRET, broken)


def test_a_value_belongs_to_its_key() -> None:
    found = seal(provider("aesgcm", "one"))
    with pytest.raises(StoreCorrupt, match="message authentication failed"):
        found.unseal(f"{ROOT}core/secrets/default/other", found.seal(SECRET, b"x"))


def test_keys_are_exchanged() -> None:
    plain, first = b'{"a":1}', seal(provider("aescbc", "one"), IDENTITY)
    both = seal(provider("aescbc", "two", "one"), IDENTITY)
    old = first.seal(SECRET, plain)
    assert both.unseal(SECRET, old) == both.unseal(SECRET, plain) == plain
    assert both.seal(SECRET, plain).startswith(b"k8s:enc:aescbc:v1:two:")
    last = seal(provider("aescbc", "two"))
    with pytest.raises(StoreCorrupt, match="no matching prefix found"):
        last.unseal(SECRET, old)
    with pytest.raises(StoreCorrupt, match="is not encrypted"):
        last.unseal(SECRET, plain)
    assert seal(IDENTITY, provider("aescbc", "one")).seal(SECRET, plain) == plain


@pytest.mark.parametrize(
    ("resources", "key", "covered"),
    [
        ("[secrets]", "core/secrets/x/y", True),
        ("[secrets]", "core/configmaps/x/y", False),
        ("['*.']", "core/configmaps/x/y", True),
        ("['*.']", "apps/deployments/x/y", False),
        ("['*.apps']", "apps/deployments/x/y", True),
        ("[deployments.apps]", "apps/deployments/x/y", True),
        ("[deployments]", "apps/deployments/x/y", False),
        ("['*.*']", "example.com/things/x", True),
    ],
)
def test_what_is_covered(resources: str, key: str, covered: bool) -> None:
    assert (seal(provider("aesgcm", "one"), resources=resources).seal(f"{ROOT}{key}", b"x") != b"x") is covered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (config("{kms: {}}"), "kms is not supported"),
        (config("{}"), "exactly one of"),
        (config("{aescbc: {keys: []}}"), "has no keys"),
        (config("{aescbc: {keys: [{name: a, secret: YWJj}]}}"), "expected one of 16, 24, 32 bytes"),
        (config("{aescbc: {keys: [{name: a, secret: '!'}]}}"), "must be base64 encoded"),
        (config(), "needs resources and providers"),
        (config("{rot13: {}}"), "unknown field"),
        ("{apiVersion: v1, kind: X, resources: []}", "no such kind"),
    ],
)
def test_what_cannot_be(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="encryption configuration") as caught:
        Encryption(load(text))
    assert said in str(caught.value)


def on_disk(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.glob("store.db*"))


@pytest.mark.real_time
async def test_a_server_keeps_secrets_sealed(tmp_path: Path) -> None:
    file, store = tmp_path / "encryption.yaml", tmp_path / "store.db"
    file.write_text(config(provider("secretbox", "one")))
    for _ in range(2):  # the second server reads what the first has written
        async with running(store=f"sqlite://{store}", encryption=file) as server:
            secrets, maps = client_of(server).resource(Secret), client_of(server).resource(ConfigMap)
            if not (await secrets.list("default")).items:
                meta = ObjectMeta(name="s", namespace="default")
                await secrets.create(Secret(metadata=meta, string_data={"password": "very-secret"}))
                await maps.create(ConfigMap(metadata=meta, data={"note": "quite-open"}))
            assert (await secrets.get("s", "default")).data == {"password": "dmVyeS1zZWNyZXQ="}
    kept = on_disk(tmp_path)
    assert b"dmVyeS1zZWNyZXQ=" not in kept and b"quite-open" in kept and b"k8s:enc:secretbox:v1:one:" in kept
