"""Ingresses and what they name, from few words."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

from pybernetes.api.core_v1 import Secret, Service
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.api.networking_v1 import Ingress
from pybernetes.bootstrap import pki
from pybernetes.machinery import codec
from pybernetes.network.ingress.plan import Plan, plan


def backend(name: str, port: int | str = 80) -> dict[str, Any]:
    return {"service": {"name": name, "port": {"name" if isinstance(port, str) else "number": port}}}


def path(text: str, name: str, kind: str = "Prefix") -> dict[str, Any]:
    return {"path": text, "pathType": kind, "backend": backend(name)}


def rule(host: str, *paths: dict[str, Any]) -> dict[str, Any]:
    return {**({"host": host} if host else {}), "http": {"paths": list(paths)}}


def ingress(name: str, *rules: dict[str, Any], age: int = 0, annotations: Any = None, **spec: Any) -> Ingress:
    metadata = {
        "name": name,
        "namespace": "ns",
        "creationTimestamp": f"2026-01-01T00:00:{age:02}Z",
        "annotations": annotations,
    }
    body = {"ingressClassName": "pybernetes", "rules": list(rules) or None, **spec}
    return codec.from_dict(Ingress, {"metadata": metadata, "spec": body})


def service(name: str, **spec: Any) -> Service:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return codec.from_dict(Service, {"metadata": {"name": name, "namespace": "ns"}, "spec": {"ports": ports, **spec}})


def piece(*addresses: str, port: int = 8080, name: str = "http", **conditions: bool) -> EndpointSlice:
    body = {
        "metadata": {"name": "s", "namespace": "ns"},
        "addressType": "IPv4",
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
    }
    return codec.from_dict(EndpointSlice, body)


@cache
def authority() -> pki.KeyPair:
    return pki.create_authority("tests")


def certificate(*names: str) -> pki.KeyPair:
    return pki.server(authority(), names[0], names)


def secret(name: str, pair: pki.KeyPair | None = None, type_: str = "kubernetes.io/tls") -> Secret:
    pair = pair or certificate("a.example")
    data = {
        "tls.crt": base64.b64encode(pair.certificate).decode(),
        "tls.key": base64.b64encode(pair.key).decode(),
    }
    metadata = {"name": name, "namespace": "ns"}
    return codec.from_dict(Secret, {"metadata": metadata, "type": type_, "data": data})


def planned(*ingresses: Ingress, services: str = "a b c d e", secrets: tuple[Secret, ...] = ()) -> Plan:
    """The plan with these Services, each with one Pod."""
    known = {name: service(name) for name in services.split()}
    kept = {one.metadata.name: one for one in secrets}
    return plan(
        ingresses,
        lambda namespace, name: known.get(name),
        lambda namespace, name: [piece("10.0.0.1")],
        lambda namespace, name: kept.get(name),
    )
