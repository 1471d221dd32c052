"""Join tokens: forms, Secrets, durations, and the signature that a joining machine checks."""

from __future__ import annotations

import pytest

from pybernetes.aio import clock
from pybernetes.bootstrap import join_tokens, token_command
from pybernetes.bootstrap.join_tokens import Token, TokenError
from pybernetes.control_plane.controllers.bootstrap_tokens import sign


def test_generated_tokens_are_tokens_and_differ() -> None:
    found = {join_tokens.generate() for _ in range(20)}
    assert len(found) == 20
    assert all(join_tokens.split(text) for text in found)


@pytest.mark.parametrize("text", ["", "abc", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde", "abcdef0123456789"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(TokenError, match="not of the form"):
        join_tokens.split(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("24h0m0s", 86400), ("90m", 5400), ("1h30m5s", 5405), ("1.5h", 5400), ("500ms", 0.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert join_tokens.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "1d", "h", "1h x", "-1h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(TokenError, match="not a duration"):
        join_tokens.duration(text)


async def test_a_token_survives_its_secret() -> None:
    token = Token("abcdef", "0123456789abcdef", clock.timestamp() + 60, ("signing",), ("system:bootstrappers:x",), "d")
    assert join_tokens.token_of(join_tokens.secret_of(token)) == token
    forever = Token("abcdef", "0123456789abcdef")
    assert join_tokens.token_of(join_tokens.secret_of(forever)) == forever
    damaged = join_tokens.secret_of(token)
    assert damaged.data is not None
    del damaged.data["token-secret"]
    assert join_tokens.token_of(damaged) is None


def test_the_signature_of_the_controller_is_accepted_and_no_other() -> None:
    token = "abcdef.0123456789abcdef"
    info = {"kubeconfig": "text", "jws-kubeconfig-abcdef": sign("text", "abcdef", "0123456789abcdef")}
    assert join_tokens.verified_kubeconfig(info, token) == "text"
    with pytest.raises(TokenError, match="was not made with this token"):
        join_tokens.verified_kubeconfig({**info, "kubeconfig": "another text"}, token)
    with pytest.raises(TokenError, match="was not made with this token"):
        join_tokens.verified_kubeconfig(info, "abcdef.ffffffffffffffff")
    with pytest.raises(TokenError, match="knows no token with the id '000000'"):
        join_tokens.verified_kubeconfig(info, "000000.0123456789abcdef")
    unsigned = "eyJhbGciOiJub25lIn0.." + info["jws-kubeconfig-abcdef"].partition("..")[2]  # {"alg":"none"}
    with pytest.raises(TokenError, match="was not made with this token"):
        join_tokens.verified_kubeconfig({**info, "jws-kubeconfig-abcdef": unsigned}, token)
    with pytest.raises(TokenError, match="publishes no kubeconfig"):
        join_tokens.verified_kubeconfig({}, token)


async def test_the_list_has_kubeadms_columns() -> None:
    lines = token_command.table(
        [Token("abcdef", "0123456789abcdef", clock.timestamp() + 7200), Token("bbbbbb", "0123456789abcdef", usages=())]
    ).splitlines()
    assert lines[0].split() == ["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA", "GROUPS"]
    first = ["abcdef.0123456789abcdef", "120m", "2026-01-01T02:00:00Z", "authentication,signing", "<none>"]
    assert lines[1].split() == [*first, join_tokens.NODE_GROUP]
    assert lines[2].split()[1:4] == ["<forever>", "<never>", "<none>"]
