"""Users and permissions that other servers know of: an OpenID Connect issuer, token and access webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from joserfc import jwt as jose
from joserfc.jwk import ECKey, KeySet, RSAKey

from pybernetes.aio import clock
from pybernetes.api.authentication_v1 import TokenReview, TokenReviewSpec
from pybernetes.api.authorization_v1 import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec
from pybernetes.control_plane.apiserver.authentication import configuration
from pybernetes.control_plane.apiserver.authentication.jwt import InvalidToken
from pybernetes.control_plane.apiserver.authentication.oidc import OIDC
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authorization import configuration as authorization
from pybernetes.machinery import errors
from tests.suites.api_server import client_of, running
from tests.suites.remote_hook import answering
from tests.unit.control_plane.apiserver.admission.test_webhooks import certificate
from tests.unit.control_plane.apiserver.audit.test_audit import ask

ALGORITHMS = configuration.Config().algorithms


class Issuer:
    """An issuer on loopback. `keys` may be exchanged; `fetches` counts."""

    def __init__(self) -> None:
        self.keys: list[Any] = [RSAKey.generate_key(2048, {"kid": "one"})]
        self.url = ""
        self.fetches = 0

    async def discovery(self, _: web.Request) -> web.Response:
        self.fetches += 1
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def key_set(self, _: web.Request) -> web.Response:
        return web.json_response(KeySet(self.keys).as_dict(private=False))

    def token(self, algorithm: str = "RS256", key: int = 0, **claims: Any) -> str:
        given = {"iss": self.url, "aud": "us", "sub": "anna", "exp": int(clock.timestamp()) + 60, **claims}
        chosen = self.keys[key]
        return jose.encode({"alg": algorithm, "kid": chosen.kid}, given, chosen, algorithms=list(ALGORITHMS))


@contextlib.asynccontextmanager
async def issuing(directory: Path) -> AsyncIterator[tuple[Issuer, configuration.JWT]]:
    cert, key = certificate(directory)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer.discovery)
    app.router.add_get("/keys", issuer.key_set)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    issuer.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    flags = {"oidc-issuer-url": issuer.url, "oidc-client-id": "us", "oidc-ca-file": str(cert)}
    more = {"oidc-username-prefix": "oidc:", "oidc-groups-claim": "groups"}
    try:
        yield issuer, configuration.of_flags({**flags, **more})
    finally:
        await runner.cleanup()


def test_tokens_of_an_issuer(tmp_path: Path) -> None:
    async def main() -> None:
        async with issuing(tmp_path) as (issuer, config):
            oidc = OIDC(config, ALGORITHMS)
            found = await oidc.ask(issuer.token(groups=["a"]), ())
            assert found is not None and (found.user.name, found.user.groups[0]) == ("oidc:anna", "a")
            assert await oidc.ask(issuer.token(iss="https://other"), ()) is None
            assert await oidc.ask("opaque", ()) is None
            issuer.keys.append(ECKey.generate_key("P-384", {"kid": "two"}))
            oidc._fetched = -10.0
            found = await oidc.ask(issuer.token("ES384", 1), ())
            assert found is not None and issuer.fetches == 2
            stranger = Issuer()
            stranger.url = issuer.url
            now = int(clock.timestamp())
            for token, said in (
                (issuer.token(exp=now - 5), "expired"),
                (issuer.token(nbf=now + 1000), "before the nbf"),
                (issuer.token(aud="them"), "expected audience"),
                (issuer.token(aud=["them", "others"]), "expected audience"),
                (stranger.token(), "verify token"),
            ):
                with pytest.raises(InvalidToken, match=said):
                    await oidc.ask(token, ())
            only = OIDC(config, ["RS256"])
            with pytest.raises(InvalidToken):
                await only.ask(issuer.token("ES384", 1), ())

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_server_takes_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with issuing(tmp_path) as (issuer, config):
            elsewhere = configuration.Config(jwt=(config,), anonymous_paths=("/livez",))
            async with running(authentication=elsewhere, listen=True) as server:
                _, port = await server.ready.wait()
                bearer = {"Authorization": f"Bearer {issuer.token()}"}
                code, answer = await ask(port, "GET", "/api/v1/nodes", **bearer)
                assert code == 403 and b'User \\"oidc:anna\\" cannot list' in answer
                assert (await ask(port, "GET", "/version", **bearer))[0] == 200
                assert (await ask(port, "GET", "/version", Authorization="Bearer x.y.z"))[0] == 401
                assert (await ask(port, "GET", "/livez"))[0] == 200
                assert (await ask(port, "GET", "/version"))[0] == 401
                reviews = client_of(server).resource(TokenReview)
                answered = await reviews.create(TokenReview(spec=TokenReviewSpec(token=issuer.token())))
                assert answered.status.authenticated and answered.status.user.username == "oidc:anna"

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_token_webhook(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def answer(review: dict[str, Any]) -> Any:
        assert (review["apiVersion"], review["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
        asked.append(review["spec"])
        if review["spec"]["token"] == "broken":
            return 500
        good = review["spec"]["token"] == "good"
        user = {"username": "hooked", "groups": ["system:masters"], "extra": {"a": ["b"]}}
        return {"status": {"authenticated": good, "user": user if good else {}}}

    async def main() -> None:
        async with answering(tmp_path, answer) as hook:
            elsewhere = configuration.Config(webhook=hook, webhook_ttl=60)
            async with running(authentication=elsewhere, listen=True) as server:
                _, port = await server.ready.wait()
                for _ in range(3):
                    assert (await ask(port, "GET", "/api/v1/nodes", Authorization="Bearer good"))[0] == 200
                assert len(asked) == 1
                assert (await ask(port, "GET", "/api/v1/nodes", Authorization="Bearer bad"))[0] == 401
                assert (await ask(port, "GET", "/api/v1/nodes", Authorization="Bearer broken"))[0] == 401
                reviews = client_of(server).resource(TokenReview)
                answered = await reviews.create(TokenReview(spec=TokenReviewSpec(token="good", audiences=["other"])))
                assert not answered.status.authenticated and "audiences" in (answered.status.error or "")
                answered = await reviews.create(TokenReview(spec=TokenReviewSpec(token="broken")))
                assert "webhook" in (answered.status.error or "")

    asyncio.run(asyncio.wait_for(main(), 60))


def test_an_access_webhook(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def answer(review: dict[str, Any]) -> Any:
        assert (review["apiVersion"], review["kind"]) == ("authorization.k8s.io/v1", "SubjectAccessReview")
        spec = review["spec"]
        asked.append(spec)
        action = spec.get("resourceAttributes", {})
        if action.get("resource") == "secrets":
            return {"status": {"allowed": False, "denied": True, "reason": "never secrets"}}
        if action.get("resource") == "pods":
            return 500
        return {"status": {"allowed": spec["user"] in ("anna", "boss")}}

    async def main() -> None:
        async with answering(tmp_path, answer) as hook:
            rules = authorization.Config((authorization.Webhook(hook), "RBAC"))
            users = {"anna": User("anna", "u1", ("g",)), "boss": User("boss"), "poor": User("poor")}
            async with running(authorization=rules, static_tokens=users, listen=True) as server:
                _, port = await server.ready.wait()

                async def code(who: str, path: str, **headers: str) -> int:
                    return (await ask(port, "GET", path, Authorization=f"Bearer {who}", **headers))[0]

                assert [await code("anna", "/api/v1/nodes") for _ in range(3)] == [200] * 3
                assert asked == [
                    {
                        "user": "anna",
                        "groups": ["g", "system:authenticated"],
                        "uid": "u1",
                        "resourceAttributes": {"verb": "list", "version": "v1", "resource": "nodes"},
                    }
                ]
                assert await code("poor", "/api/v1/nodes") == 403
                assert await code("anna", "/api/v1/secrets") == 403
                assert await code("anna", "/api/v1/pods") == 403
                assert await code("boss", "/api/v1/nodes", **{"Impersonate-User": "anna"}) == 200
                reviews = client_of(server).resource(SubjectAccessReview)
                action = ResourceAttributes(verb="get", resource="secrets", namespace="x")
                question = SubjectAccessReview(spec=SubjectAccessReviewSpec(user="anna", resource_attributes=action))
                answered = await reviews.create(question)
                assert answered.status.denied and answered.status.reason == "never secrets"

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize(
    ("modes", "said"),
    [
        (("ABAC",), "ABAC is not supported"),
        (("Nodes",), "none of Node, RBAC"),
        ((), "at least one"),
        (("RBAC", "RBAC"), "more than once"),
        (("Webhook",), "go together"),
    ],
)
def test_modes_that_cannot_be(modes: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        authorization.of_flags(modes, None)


async def test_everything_and_nothing() -> None:
    nobody = User("nobody")
    async with running(authorization=authorization.Config(("AlwaysAllow",))) as server:
        await (
            client_of(server, nobody)
            .resource(SubjectAccessReview)
            .create(
                SubjectAccessReview(
                    spec=SubjectAccessReviewSpec(user="x", resource_attributes=ResourceAttributes(verb="get"))
                )
            )
        )
    async with running(authorization=authorization.Config(("AlwaysDeny",))) as server:
        with pytest.raises(errors.StatusError, match=r"Everything is forbidden\."):
            await client_of(server, nobody).resource(TokenReview).create(TokenReview(spec=TokenReviewSpec(token="x")))
