"""Which authorizers decide, and in which order: upstream's AuthorizationConfiguration, or its older flags.

The file's form is checked here; the conditions in it are compiled by `webhook.py` when the server starts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pybernetes.control_plane.apiserver import config_file

#: What may be in the list; ABAC is upstream's, and refused by name.
MODES = ("Node", "RBAC", "Webhook", "AlwaysAllow", "AlwaysDeny")
_MOST_CONDITIONS = 64
_MOST_SECONDS = 30.0
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True)
class Webhook:
    """A server that is sent SubjectAccessReviews, named by a kubeconfig. Times in seconds."""

    kubeconfig: Path
    #: How long its answers are remembered.
    authorized_ttl: float = 300.0
    unauthorized_ttl: float = 30.0
    #: For one answer.
    timeout: float = 30.0
    #: Version of the reviews: v1 or v1beta1.
    version: str = "v1"
    #: Whether a hook that fails forbids; else it has no opinion.
    deny_on_failure: bool = False
    #: CEL over `request`, the spec of the review; it is asked when all are true.
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """The first that allows or denies decides: names of modes, and webhooks."""

    authorizers: tuple[str | Webhook, ...] = ("Node", "RBAC")


class _Condition(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    expression: str = ""


class _Connection(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    type: str = ""
    kube_config_file: str | None = None


class _Webhook(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    authorized_ttl: str = msgspec.field(name="authorizedTTL", default="")
    unauthorized_ttl: str = msgspec.field(name="unauthorizedTTL", default="")
    timeout: str = ""
    subject_access_review_version: str = ""
    match_condition_subject_access_review_version: str = ""
    failure_policy: str = ""
    connection_info: _Connection = msgspec.field(default_factory=_Connection)
    match_conditions: list[_Condition] = msgspec.field(default_factory=list)


class _Authorizer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    type: str = ""
    name: str = ""
    webhook: _Webhook | None = None


class _Document(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    api_version: str
    kind: str
    authorizers: list[_Authorizer] = msgspec.field(default_factory=list)


def of_flags(modes: Sequence[str], webhook: Webhook | None) -> Config:
    """What the flags `--authorization-*` say. Raises ValueError for a list that cannot be."""
    if not modes:
        raise ValueError("--authorization-mode: at least one mode is needed")
    for mode in modes:
        if mode == "ABAC":
            raise ValueError("--authorization-mode: ABAC is not supported; grant the same with RBAC")
        if mode not in MODES:
            raise ValueError(f"--authorization-mode: {mode!r} is none of {', '.join(MODES)}")
        if modes.count(mode) > 1:
            raise ValueError(f"--authorization-mode: {mode} is there more than once")
    if ("Webhook" in modes) != (webhook is not None):
        raise ValueError("--authorization-mode Webhook and --authorization-webhook-config-file go together")
    return Config(tuple(webhook if webhook is not None and mode == "Webhook" else mode for mode in modes))


def load(text: str) -> Config:
    """What an AuthorizationConfiguration says, in YAML or JSON. Raises ValueError."""
    found = config_file.read(text, _Document, "authorization")
    problems: list[str] = []
    if not found.authorizers:
        problems.append("authorizers: Required value: at least one authorization mode must be defined")
    authorizers: list[str | Webhook] = []
    for index, each in enumerate(found.authorizers):
        problems += _check(each, found.authorizers[:index], f"authorizers[{index}]")
        authorizers.append(each.type)
        if each.webhook is not None:
            hook, wrong = _webhook(each.webhook, f"authorizers[{index}].webhook")
            authorizers[-1] = hook
            problems += wrong
    if problems:
        raise ValueError(f"authorization configuration: {'; '.join(problems)}")
    return Config(tuple(authorizers))


def _check(each: _Authorizer, before: Sequence[_Authorizer], at: str) -> list[str]:
    """What is wrong with an authorizer, besides its webhook."""
    problems = []
    if not each.type:
        problems.append(f"{at}.type: Required value")
    elif each.type == "ABAC":
        problems.append(f"{at}.type: ABAC is not supported; grant the same with RBAC")
    elif each.type not in MODES:
        problems.append(_unsupported(f"{at}.type", each.type, MODES))
    elif each.type != "Webhook" and any(other.type == each.type for other in before):
        problems.append(f'{at}.type: Duplicate value: "{each.type}"')
    if not each.name:
        problems.append(f"{at}.name: Required value")
    elif any(other.name == each.name for other in before):
        problems.append(f'{at}.name: Duplicate value: "{each.name}"')
    elif not _NAME.fullmatch(each.name):
        problems.append(f'{at}.name: Invalid value: "{each.name}": authorizer name is invalid')
    if each.type == "Webhook" and each.webhook is None:
        problems.append(f"{at}.webhook: Required value: required when type=Webhook")
    if each.type != "Webhook" and each.webhook is not None:
        problems.append(f"{at}.webhook: Invalid value: may only be specified when type=Webhook")
    return problems


def _webhook(given: _Webhook, at: str) -> tuple[Webhook, list[str]]:
    problems: list[str] = []

    def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
        if not value:
            problems.append(f"{at}.{name}: Required value")
        elif value not in allowed:
            problems.append(_unsupported(f"{at}.{name}", value, allowed))

    def seconds(name: str, text: str, default: float) -> float:
        if not text and default:
            return default
        value = _seconds(text)
        if not text:
            problems.append(f"{at}.{name}: Required value")
        elif value is None:
            problems.append(f'{at}.{name}: Invalid value: "{text}": must be a duration, as 30s or 5m')
        elif value <= 0:
            problems.append(f'{at}.{name}: Invalid value: "{text}": must be > 0s')
        return value or 0.0

    timeout = seconds("timeout", given.timeout, 0)
    if timeout > _MOST_SECONDS:
        problems.append(f'{at}.timeout: Invalid value: "{given.timeout}": must be <= 30s')
    one_of("subjectAccessReviewVersion", given.subject_access_review_version, ("v1", "v1beta1"))
    one_of("failurePolicy", given.failure_policy, ("NoOpinion", "Deny"))
    if given.match_conditions or given.match_condition_subject_access_review_version:
        one_of("matchConditionSubjectAccessReviewVersion", given.match_condition_subject_access_review_version, ("v1",))
    one_of("connectionInfo.type", given.connection_info.type, ("KubeConfigFile",))
    path = Path(given.connection_info.kube_config_file or "")
    if not given.connection_info.kube_config_file:
        problems.append(f"{at}.connectionInfo.kubeConfigFile: Required value")
    elif not path.is_absolute():
        problems.append(f'{at}.connectionInfo.kubeConfigFile: Invalid value: "{path}": must be an absolute path')
    elif not path.is_file():
        problems.append(f'{at}.connectionInfo.kubeConfigFile: Invalid value: "{path}": must be a regular file')
    conditions = [condition.expression.strip() for condition in given.match_conditions]
    if len(conditions) > _MOST_CONDITIONS:
        problems.append(
            f"{at}.matchConditions: Too many: {len(conditions)}: must have at most {_MOST_CONDITIONS} items"
        )
    for index, expression in enumerate(conditions):
        place = f"{at}.matchConditions[{index}].expression"
        if not expression:
            problems.append(f"{place}: Required value")
        elif expression in conditions[:index]:
            problems.append(f'{place}: Duplicate value: "{expression}"')
    hook = Webhook(
        path,
        seconds("authorizedTTL", given.authorized_ttl, Webhook.authorized_ttl),
        seconds("unauthorizedTTL", given.unauthorized_ttl, Webhook.unauthorized_ttl),
        timeout,
        given.subject_access_review_version,
        given.failure_policy == "Deny",
        tuple(conditions),
    )
    return hook, problems


def _seconds(text: str) -> float | None:
    """Of Go's form of a duration; None if it is none."""
    from pybernetes.machinery.cel import CelError
    from pybernetes.machinery.cel.functions import parse_duration

    try:
        return float(parse_duration(text).total_seconds())
    except CelError:
        return None


def _unsupported(at: str, value: Any, allowed: Sequence[str]) -> str:
    values = ", ".join(f'"{each}"' for each in sorted(allowed))
    return f'{at}: Unsupported value: "{value}": supported values: {values}'
