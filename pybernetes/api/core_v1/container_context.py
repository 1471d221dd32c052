"""What the parts of a container are judged against: the Pod around it."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TypeAlias

from pybernetes.api.core_v1.container import Container, EphemeralContainer

AnyContainer: TypeAlias = Container | EphemeralContainer


@dataclass
class Context:
    """What a container must be judged against: the Pod around it."""

    volumes: dict[str, str] = dataclass_field(default_factory=dict)  #: name -> kind of source (wire name)
    claims: frozenset[str] = frozenset()  #: names in spec.resourceClaims
    host_network: bool = False
    host_users: bool = True
    grace: int = 30
    restart_policy: str = "Always"
