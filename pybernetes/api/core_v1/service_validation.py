"""Validation of Services and Endpoints."""

from __future__ import annotations

import ipaddress

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.container_validation import PROTOCOLS
from pybernetes.api.core_v1.service import Endpoints, LoadBalancerStatus, Service, ServicePort, ServiceSpec
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
MAX_AFFINITY_SECONDS = 86400


def validate_service(service: Service) -> list[FieldError]:
    errors = meta.object_meta(service.metadata, True, names.dns1035_label)
    _service(service, errors)
    return errors


def _service(service: Service, errors: list[FieldError]) -> None:
    spec = service.spec
    headless = spec.cluster_ip == "None"
    if not spec.ports and not headless and spec.type != "ExternalName":
        errors.append(field.required(SPEC.child("ports")))
    _by_type(spec, headless, errors)
    _ports(spec, headless, errors)
    if spec.selector:
        meta.labels(spec.selector, SPEC.child("selector"), errors)
    _affinity(spec, errors)
    _addresses(spec, errors)
    _policies(spec, errors)


def _by_type(spec: ServiceSpec, headless: bool, errors: list[FieldError]) -> None:
    if spec.type not in TYPES:
        at = SPEC.child("type")
        errors.append(field.not_supported(at, spec.type, TYPES) if spec.type else field.required(at))
    if spec.type == "LoadBalancer":
        for i, port in enumerate(spec.ports or ()):
            if port.port == 10250:
                text = "may not expose port 10250 externally since it is used by kubelet"
                errors.append(field.invalid(SPEC.child("ports").index(i), port.port, text))
        if headless:
            text = "may not be set to 'None' for LoadBalancer services"
            errors.append(field.invalid(SPEC.child("clusterIPs").index(0), "None", text))
    elif spec.type == "NodePort":
        if headless:
            text = "may not be set to 'None' for NodePort services"
            errors.append(field.invalid(SPEC.child("clusterIPs").index(0), "None", text))
    elif spec.type == "ExternalName":
        if spec.cluster_ips or spec.cluster_ip:
            text = "may not be set for ExternalName services"
            errors.append(field.forbidden(SPEC.child("clusterIPs"), text))
        if spec.ip_families:
            errors.append(field.forbidden(SPEC.child("ipFamilies"), "may not be set for ExternalName services"))
        if spec.ip_family_policy is not None:
            text = "may not be set for ExternalName services"
            errors.append(field.forbidden(SPEC.child("ipFamilyPolicy"), text))
        name = (spec.external_name or "").removesuffix(".")
        if not name:
            errors.append(field.required(SPEC.child("externalName")))
        else:
            for text in names.dns1123_subdomain(name):
                errors.append(field.invalid(SPEC.child("externalName"), name, text))
    if spec.type != "LoadBalancer":
        for wire, value in (
            ("loadBalancerSourceRanges", spec.load_balancer_source_ranges),
            ("allocateLoadBalancerNodePorts", spec.allocate_load_balancer_node_ports),
            ("loadBalancerClass", spec.load_balancer_class),
        ):
            if value is not None and value != []:
                errors.append(field.forbidden(SPEC.child(wire), "may only be used when `type` is 'LoadBalancer'"))
    else:
        if spec.load_balancer_class is not None:
            for text in names.qualified_name(spec.load_balancer_class):
                errors.append(field.invalid(SPEC.child("loadBalancerClass"), spec.load_balancer_class, text))
        for i, block in enumerate(spec.load_balancer_source_ranges or ()):
            for text in names.cidr(block.strip()):
                errors.append(field.invalid(SPEC.child("loadBalancerSourceRanges").index(i), block, text))


def _ports(spec: ServiceSpec, headless: bool, errors: list[FieldError]) -> None:
    path = SPEC.child("ports")
    listed = spec.ports or []
    several = len(listed) > 1
    seen_names: set[str] = set()
    seen: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for i, port in enumerate(listed):
        at = path.index(i)
        if not port.name:
            if several:
                errors.append(field.required(at.child("name")))
        else:
            for text in names.dns1123_label(port.name):
                errors.append(field.invalid(at.child("name"), port.name, text))
            if port.name in seen_names:
                errors.append(field.duplicate(at.child("name"), port.name))
            seen_names.add(port.name)
        _port(port, headless, at, errors)
        key = (port.protocol or "", port.port)
        if key in seen:
            errors.append(field.duplicate(at, _shown(port)))
        seen.add(key)
        if port.node_port:
            if spec.type in ("ClusterIP", "ExternalName"):
                text = f"may not be used when `type` is '{spec.type}'"
                errors.append(field.forbidden(at.child("nodePort"), text))
            node = (port.protocol or "", port.node_port)
            if node in node_ports:
                errors.append(field.duplicate(at.child("nodePort"), port.node_port))
            node_ports.add(node)


def _shown(port: ServicePort) -> ServicePort:
    return ServicePort(protocol=port.protocol, port=port.port)


def _port(port: ServicePort, headless: bool, path: Path, errors: list[FieldError]) -> None:
    for text in names.port_number(port.port):
        errors.append(field.invalid(path.child("port"), port.port, text))
    if port.protocol not in PROTOCOLS:
        at = path.child("protocol")
        errors.append(field.not_supported(at, port.protocol, PROTOCOLS) if port.protocol else field.required(at))
    target = port.target_port
    if isinstance(target, str):
        for text in names.port_name(target):
            errors.append(field.invalid(path.child("targetPort"), target, text))
    elif target is not None:
        for text in names.port_number(target):
            errors.append(field.invalid(path.child("targetPort"), target, text))
    if port.app_protocol is not None:
        for text in names.qualified_name(port.app_protocol):
            errors.append(field.invalid(path.child("appProtocol"), port.app_protocol, text))


def _affinity(spec: ServiceSpec, errors: list[FieldError]) -> None:
    at = SPEC.child("sessionAffinity")
    if spec.session_affinity not in ("ClientIP", "None"):
        supported = ("ClientIP", "None")
        wrong = field.not_supported(at, spec.session_affinity, supported)
        errors.append(wrong if spec.session_affinity else field.required(at))
    config = spec.session_affinity_config
    where = SPEC.child("sessionAffinityConfig")
    if spec.session_affinity == "ClientIP":
        seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
        if seconds is None:
            text = "when session affinity type is ClientIP"
            errors.append(field.required(where, text))
        elif not 0 < seconds <= MAX_AFFINITY_SECONDS:
            text = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
            errors.append(field.invalid(where.child("clientIP", "timeoutSeconds"), seconds, text))
    elif config is not None:
        text = "must not be set when session affinity is None"
        errors.append(field.forbidden(where, text))


def _addresses(spec: ServiceSpec, errors: list[FieldError]) -> None:
    for i, address in enumerate(spec.external_ips or ()):
        at = SPEC.child("externalIPs").index(i)
        if messages := names.ip(address):
            for text in messages:
                errors.append(field.invalid(at, address, text))
        else:
            special_ip(address, at, errors)
    policy = spec.ip_family_policy
    if policy is not None and policy not in ("PreferDualStack", "RequireDualStack", "SingleStack"):
        supported = ("SingleStack", "PreferDualStack", "RequireDualStack")
        errors.append(field.not_supported(SPEC.child("ipFamilyPolicy"), policy, supported))
    seen: set[str] = set()
    for i, family in enumerate(spec.ip_families or ()):
        at = SPEC.child("ipFamilies").index(i)
        if family not in ("IPv4", "IPv6"):
            errors.append(field.not_supported(at, family, ("IPv4", "IPv6")))
        if family in seen:
            errors.append(field.duplicate(at, family))
        seen.add(family)
    cluster_ips = spec.cluster_ips or []
    if spec.cluster_ip and not cluster_ips:
        cluster_ips = [spec.cluster_ip]
    at = SPEC.child("clusterIPs")
    if spec.cluster_ip and cluster_ips[0] != spec.cluster_ip:
        errors.append(field.invalid(at, cluster_ips, "first value must match `clusterIP`"))
    if len(cluster_ips) > 2:
        errors.append(field.invalid(at, cluster_ips, "may only hold up to 2 values"))
    for i, address in enumerate(cluster_ips):
        if address == "None":
            if i > 0:
                errors.append(
                    field.invalid(at.index(i), address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
                )
            continue
        for text in names.ip(address):
            errors.append(field.invalid(at.index(i), address, text))


def special_ip(address: str, path: Path, errors: list[FieldError]) -> None:
    """Addresses that no endpoint or external IP may have."""
    value = ipaddress.ip_address(address)
    if value.is_unspecified:
        errors.append(field.invalid(path, address, f"may not be unspecified ({address})"))
    if value.is_loopback:
        what = "127.0.0.0/8" if value.version == 4 else "::1/128"
        errors.append(field.invalid(path, address, f"may not be in the loopback range ({what}, ::1/128)"))
    if value.is_link_local:
        text = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        errors.append(field.invalid(path, address, text))
    if value.is_multicast and str(value).startswith(("224.0.0.", "ff02:")):
        text = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        errors.append(field.invalid(path, address, text))


def _policies(spec: ServiceSpec, errors: list[FieldError]) -> None:
    external = spec.type in ("NodePort", "LoadBalancer") or (spec.type == "ClusterIP" and bool(spec.external_ips))
    at = SPEC.child("externalTrafficPolicy")
    policy = spec.external_traffic_policy
    if not external:
        if policy:
            errors.append(field.invalid(at, policy, "may only be set for externally-accessible services"))
    elif not policy:
        errors.append(field.required(at, "externally-accessible services must specify external traffic policy"))
    elif policy not in ("Cluster", "Local"):
        errors.append(field.not_supported(at, policy, ("Cluster", "Local")))
    check = spec.health_check_node_port
    where = SPEC.child("healthCheckNodePort")
    if check:
        if check < 0:
            errors.append(field.invalid(where, check, meta.NOT_NEGATIVE))
        if spec.type != "LoadBalancer" or policy != "Local":
            text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            errors.append(field.invalid(where, check, text))
    inner = spec.internal_traffic_policy
    at = SPEC.child("internalTrafficPolicy")
    if spec.type in ("ClusterIP", "NodePort", "LoadBalancer"):
        if inner is None:
            errors.append(field.required(at))
        elif inner not in ("Cluster", "Local"):
            errors.append(field.not_supported(at, inner, ("Cluster", "Local")))
    distribution = spec.traffic_distribution
    supported = ("PreferClose", "PreferSameNode", "PreferSameZone")
    if distribution is not None and distribution not in supported:
        errors.append(field.not_supported(SPEC.child("trafficDistribution"), distribution, supported))


def validate_service_update(new: Service, old: Service) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    spec, before = new.spec, old.spec
    if before.type != "ExternalName" and spec.type != "ExternalName":
        _cluster_ips_kept(spec, before, errors)
    if (
        before.type == spec.type == "LoadBalancer"
        and before.external_traffic_policy == spec.external_traffic_policy == "Local"
        and before.health_check_node_port
        and spec.health_check_node_port != before.health_check_node_port
    ):
        text = "field is immutable"
        errors.append(field.invalid(SPEC.child("healthCheckNodePort"), spec.health_check_node_port, text))
    if before.type == spec.type == "LoadBalancer" and spec.load_balancer_class != before.load_balancer_class:
        text = "may not change once set"
        errors.append(field.invalid(SPEC.child("loadBalancerClass"), spec.load_balancer_class, text))
    _service(new, errors)
    return errors


def _cluster_ips_kept(spec: ServiceSpec, before: ServiceSpec, errors: list[FieldError]) -> None:
    now, was = spec.cluster_ips or [], before.cluster_ips or []
    at = SPEC.child("clusterIPs")
    if was and not now:
        errors.append(field.invalid(at.index(0), "", "primary clusterIP can not be unset"))
    elif was and now[0] != was[0]:
        errors.append(field.invalid(at, now, "primary clusterIP can not be changed"))
        errors[-1] = field.invalid(at.index(0), now, "may not change once set")
    if len(was) > 1 and len(now) > 1 and now[1] != was[1]:
        errors.append(field.invalid(at.index(1), now, "may not change once set"))
    families, earlier = spec.ip_families or [], before.ip_families or []
    if earlier and families and families[0] != earlier[0]:
        text = "may not change once set"
        errors.append(field.invalid(SPEC.child("ipFamilies").index(0), families, text))


def validate_service_status_update(new: Service, old: Service) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.status.load_balancer is not None and new.status != old.status:
        _load_balancer(new.status.load_balancer, new.spec, errors)
    return errors


def _load_balancer(status: LoadBalancerStatus, spec: ServiceSpec, errors: list[FieldError]) -> None:
    path = Path("status", "loadBalancer", "ingress")
    if spec.type != "LoadBalancer" and status.ingress:
        errors.append(field.forbidden(path, "may only be used when `spec.type` is LoadBalancer"))
        return
    for i, ingress in enumerate(status.ingress or ()):
        at = path.index(i)
        if ingress.ip:
            for text in names.ip(ingress.ip):
                errors.append(field.invalid(at.child("ip"), ingress.ip, text))
        if ingress.ip_mode is not None and not ingress.ip:
            text = "may not be specified when `ip` is not set"
            errors.append(field.forbidden(at.child("ipMode"), text))
        if ingress.ip_mode not in (None, "VIP", "Proxy"):
            errors.append(field.not_supported(at.child("ipMode"), ingress.ip_mode, ("Proxy", "VIP")))
        if ingress.hostname:
            for text in names.dns1123_subdomain(ingress.hostname):
                errors.append(field.invalid(at.child("hostname"), ingress.hostname, text))
            if not names.ip(ingress.hostname):
                text = "must be a DNS name, not an IP address"
                errors.append(field.invalid(at.child("hostname"), ingress.hostname, text))


def validate_endpoints(endpoints: Endpoints) -> list[FieldError]:
    errors = meta.object_meta(endpoints.metadata, True)
    _endpoints(endpoints, errors)
    return errors


def _endpoints(endpoints: Endpoints, errors: list[FieldError]) -> None:
    for i, subset in enumerate(endpoints.subsets or ()):
        at = Path("subsets").index(i)
        if not subset.addresses and not subset.not_ready_addresses:
            errors.append(field.required(at, "must specify `addresses` or `notReadyAddresses`"))
        for name, listed in (("addresses", subset.addresses), ("notReadyAddresses", subset.not_ready_addresses)):
            for j, address in enumerate(listed or ()):
                where = at.child(name).index(j)
                if messages := names.ip(address.ip):
                    for text in messages:
                        errors.append(field.invalid(where.child("ip"), address.ip, text))
                else:
                    special_ip(address.ip, where.child("ip"), errors)
                if address.hostname:
                    for text in names.dns1123_label(address.hostname):
                        errors.append(field.invalid(where.child("hostname"), address.hostname, text))
        several = len(subset.ports or ()) > 1
        for j, port in enumerate(subset.ports or ()):
            where = at.child("ports").index(j)
            if not port.name:
                if several:
                    errors.append(field.required(where.child("name")))
            else:
                for text in names.dns1123_label(port.name):
                    errors.append(field.invalid(where.child("name"), port.name, text))
            for text in names.port_number(port.port):
                errors.append(field.invalid(where.child("port"), port.port, text))
            if port.protocol not in PROTOCOLS:
                spot = where.child("protocol")
                wrong = field.not_supported(spot, port.protocol, PROTOCOLS)
                errors.append(wrong if port.protocol else field.required(spot))


def validate_endpoints_update(new: Endpoints, old: Endpoints) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    if new.subsets != old.subsets:
        _endpoints(new, errors)
    return errors
