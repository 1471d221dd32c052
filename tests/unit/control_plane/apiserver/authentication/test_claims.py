"""What the claims of a token make of a user."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.control_plane.apiserver.authentication.claims import Mapping
from pybernetes.control_plane.apiserver.authentication.configuration import JWT, load, of_flags
from pybernetes.control_plane.apiserver.authentication.jwt import InvalidToken

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
ISSUER = "issuer: {url: 'https://issuer.example.com', audiences: [us]}"


def jwt(text: str) -> JWT:
    found = load(f"{HEAD}jwt:\n- {ISSUER}\n  {text}").jwt
    assert found is not None
    return found[0]


def user(text: str, **claims: Any) -> Any:
    return Mapping(jwt(text)).user_of(claims)


def test_claims_with_prefixes() -> None:
    found = user(
        "claimMappings: {username: {claim: sub, prefix: 'x:'}, groups: {claim: g, prefix: 'y:'}, uid: {claim: id}}",
        sub="anna",
        g=["a", "b"],
        id="7",
    )
    assert (found.name, found.uid, found.groups) == ("x:anna", "7", ("y:a", "y:b", "system:authenticated"))
    one = "claimMappings: {username: {claim: sub, prefix: ''}, groups: {claim: g, prefix: ''}}"
    assert user(one, sub="anna", g="solo").groups == ("solo", "system:authenticated")
    assert user(one, sub="anna").groups == ("system:authenticated",)


def test_expressions() -> None:
    text = """
    claimMappings:
      username: {expression: 'claims.username + ":external"'}
      groups: {expression: 'claims.roles.split(",")'}
      uid: {expression: 'string(claims.number)'}
      extra:
      - {key: example.com/tenant, valueExpression: 'claims.tenant'}
      - {key: example.com/none, valueExpression: 'claims.?absent.orValue("")'}
    userValidationRules:
    - {expression: "!user.username.startsWith('system:')", message: 'that name is taken'}
    claimValidationRules:
    - {expression: 'claims.exp - claims.iat <= 3600', message: 'it lives too long'}
    """.strip().replace("\n    ", "\n  ")
    claims = {"username": "anna", "roles": "a,b", "number": 7, "tenant": "blue", "exp": 100, "iat": 50}
    found = user(text, **claims)
    assert (found.name, found.uid, found.groups[:2]) == ("anna:external", "7", ("a", "b"))
    assert found.extra == {"example.com/tenant": ("blue",)}
    with pytest.raises(InvalidToken, match="that name is taken"):
        user(text, **{**claims, "username": "system:admin"})
    with pytest.raises(InvalidToken, match="it lives too long"):
        user(text, **{**claims, "exp": 100_000})
    with pytest.raises(InvalidToken, match="error evaluating claim expression"):
        user(text, **{k: v for k, v in claims.items() if k != "roles"})


BY_MAIL = "claimMappings: {username: {claim: email, prefix: ''}}"


@pytest.mark.parametrize(
    ("text", "claims", "said"),
    [
        (BY_MAIL, {"email": "a@b.c", "email_verified": False}, "email not verified"),
        (BY_MAIL, {"name": "x"}, "'email' is not present"),
        (BY_MAIL, {"email": 7}, "could not be parsed as a string"),
        (f"claimValidationRules: [{{claim: hd, requiredValue: x}}]\n  {BY_MAIL}", {"email": "a"}, "hd not present"),
        (
            f"claimValidationRules: [{{claim: hd, requiredValue: x}}]\n  {BY_MAIL}",
            {"email": "a", "hd": "y"},
            "value does not match",
        ),
    ],
)
def test_tokens_that_make_no_user(text: str, claims: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidToken, match=said):
        user(text, **claims)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("claimMappings: {username: {claim: sub}}", "prefix is required when claim is set"),
        ("claimMappings: {username: {claim: a, expression: b}}", "exactly one of claim or expression"),
        ("claimMappings: {username: {expression: b, prefix: c}}", "can't be set when expression is set"),
        ("claimMappings: {username: {claim: a, prefix: ''}, extra: [{key: Big, valueExpression: x}]}", "lowercase"),
        ("claimMappings: {username: {claim: a, prefix: ''}}\n  claimValidationRules: [{message: x}]", "exactly one"),
        ("claimMappings: {usernames: {}}", "unknown field"),
    ],
)
def test_a_wrong_document_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="authentication configuration") as caught:
        jwt(text)
    assert said in str(caught.value)


def test_a_wrong_expression_is_found_at_the_start() -> None:
    with pytest.raises(ValueError, match="compilation failed"):
        Mapping(jwt("claimMappings: {username: {expression: 'claims.'}}"))
    with pytest.raises(ValueError, match=r"claims\.email_verified must be used"):
        Mapping(jwt("claimMappings: {username: {expression: 'claims.email'}}"))
    Mapping(jwt("claimMappings: {username: {expression: 'claims.email_verified ? claims.email : \"\"'}}"))


def test_flags() -> None:
    url = "https://issuer.example.com"
    found = of_flags({"oidc-issuer-url": url, "oidc-client-id": "us", "oidc-required-claim": ["a=b"]})
    assert Mapping(found).user_of({"sub": "anna", "a": "b"}).name == f"{url}#anna"
    plain = of_flags({"oidc-issuer-url": url, "oidc-client-id": "us", "oidc-username-prefix": "-"})
    assert Mapping(plain).user_of({"sub": "anna"}).name == "anna"
    with pytest.raises(ValueError, match="scheme must be https"):
        of_flags({"oidc-issuer-url": "http://x", "oidc-client-id": "us"})
    with pytest.raises(ValueError, match="go together"):
        of_flags({"oidc-issuer-url": url})
