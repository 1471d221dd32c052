"""Flags of the API server that `pybernetes apiserver` and `pybernetes up` share, with upstream's names.

`up` writes what it was given into the cluster's state, and the control plane's process reads it there: so they are
plain values by flag name on the way, and become the server's configuration in one place, `apply`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybernetes.bootstrap.cluster import ClusterError

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.audit import Config as AuditConfig
    from pybernetes.control_plane.apiserver.authorization.configuration import Config as AuthorizationConfig
    from pybernetes.control_plane.apiserver.server import Config

Values = Mapping[str, Any]

#: (flag, type, metavar, help); a flag of type `list` may be repeated, those of type Path name files.
_FLAGS: tuple[tuple[str, type, str, str], ...] = (
    ("encryption-provider-config", Path, "FILE", "EncryptionConfiguration: what is encrypted in the store"),
    ("max-requests-inflight", int, "N", "seats of all priority levels, with the next one's (default: 400)"),
    ("max-mutating-requests-inflight", int, "N", "added to the seats; both 0: no flow control (default: 200)"),
    ("anonymous-auth", bool, "true|false", "serve requests without credentials (default: true)"),
    ("token-auth-file", Path, "FILE", "CSV of token, user, uid and groups"),
    ("authentication-config", Path, "FILE", "AuthenticationConfiguration: issuers of tokens, anonymous requests"),
    ("oidc-issuer-url", str, "URL", "OpenID Connect issuer whose tokens are taken"),
    ("oidc-client-id", str, "ID", "audience that a token must be for"),
    ("oidc-ca-file", Path, "FILE", "authorities of the issuer's certificate (default: the system's)"),
    ("oidc-username-claim", str, "NAME", "default: sub"),
    ("oidc-username-prefix", str, "TEXT", "before user names; - is none (default: the issuer and #)"),
    ("oidc-groups-claim", str, "NAME", "claim with the user's groups"),
    ("oidc-groups-prefix", str, "TEXT", "before groups"),
    ("oidc-required-claim", list, "KEY=VALUE", "a claim that must be there; may be repeated"),
    ("oidc-signing-algs", str, "NAMES", "signature algorithms, by comma (default: RS256)"),
    ("authentication-token-webhook-config-file", Path, "FILE", "kubeconfig of a server that is sent TokenReviews"),
    ("authentication-token-webhook-cache-ttl", float, "SECONDS", "how long its answers hold (default: 120)"),
    ("requestheader-allowed-names", str, "NAMES", "common names of front proxies, by comma"),
    ("authorization-config", Path, "FILE", "AuthorizationConfiguration: who decides, in order, with any webhooks"),
    ("authorization-mode", str, "MODES", "by comma, of Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny"),
    ("authorization-webhook-config-file", Path, "FILE", "kubeconfig of a server that is sent SubjectAccessReviews"),
    ("authorization-webhook-cache-authorized-ttl", float, "SECONDS", "how long a yes holds (default: 300)"),
    ("authorization-webhook-cache-unauthorized-ttl", float, "SECONDS", "how long a no holds (default: 30)"),
    ("audit-policy-file", Path, "FILE", "audit.k8s.io/v1 Policy: what is recorded of requests"),
    ("audit-log-path", Path, "FILE", "where the audit events go, one a line; - is standard output"),
    ("audit-log-maxsize", int, "MB", "megabytes after which the audit log is rotated (default: 100)"),
    ("audit-log-maxage", int, "DAYS", "days that rotated audit logs are kept (default: all)"),
    ("audit-log-maxbackup", int, "N", "rotated audit logs that are kept (default: all)"),
    ("audit-webhook-config-file", Path, "FILE", "kubeconfig of a server that is sent the audit events"),
    ("audit-webhook-batch-max-wait", float, "SECONDS", "how long events may wait for others (default: 30)"),
    ("audit-webhook-batch-max-size", int, "N", "events in one list at most (default: 400)"),
)
#: Paths that need not exist yet.
_MADE = ("audit-log-path",)


def add(parser: argparse.ArgumentParser) -> None:
    """Let a command take the flags."""
    group = parser.add_argument_group("API server")
    for flag, type_, metavar, text in _FLAGS:
        action = "append" if type_ is list else "store"
        group.add_argument(
            f"--{flag}", metavar=metavar, help=text, type=str if type_ in (Path, list, bool) else type_, action=action
        )


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The flags that were given, by name; paths made absolute. Raises ClusterError for a file that is not there."""
    found: dict[str, Any] = {}
    for flag, type_, _, _ in _FLAGS:
        value = getattr(options, flag.replace("-", "_"))
        if value is None:
            continue
        if type_ is Path and value != "-":
            path = Path(value).resolve()
            if flag not in _MADE and not path.is_file():
                raise ClusterError(f"--{flag}: {value} is not a file")
            value = str(path)
        found[flag] = value
    return found


def apply(config: Config, values: Values) -> Config:
    """The configuration with the flags. Raises ClusterError."""
    if any(name.startswith("audit-") for name in values):
        config = replace(config, audit=_audit(values))
    for name in ("max-requests-inflight", "max-mutating-requests-inflight"):
        if name in values:
            config = replace(config, **{name.replace("-", "_"): values[name]})
    if (encryption := _path(values, "encryption-provider-config")) is not None:
        config = replace(config, encryption=encryption)
    try:
        config = _authentication(config, values)
        return replace(config, authorization=_authorization(values))
    except (OSError, ValueError) as error:
        raise ClusterError(str(error)) from error


def _path(values: Values, name: str) -> Path | None:
    value = values.get(name)
    return Path(value) if value else None


def _authentication(config: Config, values: Values) -> Config:
    from pybernetes.control_plane.apiserver.authentication import configuration
    from pybernetes.control_plane.apiserver.authentication.tokens import read_token_file

    more: dict[str, Any] = {}
    anonymous = _truth(values["anonymous-auth"]) if "anonymous-auth" in values else config.anonymous
    document = _path(values, "authentication-config")
    oidc = {name: value for name, value in values.items() if name.startswith("oidc-")}
    if document is not None and (oidc or "anonymous-auth" in values):
        raise ValueError("--authentication-config goes with neither --oidc-* nor --anonymous-auth")
    if document is not None:
        found = configuration.load(document.read_text())
        more["jwt"] = tuple(found.jwt or ())
        if found.anonymous is not None:
            anonymous = found.anonymous.enabled
            if found.anonymous.conditions:
                more["anonymous_paths"] = tuple(condition.path for condition in found.anonymous.conditions)
    elif oidc:
        more["jwt"] = (configuration.of_flags(oidc),)
        more["algorithms"] = tuple(values.get("oidc-signing-algs", "RS256").split(","))
    if hook := _path(values, "authentication-token-webhook-config-file"):
        more["webhook"] = hook
        more["webhook_ttl"] = values.get("authentication-token-webhook-cache-ttl", 120.0)
    if "requestheader-allowed-names" in values:
        more["proxy_names"] = tuple(filter(None, values["requestheader-allowed-names"].split(",")))
    tokens = dict(config.static_tokens)
    if file := _path(values, "token-auth-file"):
        tokens |= read_token_file(file.read_text())
    authentication = replace(config.authentication, **more)
    return replace(config, authentication=authentication, anonymous=anonymous, static_tokens=tokens)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"--anonymous-auth: {text!r} is neither true nor false")
    return text == "true"


def _authorization(values: Values) -> AuthorizationConfig:
    from pybernetes.control_plane.apiserver.authorization import configuration

    if (document := _path(values, "authorization-config")) is not None:
        if any(name != "authorization-config" and name.startswith("authorization-") for name in values):
            raise ValueError("--authorization-config goes with no other --authorization-* flag")
        return configuration.load(document.read_text())
    hook = None
    if (kubeconfig := _path(values, "authorization-webhook-config-file")) is not None:
        hook = configuration.Webhook(
            kubeconfig,
            values.get("authorization-webhook-cache-authorized-ttl", 300.0),
            values.get("authorization-webhook-cache-unauthorized-ttl", 30.0),
        )
    return configuration.of_flags(values.get("authorization-mode", "Node,RBAC").split(","), hook)


def _audit(values: Values) -> AuditConfig:
    from pybernetes.control_plane.apiserver import audit

    policy, webhook = _path(values, "audit-policy-file"), _path(values, "audit-webhook-config-file")
    if policy is None:
        raise ClusterError("--audit-policy-file is missing: without a policy nothing is recorded")
    if "audit-log-path" not in values and webhook is None:
        raise ClusterError("--audit-policy-file needs --audit-log-path or --audit-webhook-config-file")
    return audit.Config(
        policy=policy,
        log_path=values.get("audit-log-path", ""),
        log_max_size=values.get("audit-log-maxsize", 100),
        log_max_age=values.get("audit-log-maxage", 0),
        log_max_backups=values.get("audit-log-maxbackup", 0),
        webhook=webhook,
        webhook_wait=values.get("audit-webhook-batch-max-wait", 30.0),
        webhook_batch=values.get("audit-webhook-batch-max-size", 400),
    )
