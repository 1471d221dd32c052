"""Claims for devices, as a server with roles sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pybernetes.bootstrap import pki
from pybernetes.client.client import Client
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.machinery.errors import StatusError
from tests.suites.api_server import client_of, running

DRIVER = "dra.example.com"
ADMIN = "resource.kubernetes.io/admin-access"
LABEL = f"admin access to devices requires the `{ADMIN}: true` label on the containing namespace"
NODE = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]}
SCHEDULER = User("system:kube-scheduler", groups=("system:authenticated",))
ACCOUNT = "system:serviceaccount:default:driver"
ON_NODE = User(ACCOUNT, extra={"authentication.kubernetes.io/node-name": ("n",)})
ELSEWHERE = User(ACCOUNT, extra={"authentication.kubernetes.io/node-name": ("m",)})


def claims(client: Client) -> Any:
    return client.dynamic("resource.k8s.io/v1", "ResourceClaim")


def claim(name: str, admin: bool | None = None) -> dict[str, Any]:
    exactly = {"deviceClassName": "gpu", **({"adminAccess": admin} if admin is not None else {})}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}},
    }


def allocation(**result: Any) -> dict[str, Any]:
    given = {"request": "r", "driver": DRIVER, "pool": "p", "device": "d", **result}
    return {"devices": {"results": [given]}, "nodeSelector": NODE}


def told(**more: Any) -> dict[str, Any]:
    return {"devices": [{"driver": DRIVER, "pool": "p", "device": "d", "conditions": [], **more}]}


async def refused(work: Any) -> str:
    with pytest.raises(StatusError) as caught:
        await work
    return caught.value.message


async def test_admin_access_is_for_namespaces_that_say_so() -> None:
    async with running() as server:
        client = client_of(server)
        assert await refused(claims(client).create(claim("c", True))) == (
            'ResourceClaim.resource.k8s.io "c" is invalid: spec.devices.requests[0].adminAccess: Forbidden: ' + LABEL
        )
        template = {**claim("t"), "kind": "ResourceClaimTemplate", "spec": {"spec": claim("t", True)["spec"]}}
        templates = client.dynamic("resource.k8s.io/v1", "ResourceClaimTemplate")
        assert LABEL in await refused(templates.create(template))
        await claims(client).create(claim("plain", False))
        body = {"status": {"allocation": allocation(adminAccess=True)}}
        assert await refused(claims(client).patch("plain", "default", body, subresource="status")) == (
            'ResourceClaim.resource.k8s.io "plain" is invalid: status.allocation.devices.results[0].adminAccess: '
            "Forbidden: " + LABEL
        )
        await client.dynamic("v1", "Namespace").patch("default", "", {"metadata": {"labels": {ADMIN: "true"}}})
        await claims(client).create(claim("c", True))
        await claims(client).patch("c", "default", body, subresource="status")
        await templates.create(template)


async def test_whoever_writes_the_status_writes_only_their_part(tmp_path: Path) -> None:
    pki.ensure(tmp_path, pki.Config())
    async with running(pki=tmp_path) as server:
        client = client_of(server)
        await claims(client).create(claim("c"))

        async def grant(name: str, namespace: str, *rules: dict[str, Any]) -> None:
            whole = [{"apiGroups": ["resource.k8s.io"], **rule} for rule in rules]
            group = "rbac.authorization.k8s.io"
            role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": whole}
            await client.dynamic(f"{group}/v1", "ClusterRole").create(role)
            kind = "RoleBinding" if namespace else "ClusterRoleBinding"
            bound = {
                "apiVersion": f"{group}/v1",
                "kind": kind,
                "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
                "subjects": [{"kind": "ServiceAccount", "name": "driver", "namespace": "default"}],
                "roleRef": {"kind": "ClusterRole", "name": name, "apiGroup": group},
            }
            await client.dynamic(f"{group}/v1", kind).create(bound)

        def write(user: User, status: dict[str, Any]) -> Any:
            return claims(client_of(server, user)).patch("c", "default", {"status": status}, subresource="status")

        status_and_binding = {"resources": ["resourceclaims/status", "resourceclaims/binding"], "verbs": ["patch"]}
        await grant("status", "default", status_and_binding)
        text = await refused(write(ON_NODE, {"allocation": allocation()}))
        assert text.startswith(
            'ResourceClaim.resource.k8s.io "c" is invalid: status: Forbidden: changing status.allocation or '
            'status.reservedFor requires resource="resourceclaims/binding", verb="patch" permission: '
        )
        assert text.endswith(f'User "{ACCOUNT}" cannot patch resource "resourceclaims/binding" in API group '
                             '"resource.k8s.io" at the cluster scope')  # fmt: skip
        await write(SCHEDULER, {"allocation": allocation()})

        text = await refused(write(ON_NODE, told()))
        assert 'status.devices: Forbidden: changing status.devices requires resource="resourceclaims/driver", ' in text
        assert 'verb="[associated-node:patch arbitrary-node:patch]" permission: ' in text
        driver = {"resources": ["resourceclaims/driver"], "resourceNames": [DRIVER]}
        await grant("here", "default", {**driver, "verbs": ["associated-node:patch"]})
        assert 'verb="[arbitrary-node:patch]"' in await refused(write(ELSEWHERE, told()))
        await write(ON_NODE, told(data={"a": 1}))
        assert "Forbidden" in await refused(write(SCHEDULER, {"devices": None}))
        await grant("anywhere", "default", {**driver, "verbs": ["arbitrary-node:patch"]})
        await write(ELSEWHERE, told(data={"a": 2}))

        # Taking the allocation takes what was told of the device, for which no driver is asked.
        await write(SCHEDULER, {"allocation": None})
        assert not {"allocation", "devices"} & {*(await claims(client).get("c", "default")).get("status", {})}
