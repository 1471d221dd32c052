from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pybernetes.aio import clock
from pybernetes.api.authentication_v1 import TokenRequestSpec
from pybernetes.api.core_v1 import Node, ObjectReference, Pod, Secret, ServiceAccount
from pybernetes.bootstrap import pki
from pybernetes.control_plane.apiserver.authentication import jwt
from pybernetes.control_plane.apiserver.authentication.jwt import InvalidToken
from pybernetes.control_plane.apiserver.authentication.service_accounts import (
    Bound,
    Config,
    ServiceAccountTokens,
    TokenIssuer,
    Use,
    discovery,
    key_set,
    split_username,
)
from pybernetes.machinery.meta import ObjectMeta

PRIVATE, PUBLIC = pki.create_signing_key()


def meta(name: str, uid: str, namespace: str = "ns") -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, uid=uid)


class World(dict[tuple[str, str, str, str], Any]):
    """The live objects."""

    def __init__(self) -> None:
        super().__init__()
        self["", "serviceaccounts", "ns", "robot"] = ServiceAccount(metadata=meta("robot", "sa-1"))
        pod = Pod(metadata=meta("pod", "pod-1"))
        pod.spec.node_name = "node"
        self["", "pods", "ns", "pod"] = pod
        self["", "nodes", "", "node"] = Node(metadata=meta("node", "node-1", ""))

    def find(self, group: str, resource: str, namespace: str, name: str) -> Any:
        return self.get((group, resource, namespace, name))


def make(config: Config | None = None) -> tuple[World, TokenIssuer, ServiceAccountTokens]:
    world = World()
    return world, TokenIssuer(PRIVATE, world.find, config), ServiceAccountTokens([PUBLIC], world.find, config)


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


async def test_a_token_for_a_pod() -> None:
    world, issuer, tokens = make()
    account, pod = world["", "serviceaccounts", "ns", "robot"], world["", "pods", "ns", "pod"]
    token, end = issuer.mint(account, TokenRequestSpec(expiration_seconds=600), pod)
    assert end == "2026-01-01T00:10:00Z"
    said = claims(token)
    jti = said.pop("jti")
    now = int(clock.timestamp())
    assert said == {
        "aud": ["https://kubernetes.default.svc.cluster.local"],
        "exp": now + 600,
        "iat": now,
        "nbf": now,
        "iss": "https://kubernetes.default.svc.cluster.local",
        "kubernetes.io": {
            "namespace": "ns",
            "serviceaccount": {"name": "robot", "uid": "sa-1"},
            "pod": {"name": "pod", "uid": "pod-1"},
            "node": {"name": "node", "uid": "node-1"},
        },
        "sub": "system:serviceaccount:ns:robot",
    }
    user = tokens.authenticate_token(token)
    assert user is not None
    assert (user.name, user.uid) == ("system:serviceaccount:ns:robot", "sa-1")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert user.extra == {
        "authentication.kubernetes.io/credential-id": (f"JTI={jti}",),
        "authentication.kubernetes.io/pod-name": ("pod",),
        "authentication.kubernetes.io/pod-uid": ("pod-1",),
        "authentication.kubernetes.io/node-name": ("node",),
        "authentication.kubernetes.io/node-uid": ("node-1",),
    }
    assert tokens.authenticate_token(token) is user


async def test_a_token_ends() -> None:
    _, issuer, tokens = make()
    token, _ = issuer.issue("ns", "robot", "sa-1", expiration_seconds=600)
    await clock.sleep(655)  # a minute of grace for clocks
    assert tokens.authenticate_token(token)
    await clock.sleep(10)
    with pytest.raises(InvalidToken, match="expired"):
        tokens.authenticate_token(token)


async def test_projected_tokens_last_a_year_but_say_an_hour() -> None:
    world, issuer, tokens = make()
    account, pod = world["", "serviceaccounts", "ns", "robot"], world["", "pods", "ns", "pod"]
    token, end = issuer.mint(account, TokenRequestSpec(expiration_seconds=3607), pod)
    assert end == "2026-01-01T01:00:07Z"
    said = claims(token)
    assert said["exp"] - said["iat"] == 365 * 86400 and said["kubernetes.io"]["warnafter"] - said["iat"] == 3607
    told: list[Use] = []
    tokens.on_use = told.append
    assert tokens.authenticate_token(token) and not told
    await clock.sleep(7200)
    assert tokens.authenticate_token(token)
    assert told == [Use("stale", "system:serviceaccount:ns:robot", seconds=7200 - 3607)]
    assert "serviceaccount_stale_tokens_total 1" in tokens.metrics()
    assert "serviceaccount_valid_tokens_total 1" in tokens.metrics()
    other, _ = issuer.mint(account, TokenRequestSpec(expiration_seconds=3607, audiences=["vault"]), pod)
    assert claims(other)["exp"] - claims(other)["iat"] == 3607


@pytest.mark.parametrize("how", ["account deleted", "account replaced", "pod deleted", "pod replaced", "pod dying"])
async def test_a_token_dies_with_what_it_is_bound_to(how: str) -> None:
    world, issuer, tokens = make()
    token, _ = issuer.issue("ns", "robot", "sa-1", bound=Bound("pods", "pod", "pod-1"))
    assert tokens.authenticate_token(token)
    key = ("", "serviceaccounts", "ns", "robot") if "account" in how else ("", "pods", "ns", "pod")
    if "deleted" in how:
        del world[key]
    elif "replaced" in how:
        world[key].metadata.uid = "another"
    else:
        world[key].metadata.deletion_timestamp = clock.rfc3339()
        assert tokens.authenticate_token(token)
        await clock.sleep(61)
    with pytest.raises(InvalidToken):
        tokens.authenticate_token(token)


async def test_audiences() -> None:
    _, issuer, tokens = make()
    token, _ = issuer.issue("ns", "robot", "sa-1", ["vault", "other"])
    with pytest.raises(InvalidToken, match="audiences"):
        tokens.authenticate_token(token)
    found = tokens.check(token, frozenset(["vault", "third"]))
    assert found is not None and found[1] == ("vault",)


async def test_legacy_tokens_live_as_long_as_their_secret() -> None:
    world, issuer, tokens = make()
    token = issuer.legacy("ns", "robot", "sa-1", "robot-token")
    with pytest.raises(InvalidToken):
        tokens.authenticate_token(token)
    secret = Secret(metadata=meta("robot-token", "s-1"), data={"token": base64.b64encode(token.encode()).decode()})
    world["", "secrets", "ns", "robot-token"] = secret
    user = tokens.authenticate_token(token)
    assert user is not None and user.name == "system:serviceaccount:ns:robot"
    uses: list[tuple[str, str]] = []
    tokens.on_use = lambda use: uses.append((use.secret.metadata.name, use.kind))
    assert tokens.authenticate_token(token)
    world["", "serviceaccounts", "ns", "robot"].secrets = [ObjectReference(name="robot-token")]
    assert tokens.authenticate_token(token)
    secret.metadata.labels = {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}
    with pytest.raises(InvalidToken, match="robot-token for service account ns/robot has been marked invalid"):
        tokens.authenticate_token(token)
    assert uses == [("robot-token", kind) for kind in ("manual", "autogenerated", "invalidated")]
    counted = {line for line in tokens.metrics() if not line.startswith("#")}
    assert counted == {
        "serviceaccount_legacy_tokens_total 3", "serviceaccount_stale_tokens_total 0",
        "serviceaccount_valid_tokens_total 0", "serviceaccount_legacy_auto_token_uses_total 1",
        "serviceaccount_legacy_manual_token_uses_total 2", "serviceaccount_invalid_legacy_auto_token_uses_total 1",
    }  # fmt: skip
    secret.data = {"token": "b3RoZXI="}
    with pytest.raises(InvalidToken, match="token has been invalidated"):
        tokens.authenticate_token(token)


async def test_forgeries() -> None:
    _, issuer, tokens = make()
    token, _ = issuer.issue("ns", "robot", "sa-1")
    head, payload, signature = token.split(".")
    forged = jwt.encode(json.dumps({**claims(token), "sub": "system:serviceaccount:ns:admin"}).encode())
    none = jwt.encode(b'{"alg":"none"}')
    stranger = TokenIssuer(pki.create_signing_key().certificate, World().find).issue("ns", "robot", "sa-1")[0]
    for bad in (
        f"{head}.{forged}.{signature}",
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        f"{head}.{payload}.{signature[:-8]}",
        f"{head}.{payload}.!!!!",
        stranger,
    ):
        with pytest.raises(InvalidToken):
            tokens.authenticate_token(bad)
    assert tokens.authenticate_token("opaque") is None
    foreign = jwt.encode(b'{"iss":"https://elsewhere"}')
    assert tokens.authenticate_token(f"{head}.{foreign}.{signature}") is None


async def test_rsa_keys_and_rotation() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    world = World()
    old, new = TokenIssuer(pem, world.find), TokenIssuer(PRIVATE, world.find)
    tokens = ServiceAccountTokens([PUBLIC, pem], world.find)
    for issuer in (old, new):
        assert tokens.authenticate_token(issuer.issue("ns", "robot", "sa-1")[0])
    document = key_set(list(tokens.keys.values()))
    assert [(k["kty"], k["alg"]) for k in document["keys"]] == [("EC", "ES256"), ("RSA", "RS256")]
    assert "d" not in document["keys"][0] and "d" not in document["keys"][1]


async def test_published_keys_verify_with_a_jose_library() -> None:
    from joserfc import jwk
    from joserfc import jwt as jose

    _, issuer, tokens = make()
    token, _ = issuer.issue("ns", "robot", "sa-1")
    keys = jwk.KeySet.import_key_set(key_set(list(tokens.keys.values())))  # type: ignore[arg-type]
    decoded = jose.decode(token, keys, algorithms=["ES256"])
    assert decoded.claims["sub"] == "system:serviceaccount:ns:robot"
    assert discovery(issuer.config, [issuer.key]) == {
        "issuer": "https://kubernetes.default.svc.cluster.local",
        "jwks_uri": "https://kubernetes.default.svc.cluster.local/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }


def test_user_names() -> None:
    assert split_username("system:serviceaccount:ns:robot") == ("ns", "robot")
    assert split_username("system:serviceaccount:ns") is None and split_username("alice") is None
