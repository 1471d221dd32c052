"""Keys that leave a session."""

from __future__ import annotations

import pytest

from pybernetes.cli.detaching import DEFAULT, Detacher, keys
from pybernetes.cli.errors import CLIError


def test_keys_are_read() -> None:
    assert keys(DEFAULT) == b"\x10\x11" and keys("") == b""
    assert keys("ctrl-a,x,ctrl-[,ctrl-@") == b"\x01x\x1b\x00"
    for wrong in ("ctrl-foo", "ctrl-", "xy"):
        with pytest.raises(CLIError, match=f"could not bind detach keys: Unknown character: '{wrong}'"):
            keys(wrong)


@pytest.mark.parametrize(
    ("typed", "sent", "is_over"),
    [
        ([b"ls\n"], b"ls\n", False),
        ([b"ls\x10\x11rest"], b"ls", True),
        ([b"ls\x10", b"\x11"], b"ls", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10\x10"], b"\x10\x10", False),
        ([b"\x10"], b"", False),
    ],
)
def test_only_the_whole_keys_end_it(typed: list[bytes], sent: bytes, is_over: bool) -> None:
    detacher = Detacher(b"\x10\x11")
    found = [detacher.feed(piece) for piece in typed]
    assert (b"".join(out for out, _ in found), found[-1][1]) == (sent, is_over)
