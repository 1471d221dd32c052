"""/healthz, /livez, /readyz: is the server alive, may it get traffic. Each is a list of named checks.

`/readyz?verbose` shows them, `/readyz/NAME` asks one, `exclude=NAME` leaves one out.
"""

from __future__ import annotations

from collections.abc import Callable

from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.machinery import errors

Check = Callable[[], bool]
_TEXT = b"text/plain; charset=utf-8"


class Health:
    """Checks by endpoint; a check returns whether all is well."""

    def __init__(self) -> None:
        self._checks: dict[str, dict[str, Check]] = {"healthz": {}, "livez": {}, "readyz": {}}

    def add(self, name: str, check: Check, *, live: bool = True) -> None:
        """Add a check to all endpoints, or only to readyz when it says nothing about being alive."""
        for endpoint, checks in self._checks.items():
            if live or endpoint == "readyz":
                checks[name] = check

    async def metrics(self, call: Call) -> Result:
        """GET /metrics/slis: every check as a number."""
        lines = [
            "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.",
            "# TYPE kubernetes_healthcheck gauge",
        ]
        for endpoint, checks in self._checks.items():
            lines.extend(
                f'kubernetes_healthcheck{{name="{name}",type="{endpoint}"}} {int(bool(check()))}'
                for name, check in checks.items()
            )
        return Result(raw=("\n".join(lines) + "\n").encode(), media_type=b"text/plain; version=0.0.4; charset=utf-8")

    def find(self, path: str) -> Callable[[Call], object] | None:
        """The handler of a health path, or None."""
        endpoint, _, name = path.strip("/").partition("/")
        checks = self._checks.get(endpoint)
        if checks is None or (name and name not in checks):
            return None
        return self._answer

    async def _answer(self, call: Call) -> Result:
        if call.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed(("", ""), call.method)
        endpoint, _, only = call.path.strip("/").partition("/")
        excluded = set(call.params.get("exclude", ()))
        lines: list[str] = []
        failed: list[str] = []
        checks = self._checks[endpoint]
        for name, check in checks.items() if not only else [(only, checks[only])]:
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif check():
                lines.append(f"[+]{name} ok")
            else:
                lines.append(f"[-]{name} failed: reason withheld")
                failed.append(name)
        lines.extend(
            f'warn: some health checks cannot be excluded: no matches for "{name}"'
            for name in sorted(excluded - set(checks))
        )
        if failed:
            text = "\n".join([*lines, f"{endpoint} check failed", ""])
            return Result(500, raw=text.encode(), media_type=_TEXT)
        if "verbose" in call.params:
            text = "\n".join([*lines, f"{endpoint} check passed", ""])
            return Result(raw=text.encode(), media_type=_TEXT)
        return Result(raw=b"ok", media_type=_TEXT)
