"""Subresources: one module each, all of one shape (`resource.Subresource`). Here is the list of who has which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.control_plane.apiserver.subresources import reviews
from pybernetes.control_plane.apiserver.subresources.approval import Approval
from pybernetes.control_plane.apiserver.subresources.binding import Binding, Bindings
from pybernetes.control_plane.apiserver.subresources.componentstatuses import ComponentStatuses
from pybernetes.control_plane.apiserver.subresources.eviction import Eviction
from pybernetes.control_plane.apiserver.subresources.finalize import Finalize
from pybernetes.control_plane.apiserver.subresources.pod_parts import EphemeralContainers, Resize
from pybernetes.control_plane.apiserver.subresources.scale import Scale
from pybernetes.control_plane.apiserver.subresources.status import Status
from pybernetes.control_plane.apiserver.subresources.streams import (
    Attach,
    Exec,
    Log,
    NodeProxy,
    PodProxy,
    PortForward,
    ServiceProxy,
)
from pybernetes.control_plane.apiserver.subresources.token import Token

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core
    from pybernetes.control_plane.apiserver.resource import Resource, Subresource

_CLASSES: dict[str, type[Subresource]] = {
    cls.name: cls
    for cls in (
        Approval,
        Attach,
        Binding,
        EphemeralContainers,
        Eviction,
        Exec,
        Finalize,
        Log,
        PortForward,
        Resize,
        Scale,
        Status,
        Token,
    )
}
_PROXIES = {"nodes": NodeProxy, "pods": PodProxy, "services": ServiceProxy}


def subresources_of(core: Core, resource: Resource) -> dict[str, Subresource]:
    """The subresources that the kinds table lists for a resource."""
    found: dict[str, Subresource] = {}
    for name in resource.kind.subresources:
        cls = _PROXIES[resource.kind.resource] if name == "proxy" else _CLASSES[name]
        found[name] = cls(core, resource)
    return found


def special_of(core: Core, resource: Resource) -> Subresource | None:
    """What answers for a kind that is not stored."""
    name = resource.kind.resource
    if name == "bindings":
        return Bindings(core, resource)
    if name == "componentstatuses":
        return ComponentStatuses(core, resource)
    return reviews.of(core, resource)
