from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from pybernetes.aio import clock
from pybernetes.api.authentication_v1 import TokenReview, TokenReviewSpec, TokenReviewStatus
from pybernetes.api.core_v1 import Secret, ServiceAccount
from pybernetes.bootstrap import pki
from pybernetes.control_plane.apiserver.authentication.certificates import Certificates, FrontProxy, RequestHeaders
from pybernetes.control_plane.apiserver.authentication.chain import Authentication
from pybernetes.control_plane.apiserver.authentication.impersonation import impersonate, impersonates
from pybernetes.control_plane.apiserver.authentication.service_accounts import ServiceAccountTokens, TokenIssuer
from pybernetes.control_plane.apiserver.authentication.tokens import BootstrapTokens, StaticTokens, read_token_file
from pybernetes.control_plane.apiserver.authentication.user import ANONYMOUS_USER, User
from pybernetes.control_plane.apiserver.authorization.attributes import ALLOW, NO_OPINION, Attributes, Decision
from pybernetes.control_plane.apiserver.http import Connection, PeerCertificate, Request
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

PRIVATE, PUBLIC = pki.create_signing_key()


class FakeConnection:
    def __init__(self, peer: PeerCertificate | None) -> None:
        self.peer_certificate = peer


def request(*headers: tuple[str, str], peer: PeerCertificate | None = None, upgrade: bool = False) -> Request:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return Request(cast(Connection, FakeConnection(peer)), "GET", b"/", b"", raw, upgrade=upgrade)


def certificate(name: str, *groups: str, root: bytes = b"ca") -> PeerCertificate:
    return PeerCertificate(name, groups, "", clock.timestamp() + 100, b"der", root, f"print-{name}")


OBJECTS: dict[tuple[str, str, str, str], Any] = {}


def chain(**options: Any) -> Authentication:
    OBJECTS.clear()
    OBJECTS["", "serviceaccounts", "ns", "robot"] = ServiceAccount(
        metadata=ObjectMeta(name="robot", namespace="ns", uid="sa-1")
    )
    roots = frozenset([b"proxy"])
    accounts = ServiceAccountTokens([PUBLIC], find)
    static = StaticTokens({"secret": User("alice", "7", ("dev",))})
    return Authentication(
        [RequestHeaders(FrontProxy(roots)), Certificates(roots)],
        [static, accounts, BootstrapTokens(find)],
        audiences=accounts.config.api_audiences,
        **options,
    )


def find(*key: str) -> Any:
    return OBJECTS.get(cast("tuple[str, str, str, str]", key))


async def test_client_certificates() -> None:
    authentication = chain()
    peer = certificate("alice", "dev", "ops")
    user = authentication.authenticate(request(peer=peer))
    assert (user.name, user.groups) == ("alice", ("dev", "ops", "system:authenticated"))
    assert user.extra == {"authentication.kubernetes.io/credential-id": ("X509SHA256=print-alice",)}
    assert authentication.authenticate(request(peer=peer)) is user
    await clock.sleep(101)  # the connection outlives the certificate
    with pytest.raises(StatusError) as error:
        authentication.authenticate(request(peer=peer))
    assert error.value.code == 401


async def test_front_proxy_is_believed_only_with_its_certificate() -> None:
    authentication = chain()
    headers = (
        ("X-Remote-User", "bob"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", "b"),
        ("X-Remote-Uid", "9"),
        ("X-Remote-Extra-Acme%2fScope", "x"),
        ("X-Remote-Extra-Acme%2fScope", "y"),
    )
    user = authentication.authenticate(request(*headers, peer=certificate("front-proxy-client", root=b"proxy")))
    assert user == User("bob", "9", ("a", "b", "system:authenticated"), {"acme/scope": ("x", "y")})
    assert authentication.authenticate(request(*headers)) is ANONYMOUS_USER
    assert authentication.authenticate(request(*headers, peer=certificate("alice"))).name == "alice"
    assert authentication.authenticate(request(*headers, peer=certificate("someone", root=b"proxy"))) is ANONYMOUS_USER
    assert authentication.authenticate(request(peer=certificate("front-proxy-client", root=b"proxy"))) is ANONYMOUS_USER


async def test_bearer_tokens() -> None:
    authentication = chain()
    user = authentication.authenticate(request(("Authorization", "Bearer secret")))
    assert user == User("alice", "7", ("dev", "system:authenticated"))
    assert authentication.authenticate(request(("Authorization", "bearer  secret"))).name == "alice"
    assert authentication.authenticate(request(("Authorization", "Basic eDp5"))) is ANONYMOUS_USER
    with pytest.raises(StatusError) as error:
        authentication.authenticate(request(("Authorization", "Bearer wrong")))
    assert (error.value.code, error.value.message) == (401, "Unauthorized")
    encoded = base64.urlsafe_b64encode(b"secret").rstrip(b"=").decode()
    protocols = f"base64url.bearer.authorization.k8s.io.{encoded}, v5.channel.k8s.io"
    assert authentication.authenticate(request(("Sec-WebSocket-Protocol", protocols), upgrade=True)).name == "alice"
    assert authentication.authenticate(request(("Sec-WebSocket-Protocol", protocols))) is ANONYMOUS_USER


async def test_nobody_is_refused_without_anonymity() -> None:
    with pytest.raises(StatusError) as error:
        chain(anonymous=False).authenticate(request())
    assert error.value.code == 401


def bootstrap_secret(**data: str) -> Secret:
    whole = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        **data,
    }
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in whole.items()}
    secret = Secret(metadata=ObjectMeta(name="bootstrap-token-abcdef"), data=encoded)
    secret.type = "bootstrap.kubernetes.io/token"
    return secret


BOOTSTRAP = "abcdef.0123456789abcdef"


async def test_bootstrap_tokens() -> None:
    authentication = chain()
    OBJECTS["", "secrets", "kube-system", "bootstrap-token-abcdef"] = bootstrap_secret(
        expiration="2026-01-01T01:00:00Z"
    )
    user = authentication.authenticate_token(BOOTSTRAP)
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == (
        "system:bootstrappers",
        "system:bootstrappers:kubeadm:default-node-token",
        "system:authenticated",
    )
    await clock.sleep(3600)
    with pytest.raises(StatusError):
        authentication.authenticate_token(BOOTSTRAP)


@pytest.mark.parametrize(
    "data",
    [
        {"token-secret": "fedcba9876543210"},
        {"token-id": "fedcba"},
        {"usage-bootstrap-authentication": "false"},
        {"expiration": "soon"},
        {"auth-extra-groups": "system:masters"},
    ],
)
async def test_bootstrap_tokens_that_are_none(data: dict[str, str]) -> None:
    authentication = chain()
    OBJECTS["", "secrets", "kube-system", "bootstrap-token-abcdef"] = bootstrap_secret(**data)
    with pytest.raises(StatusError):
        authentication.authenticate_token(BOOTSTRAP)


def review(authentication: Authentication, spec: TokenReviewSpec) -> TokenReviewStatus:
    return authentication.review(TokenReview(spec=spec)).status


async def test_token_review() -> None:
    authentication = chain()
    issuer = TokenIssuer(PRIVATE, find)
    token, _ = issuer.issue("ns", "robot", "sa-1")
    status = review(authentication, TokenReviewSpec(token=token))
    assert status.authenticated and status.user is not None and not status.error
    assert status.user.username == "system:serviceaccount:ns:robot" and status.audiences == [issuer.config.issuer]
    assert status.user.groups == ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]
    other, _ = issuer.issue("ns", "robot", "sa-1", ["vault"])
    assert review(authentication, TokenReviewSpec(token=other, audiences=["vault", "x"])).audiences == ["vault"]
    for spec in (
        TokenReviewSpec(token=other),
        TokenReviewSpec(token="secret", audiences=["vault"]),
        TokenReviewSpec(token="nonsense"),
    ):
        refused = review(authentication, spec)
        assert not refused.authenticated and refused.user.username is None
        assert "invalid bearer token" in (refused.error or "")
    with pytest.raises(StatusError) as error:
        review(authentication, TokenReviewSpec(token=""))
    assert error.value.code == 400


def test_token_file() -> None:
    users = read_token_file('t1,alice,1,"dev,ops"\n# comment\nt2,bob,2\n')
    assert users == {"t1": User("alice", "1", ("dev", "ops")), "t2": User("bob", "2")}
    with pytest.raises(ValueError, match="line 1"):
        read_token_file("t1,alice\n")


ADMIN = User("admin", "", ("system:masters",))


def acting(*headers: tuple[str, str], allow: Any = lambda user, attributes: ALLOW) -> User:
    return impersonate(ADMIN, [(name.lower().encode(), value.encode()) for name, value in headers], allow)


def test_impersonation() -> None:
    asked: list[Attributes] = []

    def note(user: User, attributes: Attributes) -> Decision:
        assert user is ADMIN
        asked.append(attributes)
        return ALLOW

    user = acting(
        ("Impersonate-User", "jane"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Uid", "42"),
        ("Impersonate-Extra-Acme.com%2Fproject", "x"),
        allow=note,
    )
    assert user == User("jane", "42", ("dev", "ops", "system:authenticated"), {"acme.com/project": ("x",)})
    assert [(a.verb, a.api_group, a.resource, a.subresource, a.name) for a in asked] == [
        ("impersonate", "", "users", "", "jane"),
        ("impersonate", "", "groups", "", "dev"),
        ("impersonate", "", "groups", "", "ops"),
        ("impersonate", "authentication.k8s.io", "userextras", "acme.com/project", "x"),
        ("impersonate", "authentication.k8s.io", "uids", "", "42"),
    ]


def test_impersonated_groups() -> None:
    assert acting() is ADMIN
    assert acting(("Impersonate-User", "system:serviceaccount:ns:robot")).groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:ns",
        "system:authenticated",
    )
    assert acting(("Impersonate-User", "system:anonymous")).groups == ("system:unauthenticated",)
    with pytest.raises(StatusError):
        acting(("Impersonate-Group", "dev"))
    assert impersonates({b"impersonate-user": b"x"}) and not impersonates({b"accept": b"*/*"})


def test_impersonation_refused() -> None:
    def only_users(user: User, attributes: Attributes) -> Decision:
        return ALLOW if attributes.resource == "users" else NO_OPINION

    with pytest.raises(StatusError) as error:
        acting(("Impersonate-User", "jane"), ("Impersonate-Group", "system:masters"), allow=only_users)
    assert error.value.code == 403
    assert error.value.message == (
        'groups "system:masters" is forbidden: User "admin" cannot impersonate resource "groups" in API group "" '
        "at the cluster scope"
    )
