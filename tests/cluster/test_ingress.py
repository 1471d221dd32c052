"""The Ingress controller over a control plane and a real haproxy: what it writes back, and when it runs at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.bootstrap import ingress as standard
from pybernetes.bootstrap import pki
from pybernetes.network.ingress import CONTROLLER, Config, IngressController

from .place import Place, Wire

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(standard.binary() is None, reason="haproxy is not installed"),
]


def free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


@contextlib.asynccontextmanager
async def running(place: Place, directory: Path) -> AsyncIterator[IngressController]:
    """The controller of node fake-0, with no more rights than it has in a real cluster."""
    pair = pki.server(pki.create_authority("tests"), "ingress", ("ingress.local",))
    pki.write(directory / "default.pem", pair.certificate + pair.key, 0o600)
    http, https = free_ports()
    config = Config(
        node="fake-0",
        hosts=lambda name, labels: name.startswith("fake-"),
        addresses=("127.0.0.1",),
        directory=directory / "ingress",
        default_certificate=directory / "default.pem",
        http_port=http,
        https_port=https,
        program=standard.binary() or "",
    )
    await place.client.resource(type(standard.standard_class())).create(standard.standard_class())
    controller = IngressController(config, place.cluster.client_of("pybernetes:ingress"))
    async with Nursery("ingress") as nursery:
        nursery.start(controller.run(), "controller")
        await controller.ready.wait()
        yield controller


def backend(name: str = "web") -> Wire:
    return {"service": {"name": name, "port": {"number": 80}}}


def addresses(ingress: Wire) -> list[str]:
    return [one["ip"] for one in ingress["status"]["loadBalancer"].get("ingress") or []]


async def events(place: Place, name: str, count: int) -> dict[str, str]:
    """Reason -> message of the Events of an Ingress, once there are so many."""
    found: dict[str, str] = {}
    for _ in range(200):
        listed = (await place.of("Event").list("here")).items
        found = {e["reason"]: e["message"] for e in listed if e["involvedObject"]["name"] == name}
        if len(found) >= count:
            break
        await clock.sleep(0.1)
    return found


async def answer(port: int, path: str = "/") -> str:
    """The status line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x.example\r\nConnection: close\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.decode().strip()


async def test_an_ingress_gets_the_addresses_of_the_nodes_and_is_left_alone_then(tmp_path: Path) -> None:
    async with Place.open(nodes=2) as place, running(place, tmp_path) as controller:
        assert not controller.haproxy.running
        nodes = sorted(await place.list("Node"), key=lambda node: node["metadata"]["name"])
        expected = [a["address"] for n in nodes for a in n["status"]["addresses"] if a["type"] == "InternalIP"]
        await place.create("Service", "web", spec={"ports": [{"port": 80}]})
        await place.create("Ingress", "i", spec={"defaultBackend": backend()})
        made = await place.until("Ingress", "i", addresses)
        assert made["spec"]["ingressClassName"] == "pybernetes"  # the default class
        assert addresses(made) == list(dict.fromkeys(expected))
        assert await answer(controller.config.http_port) == "HTTP/1.1 503 Service Unavailable"
        # Whatever changes elsewhere, there is nothing more to write and nothing to reload.
        reloads = controller.reloads
        await place.create("Service", "other", spec={"ports": [{"port": 80}]})
        await clock.sleep(1)
        assert (await place.get("Ingress", "i"))["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert controller.reloads == reloads

        # Of another class it is no more ours; and without Ingresses there is no haproxy.
        await place.patch("Ingress", "i", {"spec": {"ingressClassName": "theirs"}})
        await place.until("Ingress", "i", lambda i: not addresses(i))
        for _ in range(100):
            if not controller.haproxy.running:
                break
            await clock.sleep(0.1)
        assert not controller.haproxy.running


async def test_what_is_missing_is_told_once_and_mended_when_it_comes(tmp_path: Path) -> None:
    async with Place.open(nodes=1) as place, running(place, tmp_path) as controller:
        spec = {"defaultBackend": backend(), "tls": [{"secretName": "t", "hosts": ["x.example"]}]}
        annotations = {"nginx.ingress.kubernetes.io/rewrite-target": "/"}
        await place.create("Ingress", "i", spec=spec, metadata={"annotations": annotations})
        assert (await events(place, "i", 3)).keys() == {"MissingService", "MissingSecret", "UnsupportedAnnotation"}
        await place.until("Ingress", "i", addresses)
        assert await answer(controller.config.http_port) == "HTTP/1.1 503 Service Unavailable"
        await place.create("Service", "web", spec={"ports": [{"port": 80}], "type": "ClusterIP"})
        for _ in range(100):
            if not controller._told["here/i"][2:]:
                break
            await clock.sleep(0.1)
        told = [problem.reason for problem in controller._told["here/i"]]
        assert told == ["UnsupportedAnnotation", "MissingSecret"]
        listed = [e for e in (await place.of("Event").list("here")).items if e["involvedObject"]["name"] == "i"]
        assert [e["count"] for e in listed] == [1, 1, 1]


async def test_a_haproxy_that_ends_is_started_again(tmp_path: Path) -> None:
    async with Place.open(nodes=1) as place, running(place, tmp_path) as controller:
        await place.create("Service", "web", spec={"ports": [{"port": 80}]})
        await place.create("Ingress", "i", spec={"defaultBackend": backend()})
        await place.until("Ingress", "i", addresses)
        process = controller.haproxy._process
        assert process is not None
        process.kill()
        await process.wait()
        for _ in range(300):
            with contextlib.suppress(OSError):
                if controller.haproxy.running and await answer(controller.config.http_port):
                    break
            await clock.sleep(0.1)
        assert await answer(controller.config.http_port) == "HTTP/1.1 503 Service Unavailable"


async def test_a_load_balancer_that_had_the_port_first_is_named(tmp_path: Path) -> None:
    async with Place.open(nodes=1) as place, running(place, tmp_path) as controller:
        port = controller.config.http_port
        await place.create("Service", "web", spec={"type": "LoadBalancer", "ports": [{"port": port}]})
        status = {"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}}
        await place.patch("Service", "web", status, "merge", "status")
        spec = {"defaultBackend": {"service": {"name": "web", "port": {"number": port}}}}
        await place.create("Ingress", "i", spec=spec)
        found = await events(place, "i", 1)
        assert found == {"PortTaken": f"port {port} of the node addresses is taken by Service here/web"}


def test_the_class_names_this_controller() -> None:
    assert standard.CONTROLLER == CONTROLLER == standard.standard_class().spec.controller
