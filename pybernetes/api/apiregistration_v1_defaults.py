"""Defaults of APIServices."""

from __future__ import annotations

from pybernetes.api.apiregistration_v1 import APIService


def default_api_service(service: APIService) -> None:
    if service.spec.service is not None and service.spec.service.port is None:
        service.spec.service.port = 443
