"""Probes: one task per probe of a running container, that tells the pod's worker when the verdict changes.

The verdict counts consecutive outcomes against the thresholds (`Tally`, pure). Liveness and readiness begin when the
container has started, i.e. when its startup probe succeeded. Until its first success a network probe is tried more
often than its period, a tenth of a second after the start and then in growing steps: such extra attempts can only
succeed, a failure of one counts for nothing. A pod becomes Ready when it is ready, and not up to ten seconds later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod, Probe
from pybernetes.node.cri import ContainerRuntime
from pybernetes.node.kubelet import handlers
from pybernetes.node.kubelet.restarts import AnyContainer
from pybernetes.node.kubelet.state import RUNNING, Run

STARTUP, LIVENESS, READINESS = "Startup", "Liveness", "Readiness"
#: Seconds from the start to the first attempt that can only succeed, and at most to the first that counts, when the
#: probe has no initial delay: nothing listens in the very first moment, and that is no failure.
FIRST_EXTRA, FIRST_COUNTED = 0.1, 1.0
NEVER = float("inf")
#: Outcomes as the metric of probes names them.
_RESULTS = {handlers.SUCCESS: "successful", handlers.FAILURE: "failed", handlers.ERROR: "unknown"}

Tell = Callable[[str, str, str], None]


@dataclass(slots=True)
class Tally:
    """Counts outcomes; `verdict` is None until a threshold is reached."""

    success_threshold: int
    failure_threshold: int
    verdict: bool | None = None
    last: bool | None = None
    count: int = 0

    def add(self, ok: bool) -> bool:
        """Take an outcome; whether the verdict changed."""
        self.count = self.count + 1 if ok == self.last else 1
        self.last = ok
        if self.count < (self.success_threshold if ok else self.failure_threshold):
            return False
        changed = self.verdict is not ok
        self.verdict = ok
        return changed


class Prober:
    """One probe of one run of a container."""

    def __init__(
        self, runtime: ContainerRuntime, kind: str, pod: Callable[[], Pod], container: AnyContainer, run: Run,
        probe: Probe, pod_ip: Callable[[], str], changed: Callable[[], None], tell: Tell,
        counts: Counter[tuple[str, str, str]],
    ) -> None:  # fmt: skip
        """`counts` is what the outcomes are added to: (container, kind, result)."""
        self._runtime = runtime
        self._kind = kind
        self._pod = pod
        self._container = container
        self._run = run
        self._probe = probe
        self._pod_ip = pod_ip
        self._changed = changed
        self._tell = tell
        self._counts = counts
        self._tally = Tally(probe.success_threshold or 1, probe.failure_threshold or 3)

    async def run(self) -> None:
        """Probe until the container ends, the verdict is final, or cancelled."""
        probe, run = self._probe, self._run
        period = float(probe.period_seconds or 10)
        delay = float(probe.initial_delay_seconds or 0) or min(FIRST_COUNTED, period / 2)
        next_at = clock.monotonic() + max(run.started_at + delay - clock.timestamp(), 0.0)
        extra = NEVER if self._kind == LIVENESS or probe.initial_delay_seconds else FIRST_EXTRA
        while run.state == RUNNING:
            pause = next_at - clock.monotonic()
            due = self._tally.verdict is True or extra >= pause
            if not due:
                pause, extra = extra, extra * 2 if probe.exec is None else NEVER
            await clock.sleep(max(pause, 0.0))
            if due:
                next_at = max(next_at + period, clock.monotonic())
            if run.state != RUNNING or (self._kind != READINESS and self._pod().metadata.deletion_timestamp):
                return
            outcome = await self._try()
            if run.state != RUNNING:
                return
            self._take(outcome, counts=due)
            if self._kind == STARTUP and self._tally.verdict is not None:
                return
            if self._kind == LIVENESS and self._tally.verdict is False:
                return

    async def _try(self) -> handlers.Outcome:
        return await handlers.perform(
            self._runtime, self._pod(), self._container, self._run.id, self._pod_ip(), self._probe,
            float(self._probe.timeout_seconds or 1),
        )  # fmt: skip

    def _take(self, outcome: handlers.Outcome, *, counts: bool) -> None:
        ok = outcome.result == handlers.SUCCESS
        if ok or counts:
            self._counts[self._container.name, self._kind, _RESULTS[outcome.result]] += 1
        if outcome.warning:
            self._tell("Warning", "ProbeWarning", f"{self._kind} probe warning: {outcome.output}")
        if not ok:
            if not counts:
                return
            verb = "failed" if outcome.result == handlers.FAILURE else "errored and resulted in unknown state"
            self._tell("Warning", "Unhealthy", f"{self._kind} probe {verb}: {outcome.output}")
            if outcome.result == handlers.ERROR:
                return
        if self._tally.add(ok):
            self._publish()

    def _publish(self) -> None:
        verdict = self._tally.verdict
        if self._kind == STARTUP:
            self._run.started = verdict
        elif self._kind == LIVENESS:
            self._run.healthy = verdict
        else:
            self._run.ready = verdict
        self._changed()
