"""Managed fields: who wrote which field, kept by `machinery.apply`. See KEP-555."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.call import Call
    from pybernetes.control_plane.apiserver.objects import AnyObject
    from pybernetes.control_plane.apiserver.resource import Resource


def created(call: Call, resource: Resource, obj: AnyObject) -> None:
    """Own the fields of a new object."""


def updated(call: Call, resource: Resource, new: AnyObject, old: AnyObject, subresource: str) -> None:
    """Own what an update changed."""
