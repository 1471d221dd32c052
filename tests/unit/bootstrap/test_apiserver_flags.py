"""Flags of the API server, from the command line to its configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pybernetes.bootstrap import apiserver_flags
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.control_plane.apiserver.server import Config


def configured(*arguments: str) -> Config:
    parser = argparse.ArgumentParser()
    apiserver_flags.add(parser)
    return apiserver_flags.apply(Config(), apiserver_flags.given(parser.parse_args(arguments)))


def test_none() -> None:
    assert configured() == Config()


def test_audit(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.touch()
    found = configured(
        f"--audit-policy-file={policy}", "--audit-log-path=-", "--audit-log-maxage=3", "--audit-log-maxbackup=2"
    ).audit
    assert found is not None and (found.policy, found.log_path) == (policy, "-")
    assert (found.log_max_size, found.log_max_age, found.log_max_backups) == (100, 3, 2)


def test_users_and_modes(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('secret,anna,7,"a,b"\n')
    found = configured(
        f"--token-auth-file={tokens}",
        "--anonymous-auth=false",
        "--oidc-issuer-url=https://issuer.example.com",
        "--oidc-client-id=us",
        "--oidc-signing-algs=ES256,RS256",
        "--requestheader-allowed-names=",
        "--authorization-mode=RBAC",
    )
    assert found.static_tokens["secret"].groups == ("a", "b") and not found.anonymous
    assert found.authentication.jwt[0].issuer.audiences == ["us"]
    assert found.authentication.algorithms == ("ES256", "RS256") and found.authentication.proxy_names == ()
    assert found.authorization.authorizers == ("RBAC",)


def test_a_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "authentication.yaml"
    path.write_text(
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AuthenticationConfiguration, "
        "anonymous: {enabled: true, conditions: [{path: /livez}]}}"
    )
    found = configured(f"--authentication-config={path}")
    assert found.anonymous and found.authentication.anonymous_paths == ("/livez",)
    with pytest.raises(ClusterError, match="goes with neither"):
        configured(f"--authentication-config={path}", "--anonymous-auth=true")
    path.write_text(
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AuthorizationConfiguration, "
        "authorizers: [{type: RBAC, name: r}]}"
    )
    assert configured(f"--authorization-config={path}").authorization.authorizers == ("RBAC",)
    with pytest.raises(ClusterError, match="goes with no other"):
        configured(f"--authorization-config={path}", "--authorization-mode=RBAC")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--audit-policy-file=/nowhere"], "is not a file"),
        (["--audit-log-path=-"], "--audit-policy-file is missing"),
        (["--authorization-mode=ABAC"], "ABAC is not supported"),
        (["--authorization-config=/dev/null"], "is not a file"),
        (["--anonymous-auth=maybe"], "neither true nor false"),
        (["--oidc-client-id=us"], "go together"),
    ],
)
def test_what_cannot_be(flags: list[str], said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        configured(*flags)
