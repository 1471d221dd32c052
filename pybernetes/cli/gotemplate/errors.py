"""What can be wrong with a template: found while it is read, or while it runs."""

from __future__ import annotations

#: What kubectl calls every template, and therefore what Go's messages say.
NAME = "output"


class ParseError(ValueError):
    """The template is not one."""

    def __init__(self, template: str, at: int, message: str) -> None:
        line = template.count("\n", 0, at) + 1
        super().__init__(f"template: {NAME}:{line}: {message}")


class ExecError(ValueError):
    """The template and the data do not fit."""


class CallError(ValueError):
    """A function was given something it cannot use; becomes an ExecError with its place."""
