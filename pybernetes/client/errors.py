"""What can go wrong beside an answer of the server (which is a `machinery.errors.StatusError`)."""

from __future__ import annotations


class Unavailable(Exception):
    """The API server could not be reached, or the connection broke before the answer was complete.

    A write that ends so may have been made. Worth a retry with back-off.
    """


class ConfigError(Exception):
    """A kubeconfig or credential file that cannot be used; the text names the file and what is wrong with it."""
