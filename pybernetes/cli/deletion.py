"""Deleting and waiting until it is so: what `delete`, `replace --force`, `apply --force`, `run --rm` and `drain`
share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import APIError, CLIError
from pybernetes.cli.session import pause

if TYPE_CHECKING:
    from pybernetes.cli.finder import Found, Target
    from pybernetes.cli.session import Session

PROPAGATION = {"background": "Background", "orphan": "Orphan", "foreground": "Foreground"}


def options(cascade: str, grace: int, dry_run: bool = False) -> dict[str, Any]:
    """DeleteOptions. Raises CLIError for an unknown cascade."""
    policy = {"true": "background", "false": "orphan"}.get(cascade, cascade)
    if policy not in PROPAGATION:
        raise CLIError(f'invalid cascade value ({cascade}). Must be "background", "foreground", or "orphan"')
    found: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": PROPAGATION[policy]}
    if grace >= 0:
        found["gracePeriodSeconds"] = grace
    if dry_run:
        found["dryRun"] = ["All"]
    return found


def wait_gone(session: Session, target: Target | Found, uid: str, timeout: float) -> bool:
    """Wait until the object of this uid is gone: a list, then a watch. False when `timeout` seconds (0: none)
    passed.
    """
    from pybernetes.cli.watching import Deadline, watch_one

    deadline = Deadline(timeout)
    while True:
        try:
            live = session.get(target.resource, target.namespace, target.name)
        except APIError as error:
            if error.reason == "NotFound":
                return True
            raise
        if uid and live["metadata"].get("uid") != uid:
            return True
        if deadline.passed:
            return False
        for kind, value in watch_one(session, target, live["metadata"]["resourceVersion"], deadline):
            if kind == "DELETED" or (uid and value["metadata"].get("uid") != uid):
                return True
        if deadline.passed:
            return False
        pause(0.05)


def delete_and_wait(session: Session, target: Target, *, grace: int = -1, cascade: str = "background") -> bool:
    """Delete, and return when it is gone: whether it was there."""
    try:
        status = session.call("DELETE", target.path(), options(cascade, grace))
    except APIError as error:
        if error.reason == "NotFound":
            return False
        raise
    wait_gone(session, target, uid_of(status), 0)
    return True


def uid_of(answer: dict[str, Any]) -> str:
    """The uid in what a DELETE answers: a Status, or the object."""
    if answer.get("kind") == "Status":
        return (answer.get("details") or {}).get("uid") or ""
    return (answer.get("metadata") or {}).get("uid") or ""
