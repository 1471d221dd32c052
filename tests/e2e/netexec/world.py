"""Pods that ask each other, in a namespace of a real cluster: the words that the network tests are written in."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.e2e import netexec
from tests.e2e.conftest import RealCluster

Object = dict[str, Any]


def until(question: Callable[[], Any], seconds: float = 60, pause: float = 0.1) -> Any:
    """The first true answer; fails after some time."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, f"not in {seconds} s"
        time.sleep(pause)
    return answer


class World:
    """One namespace, and the API as its administrator."""

    def __init__(self, cluster: RealCluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.state = json.loads((cluster.directory / "cluster.json").read_text())
        self._tls = ssl.create_default_context(cafile=str(cluster.directory / "pki" / "ca.crt"))
        self._tls.load_cert_chain(cluster.directory / "admin-client.pem")
        self.node = cluster.get("nodes")["items"][0]["metadata"]["name"]
        self.node_address = str(cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"])

    def outside(self, number: int) -> str:
        """An address for load balancers and the like, of the end of the Service range: packets for it stay here."""
        return str(ipaddress.ip_network(self.state["service_cidr"])[-number])

    # -- the API -------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, kind: str = "") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a request."""
        connection = http.client.HTTPSConnection(
            self.state["api_host"], self.state["api_port"], timeout=60, context=self._tls
        )
        try:
            headers = {"Content-Type": kind or "application/json"} if body is not None else {}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def path(self, resource: str, name: str = "") -> str:
        group = "apis/discovery.k8s.io/v1" if resource == "endpointslices" else "api/v1"
        group = "apis/networking.k8s.io/v1" if resource == "networkpolicies" else group
        return f"/{group}/namespaces/{self.namespace}/{resource}" + (f"/{name}" if name else "")

    def create(self, resource: str, body: Object) -> Object:
        return self._done(*self.call("POST", self.path(resource), body))

    def get(self, resource: str, name: str) -> Object:
        return self._done(*self.call("GET", self.path(resource, name)))

    def delete(self, resource: str, name: str, grace: int | None = None) -> None:
        body = {} if grace is None else {"gracePeriodSeconds": grace}
        status, _, text = self.call("DELETE", self.path(resource, name), body)
        assert status in (200, 202, 404), text

    def patch(self, resource: str, name: str, body: Object) -> Object:
        kind = "application/merge-patch+json"
        return self._done(*self.call("PATCH", self.path(resource, name), body, kind))

    @staticmethod
    def _done(status: int, _: dict[str, str], body: bytes) -> Object:
        assert status in (200, 201), body
        return dict(json.loads(body))

    # -- objects -------------------------------------------------------------------------------------------------------

    def pod(self, name: str, labels: Object | None = None, env: Object | None = None, **spec: Any) -> None:
        """A `netexec` Pod. `ports`: its container's."""
        container: Object = {
            "name": "netexec",
            "image": netexec.IMAGE,
            "imagePullPolicy": "Never",
            "env": [
                {"name": k, "value": v} if isinstance(v, str) else {"name": k, **v} for k, v in (env or {}).items()
            ],
            "ports": spec.pop("ports", []),
            "readinessProbe": {
                "tcpSocket": {"port": spec.pop("probe", 8080), **spec.pop("probe_host", {})},
                "periodSeconds": 1,
            },
        }
        whole = {"terminationGracePeriodSeconds": 0, "nodeName": self.node, "containers": [container], **spec}
        self.create("pods", {"metadata": {"name": name, "labels": labels or {}}, "spec": whole})

    def host_pod(self, name: str) -> None:
        """One in the node's network, on an address that only this cluster has."""
        here = {"valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
        self.pod(name, env={"BIND": here, "HTTP_PORTS": "18080", "UDP_PORTS": "18081"}, hostNetwork=True, probe=18080)

    def service(self, name: str, selector: Object | None = None, *ports: Object, **spec: Any) -> Object:
        listed = list(ports) or [{"port": 80, "targetPort": 8080}]
        body = {"metadata": {"name": name}, "spec": {"selector": selector, "ports": listed, **spec}}
        return self.create("services", body)

    @contextlib.contextmanager
    def temporary(self, resource: str, name: str, grace: int | None = 0) -> Iterator[None]:
        """Deletes it in the end."""
        try:
            yield
        finally:
            self.delete(resource, name, grace)

    def ready(self, *names: str) -> None:
        def is_ready(name: str) -> bool:
            conditions = self.get("pods", name)["status"].get("conditions") or []
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        until(lambda: all(is_ready(name) for name in names), 90)

    def address(self, pod: str) -> str:
        return str(self.get("pods", pod)["status"]["podIP"])

    def endpoints(self, service: str) -> dict[str, list[int]]:
        """Pod -> ports of the ready endpoints, by the slices."""
        found: dict[str, list[int]] = {}
        _, _, text = self.call(
            "GET", f"{self.path('endpointslices')}?labelSelector=kubernetes.io/service-name%3D{service}"
        )
        for piece in json.loads(text)["items"]:
            for endpoint in piece.get("endpoints") or ():
                if endpoint.get("conditions", {}).get("ready") and endpoint.get("targetRef"):
                    ports = found.setdefault(endpoint["targetRef"]["name"], [])
                    ports += [port["port"] for port in piece.get("ports") or ()]
        return {name: sorted(ports) for name, ports in found.items()}

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask(self, pod: str, path: str, port: int = 8080) -> str:
        """What a Pod's server answers, through the API's proxy."""
        status, _, text = self.call("GET", f"{self.path('pods', f'{pod}:{port}')}/proxy/{path}")
        assert status == 200, text
        return text.decode()

    def dial(
        self, source: str, host: str, port: int, protocol: str = "http", **more: Any
    ) -> tuple[list[str], list[str]]:
        """Answers and errors that the Pod `source` gets."""
        arguments = {"protocol": protocol, "host": host, "port": port, **more}
        at = 18080 if source == "host" else 8080
        found = json.loads(self.ask(source, f"dial?{urlencode(arguments)}", at))
        return found["responses"], found["errors"]

    def reaches(self, source: str, host: str, port: int, names: set[str], protocol: str = "http") -> None:
        """The servers behind an address are these and no others, in the end."""

        def right() -> bool:
            responses, errors = self.dial(source, host, port, protocol, tries=6 * len(names))
            return set(responses) == names and not errors

        until(right)

    def fails(self, source: str, host: str, port: int, error: str, protocol: str = "http") -> None:
        """In the end nobody answers, and the client sees this error."""
        until(lambda: self.dial(source, host, port, protocol, timeout=1) == ([], [error]))


@contextlib.contextmanager
def world(cluster: RealCluster, namespace: str, directory: Path) -> Iterator[World]:
    """A namespace with the image on its node, until it is done with."""
    archive = netexec.build(directory / "netexec.tar")
    cluster.image("import", str(archive))
    cluster.kubectl("create", "namespace", namespace)
    try:
        yield World(cluster, namespace)
    finally:
        cluster.kubectl("delete", "namespace", namespace, timeout=120)
