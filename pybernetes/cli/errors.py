"""Errors of the command line, and upstream's way of printing them.

Two sorts: what this program finds wrong (`CLIError`, printed as `error: ...`), and what the server refused (`APIError`,
a Status printed as `Error from server (Reason): ...`). Scripts grep for these lines, so they are part of the interface.
"""

from __future__ import annotations

from typing import Any


class CLIError(Exception):
    """Something the user can put right. `plain` prints the text without `error: ` before it."""

    def __init__(self, message: str, *, code: int = 1, plain: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.plain = plain


class ExitCode(Exception):
    """End now with a code, saying nothing more."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class APIError(Exception):
    """The server's answer was a Status that is not Success."""

    def __init__(self, status: dict[str, Any], code: int = 0) -> None:
        super().__init__(status.get("message") or "")
        self.status = status
        self.code: int = status.get("code") or code

    @property
    def reason(self) -> str:
        """The machine-readable reason, such as NotFound."""
        return self.status.get("reason") or ""

    def within(self, what: str) -> APIError:
        """The same error, its message prefixed by what was tried (`error when creating "x.yaml"`)."""
        return APIError({**self.status, "message": f"{what}: {self.status.get('message', '')}"}, self.code)


class ConnectionFailed(Exception):
    """The server cannot be reached."""


def not_implemented(what: str) -> CLIError:
    """The refusal of something upstream's kubectl has and this one has not."""
    return CLIError(f"{what} is not implemented by pybernetes; use the official kubectl for it")


def lines(error: BaseException) -> str:
    """What is printed for an error, without the final newline."""
    if isinstance(error, APIError):
        return _status(error)
    if isinstance(error, CLIError) and error.plain:
        return str(error)
    if isinstance(error, ConnectionFailed):
        return str(error)
    return f"error: {error}"


def _status(error: APIError) -> str:
    status = error.status
    details = status.get("details") or {}
    message = status.get("message") or ""
    if error.reason == "Invalid" and details:
        text = f'The {details.get("kind", "")} "{details.get("name", "")}" is invalid'
        causes = details.get("causes") or []
        if not causes:
            return f"{text}: {message}" if message else text
        # upstream keeps one line for equal messages
        seen: list[str] = []
        for cause in causes:
            line = f"{cause.get('field', '')}: {cause.get('message', '')}" if cause.get("field") else cause["message"]
            if line not in seen:
                seen.append(line)
        if len(seen) == 1:
            return f"{text}: {seen[0]}"
        return "\n".join([f"{text}: ", *(f"* {line}" for line in seen)])
    if error.reason == "Unauthorized":
        return f"error: You must be logged in to the server ({message})"
    if error.reason:
        return f"Error from server ({error.reason}): {message}"
    return f"Error from server: {message}"
