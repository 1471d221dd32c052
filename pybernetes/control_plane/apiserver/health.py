"""/healthz, /livez, /readyz: is the server alive, may it get traffic. Each is a list of named checks.

`/readyz?verbose` shows them, `/readyz/NAME` asks one, `exclude=NAME` leaves one out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.machinery import errors
from pybernetes.machinery.exposition import CONTENT_TYPE, STABLE, family, page

Check = Callable[[], bool]
_TEXT = b"text/plain; charset=utf-8"


class Health:
    """Checks by endpoint; a check returns whether all is well."""

    def __init__(self) -> None:
        self._checks: dict[str, dict[str, Check]] = {"healthz": {}, "livez": {}, "readyz": {}}
        #: By endpoint, check and result.
        self._asked: Counter[tuple[str, str, str]] = Counter()

    def add(self, name: str, check: Check, *, live: bool = True) -> None:
        """Add a check to all endpoints, or only to readyz when it says nothing about being alive."""
        for endpoint, checks in self._checks.items():
            if live or endpoint == "readyz":
                checks[name] = check

    async def metrics(self, call: Call) -> Result:
        """GET /metrics/slis: every check as a number, and how often each was asked with which result."""
        now = [
            ({"name": name, "type": endpoint}, int(bool(check())))
            for endpoint, checks in self._checks.items()
            for name, check in checks.items()
        ]
        before = [
            ({"name": name, "status": status, "type": endpoint}, count)
            for (endpoint, name, status), count in sorted(self._asked.items())
        ]
        about, total = "The result of a health check: 1 is well", "Results of health checks so far"
        lines = family("kubernetes_healthcheck", "gauge", about, STABLE, now)
        lines += family("kubernetes_healthchecks_total", "counter", total, STABLE, before)
        return Result(raw=page(lines), media_type=CONTENT_TYPE.encode())

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
                continue
            well = check()
            self._asked[endpoint, name, "success" if well else "error"] += 1
            if well:
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
