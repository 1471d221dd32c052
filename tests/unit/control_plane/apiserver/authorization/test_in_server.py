"""The whole way: a real API server, certificates and tokens over TLS, default roles, escalation refused."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pybernetes.bootstrap import pki
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import APIServer, Config

pytestmark = pytest.mark.real_time
RBAC = "/apis/rbac.authorization.k8s.io/v1"


class Caller:
    def __init__(self, session: aiohttp.ClientSession, base: str, token: str = "") -> None:
        self.session, self.base = session, base
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.update(self.headers)
        async with self.session.request(method, self.base + path, json=body, headers=named) as answer:
            return answer.status, await answer.json(content_type=None)


@contextlib.asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[Any]:
    pki.ensure(directory, pki.Config())
    authority = pki.KeyPair((directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes())
    users = {"jane": User("jane", "", ("dev",))}
    server = APIServer(Config(store="memory:", pki=directory, static_tokens=users))
    async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
        task = group.create_task(server.run())
        _, port = await server.ready.wait()

        async def caller(*subject: str, token: str = "") -> Caller:
            tls = ssl.create_default_context(cafile=str(directory / "ca.crt"))
            if subject:
                pair = pki.client(authority, *subject)
                path = directory / "client.pem"
                path.write_bytes(pair.certificate + pair.key)
                tls.load_cert_chain(path)
            connector = aiohttp.TCPConnector(ssl=tls)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            return Caller(session, f"https://127.0.0.1:{port}", token)

        yield caller
        await stack.aclose()
        task.cancel()


def role(name: str, verbs: list[str]) -> dict[str, Any]:
    rules = [{"verbs": verbs, "apiGroups": [""], "resources": ["configmaps"]}]
    return {"metadata": {"name": name}, "rules": rules}


def binding(name: str, kind: str, to: str, user: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": to},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    }


async def test_from_certificate_to_decision(tmp_path: Path) -> None:
    async with cluster(tmp_path) as caller:
        admin = await caller("kubernetes-admin", "kubeadm:cluster-admins")
        jane, nobody = await caller(token="jane"), await caller()
        assert (await nobody("GET", "/version"))[0] == 200
        status, answer = await nobody("GET", "/api/v1/pods")
        assert status == 403 and answer["message"] == (
            'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" '
            "at the cluster scope"
        )
        assert (await (await caller(token="wrong"))("GET", "/version"))[0] == 401

        listing = "/api/v1/namespaces/default/configmaps"
        assert (await jane("GET", listing))[0] == 403
        assert (await admin("POST", f"{RBAC}/namespaces/default/roles", role("reader", ["get", "list"])))[0] == 201
        bindings = f"{RBAC}/namespaces/default/rolebindings"
        assert (await admin("POST", bindings, binding("b", "Role", "reader", "jane")))[0] == 201
        assert (await jane("GET", listing))[0] == 200
        assert (await admin("GET", listing, Impersonate_User="joe"))[0] == 403
        assert (await jane("GET", listing, Impersonate_User="joe"))[0] == 403

        # jane may now write roles, but not grant more than she has
        writer = binding("rbac", "ClusterRole", "system:aggregate-to-admin", "jane")
        assert (await admin("POST", bindings, writer))[0] == 201
        assert (await jane("POST", f"{RBAC}/namespaces/default/roles", role("same", ["get"])))[0] == 201
        status, answer = await jane("POST", f"{RBAC}/namespaces/default/roles", role("more", ["delete"]))
        assert status == 403 and "attempting to grant RBAC permissions not currently held" in answer["message"]
        status, answer = await jane("POST", bindings, binding("top", "ClusterRole", "cluster-admin", "jane"))
        assert status == 403 and "not currently held" in answer["message"]


async def test_service_account_tokens_and_reviews(tmp_path: Path) -> None:
    async with cluster(tmp_path) as caller:
        admin = await caller("root", "system:masters")
        path = "/api/v1/namespaces/default/serviceaccounts"
        status, _ = await admin("POST", path, {"metadata": {"name": "robot"}})
        assert status == 201
        status, answer = await admin("POST", f"{path}/robot/token", {"spec": {"expirationSeconds": 600}})
        assert status == 201
        token = answer["status"]["token"]
        robot = await caller(token=token)
        status, answer = await robot("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
        assert status == 201
        assert answer["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
        assert (await robot("GET", "/openid/v1/jwks"))[1]["keys"][0]["alg"] == "ES256"
        review = {"spec": {"token": token}}
        status, answer = await admin("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
        assert answer["status"]["authenticated"] is True
        question = {
            "spec": {
                "user": "system:kube-scheduler",
                "resourceAttributes": {"verb": "list", "resource": "nodes"},
            }
        }
        status, answer = await admin("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", question)
        assert status == 201 and answer["status"]["allowed"] is True
        assert (await admin("DELETE", f"{path}/robot"))[0] == 200
        assert (await robot("GET", "/version"))[0] == 401


async def test_reading_is_not_running_commands(tmp_path: Path) -> None:
    """WebSockets begin with a GET: what they open needs `create` all the same."""
    async with cluster(tmp_path) as caller:
        admin, jane = await caller("admin", "system:masters"), await caller(token="jane")
        rule = {"apiGroups": [""], "resources": ["pods/exec", "pods/portforward"], "verbs": ["get"]}
        await admin("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "look"}, "rules": [rule]})
        subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
        role = {"kind": "ClusterRole", "name": "look", "apiGroup": "rbac.authorization.k8s.io"}
        binding = {"metadata": {"name": "look"}, "subjects": [subject], "roleRef": role}
        assert (await admin("POST", f"{RBAC}/clusterrolebindings", binding))[0] == 201
        for what in ("exec?command=id&stdout=1", "portforward"):
            status, answer = await jane("GET", f"/api/v1/namespaces/default/pods/p/{what}")
            resource = f"pods/{what.partition('?')[0]}"
            assert (status, answer["message"]) == (
                403,
                f'pods "p" is forbidden: User "jane" cannot create resource "{resource}" in API group "" '
                'in the namespace "default"',
            )
        rule["verbs"] = ["get", "create"]
        body = {"metadata": {"name": "look"}, "rules": [rule]}
        assert (await admin("PUT", f"{RBAC}/clusterroles/look", body))[0] == 200
        assert (await jane("GET", "/api/v1/namespaces/default/pods/p/exec?command=id&stdout=1"))[0] == 404
