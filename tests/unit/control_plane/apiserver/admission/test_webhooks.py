"""Webhooks over real TLS on loopback: mutation, refusal, failure policies, match conditions."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pybernetes.machinery import errors
from tests.suites.api_server import client_of, running

pytestmark = pytest.mark.real_time
GROUP = "admissionregistration.k8s.io/v1"
Answer = Callable[[dict[str, Any]], dict[str, Any]]


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("hook.default.svc")]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "tls.crt", directory / "tls.key"
    cert_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


@contextlib.asynccontextmanager
async def serve(
    directory: Path, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> AsyncIterator[tuple[int, str]]:
    """An HTTPS server on loopback: (port, caBundle)."""
    cert, key = certificate(directory)
    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1], b64encode(cert.read_bytes()).decode()
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def webhook(directory: Path, answer: Answer) -> AsyncIterator[tuple[int, str, list[dict[str, Any]]]]:
    """An admission webhook: (port, caBundle, the reviews it got)."""
    seen: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        review = await request.json()
        seen.append(review)
        response = {"uid": review["request"]["uid"], **answer(review["request"])}
        return web.json_response({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})

    async with serve(directory, handle) as (port, bundle):
        yield port, bundle, seen


def configuration(kind: str, port: int, bundle: str, **more: Any) -> dict[str, Any]:
    hook = {
        "name": "hook.example.com",
        "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": bundle},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 5,
        **more,
    }
    return {"apiVersion": GROUP, "kind": kind, "metadata": {"name": "h"}, "webhooks": [hook]}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    }


async def test_a_mutating_webhook_patches(tmp_path: Path) -> None:
    import json

    patch = b64encode(json.dumps([{"op": "add", "path": "/data/seen", "value": "yes"}]).encode()).decode()
    answer = {"allowed": True, "patchType": "JSONPatch", "patch": patch, "warnings": ["careful"]}
    async with webhook(tmp_path, lambda request: answer) as (port, bundle, seen), running() as server:
        client = client_of(server)
        kind = "MutatingWebhookConfiguration"
        await client.dynamic(GROUP, kind).create(configuration(kind, port, bundle))
        made = await client.dynamic("v1", "ConfigMap").create(config_map("a", x="1"))
        assert made["data"] == {"x": "1", "seen": "yes"}
        request = seen[0]["request"]
        assert request["operation"] == "CREATE"
        assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
        assert request["object"]["data"] == {"x": "1"}
        assert request["userInfo"]["groups"]


async def test_a_validating_webhook_refuses(tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        bad = "bad" in request["object"]["data"]
        return {"allowed": not bad, "status": {"message": "no bad ones", "code": 403}}

    async with webhook(tmp_path, answer) as (port, bundle, _), running() as server:
        client = client_of(server)
        kind = "ValidatingWebhookConfiguration"
        await client.dynamic(GROUP, kind).create(configuration(kind, port, bundle))
        maps = client.dynamic("v1", "ConfigMap")
        await maps.create(config_map("a", good="1"))
        with pytest.raises(errors.StatusError) as caught:
            await maps.create(config_map("b", bad="1"))
        assert caught.value.message == 'admission webhook "hook.example.com" denied the request: no bad ones'
        assert caught.value.code == 403


async def test_a_service_is_reached_at_its_endpoint(tmp_path: Path) -> None:
    async with webhook(tmp_path, lambda request: {"allowed": False}) as (port, bundle, _), running() as server:
        client = client_of(server)
        await client.dynamic("v1", "Service").create(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "hook", "namespace": "default"},
                "spec": {"ports": [{"port": 443, "targetPort": port}]},
            }
        )
        # Loopback is no address for an endpoint, so the way there is looked up in a plugin of the test's own.
        from pybernetes.control_plane.apiserver.admission.webhook_client import WebhookClient
        from pybernetes.control_plane.apiserver.admission.webhooks import ValidatingAdmissionWebhook

        plugin = next(p for p in server.core.admission.plugins if isinstance(p, ValidatingAdmissionWebhook))
        assert isinstance(plugin._client, WebhookClient)
        plugin._client._endpoint = lambda service, number: ("127.0.0.1", port)  # type: ignore[method-assign]
        kind = "ValidatingWebhookConfiguration"
        reference = {"service": {"namespace": "default", "name": "hook"}, "caBundle": bundle}
        await client.dynamic(GROUP, kind).create(configuration(kind, port, bundle, clientConfig=reference))
        with pytest.raises(errors.StatusError, match="denied the request without explanation"):
            await client.dynamic("v1", "ConfigMap").create(config_map("a", x="1"))


async def test_failures_follow_the_policy(tmp_path: Path) -> None:
    async with running() as server:
        client = client_of(server)
        kind = "ValidatingWebhookConfiguration"
        hooks = client.dynamic(GROUP, kind)
        made = await hooks.create(configuration(kind, 1, ""))
        maps = client.dynamic("v1", "ConfigMap")
        with pytest.raises(errors.StatusError) as caught:
            await maps.create(config_map("a", x="1"))
        assert 'failed calling webhook "hook.example.com": failed to call webhook: Post' in caught.value.message
        assert caught.value.code == 500
        made["webhooks"][0]["failurePolicy"] = "Ignore"
        await hooks.update(made)
        await maps.create(config_map("a", x="1"))


async def test_match_conditions_choose(tmp_path: Path) -> None:
    async with webhook(tmp_path, lambda request: {"allowed": False}) as (port, bundle, seen), running() as server:
        client = client_of(server)
        kind = "ValidatingWebhookConfiguration"
        conditions = [{"name": "only-x", "expression": "has(object.data.x)"}]
        await client.dynamic(GROUP, kind).create(configuration(kind, port, bundle, matchConditions=conditions))
        await client.dynamic("v1", "ConfigMap").create(config_map("a", y="1"))
        assert seen == []
        with pytest.raises(errors.StatusError, match="denied"):
            await client.dynamic("v1", "ConfigMap").create(config_map("b", x="1"))


async def test_a_hook_that_knows_only_v1beta1_is_asked_in_it(tmp_path: Path) -> None:
    async with webhook(tmp_path, lambda request: {"allowed": False}) as (port, bundle, seen), running() as server:
        client = client_of(server)
        kind = "ValidatingWebhookConfiguration"
        made = configuration(kind, port, bundle, admissionReviewVersions=["v1beta1", "v7"])
        await client.dynamic(GROUP, kind).create(made)
        with pytest.raises(errors.StatusError, match="without explanation") as caught:
            await client.dynamic("v1", "ConfigMap").create(config_map("a", x="1"))
        assert seen[0]["apiVersion"] == "admission.k8s.io/v1beta1"
        # a refusal that gives no code is a bad request without a reason
        assert (caught.value.code, caught.value.reason) == (400, "")


async def test_a_connection_that_was_given_up_is_made_again(tmp_path: Path) -> None:
    """A hook that closes idle connections loses no request that comes on one of them."""
    answered = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal answered
        review = await request.json()
        answered += 1
        if answered == 2:  # as if it had closed the connection while the second request was on its way
            assert request.transport is not None
            request.transport.abort()
        response = {"uid": review["request"]["uid"], "allowed": True}
        return web.json_response({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})

    async with serve(tmp_path, handle) as (port, bundle), running() as server:
        client = client_of(server)
        kind = "ValidatingWebhookConfiguration"
        await client.dynamic(GROUP, kind).create(configuration(kind, port, bundle))
        for name in ("a", "b"):
            await client.dynamic("v1", "ConfigMap").create(config_map(name, x="1"))
        assert answered == 3
