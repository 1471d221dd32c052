"""Validation of Ingresses, IngressClasses, NetworkPolicies, IPAddresses and ServiceCIDRs."""

from __future__ import annotations

import ipaddress

from pybernetes.api import meta_validation as meta
from pybernetes.api.networking_v1 import (
    HTTPIngressPath,
    Ingress,
    IngressBackend,
    IngressClass,
    IngressSpec,
    IPAddress,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    ServiceCIDR,
)
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def validate_ingress(ingress: Ingress) -> list[FieldError]:
    errors = meta.object_meta(ingress.metadata, True)
    if ingress.spec.ingress_class_name is not None and CLASS_ANNOTATION in (ingress.metadata.annotations or {}):
        at = Path("metadata").child("annotations").child(CLASS_ANNOTATION)
        text = "can not be set when the class field is also set"
        errors.append(field.invalid(at, (ingress.metadata.annotations or {})[CLASS_ANNOTATION], text))
    _ingress(ingress.spec, errors)
    return errors


def validate_ingress_update(new: Ingress, old: Ingress) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.spec != old.spec:
        _ingress(new.spec, errors)
    return errors


def _ingress(spec: IngressSpec, errors: list[FieldError]) -> None:
    if not spec.rules and spec.default_backend is None:
        text = "either `defaultBackend` or `rules` must be specified"
        errors.append(field.invalid(SPEC, spec.rules or [], text))
    if spec.default_backend is not None:
        _backend(spec.default_backend, SPEC.child("defaultBackend"), errors)
    for i, rule in enumerate(spec.rules or ()):
        at = SPEC.child("rules").index(i)
        if rule.host:
            _host(rule.host, at.child("host"), errors)
        if rule.http is not None:
            where = at.child("http", "paths")
            if not rule.http.paths:
                errors.append(field.required(where))
            for j, path in enumerate(rule.http.paths):
                _path(path, where.index(j), errors)
    for i, tls in enumerate(spec.tls or ()):
        at = SPEC.child("tls").index(i)
        for j, host in enumerate(tls.hosts or ()):
            check = names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain
            for text in check(host):
                errors.append(field.invalid(at.child("hosts").index(j), host, text))
        if tls.secret_name:
            for text in names.dns1123_subdomain(tls.secret_name):
                errors.append(field.invalid(at.child("secretName"), tls.secret_name, text))
    if spec.ingress_class_name is not None:
        for text in names.dns1123_subdomain(spec.ingress_class_name):
            errors.append(field.invalid(SPEC.child("ingressClassName"), spec.ingress_class_name, text))


def _host(host: str, path: Path, errors: list[FieldError]) -> None:
    if not names.ip(host):
        errors.append(field.invalid(path, host, "must be a DNS name, not an IP address"))
        return
    check = names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain
    for text in check(host):
        errors.append(field.invalid(path, host, text))


def _path(path: HTTPIngressPath, at: Path, errors: list[FieldError]) -> None:
    value = path.path or ""
    if not path.path_type:
        errors.append(field.required(at.child("pathType"), "pathType must be specified"))
    elif path.path_type in ("Exact", "Prefix"):
        if not value.startswith("/"):
            errors.append(field.invalid(at.child("path"), value, "must be an absolute path"))
        for bad in ("//", "/./", "/../", "%2f", "%2F"):
            if bad in value:
                errors.append(field.invalid(at.child("path"), value, f"must not contain '{bad}'"))
        for bad in ("/..", "/."):
            if value.endswith(bad):
                errors.append(field.invalid(at.child("path"), value, f"cannot end with '{bad}'"))
    elif path.path_type == "ImplementationSpecific":
        if value and not value.startswith("/"):
            errors.append(field.invalid(at.child("path"), value, "must be an absolute path"))
    else:
        errors.append(field.not_supported(at.child("pathType"), path.path_type, PATH_TYPES))
    _backend(path.backend, at.child("backend"), errors)


def _backend(backend: IngressBackend, path: Path, errors: list[FieldError]) -> None:
    if backend.resource is not None and backend.service is not None:
        text = "cannot set both resource and service backends"
        errors.append(field.invalid(path, "", text))
    elif backend.resource is not None:
        if not backend.resource.kind:
            errors.append(field.required(path.child("resource", "kind")))
        if not backend.resource.name:
            errors.append(field.required(path.child("resource", "name")))
    elif backend.service is not None:
        at = path.child("service")
        if not backend.service.name:
            errors.append(field.required(at.child("name")))
        else:
            for text in names.dns1035_label(backend.service.name):
                errors.append(field.invalid(at.child("name"), backend.service.name, text))
        port = backend.service.port
        number, name = (port.number or 0, port.name or "") if port is not None else (0, "")
        if number and name:
            errors.append(field.invalid(path, "", "cannot set both port name & port number"))
        elif name:
            for text in names.port_name(name):
                errors.append(field.invalid(at.child("port", "name"), name, text))
        elif number:
            for text in names.port_number(number):
                errors.append(field.invalid(at.child("port", "number"), number, text))
        else:
            errors.append(field.required(path, "port name or number is required"))
    else:
        errors.append(field.invalid(path, "", "resource or service backend is required"))


def validate_ingress_class(ingress_class: IngressClass) -> list[FieldError]:
    errors = meta.object_meta(ingress_class.metadata, False)
    controller = ingress_class.spec.controller or ""
    if len(controller) > 250:
        errors.append(field.too_long(SPEC.child("controller"), controller, 250))
    if not controller or "/" not in controller:
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        wrong = field.invalid(SPEC.child("controller"), controller, text)
        errors.append(wrong if controller else field.required(SPEC.child("controller")))
    parameters = ingress_class.spec.parameters
    if parameters is not None:
        at = SPEC.child("parameters")
        for name, value in (("kind", parameters.kind), ("name", parameters.name)):
            if not value:
                errors.append(field.required(at.child(name), f"{name} is required"))
        if parameters.scope not in ("Cluster", "Namespace"):
            errors.append(field.not_supported(at.child("scope"), parameters.scope or "", ("Cluster", "Namespace")))
        if parameters.scope == "Namespace" and not parameters.namespace:
            text = "`parameters.scope` is set to 'Namespace'"
            errors.append(field.required(at.child("namespace"), text))
        if parameters.scope == "Cluster" and parameters.namespace:
            text = "`parameters.scope` is set to 'Cluster'"
            errors.append(field.forbidden(at.child("namespace"), text))
    return errors


def validate_ingress_class_update(new: IngressClass, old: IngressClass) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.spec.controller, old.spec.controller, SPEC.child("controller"), errors)
    return errors


def validate_network_policy(policy: NetworkPolicy) -> list[FieldError]:
    errors = meta.object_meta(policy.metadata, True)
    spec = policy.spec
    meta.label_selector(spec.pod_selector, SPEC.child("podSelector"), errors)
    for i, ingress in enumerate(spec.ingress or ()):
        at = SPEC.child("ingress").index(i)
        _policy_ports(ingress.ports, at, errors)
        for j, peer in enumerate(ingress.from_ or ()):
            _peer(peer, at.child("from").index(j), errors)
    for i, egress in enumerate(spec.egress or ()):
        at = SPEC.child("egress").index(i)
        _policy_ports(egress.ports, at, errors)
        for j, peer in enumerate(egress.to or ()):
            _peer(peer, at.child("to").index(j), errors)
    if len(spec.policy_types or ()) > 2:
        text = "may not specify more than two policyTypes"
        errors.append(field.invalid(SPEC.child("policyTypes"), spec.policy_types, text))
    for i, kind in enumerate(spec.policy_types or ()):
        if kind not in ("Egress", "Ingress"):
            errors.append(field.not_supported(SPEC.child("policyTypes").index(i), kind, ("Egress", "Ingress")))
    return errors


def _policy_ports(listed: list[NetworkPolicyPort] | None, path: Path, errors: list[FieldError]) -> None:
    for i, port in enumerate(listed or ()):
        at = path.child("ports").index(i)
        if port.protocol not in (None, "SCTP", "TCP", "UDP"):
            errors.append(field.not_supported(at.child("protocol"), port.protocol, ("SCTP", "TCP", "UDP")))
        if isinstance(port.port, str):
            for text in names.port_name(port.port):
                errors.append(field.invalid(at.child("port"), port.port, text))
            if port.end_port is not None:
                text = "may not be specified when `port` is non-numeric"
                errors.append(field.invalid(at.child("endPort"), port.end_port, text))
        elif port.port is not None:
            for text in names.port_number(port.port):
                errors.append(field.invalid(at.child("port"), port.port, text))
            if port.end_port is not None:
                if port.end_port < port.port:
                    text = "must be greater than or equal to `port`"
                    errors.append(field.invalid(at.child("endPort"), port.end_port, text))
                for text in names.port_number(port.end_port):
                    errors.append(field.invalid(at.child("endPort"), port.end_port, text))
        elif port.end_port is not None:
            text = "may not be specified when `port` is not specified"
            errors.append(field.invalid(at.child("endPort"), port.end_port, text))


def _peer(peer: NetworkPolicyPeer, path: Path, errors: list[FieldError]) -> None:
    if peer.pod_selector is None and peer.namespace_selector is None and peer.ip_block is None:
        errors.append(field.required(path, "must specify a peer"))
    meta.label_selector(peer.pod_selector, path.child("podSelector"), errors)
    meta.label_selector(peer.namespace_selector, path.child("namespaceSelector"), errors)
    block = peer.ip_block
    if block is None:
        return
    if peer.pod_selector is not None or peer.namespace_selector is not None:
        text = "may not specify both ipBlock and another peer"
        errors.append(field.forbidden(path, text))
    at = path.child("ipBlock")
    if not block.cidr:
        errors.append(field.required(at.child("cidr")))
        return
    if messages := names.cidr(block.cidr):
        for text in messages:
            errors.append(field.invalid(at.child("cidr"), block.cidr, text))
        return
    network = ipaddress.ip_network(block.cidr, strict=False)
    for i, part in enumerate(block.except_ or ()):
        where = at.child("except").index(i)
        if messages := names.cidr(part):
            for text in messages:
                errors.append(field.invalid(where, part, text))
            continue
        inner = ipaddress.ip_network(part, strict=False)
        inside = inner.version == network.version and inner.subnet_of(network)  # type: ignore[arg-type]
        if not inside or inner == network:
            errors.append(field.invalid(where, part, "must be a strict subset of `cidr`"))


def validate_ip_address(address: IPAddress) -> list[FieldError]:
    def canonical(name: str) -> list[str]:
        try:
            same = str(ipaddress.ip_address(name)) == name
        except ValueError:
            return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
        return [] if same else ["must be in canonical form"]

    errors = meta.object_meta(address.metadata, False, canonical)
    parent = address.spec.parent_ref
    at = SPEC.child("parentRef")
    for name, value in (("resource", parent.resource), ("name", parent.name)):
        if not value:
            errors.append(field.required(at.child(name)))
    return errors


def validate_ip_address_update(new: IPAddress, old: IPAddress) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    meta.immutable(new.spec.parent_ref, old.spec.parent_ref, SPEC.child("parentRef"), errors)
    return errors


def validate_service_cidr(service_cidr: ServiceCIDR) -> list[FieldError]:
    errors = meta.object_meta(service_cidr.metadata, False)
    blocks = service_cidr.spec.cidrs or []
    at = SPEC.child("cidrs")
    if not blocks:
        errors.append(field.required(at, "at least one CIDR required"))
    if len(blocks) > 2:
        errors.append(field.invalid(at, blocks, "may only hold up to 2 values"))
    for i, block in enumerate(blocks):
        for text in names.cidr(block):
            errors.append(field.invalid(at.index(i), block, text))
    if len(blocks) == 2 and (":" in blocks[0]) == (":" in blocks[1]):
        text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        errors.append(field.invalid(at, blocks, text))
    return errors


def validate_service_cidr_update(new: ServiceCIDR, old: ServiceCIDR) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    now, was = new.spec.cidrs or [], old.spec.cidrs or []
    at = SPEC.child("cidrs")
    if now[: len(was)] != was or (len(was) > 1 and now != was):
        errors.append(field.invalid(at.index(0), now, meta.IMMUTABLE))
    elif now != was:
        errors.extend(e for e in validate_service_cidr(new) if e.field.startswith("spec"))
    return errors
