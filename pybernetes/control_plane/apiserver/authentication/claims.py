"""From a verified token's claims to a user, by the rules of one issuer. Pure.

Claims are taken as they are, or through CEL; expressions are compiled when the server starts, so that a mistake is
found then.
"""

from __future__ import annotations

from typing import Any

from pybernetes.control_plane.apiserver.authentication.configuration import JWT, Prefixed
from pybernetes.control_plane.apiserver.authentication.jwt import InvalidToken
from pybernetes.control_plane.apiserver.authentication.user import AUTHENTICATED, User
from pybernetes.machinery import cel


class Mapping:
    """See the module. Raises ValueError for an expression that does not compile."""

    def __init__(self, config: JWT) -> None:
        mappings = config.claim_mappings
        self._username = _value(mappings.username)
        self._groups = _value(mappings.groups)
        self._uid = _value(mappings.uid)
        self._extra = [(extra.key, _compile(extra.value_expression, "claims")) for extra in mappings.extra or ()]
        self._required = [
            (rule.claim, rule.required_value or "") for rule in config.claim_validation_rules or () if rule.claim
        ]
        self._claim_rules = [
            (_compile(rule.expression, "claims", "bool"), rule.message or "")
            for rule in config.claim_validation_rules or ()
            if rule.expression
        ]
        self._user_rules = [
            (_compile(rule.expression, "user", "bool"), rule.message or "")
            for rule in config.user_validation_rules or ()
        ]
        self._by_email = mappings.username.claim == "email"
        _check_email(config)

    def user_of(self, claims: dict[str, Any]) -> User:
        """The user. Raises InvalidToken when a rule is broken or a claim is not what it should be."""
        for name, wanted in self._required:
            if name not in claims:
                raise InvalidToken(f"oidc: required claim {name} not present in ID token")
            if claims[name] != wanted:
                raise InvalidToken(f"oidc: required claim {name} value does not match")
        for rule, message in self._claim_rules:
            _hold(rule, {"claims": claims}, message, "validation expression")
        if self._by_email and claims.get("email_verified", True) is not True:
            raise InvalidToken("oidc: email not verified")
        username = self._text(self._username, claims, "username")
        if not username:
            raise InvalidToken("oidc: username claim is empty")
        groups = tuple(dict.fromkeys((*self._texts(self._groups, claims), AUTHENTICATED)))
        uid = self._text(self._uid, claims, "uid")
        extra = {}
        for key, program in self._extra:
            if values := tuple(value for value in _strings(_run(program, {"claims": claims})) if value):
                extra[key] = values
        user = User(username, uid, groups, extra)
        shown = {
            "username": username,
            "uid": uid,
            "groups": [group for group in groups if group != AUTHENTICATED],
            "extra": {key: list(values) for key, values in extra.items()},
        }
        for rule, message in self._user_rules:
            _hold(rule, {"user": shown}, message, "user validation expression")
        return user

    def _text(self, mapping: _Value | None, claims: dict[str, Any], name: str) -> str:
        if mapping is None:
            return ""
        value = mapping.read(claims)
        if value is None:
            raise InvalidToken(f"oidc: {name} claim {mapping.claim!r} is not present")
        if not isinstance(value, str):
            raise InvalidToken(f"oidc: {name} claim could not be parsed as a string")
        return mapping.prefix + value if value else value

    def _texts(self, mapping: _Value | None, claims: dict[str, Any]) -> list[str]:
        if mapping is None:
            return []
        if mapping.claim and mapping.claim in (claims.get("_claim_names") or {}):
            raise InvalidToken("oidc: distributed claims are not supported")
        return [mapping.prefix + value for value in _strings(mapping.read(claims)) if value]


class _Value:
    """A claim, or an expression over all of them."""

    def __init__(self, mapping: Prefixed) -> None:
        self.claim = mapping.claim or ""
        self.prefix = mapping.prefix or ""
        self._program = _compile(mapping.expression, "claims") if mapping.expression else None

    def read(self, claims: dict[str, Any]) -> Any:
        if self._program is not None:
            return _run(self._program, {"claims": claims})
        return claims.get(self.claim)


def _value(mapping: Prefixed | None) -> _Value | None:
    return _Value(mapping) if mapping is not None and (mapping.claim or mapping.expression) else None


def _compile(text: str | None, variable: str, result: str = "") -> cel.Program:
    try:
        return cel.compile(text or "", {variable: cel.DYN}, result)
    except cel.CelError as error:
        raise ValueError(f"expression {text!r}: compilation failed: {error}") from None


def _run(program: cel.Program, values: dict[str, Any]) -> Any:
    try:
        return program(values)
    except cel.CelError as error:
        raise InvalidToken(f"oidc: error evaluating claim expression: {error}") from None


def _hold(program: cel.Program, values: dict[str, Any], message: str, what: str) -> None:
    if _run(program, values) is not True:
        raise InvalidToken(f"oidc: {what} failed: {message or 'it is not true'}")


def _strings(value: Any) -> list[str]:
    """A string, a list of strings or nothing, as a list."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    raise InvalidToken("oidc: a claim is neither a string nor a list of strings")


def _check_email(config: JWT) -> None:
    """Whoever takes the address for the name must have looked at whether it was verified."""
    mappings = config.claim_mappings
    if "claims.email" not in (mappings.username.expression or "").replace("claims.email_verified", ""):
        return
    texts = [mappings.username.expression, *(extra.value_expression for extra in mappings.extra or ())]
    texts += [rule.expression for rule in config.claim_validation_rules or ()]
    if not any("email_verified" in (text or "") for text in texts):
        raise ValueError(
            "claims.email_verified must be used in claimMappings.username.expression or "
            "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used "
            "in claimMappings.username.expression"
        )
