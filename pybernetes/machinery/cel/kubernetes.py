"""Kubernetes' functions in CEL: quantities, URLs, addresses, versions, named formats."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pybernetes.machinery import names, quantity
from pybernetes.machinery.cel.functions import GLOBAL, METHODS, NoOverload
from pybernetes.machinery.cel.values import CelError, Optional


def _need(ok: bool) -> None:
    if not ok:
        raise NoOverload("no such overload")


class _Quantity:
    cel_type = "kubernetes.Quantity"
    __slots__ = ("q",)

    def __init__(self, q: quantity.Quantity) -> None:
        self.q = q

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Quantity) and self.q.nano == other.q.nano

    __hash__ = None  # type: ignore[assignment]


def _quantity(text: str) -> _Quantity:
    try:
        return _Quantity(quantity.parse(text))
    except (ValueError, TypeError) as error:
        raise CelError(str(error)) from None


GLOBAL["quantity"] = _quantity


def _is_quantity(text: Any) -> bool:
    try:
        quantity.parse(text)
    except (ValueError, TypeError):
        return False
    return True


GLOBAL["isQuantity"] = _is_quantity


def _amount(value: Any) -> quantity.Quantity:
    return value.q if isinstance(value, _Quantity) else quantity.parse(str(value))


METHODS["isLessThan"] = lambda a, b: a.key() < b.key() if isinstance(a, _Semver) else _amount(a) < _amount(b)
METHODS["isGreaterThan"] = lambda a, b: a.key() > b.key() if isinstance(a, _Semver) else _amount(a) > _amount(b)


def _compare(a: Any, b: Any) -> int:
    if isinstance(a, _Semver):
        return int(a.key() > b.key()) - int(a.key() < b.key())
    one, two = _amount(a), _amount(b)
    return (one > two) - (one < two)


METHODS["compareTo"] = _compare


METHODS["asInteger"] = lambda a: a.q.value
METHODS["isInteger"] = lambda a: a.q.nano % quantity.NANO == 0
METHODS["asApproximateFloat"] = lambda a: a.q.nano / quantity.NANO
METHODS["sign"] = lambda a: (a.q.nano > 0) - (a.q.nano < 0)
METHODS["add"] = lambda a, b: _Quantity(a.q + (b.q if isinstance(b, _Quantity) else quantity.of(b)))
METHODS["sub"] = lambda a, b: _Quantity(a.q - (b.q if isinstance(b, _Quantity) else quantity.of(b)))


class _Url:
    cel_type = "kubernetes.URL"
    __slots__ = ("parts",)

    def __init__(self, parts: SplitResult) -> None:
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Url) and self.parts == other.parts

    __hash__ = None  # type: ignore[assignment]


def _parse_url(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return parts if (parts.scheme and parts.netloc) or text.startswith("/") else None


def _url(text: str) -> _Url:
    parts = _parse_url(text)
    if parts is None:
        raise CelError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return _Url(parts)


GLOBAL["url"] = _url
GLOBAL["jsonpatch.escapeKey"] = lambda key: key.replace("~", "~0").replace("/", "~1")


GLOBAL["isURL"] = lambda text: isinstance(text, str) and _parse_url(text) is not None
METHODS["getScheme"] = lambda u: u.parts.scheme
METHODS["getHost"] = lambda u: u.parts.netloc.rpartition("@")[2]
METHODS["getHostname"] = lambda u: u.parts.hostname or ""
METHODS["getPort"] = lambda u: str(u.parts.port or "")
METHODS["getEscapedPath"] = lambda u: u.parts.path


def _query(u: _Url) -> dict[str, list[str]]:
    from urllib.parse import parse_qs

    return parse_qs(u.parts.query, keep_blank_values=True)


METHODS["getQuery"] = _query


class _Address:
    cel_type = "net.IP"
    __slots__ = ("ip",)

    def __init__(self, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        self.ip = ip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Address) and self.ip == other.ip

    def __str__(self) -> str:
        return str(self.ip)

    __hash__ = None  # type: ignore[assignment]


class _Network:
    cel_type = "net.CIDR"
    __slots__ = ("given", "net")

    def __init__(self, text: str) -> None:
        self.net = ipaddress.ip_network(text, strict=False)
        self.given = ipaddress.ip_interface(text).ip

    def contains_ip(self, other: Any) -> bool:
        found = other.ip if isinstance(other, _Address) else ipaddress.ip_address(other)
        return found in self.net

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Network) and self.net == other.net

    def __str__(self) -> str:
        return f"{self.given}/{self.net.prefixlen}"

    __hash__ = None  # type: ignore[assignment]


def _ip(value: Any) -> _Address:
    if isinstance(value, _Network):
        return _Address(value.given)
    try:
        return _Address(ipaddress.ip_address(value))
    except ValueError:
        raise CelError(f'IP Address "{value}" parse error during conversion from string') from None


def _cidr(text: str) -> _Network:
    try:
        if "/" not in text:
            raise ValueError(text)
        return _Network(text)
    except ValueError:
        raise CelError(
            f'network address parse error during conversion from string: netip.ParsePrefix("{text}")'
        ) from None


GLOBAL["cidr"] = _cidr


GLOBAL["ip"] = METHODS["ip"] = _ip
GLOBAL["isIP"] = lambda text: isinstance(text, str) and not names.ip(text)
GLOBAL["isCIDR"] = lambda text: isinstance(text, str) and not names.cidr(text)
GLOBAL["ip.isCanonical"] = lambda text: str(_ip(text).ip) == text
METHODS["family"] = lambda a: a.ip.version
METHODS["isUnspecified"] = lambda a: a.ip.is_unspecified
METHODS["isLoopback"] = lambda a: a.ip.is_loopback
METHODS["isLinkLocalMulticast"] = lambda a: str(a.ip).startswith(("224.0.0.", "ff02:"))
METHODS["isLinkLocalUnicast"] = lambda a: a.ip.is_link_local
METHODS["isGlobalUnicast"] = lambda a: (
    not (a.ip.is_unspecified or a.ip.is_loopback or a.ip.is_multicast or a.ip.is_link_local)
)
METHODS["containsIP"] = lambda n, a: n.contains_ip(a)
METHODS["prefixLength"] = lambda n: n.net.prefixlen
METHODS["masked"] = lambda n: _Network(str(n.net))


def _contains_cidr(n: _Network, other: Any) -> bool:
    found = other if isinstance(other, _Network) else _cidr(other)
    return n.net.version == found.net.version and found.net.subnet_of(n.net)  # type: ignore[arg-type]


METHODS["containsCIDR"] = _contains_cidr


class _Semver:
    cel_type = "kubernetes.Semver"
    __slots__ = ("parts", "pre")

    def __init__(self, parts: tuple[int, int, int], pre: str) -> None:
        self.parts = parts
        self.pre = pre

    def key(self) -> Any:
        pre = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in self.pre.split(".")] if self.pre else []
        return (self.parts, not self.pre, pre)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Semver) and self.key() == other.key()

    __hash__ = None  # type: ignore[assignment]


_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


def _semver(text: str, normalise: bool = False) -> _Semver:
    if normalise:
        text = text.removeprefix("v")
        head, dash, tail = text.partition("-")
        numbers = [str(int(n)) if n.isdigit() else n for n in head.split(".")]
        text = ".".join([*numbers, "0", "0"][:3]) + dash + tail
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise CelError(f"No Major.Minor.Patch elements found: {text}")
    return _Semver((int(match[1]), int(match[2]), int(match[3])), match[4] or "")


GLOBAL["semver"] = _semver


def _is_semver(text: Any, normalise: bool = False) -> bool:
    try:
        _semver(text, normalise)
    except CelError:
        return False
    return True


GLOBAL["isSemver"] = _is_semver


METHODS["major"] = lambda v: v.parts[0]
METHODS["minor"] = lambda v: v.parts[1]
METHODS["patch"] = lambda v: v.parts[2]


class _Format:
    cel_type = "kubernetes.NamedFormat"
    __slots__ = ("check",)

    def __init__(self, check: Callable[[str], list[str]]) -> None:
        self.check = check


_NAMED = {
    "dns1123Label": names.dns1123_label,
    "dns1123Subdomain": names.dns1123_subdomain,
    "dns1035Label": names.dns1035_label,
    "qualifiedName": names.qualified_name,
    "labelValue": names.label_value,
    "dns1123LabelPrefix": lambda v: names.dns1123_label(v.rstrip("-") or v),
    "dns1123SubdomainPrefix": lambda v: names.dns1123_subdomain(v.rstrip("-.") or v),
    "dns1035LabelPrefix": lambda v: names.dns1035_label(v.rstrip("-") or v),
}
for _name, _check in _NAMED.items():
    GLOBAL[f"format.{_name}"] = lambda check=_check: _Format(check)
GLOBAL["format.named"] = lambda name: Optional(_Format(_NAMED[name])) if name in _NAMED else Optional()


def _validate(form: _Format, text: str) -> Optional:
    _need(isinstance(form, _Format))
    found = form.check(text)
    return Optional(found) if found else Optional()


METHODS["validate"] = _validate
