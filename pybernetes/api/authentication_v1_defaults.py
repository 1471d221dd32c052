"""Defaults of token requests."""

from __future__ import annotations

from pybernetes.api.authentication_v1 import TokenRequest


def default_token_request(request: TokenRequest) -> None:
    if request.spec.expiration_seconds is None:
        request.spec.expiration_seconds = 3600
