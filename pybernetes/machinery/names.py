"""What names, labels and other small texts may look like, with upstream's words for what is wrong with them.

Each check returns a list of messages, empty when all is well, which is what validation appends to a path. They are
cached: the same names pass by on every write.
"""

from __future__ import annotations

import ipaddress
import random
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

__all__ = [
    "config_map_key",
    "dns1035_label",
    "dns1123_label",
    "dns1123_subdomain",
    "env_var_name",
    "generate",
    "ip",
    "label_value",
    "path_segment",
    "port_name",
    "port_number",
    "qualified_name",
    "random_suffix",
]

Check = Callable[[str], list[str]]

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_TEXT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_KEY_TEXT: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)


def regex_text(message: str, pattern: str, *examples: str) -> str:
    """`message (e.g. 'a',  or 'b', regex used for validation is '...')`, double space and all."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{e}', " for e in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def max_length_text(length: int) -> str:
    return f"must be no more than {length} bytes"


def range_text(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


EMPTY: Final = "must be non-empty"


def _compile(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern, re.ASCII).fullmatch


_is_label = _compile(_LABEL)
_is_subdomain = _compile(_SUBDOMAIN)
_is_label_1035 = _compile(_LABEL_1035)
_is_key = _compile(_KEY)
_is_wildcard = _compile(rf"\*\.{_SUBDOMAIN}")
_is_c_identifier = _compile("[A-Za-z_][A-Za-z0-9_]*")
_is_config_key = _compile("[-._a-zA-Z0-9]+")
_is_percent = _compile("[0-9]+%")
_is_header = _compile("[-A-Za-z0-9]+")
_is_env_var = _compile("[-._a-zA-Z][-._a-zA-Z0-9]*")
_is_port_name = _compile("[-a-z0-9]+")
_has_letter = re.compile("[a-z]").search


def _cached(check: Callable[[str], list[str]]) -> Check:
    """Cache a check. The lists are shared, so nobody may change one: callers read messages from them."""
    return lru_cache(maxsize=16384)(check)


@_cached
def dns1123_label(value: str) -> list[str]:
    """Names of namespaces, containers, ports...: at most 63 bytes."""
    errors = [max_length_text(63)] if len(value.encode()) > 63 else []
    if not _is_label(value):
        if _is_subdomain(value):
            errors.append("must not contain dots")
        else:
            errors.append(regex_text(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
    return errors


@_cached
def dns1123_subdomain(value: str) -> list[str]:
    """Names of most objects: at most 253 bytes."""
    errors = [max_length_text(253)] if len(value.encode()) > 253 else []
    if not _is_subdomain(value):
        errors.append(regex_text(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return errors


@_cached
def dns1035_label(value: str) -> list[str]:
    """Names of Services: a label that starts with a letter."""
    errors = [max_length_text(63)] if len(value.encode()) > 63 else []
    if not _is_label_1035(value):
        text = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
            "start with an alphabetic character, and end with an alphanumeric character"
        )
        errors.append(regex_text(text, _LABEL_1035, "my-name", "abc-123"))
    return errors


@_cached
def wildcard_dns1123_subdomain(value: str) -> list[str]:
    """`*.example.com`."""
    errors = [max_length_text(253)] if len(value.encode()) > 253 else []
    if not _is_wildcard(value):
        text = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
            "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
        errors.append(regex_text(text, rf"\*\.{_SUBDOMAIN}", "*.example.com"))
    return errors


@_cached
def qualified_name(value: str) -> list[str]:
    """Label and annotation keys, resource names, condition types: `[prefix/]name`."""
    errors: list[str] = []
    prefix, slash, name = value.rpartition("/")
    key_text = regex_text(_KEY_TEXT, _KEY, "MyName", "my.name", "123-abc")
    if "/" in prefix:
        suffix = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {key_text}{suffix}"]
    if slash:
        if not prefix:
            errors.append(f"prefix part {EMPTY}")
        else:
            errors.extend(f"prefix part {text}" for text in dns1123_subdomain(prefix))
    if not name:
        errors.append(f"name part {EMPTY}")
    elif len(name.encode()) > 63:
        errors.append(f"name part {max_length_text(63)}")
    if not _is_key(name):
        errors.append(f"name part {key_text}")
    return errors


@_cached
def label_value(value: str) -> list[str]:
    """A label's value: empty, or at most 63 bytes."""
    errors = [max_length_text(63)] if len(value.encode()) > 63 else []
    if value and not _is_key(value):
        text = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        errors.append(regex_text(text, f"({_KEY})?", "MyValue", "my_value", "12345"))
    return errors


@_cached
def path_segment(value: str) -> list[str]:
    """Names that only have to fit into a URL path: RBAC roles, for example."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{bad}'" for bad in ("/", "%") if bad in value]


@_cached
def c_identifier(value: str) -> list[str]:
    if _is_c_identifier(value):
        return []
    text = (
        "a valid C identifier must start with alphabetic character or '_', "
        "followed by a string of alphanumeric characters or '_'"
    )
    return [regex_text(text, "[A-Za-z_][A-Za-z0-9_]*", "my_name", "MY_NAME", "MyName")]


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else [range_text(1, 65535)]


def in_range(value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [range_text(low, high)]


@_cached
def port_name(value: str) -> list[str]:
    """An IANA service name: at most 15 characters, one letter at least."""
    errors = [max_length_text(15)] if len(value) > 15 else []
    if not _is_port_name(value):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _has_letter(value):
        errors.append("must contain at least one letter (a-z)")
    if "--" in value:
        errors.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        errors.append("must not begin or end with a hyphen")
    return errors


@_cached
def percent(value: str) -> list[str]:
    if _is_percent(value):
        return []
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_text(text, "[0-9]+%", "1%", "93%")]


@_cached
def http_header_name(value: str) -> list[str]:
    if _is_header(value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_text(text, "[-A-Za-z0-9]+", "X-Header-Name")]


def _climbs(value: str) -> list[str]:
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


@_cached
def config_map_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret: it becomes a file name."""
    errors = [max_length_text(253)] if len(value) > 253 else []
    if not _is_config_key(value):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        errors.append(regex_text(text, "[-._a-zA-Z0-9]+", "key.name", "KEY_NAME", "key-name"))
    return errors + _climbs(value)


@_cached
def env_var_name(value: str) -> list[str]:
    """Environment variables of containers: any printable ASCII but `=` (the relaxed rule, the only one since 1.34)."""
    if not value:
        return [f"environment variable name {EMPTY}"]
    if all(" " <= c <= "~" and c != "=" for c in value):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


@_cached
def env_var_name_strict(value: str) -> list[str]:
    """The older rule: where a shell has to read the name."""
    errors: list[str] = []
    if not _is_env_var(value):
        text = (
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', "
            "and must not start with a digit"
        )
        pattern = "[-._a-zA-Z][-._a-zA-Z0-9]*"
        errors.append(regex_text(text, pattern, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return errors + _climbs(value)


@_cached
def fully_qualified_domain_name(value: str) -> list[str]:
    """A domain of two segments or more; a trailing dot is fine."""
    value = value.removesuffix(".")
    if errors := dns1123_subdomain(value):
        return [",".join(errors)]
    parts = value.split(".")
    if len(parts) < 2:
        return ["should be a domain with at least two segments separated by dots"]
    for part in parts:
        if errors := dns1123_label(part):
            return [",".join(errors)]
    return []


@_cached
def ip(value: str) -> list[str]:
    """An IPv4 or IPv6 address in its usual form, without zone or leading zeros."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return [] if "%" not in value else ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


@_cached
def cidr(value: str) -> list[str]:
    """An address range `10.9.8.0/24`; host bits may be set, as upstream allows."""
    address, slash, length = value.partition("/")
    if slash and length.isdigit() and not ip(address) and str(int(length)) == length:
        bits = 128 if ":" in address else 32
        if int(length) <= bits:
            return []
    return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]


_SUFFIX_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"


def random_suffix(rng: random.Random, length: int = 5) -> str:
    """Letters and digits that spell no words; `rng` is `aio.clock.rng`."""
    return "".join(rng.choices(_SUFFIX_ALPHABET, k=length))


def generate(base: str, rng: random.Random) -> str:
    """A name from `generateName`: the base, cut so that 63 characters suffice, and five random ones."""
    return base[:58] + random_suffix(rng)


def safe_encode(text: str) -> str:
    """A text of digits and letters as one that spells no words (pod-template-hash)."""
    return "".join(_SUFFIX_ALPHABET[ord(c) % len(_SUFFIX_ALPHABET)] for c in text)
