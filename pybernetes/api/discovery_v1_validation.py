"""Validation of EndpointSlices."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.service_validation import special_ip
from pybernetes.api.discovery_v1 import Endpoint, EndpointPort, EndpointSlice
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

MAX_ENDPOINTS, MAX_ADDRESSES, MAX_PORTS, MAX_TOPOLOGY = 1000, 100, 20_000, 16


def validate_endpoint_slice(endpoint_slice: EndpointSlice) -> list[FieldError]:
    errors = meta.object_meta(endpoint_slice.metadata, True)
    kind = endpoint_slice.address_type
    if kind not in ("FQDN", "IPv4", "IPv6"):
        supported = ("FQDN", "IPv4", "IPv6")
        errors.append(field.not_supported("addressType", kind, supported) if kind else field.required("addressType"))
    _content(endpoint_slice, errors)
    return errors


def validate_endpoint_slice_update(new: EndpointSlice, old: EndpointSlice) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.address_type, old.address_type, Path("addressType"), errors)
    if new.endpoints != old.endpoints or new.ports != old.ports:
        _content(new, errors)
    return errors


def _content(endpoint_slice: EndpointSlice, errors: list[FieldError]) -> None:
    endpoints, ports = endpoint_slice.endpoints or [], endpoint_slice.ports or []
    if len(endpoints) > MAX_ENDPOINTS:
        errors.append(field.too_many("endpoints", len(endpoints), MAX_ENDPOINTS))
    else:
        for i, endpoint in enumerate(endpoints):
            _endpoint(endpoint, endpoint_slice.address_type, Path("endpoints").index(i), errors)
    if len(ports) > MAX_PORTS:
        errors.append(field.too_many("ports", len(ports), MAX_PORTS))
    else:
        _ports(ports, errors)


def _endpoint(endpoint: Endpoint, kind: str, path: Path, errors: list[FieldError]) -> None:
    if not endpoint.addresses:
        errors.append(field.required(path.child("addresses"), "must contain at least 1 address"))
    elif len(endpoint.addresses) > MAX_ADDRESSES:
        errors.append(field.too_many(path.child("addresses"), len(endpoint.addresses), MAX_ADDRESSES))
    for i, address in enumerate(endpoint.addresses):
        at = path.child("addresses").index(i)
        if kind == "FQDN":
            for text in names.fully_qualified_domain_name(address):
                errors.append(field.invalid(at, address, text))
        elif kind in ("IPv4", "IPv6"):
            if messages := names.ip(address):
                for text in messages:
                    errors.append(field.invalid(at, address, text))
            elif (":" in address) != (kind == "IPv6"):
                errors.append(field.invalid(at, address, f"must be a valid {kind} address"))
            else:
                special_ip(address, at, errors)
    for name, value in (("nodeName", endpoint.node_name),):
        if value is not None:
            for text in names.dns1123_subdomain(value):
                errors.append(field.invalid(path.child(name), value, text))
    if endpoint.hostname is not None:
        for text in names.dns1123_label(endpoint.hostname):
            errors.append(field.invalid(path.child("hostname"), endpoint.hostname, text))
    for key, value in (endpoint.deprecated_topology or {}).items():
        for text in (*names.qualified_name(key), *names.label_value(value)):
            errors.append(field.invalid(path.child("deprecatedTopology"), key, text))


def _ports(listed: list[EndpointPort], errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for i, port in enumerate(listed):
        at = Path("ports").index(i)
        name = port.name or ""
        if name:
            for text in names.dns1123_label(name):
                errors.append(field.invalid(at.child("name"), name, text))
        if name in seen:
            errors.append(field.duplicate(at.child("name"), name))
        seen.add(name)
        if port.protocol not in ("SCTP", "TCP", "UDP"):
            wrong = field.not_supported(at.child("protocol"), port.protocol, ("SCTP", "TCP", "UDP"))
            errors.append(wrong if port.protocol else field.required(at.child("protocol")))
        if port.port is not None:
            for text in names.port_number(port.port):
                errors.append(field.invalid(at.child("port"), port.port, text))
        if port.app_protocol is not None:
            for text in names.qualified_name(port.app_protocol):
                errors.append(field.invalid(at.child("appProtocol"), port.app_protocol, text))
