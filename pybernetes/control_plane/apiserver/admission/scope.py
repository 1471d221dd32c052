"""Questions that several plugins ask about a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.machinery import errors

if TYPE_CHECKING:
    from pybernetes.api.core_v1 import Pod

MIRROR = "kubernetes.io/config.mirror"


def is_core(attributes: Attributes, resource: str, subresource: str = "") -> bool:
    """Whether the request is for a resource of the core group."""
    kind = attributes.resource.kind
    return kind.resource == resource and attributes.subresource == subresource and not kind.group


def creates_pod(attributes: Attributes) -> bool:
    return attributes.operation == "CREATE" and is_core(attributes, "pods")


def pod_of(attributes: Attributes) -> Pod:
    """The new object of a request that is for Pods."""
    return cast("Pod", attributes.obj)


def refuse(attributes: Attributes, message: object) -> errors.StatusError:
    """The error of a refusal: 403 with the object's name."""
    name = attributes.name or (attributes.obj.metadata.name if attributes.obj is not None else "")
    return errors.forbidden(attributes.resource.group_resource, name, message)
