"""What can go wrong between kubelet and runtime: a small tree by what the caller does about it.

The `message` is the runtime's own text, which ends up in events and container states where users read it.
"""

from __future__ import annotations


class CRIError(Exception):
    """The runtime refused or failed. `retryable`: the same call may succeed later, unchanged."""

    retryable = True

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(CRIError):
    """No such sandbox, container or image. Stop and remove calls never raise it: gone is what they want."""

    retryable = False


class AlreadyExists(CRIError):
    """The name (pod, uid, attempt) is taken."""

    retryable = False


class InvalidArgument(CRIError):
    """The request can never succeed as it is."""

    retryable = False


class Unsupported(CRIError):
    """This runtime does not have the operation."""

    retryable = False


class Unavailable(CRIError):
    """The runtime does not answer; nothing is known about the effect of the call."""


class DeadlineExceeded(CRIError):
    """The runtime did not finish in time; for exec_sync, the command did not."""


class ImagePullError(CRIError):
    """The image could not be pulled: no such image, no access, no registry."""
