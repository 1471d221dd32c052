"""Files of the group apiserver.config.k8s.io, read strictly: a misspelt field is told, not ignored."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

_GROUP = "apiserver.config.k8s.io"
_VERSIONS = ("v1", "v1beta1")


class Document(Protocol):
    """What each of them has."""

    api_version: str
    kind: str


D = TypeVar("D", bound=Document)


def read(text: str, form: type[D], subject: str) -> D:
    """The document in a YAML or JSON text; its kind is `{Subject}Configuration`. Raises ValueError."""
    from pybernetes.machinery import yaml

    try:
        found = msgspec.convert(yaml.load(text), form)
    except msgspec.ValidationError as error:
        raise ValueError(f"{subject} configuration: {error}") from None
    group, _, version = found.api_version.partition("/")
    if group != _GROUP or version not in _VERSIONS or found.kind != f"{subject.capitalize()}Configuration":
        raise ValueError(f"{subject} configuration: no such kind: {found.api_version}, Kind={found.kind}")
    return found
