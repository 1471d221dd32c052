"""How users from elsewhere are known: upstream's AuthenticationConfiguration, and what its older flags come to.

The file's form is checked here, and what it may not say; the expressions in it are compiled by `claims.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pybernetes.control_plane.apiserver import config_file


class Issuer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Who signs. audiences: a token must be for one of them. certificate_authority: PEM; None trusts the system's."""

    url: str
    audiences: list[str]
    discovery_url: str | None = msgspec.field(name="discoveryURL", default=None)
    certificate_authority: str | None = None
    audience_match_policy: str | None = None
    egress_selector_type: str | None = None


class ClaimRule(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A claim that must have a value, or an expression that must be true."""

    claim: str | None = None
    required_value: str | None = None
    expression: str | None = None
    message: str | None = None


class Prefixed(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A claim with a prefix before its values, or an expression."""

    claim: str | None = None
    prefix: str | None = None
    expression: str | None = None


class Extra(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    key: str
    value_expression: str


class ClaimMappings(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    username: Prefixed
    groups: Prefixed | None = None
    uid: Prefixed | None = None
    extra: list[Extra] | None = None


class UserRule(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    expression: str
    message: str | None = None


class JWT(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """One issuer, and how its tokens become users."""

    issuer: Issuer
    claim_mappings: ClaimMappings
    claim_validation_rules: list[ClaimRule] | None = None
    user_validation_rules: list[UserRule] | None = None


class Condition(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    path: str


class Anonymous(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Whether requests without credentials are served, and if conditions are given, on which paths."""

    enabled: bool
    conditions: list[Condition] | None = None


class AuthenticationConfiguration(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The document."""

    api_version: str
    kind: str
    jwt: list[JWT] | None = None
    anonymous: Anonymous | None = None


@dataclass(frozen=True)
class Config:
    """Authenticators beyond the cluster's own."""

    #: Issuers of JSON Web Tokens.
    jwt: tuple[JWT, ...] = ()
    #: Signature algorithms taken of them.
    algorithms: tuple[str, ...] = (
        "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512",
    )  # fmt: skip
    #: Kubeconfig of a server that is sent TokenReviews, and seconds that its answers are remembered.
    webhook: Path | None = None
    webhook_ttl: float = 120.0
    #: Paths for requests without credentials; None: all.
    anonymous_paths: tuple[str, ...] | None = None
    #: Common names of front proxies whose word is taken for who a user is; empty: of any that the authority signed.
    proxy_names: tuple[str, ...] = ("front-proxy-client",)


def load(text: str) -> AuthenticationConfiguration:
    """The configuration in a YAML or JSON text. Raises ValueError."""
    found = config_file.read(text, AuthenticationConfiguration, "authentication")
    problems = [*check(found.jwt or []), *_check_anonymous(found.anonymous)]
    if problems:
        raise ValueError(f"authentication configuration: {'; '.join(problems)}")
    return found


def _check_anonymous(anonymous: Anonymous | None) -> list[str]:
    if anonymous is not None and not anonymous.enabled and anonymous.conditions:
        return ["anonymous.conditions: enabled should be set to true when conditions are defined"]
    return []


def check(authenticators: list[JWT]) -> list[str]:
    """What is wrong with a list of issuers, besides their expressions."""
    problems: list[str] = []
    seen: set[str] = set()
    for index, each in enumerate(authenticators):
        at = f"jwt[{index}]"
        issuer = each.issuer
        if issuer.url in seen:
            problems.append(f'{at}.issuer.url: Duplicate value: "{issuer.url}"')
        seen.add(issuer.url)
        for name, url in (("url", issuer.url), ("discoveryURL", issuer.discovery_url)):
            if url is not None and not url.startswith("https://"):
                problems.append(f'{at}.issuer.{name}: Invalid value: "{url}": URL scheme must be https')
        if issuer.discovery_url is not None and issuer.discovery_url.rstrip("/") == issuer.url.rstrip("/"):
            problems.append(f"{at}.issuer.discoveryURL: discoveryURL must be different from URL")
        if not issuer.audiences or not all(issuer.audiences):
            problems.append(f"{at}.issuer.audiences: Required value: at least one {at}.issuer.audiences is required")
        if len(issuer.audiences) > 1 and issuer.audience_match_policy != "MatchAny":
            text = "audienceMatchPolicy must be set to MatchAny for multiple audiences"
            problems.append(f"{at}.issuer.audienceMatchPolicy: {text}")
        if issuer.egress_selector_type:
            problems.append(f"{at}.issuer.egressSelectorType: is not supported")
        problems += _check_mappings(each.claim_mappings, f"{at}.claimMappings")
        for number, rule in enumerate(each.claim_validation_rules or ()):
            if bool(rule.claim) == bool(rule.expression):
                problems.append(f"{at}.claimValidationRules[{number}]: exactly one of claim or expression is required")
            elif rule.claim and rule.message:
                problems.append(f"{at}.claimValidationRules[{number}].message: can't be set when claim is set")
            elif rule.expression and rule.required_value is not None:
                problems.append(
                    f"{at}.claimValidationRules[{number}].requiredValue: can't be set when expression is set"
                )
    return problems


def _check_mappings(mappings: ClaimMappings, at: str) -> list[str]:
    problems = []
    for name in ("username", "groups", "uid"):
        mapping: Prefixed | None = getattr(mappings, name)
        if mapping is None or (name != "username" and not mapping.claim and not mapping.expression):
            continue
        if bool(mapping.claim) == bool(mapping.expression):
            problems.append(f"{at}.{name}: exactly one of claim or expression is required")
        elif mapping.expression and mapping.prefix is not None:
            problems.append(f"{at}.{name}.prefix: can't be set when expression is set")
        elif mapping.claim and mapping.prefix is None and name != "uid":
            text = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
            problems.append(f"{at}.{name}.prefix: Required value: {text}")
    keys = [extra.key for extra in mappings.extra or ()]
    for number, key in enumerate(keys):
        if key != key.lower() or "/" not in key:
            problems.append(f'{at}.extra[{number}].key: Invalid value: "{key}": must be lowercase and domain-prefixed')
        if "kubernetes.io/" in key or "k8s.io/" in key:
            problems.append(f'{at}.extra[{number}].key: Invalid value: "{key}": this domain is reserved')
        if key in keys[:number]:
            problems.append(f'{at}.extra[{number}].key: Duplicate value: "{key}"')
    return problems


def of_flags(values: dict[str, Any]) -> JWT:
    """The issuer that the `--oidc-*` flags describe. Raises ValueError."""
    url, client = values.get("oidc-issuer-url", ""), values.get("oidc-client-id", "")
    if not url or not client:
        raise ValueError("--oidc-issuer-url and --oidc-client-id go together")
    claim = values.get("oidc-username-claim", "sub")
    prefix = values.get("oidc-username-prefix", "" if claim == "email" else f"{url}#")
    groups = None
    if name := values.get("oidc-groups-claim"):
        groups = Prefixed(claim=name, prefix=values.get("oidc-groups-prefix", ""))
    rules = []
    for text in values.get("oidc-required-claim", ()):
        key, equals, wanted = text.partition("=")
        if not key or not equals:
            raise ValueError(f"--oidc-required-claim: {text!r} is not key=value")
        rules.append(ClaimRule(claim=key, required_value=wanted))
    authority = values.get("oidc-ca-file")
    found = JWT(
        issuer=Issuer(
            url=url, audiences=[client], certificate_authority=Path(authority).read_text() if authority else None
        ),
        claim_mappings=ClaimMappings(
            username=Prefixed(claim=claim, prefix="" if prefix == "-" else prefix), groups=groups
        ),
        claim_validation_rules=rules or None,
    )
    if problems := check([found]):
        raise ValueError("; ".join(problems))
    return found
