"""The Service of the cluster DNS: written at the start, and left alone when somebody's own DNS is behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from pybernetes.api.apps_v1 import Deployment
from pybernetes.api.core_v1 import ConfigMap, Service, ServiceAccount
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.bootstrap.control_plane import ADMIN
from pybernetes.client.client import Client
from pybernetes.control_plane.apiserver.server import APIServer, Config
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

MANIFEST = (Path(__file__).resolve().parents[4] / "examples" / "coredns.yaml").read_text()


@contextlib.asynccontextmanager
async def server(store: Path, advertise: str = "10.244.255.1", node_dns: bool = True) -> AsyncIterator[Client]:
    url = f"sqlite://{store}"
    api = APIServer(Config(store=url, listen=False, advertise_address=advertise, node_dns=node_dns))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(api.run(), name="apiserver")
        await api.ready.wait()
        try:
            yield Client(api.transport(ADMIN))
        finally:
            task.cancel()


async def slices(client: Client) -> list[str]:
    found = (await client.resource(EndpointSlice).list("kube-system")).items
    return [address for piece in found for endpoint in piece.endpoints or () for address in endpoint.addresses]


@pytest.mark.real_time
async def test_the_service_leads_to_the_nodes_and_gives_way_to_pods(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    async with server(store) as client:
        service = await client.resource(Service).get("kube-dns", "kube-system")
        assert str(service.spec.cluster_ip).endswith(".10")
        assert await slices(client) == ["10.244.255.1"]
    async with server(store, "10.245.255.1") as client:
        assert await slices(client) == ["10.245.255.1"]
        await client.resource(Service).patch("kube-dns", "kube-system", {"spec": {"selector": {"app": "mine"}}})
    async with server(store) as client:
        assert await slices(client) == []
        service = await client.resource(Service).get("kube-dns", "kube-system")
        assert service.spec.selector == {"app": "mine"}


@pytest.mark.real_time
async def test_without_real_nodes_there_is_none(tmp_path: Path) -> None:
    async with server(tmp_path / "store.db", "") as client:
        with pytest.raises(StatusError, match="not found"):
            await client.resource(Service).get("kube-dns", "kube-system")


@pytest.mark.real_time
async def test_coredns_takes_the_place(tmp_path: Path) -> None:
    """The documented manifest is accepted, and its Service gets the address that Pods ask."""
    async with server(tmp_path / "store.db", node_dns=False) as client:
        with pytest.raises(StatusError, match="not found"):
            await client.resource(Service).get("kube-dns", "kube-system")
        for document in yaml.safe_load_all(MANIFEST):
            kind = {"Service": Service, "Deployment": Deployment, "ConfigMap": ConfigMap}.get(document["kind"])
            await client.resource(kind or ServiceAccount).create(codec.from_dict(kind or ServiceAccount, document))
        assert (await client.resource(Service).get("kube-dns", "kube-system")).spec.cluster_ip == "10.96.0.10"
        assert await slices(client) == []
