"""API errors: a Status that can be raised.

Every error a client sees is a `Status`; programs branch on its reason and people read its message, so both are
upstream's to the letter. The Status is built only when somebody asks for it: a `not found` inside a controller costs
an exception and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pybernetes.machinery.field import FieldError, aggregate
from pybernetes.machinery.meta import Status, StatusCause, StatusDetails
from pybernetes.machinery.text import quote

__all__ = [
    "StatusError",
    "already_exists",
    "apply_conflict",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "generate_name_conflict",
    "gone",
    "internal",
    "invalid",
    "is_already_exists",
    "is_bad_request",
    "is_conflict",
    "is_expired",
    "is_forbidden",
    "is_gone",
    "is_internal",
    "is_invalid",
    "is_method_not_allowed",
    "is_not_found",
    "is_server_timeout",
    "is_service_unavailable",
    "is_timeout",
    "is_too_many_requests",
    "is_unauthorized",
    "method_not_allowed",
    "not_acceptable",
    "not_found",
    "server_timeout",
    "service_unavailable",
    "timeout",
    "too_large",
    "too_many_requests",
    "unauthorized",
    "unsupported_media_type",
]

#: A group and a resource: `kinds.GroupResource`, or any pair.
GR = tuple[str, str]

#: The message of an update that lost the race.
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class StatusError(Exception):
    """An error that the API answers with. `.code`, `.reason`, `.message`, `.details`, and `.status` for the wire."""

    def __init__(self, code: int, reason: str, message: str, details: StatusDetails | None = None) -> None:
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self._status: Status | None = None

    @classmethod
    def of(cls, status: Status) -> StatusError:
        """The error of a Status that was received."""
        error = cls(status.code or 0, status.reason or "", status.message or "", status.details)
        error._status = status
        return error

    @property
    def status(self) -> Status:
        """The Status on the wire. Not to be changed."""
        if self._status is None:
            self._status = Status(
                status="Failure", message=self.message, reason=self.reason or None, details=self.details, code=self.code
            )
        return self._status

    @property
    def retry_after(self) -> int | None:
        """Seconds after which the server wants to be asked again."""
        return self.details.retry_after_seconds if self.details is not None else None

    @property
    def causes(self) -> Sequence[StatusCause]:
        return (self.details.causes if self.details is not None else None) or ()

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"StatusError({self.code}, {self.reason!r}, {self.message!r})"


def resource_text(gr: GR) -> str:
    """`deployments.apps`, `pods`."""
    return f"{gr[1]}.{gr[0]}" if gr[0] else gr[1]


def _details(gr: GR, name: str = "", retry_after: int | None = None) -> StatusDetails:
    return StatusDetails(
        group=gr[0] or None, kind=gr[1] or None, name=name or None, retry_after_seconds=retry_after or None
    )


def not_found(gr: GR, name: str) -> StatusError:
    return StatusError(404, "NotFound", f"{resource_text(gr)} {quote(name)} not found", _details(gr, name))


def page_not_found() -> StatusError:
    """A path that no resource has: what upstream's clients get for an unknown group or resource."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", StatusDetails())


def already_exists(gr: GR, name: str) -> StatusError:
    return StatusError(409, "AlreadyExists", f"{resource_text(gr)} {quote(name)} already exists", _details(gr, name))


def generate_name_conflict(gr: GR, name: str, retry_after: int = 0) -> StatusError:
    text = (
        f"{resource_text(gr)} {quote(name)} already exists, "
        "the server was not able to generate a unique name for the object"
    )
    return StatusError(409, "AlreadyExists", text, _details(gr, name, retry_after))


def conflict(gr: GR, name: str, message: object = MODIFIED) -> StatusError:
    text = f"Operation cannot be fulfilled on {resource_text(gr)} {quote(name)}: {message}"
    return StatusError(409, "Conflict", text, _details(gr, name))


def apply_conflict(causes: Sequence[StatusCause], message: str) -> StatusError:
    """A server-side apply that would take fields others own."""
    return StatusError(409, "Conflict", message, StatusDetails(causes=list(causes)))


def invalid(group: str, kind: str, name: str, errors: Iterable[FieldError]) -> StatusError:
    """`errors` become the message and the causes, each with its field."""
    found = list(errors)
    causes = [StatusCause(reason=e.type, message=e.body, field_=e.field) for e in found]
    text = f"{f'{kind}.{group}' if group else kind} {quote(name)} is invalid"
    if found:
        text = f"{text}: {aggregate(found)}"
    details = StatusDetails(group=group or None, kind=kind or None, name=name or None, causes=causes or None)
    return StatusError(422, "Invalid", text, details)


def forbidden(gr: GR, name: str, message: object) -> StatusError:
    if not gr[1]:
        text = f"forbidden: {message}"
    elif not name:
        text = f"{resource_text(gr)} is forbidden: {message}"
    else:
        text = f"{resource_text(gr)} {quote(name)} is forbidden: {message}"
    return StatusError(403, "Forbidden", text, _details(gr, name))


def bad_request(message: object) -> StatusError:
    return StatusError(400, "BadRequest", str(message))


def unauthorized(message: str = "Unauthorized") -> StatusError:
    return StatusError(401, "Unauthorized", message or "not authorized")


def method_not_allowed(gr: GR, verb: str) -> StatusError:
    text = f"{verb} is not supported on resources of kind {quote(resource_text(gr))}"
    return StatusError(405, "MethodNotAllowed", text, _details(gr))


def expired(message: str) -> StatusError:
    """A resourceVersion or a continue token that is too old: start over with a list."""
    return StatusError(410, "Expired", message)


def gone(message: str) -> StatusError:
    return StatusError(410, "Gone", message)


def too_many_requests(message: str, retry_after: int = 1) -> StatusError:
    details = StatusDetails(retry_after_seconds=retry_after or None)
    return StatusError(429, "TooManyRequests", message, details)


def eviction_blocked(message: str, disruption_message: str, retry_after: int = 0) -> StatusError:
    """An eviction that a PodDisruptionBudget forbids for now: 429 with the cause `DisruptionBudget`."""
    causes = [StatusCause(reason="DisruptionBudget", message=disruption_message)]
    details = StatusDetails(retry_after_seconds=retry_after or None, causes=causes)
    return StatusError(429, "TooManyRequests", message, details)


def timeout(message: str, retry_after: int = 0) -> StatusError:
    """The server gave up: 504."""
    return StatusError(504, "Timeout", f"Timeout: {message}", StatusDetails(retry_after_seconds=retry_after or None))


def server_timeout(gr: GR, verb: str, retry_after: int = 0) -> StatusError:
    text = f"The {verb} operation against {resource_text(gr)} could not be completed at this time, please try again."
    return StatusError(500, "ServerTimeout", text, _details(gr, verb, retry_after))


def internal(message: object) -> StatusError:
    details = StatusDetails(causes=[StatusCause(message=str(message))])
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details)


def service_unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)


def unsupported_media_type(accepted: Iterable[str]) -> StatusError:
    text = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", text)


def not_acceptable(accepted: Iterable[str]) -> StatusError:
    text = f"only the following media types are accepted: {', '.join(accepted)}"
    return StatusError(406, "NotAcceptable", text)


def too_large(message: str) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def _is(error: BaseException | None, reason: str, code: int) -> bool:
    """By reason; by code where the reason is missing (an answer of somebody in between)."""
    return isinstance(error, StatusError) and (error.reason == reason or (not error.reason and error.code == code))


def is_not_found(error: BaseException | None) -> bool:
    return _is(error, "NotFound", 404)


def is_already_exists(error: BaseException | None) -> bool:
    return isinstance(error, StatusError) and error.reason == "AlreadyExists"


def is_conflict(error: BaseException | None) -> bool:
    return _is(error, "Conflict", 409)


def is_invalid(error: BaseException | None) -> bool:
    return _is(error, "Invalid", 422)


def is_forbidden(error: BaseException | None) -> bool:
    return _is(error, "Forbidden", 403)


def is_bad_request(error: BaseException | None) -> bool:
    return _is(error, "BadRequest", 400)


def is_unauthorized(error: BaseException | None) -> bool:
    return _is(error, "Unauthorized", 401)


def is_method_not_allowed(error: BaseException | None) -> bool:
    return _is(error, "MethodNotAllowed", 405)


def is_expired(error: BaseException | None) -> bool:
    """Expired or Gone: the answer to both is a new list."""
    return isinstance(error, StatusError) and (error.reason in ("Expired", "Gone") or error.code == 410)


def is_gone(error: BaseException | None) -> bool:
    return _is(error, "Gone", 410)


def is_too_many_requests(error: BaseException | None) -> bool:
    return _is(error, "TooManyRequests", 429)


def is_timeout(error: BaseException | None) -> bool:
    return _is(error, "Timeout", 504)


def is_server_timeout(error: BaseException | None) -> bool:
    return isinstance(error, StatusError) and error.reason == "ServerTimeout"


def is_internal(error: BaseException | None) -> bool:
    return _is(error, "InternalError", 500)


def is_service_unavailable(error: BaseException | None) -> bool:
    return _is(error, "ServiceUnavailable", 503)


def has_cause(error: BaseException | None, reason: str) -> bool:
    """True when a cause has this reason (`NamespaceTerminating`, `DisruptionBudget` ...)."""
    return isinstance(error, StatusError) and any(c.reason == reason for c in error.causes)
