"""Keys that leave a session while it goes on: `--detach-keys`, ctrl-p ctrl-q if nothing else is said. Pure.

What looks like the beginning of the keys waits until it is known whether it is; then it is either sent or the end.
"""

from __future__ import annotations

from pybernetes.cli.errors import CLIError

DEFAULT = "ctrl-p,ctrl-q"
_CONTROL = {chr(code + 96): code for code in range(1, 27)} | {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def keys(text: str) -> bytes:
    """`ctrl-a,x` as what a terminal sends. Raises CLIError."""
    found = bytearray()
    for word in filter(None, text.split(",")):
        control = word.removeprefix("ctrl-")
        if len(word.encode()) == 1:
            found += word.encode()
        elif word.startswith("ctrl-") and control in _CONTROL:
            found.append(_CONTROL[control])
        else:
            raise CLIError(f"could not bind detach keys: Unknown character: '{word}'")
    return bytes(found)


class Detacher:
    """Looks for the keys in what is typed."""

    def __init__(self, wanted: bytes) -> None:
        self._wanted = wanted
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be sent, and whether the keys were typed."""
        out = bytearray()
        for number in data:
            self._held += bytes([number])
            if not self._wanted.startswith(self._held):
                out += self._held
                self._held = b""
            elif self._held == self._wanted:
                return bytes(out), True
        return bytes(out), False
