"""Azure's machines against a local simulation of its API: the requests that libcloud's driver sends, over HTTP."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import pytest
from aiohttp import web

from pybernetes.aio import clock
from pybernetes.control_plane.cloud.libcloud import Config, LibcloudProvider
from pybernetes.control_plane.cloud.provider import CloudError
from tests.suites.cloud_contract import CloudContract, Started, node

azure = pytest.importorskip("libcloud.common.azure_arm", reason="Apache Libcloud is an optional dependency")

TENANT, SUBSCRIPTION = "tenant", "11111111-2222-3333-4444-555555555555"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/workers/providers"
MACHINES = f"{GROUP}/Microsoft.Compute/virtualMachines"


class Azure:
    """What the cloud has: machines with one card each, in three pages at most one machine long."""

    def __init__(self, *names: str) -> None:
        self.machines = {name: {"number": number, "state": "running"} for number, name in enumerate(names, 1)}
        self.token, self.tokens = "", 0
        self.port = 0

    async def login(self, request: web.Request) -> web.Response:
        form = await request.post()
        if (form["client_id"], form["client_secret"]) != ("key", "secret"):
            return web.json_response({"error_description": "AADSTS7000215: Invalid client secret"}, status=401)
        self.tokens += 1
        self.token = f"token-{self.tokens}"
        return web.json_response({"access_token": self.token, "expires_on": str(int(clock.timestamp()) + 3600)})

    @web.middleware
    async def authenticated(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if "oauth2" not in request.path and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": {"code": "AuthenticationFailed", "message": "no token"}}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    async def listed(self, request: web.Request) -> web.Response:
        names = list(self.machines)
        at = int(request.query.get("$skiptoken", "0"))
        page: dict[str, Any] = {"value": [self._machine(name) for name in names[at : at + 1]]}
        if at + 1 < len(names):
            page["nextLink"] = f"https://management.azure.com{request.path}?api-version=x&$skiptoken={at + 1}"
        return web.json_response(page)

    def _machine(self, name: str) -> dict[str, Any]:
        card = f"{GROUP}/Microsoft.Network/networkInterfaces/{name}"
        return {
            "id": f"{MACHINES}/{name}",
            "name": name,
            "location": "westeurope",
            "zones": ["2"],
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_B2s"},
                "networkProfile": {"networkInterfaces": [{"id": card}]},
                "provisioningState": "Succeeded",
            },
        }

    async def state(self, request: web.Request) -> web.Response:
        if self.machines[request.match_info["name"]]["state"] == "unknown":
            return web.json_response({"error": {"code": "InternalServerError", "message": "later"}}, status=500)
        statuses = [
            {"code": "ProvisioningState/succeeded"},
            {"code": f"PowerState/{self.machines[request.match_info['name']]['state']}"},
        ]
        return web.json_response({"statuses": statuses})

    async def card(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        public = {"id": f"{GROUP}/Microsoft.Network/publicIPAddresses/{name}"}
        addresses = {"privateIPAddress": f"10.0.0.{self.machines[name]['number']}", "publicIPAddress": public}
        body = {"id": request.path, "name": name, "properties": {"ipConfigurations": [{"properties": addresses}]}}
        return web.json_response(body)

    async def public(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        address = f"203.0.113.{self.machines[name]['number']}"
        return web.json_response({"id": request.path, "name": name, "properties": {"ipAddress": address}})


@contextlib.asynccontextmanager
async def simulated(*names: str) -> Any:
    """The cloud, on the loopback address; libcloud's connections lead there, whatever their host."""
    cloud = Azure(*names)
    app = web.Application(middlewares=[cloud.authenticated])
    app.router.add_post(f"/{TENANT}/oauth2/token", cloud.login)
    app.router.add_get(f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/virtualMachines", cloud.listed)
    app.router.add_get(f"{MACHINES}/{{name}}/InstanceView", cloud.state)
    app.router.add_get(f"{GROUP}/Microsoft.Network/networkInterfaces/{{name}}", cloud.card)
    app.router.add_get(f"{GROUP}/Microsoft.Network/publicIPAddresses/{{name}}", cloud.public)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]

    class Here(azure.LibcloudConnection):  # type: ignore[misc,name-defined]
        def __init__(self, *where: Any, secure: bool | None = None, **more: Any) -> None:
            super().__init__(**more | {"host": "127.0.0.1", "port": port, "secure": False})

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library
        patch.setattr(azure.AzureResourceManagementConnection, "conn_class", Here)
        try:
            yield cloud
        finally:
            await runner.cleanup()


def config(secret: str = "secret") -> Config:
    return Config("azure", (TENANT, SUBSCRIPTION, "key", secret))


@pytest.mark.real_time
class TestAzure(CloudContract):
    @contextlib.asynccontextmanager
    async def cloud(self) -> Started:  # type: ignore[override]
        async with simulated("n1", "n2", "n3"):
            provider = LibcloudProvider(config())
            provider.start(lambda: None)
            yield provider
            await provider.close()


@pytest.mark.real_time
async def test_a_machine_tells_where_and_what_it_is() -> None:
    async with simulated("n1", "n2", "n3") as cloud:
        provider = LibcloudProvider(config())
        found = await provider.instance(node("n3", "192.0.2.1"))
        assert found is not None and not found.shutdown
        assert found.provider_id == f"azure://{MACHINES}/n3"
        assert (found.type, found.zone, found.region) == ("Standard_B2s", "westeurope-2", "westeurope")
        addresses = [(one.type, one.address) for one in found.addresses]
        assert addresses == [("InternalIP", "10.0.0.3"), ("ExternalIP", "203.0.113.3")]
        by_address = await provider.instance(node("kubelet-name", "10.0.0.2"))
        assert by_address is not None and by_address.provider_id.endswith("/n2")
        cloud.machines["n3"]["state"] = "unknown"
        provider._listed_at = -100
        assert (await provider.instance(node("n3", "192.0.2.1"))) == found
        cloud.machines["n3"]["state"] = "deallocated"
        del cloud.machines["n2"]
        provider._listed_at = -100
        stopped = await provider.instance(node("n3", "192.0.2.1"))
        assert stopped is not None and stopped.shutdown
        assert await provider.instance(node("kubelet-name", "10.0.0.2", providerID=by_address.provider_id)) is None
        assert provider.features == {"instances"} and cloud.tokens


@pytest.mark.real_time
async def test_a_wrong_secret_is_told() -> None:
    async with simulated("n1"):
        with pytest.raises(CloudError, match=r"azure: .*Invalid client secret"):
            await LibcloudProvider(config("wrong")).instance(node("n1", "192.0.2.1"))
