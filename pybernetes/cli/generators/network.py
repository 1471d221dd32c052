"""How it is reached: `create service` and `create ingress`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError
from pybernetes.cli.generators.shape import Generator, Object, new

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def _ports(flags: Flags, *, allow_none: bool) -> list[Object]:
    found = []
    for given in (p for g in flags.many("tcp") for p in g.split(",")):
        port, _, target = given.partition(":")
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise CLIError(f"invalid port value: {port}")
        goal: Any = int(target) if target.isdigit() else target or int(port)
        found.append({"name": given.replace(":", "-"), "protocol": "TCP", "port": int(port), "targetPort": goal})
    if not found and not allow_none:
        raise CLIError("at least one tcp port specifier must be provided")
    return found


def _service(kind: str) -> Callable[[Session, Flags, str, list[str]], Object]:
    def make(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
        headless = kind == "ClusterIP" and flags.text("clusterip") == "None"
        ports = _ports(flags, allow_none=headless or kind == "ExternalName")
        spec: Object = {"type": kind, "selector": {"app": name}}
        if ports:
            spec["ports"] = ports
        if kind == "NodePort" and flags.number("node-port"):
            for port in ports:
                port["nodePort"] = flags.number("node-port")
        if kind == "ClusterIP" and flags.text("clusterip"):
            spec["clusterIP"] = flags.text("clusterip")
        if kind == "ExternalName":
            spec["externalName"] = flags.text("external-name")
        found = new("v1", "Service", name, spec=spec, status={"loadBalancer": {}})
        found["metadata"]["labels"] = {"app": name}
        return found

    return make


def _backend(text: str) -> Object:
    service, colon, port = text.partition(":")
    if not colon or not service or not port:
        raise CLIError(f"backend {text} should be in format servicename:serviceport")
    return {"service": {"name": service, "port": {"number": int(port)} if port.isdigit() else {"name": port}}}


def _ingress(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    given = flags.many("rule")
    if not given and not flags.text("default-backend"):
        raise CLIError(
            "not enough information provided: every ingress has to either specify a default-backend (which "
            "catches all traffic) or a list of rules (which catch specific paths)"
        )
    spec: Object = {}
    if flags.text("class"):
        spec["ingressClassName"] = flags.text("class")
    if flags.text("default-backend"):
        spec["defaultBackend"] = _backend(flags.text("default-backend"))
    rules: dict[str, list[Object]] = {}
    tls: dict[str, list[str]] = {}
    for rule in given:
        where, _, options = rule.partition(",")
        place, equals, backend = where.partition("=")
        host, slash, path = place.partition("/")
        if not equals or not slash:
            raise CLIError(f"rule {rule} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]")
        kind = "Exact"
        if path.endswith("*"):
            kind, path = "Prefix", path[:-1]
        rules.setdefault(host, []).append({"path": f"/{path}", "pathType": kind, "backend": _backend(backend)})
        if options == "tls" or options.startswith("tls="):
            secret = options[4:]
            hosts = tls.setdefault(secret, [])
            if host and host not in hosts:
                hosts.append(host)
    if rules:
        spec["rules"] = [{**({"host": h} if h else {}), "http": {"paths": paths}} for h, paths in rules.items()]
    if tls:
        spec["tls"] = [{**({"hosts": h} if h else {}), **({"secretName": s} if s else {})} for s, h in tls.items()]
    found = new("networking.k8s.io/v1", "Ingress", name, spec=spec, status={"loadBalancer": {}})
    if flags.many("annotation"):
        found["metadata"]["annotations"] = dict(a.partition("=")[::2] for a in flags.many("annotation"))
    return found


GENERATORS: dict[str, Generator] = {
    "service clusterip": Generator(
        "Create a ClusterIP service.", _service("ClusterIP"), "tcp* clusterip=", said="ClusterIP service"
    ),
    "service nodeport": Generator(
        "Create a NodePort service.", _service("NodePort"), "tcp* node-port#0", said="NodePort service"
    ),
    "service loadbalancer": Generator(
        "Create a LoadBalancer service.", _service("LoadBalancer"), "tcp*", said="LoadBalancer service"
    ),
    "service externalname": Generator(
        "Create an ExternalName service.",
        _service("ExternalName"),
        "tcp* external-name=",
        required=("external-name",),
        said="ExternalName service",
    ),
    "ingress": Generator(
        "Create an ingress with the specified name.",
        _ingress,
        "rule* class= annotation* default-backend=",
        said="ingress",
    ),
}
