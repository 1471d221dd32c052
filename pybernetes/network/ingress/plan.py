"""Which request goes to which backend: Ingresses -> a table of hosts and paths, and all that cannot be done. Pure.

Precedence is the API's: a host named in full goes before a wildcard, a wildcard before no host; within a host an exact
path goes before a prefix, a longer prefix before a shorter one, by elements. A request that no path of its host takes
may still be taken by a wildcard's, then by a rule without host, then by a default backend. Two Ingresses that want the
same host and path: the older one has it, and the other is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pybernetes.api.core_v1 import Secret
from pybernetes.api.networking_v1 import HTTPIngressPath, Ingress, IngressBackend, IngressClass
from pybernetes.network.ingress import certificates
from pybernetes.network.ingress.backends import Backend, Problem, Services, Slices, resolve

#: The annotation that went before spec.ingressClassName.
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
#: Annotations whose prefix is one of these, or ends in the first, are orders to some Ingress controller.
_ORDERS = ("ingress.kubernetes.io", "haproxy.org", "haproxy-ingress.github.io")

#: Orders of the most used of them that are obeyed: plain HTTP is sent to HTTPS for hosts in `tls`, or for all hosts.
REDIRECT, FORCE_REDIRECT = (f"nginx.ingress.kubernetes.io/{name}" for name in ("ssl-redirect", "force-ssl-redirect"))

#: Host ("" for any, `*.example.com` for one label more) and path; of prefixes the path ends in `/`.
Place = tuple[str, str]


@dataclass
class Plan:
    """What haproxy is to do."""

    exact: dict[Place, str] = field(default_factory=dict)
    prefix: dict[Place, str] = field(default_factory=dict)
    #: Name of the backend of what nothing else takes; "" for none: 404.
    default: str = ""
    #: Kind ("Exact", "Prefix") and place of those that plain HTTP is sent away from, to HTTPS.
    secure: set[tuple[str, Place]] = field(default_factory=set)
    backends: dict[str, Backend] = field(default_factory=dict)
    #: `namespace_name` of the Secret -> hosts it is for (none: those in it) and PEM text.
    certificates: dict[str, tuple[tuple[str, ...], bytes]] = field(default_factory=dict)
    #: `namespace/name` of the Ingress -> what it is to be told.
    problems: dict[str, list[Problem]] = field(default_factory=dict)


#: The name of the backend of places whose own is missing: 503.
MISSING = "missing"


def mine(ingresses: Iterable[Ingress], classes: Iterable[IngressClass], controller: str) -> list[Ingress]:
    """The Ingresses of our classes, the oldest first."""
    names = {one.metadata.name for one in classes if one.spec.controller == controller}
    found = [
        one
        for one in ingresses
        if (one.spec.ingress_class_name or (one.metadata.annotations or {}).get(CLASS_ANNOTATION)) in names
    ]
    return sorted(found, key=_age)


def _age(one: Ingress) -> tuple[str, str, str]:
    return one.metadata.creation_timestamp or "", one.metadata.namespace, one.metadata.name


def plan(
    ingresses: Iterable[Ingress], services: Services, slices: Slices, secrets: Callable[[str, str], Secret | None]
) -> Plan:
    """ingresses: those that are ours, the oldest first."""
    made = Plan()
    owners: dict[tuple[str, Place], str] = {}
    fallbacks: list[tuple[Place, str, bool]] = []
    defaults: list[tuple[bool, str, str]] = []
    for one in ingresses:
        key = f"{one.metadata.namespace}/{one.metadata.name}"
        told = made.problems.setdefault(key, [])
        told += _orders(one)
        _certificates(made, one, secrets, told)
        secure = _secure(one)
        default = _add(made, one, one.spec.default_backend, services, slices, told) if one.spec.default_backend else ""
        for rule in one.spec.rules or ():
            host = (rule.host or "").lower()
            for path in rule.http.paths if rule.http else ():
                kind, place = _place(host, path)
                if any(character.isspace() for character in place[1]):
                    told.append(Problem("UnsupportedPath", f"path {path.path!r} has white space"))
                    continue
                owner = owners.setdefault((kind, place), key)
                if owner != key:
                    message = f"host {host or '*'!r} path {path.path or '/'!r} belongs to the older Ingress {owner}"
                    told.append(Problem("PathTaken", message))
                    continue
                table = made.exact if kind == "Exact" else made.prefix
                table[place] = _add(made, one, path.backend, services, slices, told)
                if secure(host):
                    made.secure.add((kind, place))
            if default:
                fallbacks.append(((host, "/"), default, secure(host)))
        if default:
            defaults.append((bool(one.spec.rules), key, default))
    # Whoever has no rules wants everything; the rest only offers to take what is left.
    defaults.sort(key=lambda entry: entry[0])
    for has_rules, key, name in defaults:
        made.default = made.default or name
        if not has_rules and key != defaults[0][1]:
            message = f"the default backend belongs to the older Ingress {defaults[0][1]}"
            made.problems[key].append(Problem("PathTaken", message))
    for place, name, redirected in fallbacks:
        if place not in made.prefix:
            made.prefix[place] = name
            if redirected:
                made.secure.add(("Prefix", place))
    made.problems = {key: list(dict.fromkeys(told)) for key, told in made.problems.items()}
    return made


def _place(host: str, path: HTTPIngressPath) -> tuple[str, Place]:
    """Kind and place of a path; ImplementationSpecific is Prefix here."""
    text = path.path or "/"
    if path.path_type == "Exact":
        return "Exact", (host, text)
    return "Prefix", (host, text.rstrip("/") + "/")


def _add(
    made: Plan, one: Ingress, wanted: IngressBackend, services: Services, slices: Slices, told: list[Problem]
) -> str:
    found = resolve(one.metadata.namespace, wanted, services, slices)
    if isinstance(found, Problem):
        told.append(found)
        return MISSING
    made.backends[found.name] = found
    return found.name


def _secure(one: Ingress) -> Callable[[str], bool]:
    """Of which of its hosts an Ingress wants HTTPS only."""
    annotations = one.metadata.annotations or {}
    if annotations.get(FORCE_REDIRECT) == "true":
        return lambda host: True
    if annotations.get(REDIRECT) != "true":
        return lambda host: False
    covered = {host.lower() for entry in one.spec.tls or () for host in entry.hosts or ("",)}
    return lambda host: bool(covered & {"", host, f"*.{host.partition('.')[2]}"})


def _certificates(made: Plan, one: Ingress, secrets: Callable[[str, str], Secret | None], told: list[Problem]) -> None:
    namespace = one.metadata.namespace
    for entry in one.spec.tls or ():
        if not entry.secret_name:
            continue  # the default certificate
        name = f"{namespace}_{entry.secret_name}"
        hosts, pem = made.certificates.get(name, ((), None))
        if pem is None:
            found = certificates.bundle(namespace, entry.secret_name, secrets(namespace, entry.secret_name))
            if isinstance(found, Problem):
                told.append(found)
                continue
            pem = found
        more = tuple(host.lower() for host in entry.hosts or ())
        made.certificates[name] = tuple(dict.fromkeys((*hosts, *more))), pem


def _orders(one: Ingress) -> Iterator[Problem]:
    """Annotations that mean something to another controller: not obeyed, and not in silence."""
    for name in sorted(one.metadata.annotations or ()):
        prefix, _, rest = name.partition("/")
        if name in (REDIRECT, FORCE_REDIRECT) and (one.metadata.annotations or {})[name] in ("true", "false"):
            continue
        if rest and (prefix in _ORDERS or prefix.endswith(f".{_ORDERS[0]}")):
            yield Problem("UnsupportedAnnotation", f"annotation {name} is not supported and has no effect")
