"""Jobs and CronJobs against the real API server, and the pure parts of both."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.api.batch_v1 import CronJob, Job
from pybernetes.api.core_v1 import Pod
from pybernetes.client.controller import controller_reference
from pybernetes.control_plane.controllers import cron
from pybernetes.control_plane.controllers import job as controller
from pybernetes.control_plane.controllers import job_plan as plan
from pybernetes.control_plane.controllers.cronjob import due

from .world import World, template, wire


def job(**spec: Any) -> Job:
    return wire(Job, "job", {"template": template({}, restartPolicy="Never"), **spec})


def condition(j: Job, type_: str) -> Any:
    return plan.condition(j, type_)


async def test_a_job_completes_and_lets_its_pods_go() -> None:
    async with World("job-controller") as world:
        world.phase = lambda pod: "Succeeded"
        await world.create(job(completions=5, parallelism=2))
        done = await world.until(Job, "job", lambda j: condition(j, "Complete"))
        assert done.status.succeeded == 5 and not done.status.active
        assert condition(done, "SuccessCriteriaMet").reason == "CompletionsReached"
        assert done.status.start_time and done.status.completion_time
        pods = await world.list(Pod)
        assert len(pods) == 5 and not any(p.metadata.finalizers for p in pods)
        await world.settle()
        assert await world.events("Completed") == ["Job completed"]


async def test_a_pod_that_ends_while_others_are_counted_is_not_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    release = controller.JobController._release
    ended: list[str] = []

    async def slowly(self: Any, pods: Any) -> None:
        if pods and not ended:
            (late,) = [p for p in self.pods.list("default") if plan.index_of(p) == 1]
            ended.append(late.metadata.name)
            body = {"status": {"phase": "Succeeded"}}
            patched = await self._pods.patch(late.metadata.name, "default", body, subresource="status")
            await self.pods.caught_up(patched)
        await release(self, pods)

    monkeypatch.setattr(controller.JobController, "_release", slowly)
    async with World("job-controller") as world:
        world.phase = lambda pod: "Succeeded" if plan.index_of(pod) == 0 else "Running"
        await world.create(job(completions=2, parallelism=2, completionMode="Indexed"))
        done = await world.until(Job, "job", lambda j: condition(j, "Complete"))
        assert ended and done.status.completed_indexes == "0,1" and not done.status.failed
        assert len(await world.list(Pod)) == 2


async def test_failures_wait_longer_each_time_and_end_at_the_limit() -> None:
    async with World("job-controller") as world:
        world.phase = lambda pod: "Failed"
        started = clock.monotonic()
        await world.create(job(backoffLimit=3))
        failed = await world.until(Job, "job", lambda j: condition(j, "Failed"), timeout=600)
        assert condition(failed, "Failed").reason == "BackoffLimitExceeded"
        assert failed.status.failed == 4
        assert 70 <= clock.monotonic() - started <= 80  # 10 + 20 + 40


async def test_indexed_jobs_complete_each_index_once() -> None:
    async with World("job-controller") as world:
        failed: set[str] = set()

        def phase(pod: Pod) -> str:
            index = (pod.metadata.annotations or {})[plan.INDEX]
            if index == "2" and not failed:
                failed.add(pod.metadata.uid)
            return "Failed" if pod.metadata.uid in failed else "Succeeded"

        world.phase = phase
        await world.create(job(completions=4, parallelism=4, completionMode="Indexed"))
        done = await world.until(Job, "job", lambda j: condition(j, "Complete"))
        assert done.status.completed_indexes == "0-3" and done.status.failed == 1
        pod = next(p for p in await world.list(Pod) if plan.index_of(p) == 3)
        assert pod.spec.hostname == "job-3" and pod.metadata.name.startswith("job-3-")
        assert "JOB_COMPLETION_INDEX" in {e.name for e in pod.spec.containers[0].env or ()}


async def test_some_indexes_fail_for_good() -> None:
    async with World("job-controller") as world:
        world.phase = lambda pod: "Failed" if plan.index_of(pod) == 1 else "Succeeded"
        await world.create(job(completions=3, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=1))
        failed = await world.until(Job, "job", lambda j: condition(j, "Failed"), timeout=600)
        assert condition(failed, "Failed").reason == "FailedIndexes"
        assert (failed.status.completed_indexes, failed.status.failed_indexes) == ("0,2", "1")
        assert failed.status.failed == 2


async def test_a_suspended_job_has_no_pods_until_it_is_resumed() -> None:
    async with World("job-controller") as world:
        await world.create(job(suspend=True, activeDeadlineSeconds=60))
        await world.until(Job, "job", lambda j: condition(j, "Suspended"))
        assert await world.list(Pod) == []
        await world.settle(100)
        await world.client.resource(Job).patch("job", "default", {"spec": {"suspend": False}})
        await world.until(Job, "job", lambda j: j.status.active == 1)
        late = await world.until(Job, "job", lambda j: condition(j, "Failed"))
        assert condition(late, "Failed").reason == "DeadlineExceeded"


async def test_pods_that_are_not_wanted_any_more_have_not_failed() -> None:
    async with World("job-controller") as world:
        await world.create(job(parallelism=3, completions=3, backoffLimit=0))
        await world.until(Job, "job", lambda j: j.status.ready == 3)
        await world.client.resource(Job).patch("job", "default", {"spec": {"parallelism": 1}})
        await world.until(Job, "job", lambda j: j.status.active == 1 and not j.status.terminating)
        await world.client.resource(Job).patch("job", "default", {"spec": {"suspend": True}})
        await world.until(Job, "job", lambda j: condition(j, "Suspended") and not j.status.active)
        await world.settle()
        assert await world.list(Pod) == []
        await world.client.resource(Job).patch("job", "default", {"spec": {"suspend": False}})
        again = await world.until(Job, "job", lambda j: j.status.ready == 1)
        assert not again.status.failed and not condition(again, "FailureTarget")


async def test_a_resumed_job_does_not_wait_for_what_it_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    end = World._end_pod

    async def slowly(self: World, pod: Pod) -> None:
        await clock.sleep(30)
        await end(self, pod)

    monkeypatch.setattr(World, "_end_pod", slowly)
    async with World("job-controller") as world:
        placed = template({}, restartPolicy="Never", nodeName="n")  # only what has a node ends gracefully
        await world.create(job(parallelism=3, completions=3, template=placed))
        await world.until(Job, "job", lambda j: j.status.ready == 3)
        for suspend in (True, False):
            await world.client.resource(Job).patch("job", "default", {"spec": {"suspend": suspend}})
            wanted = 0 if suspend else 3
            found = await world.until(Job, "job", lambda j, wanted=wanted: (j.status.active or 0) == wanted, timeout=5)
            assert found.status.terminating == 3
        await world.until(Job, "job", lambda j: j.status.ready == 3 and not j.status.terminating)


async def test_what_still_runs_when_the_success_policy_is_met_has_not_failed() -> None:
    async with World("job-controller") as world:
        world.phase = lambda pod: "Succeeded" if plan.index_of(pod) == 0 else "Running"
        policy = {"rules": [{"succeededIndexes": "0"}]}
        spec = {"completions": 5, "parallelism": 2, "completionMode": "Indexed", "successPolicy": policy}
        await world.create(job(**spec))
        done = await world.until(Job, "job", lambda j: condition(j, "Complete"))
        assert condition(done, "SuccessCriteriaMet").reason == condition(done, "Complete").reason == "SuccessPolicy"
        status = done.status
        assert (status.completed_indexes, status.succeeded) == ("0", 1)
        assert (status.active or 0, status.ready, status.terminating, status.failed or 0) == (0, 0, 0, 0)


async def test_pods_that_lose_their_job_are_not_tracked_any_more() -> None:
    async with World("job-controller", "garbage-collector-controller") as world:
        await world.create(job(parallelism=2, completions=2))
        await world.until(Job, "job", lambda j: j.status.ready == 2)
        one, other = await world.list(Pod)
        pods = world.client.resource(Pod)
        await pods.patch(one.metadata.name, "default", {"metadata": {"ownerReferences": None, "finalizers": None}})
        back = await world.until(Pod, one.metadata.name, lambda p: p.metadata.owner_references)
        assert back.metadata.finalizers == [plan.FINALIZER]
        await pods.patch(one.metadata.name, "default", {"metadata": {"labels": None}})
        await world.until(Pod, one.metadata.name, lambda p: not (p.metadata.owner_references or p.metadata.finalizers))
        await world.client.resource(Job).delete("job", "default", propagation="Orphan")
        await world.gone(Job, "job")
        await world.until(
            Pod, other.metadata.name, lambda p: not (p.metadata.owner_references or p.metadata.finalizers)
        )


async def test_ended_jobs_go_after_their_ttl() -> None:
    async with World("job-controller", "ttl-after-finished-controller", "garbage-collector-controller") as world:
        world.phase = lambda pod: "Succeeded"
        await world.create(job(ttlSecondsAfterFinished=100))
        await world.until(Job, "job", lambda j: condition(j, "Complete"))
        ended = clock.monotonic()
        await world.gone(Job, "job")
        assert 99 <= clock.monotonic() - ended <= 102
        assert await world.list(Pod) == []


async def test_pods_of_a_deleted_job_are_let_go() -> None:
    async with World("job-controller", "garbage-collector-controller") as world:
        await world.create(job(parallelism=2))
        await world.until(Job, "job", lambda j: j.status.ready == 2)
        pods = await world.list(Pod)
        await world.client.resource(Job).delete("job", "default", propagation="Background")
        for pod in pods:
            await world.gone(Pod, pod.metadata.name)
        await world.create(job(parallelism=2))
        await world.until(Job, "job", lambda j: j.status.ready == 2)
        await world.client.resource(Job).delete("job", "default", propagation="Foreground")
        await world.gone(Job, "job")
        assert await world.list(Pod) == []


def test_pod_failure_policy() -> None:
    rules = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    subject = job(podFailurePolicy={"rules": rules})
    pod = wire(Pod, "p")
    pod.status.phase = "Failed"
    assert plan.judge(subject, pod).action == "Count"

    def ended(code: int) -> Any:
        from pybernetes.api.core_v1 import ContainerStatus
        from pybernetes.machinery import codec

        return codec.from_dict(ContainerStatus, {"name": "c", "state": {"terminated": {"exitCode": code}}})

    pod.status.container_statuses = [ended(42)]
    verdict = plan.judge(subject, pod)
    assert verdict.action == "FailJob"
    assert verdict.message == "Container c for pod default/p failed with exit code 42 matching FailJob rule at index 0"


@pytest.mark.parametrize("text", ["", "0", "0,1", "0-2", "1,3-5,7,8,10-13"])
def test_indexes(text: str) -> None:
    assert plan.format_indexes(plan.parse_indexes(text)) == text


def cron_job(**spec: Any) -> CronJob:
    body = {"spec": {"template": template({}, restartPolicy="Never")}}
    return wire(CronJob, "cj", {"schedule": "*/5 * * * *", "jobTemplate": body, **spec})


async def test_a_cron_job_runs_on_time_and_keeps_the_last_few() -> None:
    async with World("cronjob-controller", "job-controller", "garbage-collector-controller") as world:
        world.phase = lambda pod: "Succeeded"
        await world.create(cron_job(successfulJobsHistoryLimit=2))
        await world.settle(1000)  # epoch is a full hour: 5, 10 and 15 minutes past
        owner = await world.get(CronJob, "cj")
        assert owner.status.last_schedule_time == clock.format_rfc3339(clock.timestamp() // 300 * 300)
        assert owner.status.last_successful_time and not owner.status.active
        assert len(await world.list(Job)) == 2
        assert len(await world.events("SuccessfulCreate")) >= 3


async def test_concurrency_policies() -> None:
    async with World("cronjob-controller", "job-controller", "garbage-collector-controller") as world:
        await world.create(cron_job(concurrencyPolicy="Forbid"))
        await world.settle(700)
        [only] = await world.list(Job)
        await world.client.resource(CronJob).patch("cj", "default", {"spec": {"concurrencyPolicy": "Replace"}})
        await world.settle(300)
        [replaced] = await world.list(Job)
        assert replaced.metadata.uid != only.metadata.uid


async def test_jobs_that_others_made_are_told_and_left_alone() -> None:
    async with World("cronjob-controller", "job-controller", "garbage-collector-controller") as world:
        owner = await world.create(cron_job(concurrencyPolicy="Replace"))
        reference = controller_reference(owner)
        manual = job()
        manual.metadata.owner_references = [reference]
        await world.create(manual)
        await world.settle(700)
        found = await world.get(CronJob, "cj")
        [active] = found.status.active or ()
        assert active.name != "job" and {j.metadata.name for j in await world.list(Job)} == {"job", active.name}
        assert "Saw a job that the controller did not create or forgot: job" in await world.events("UnexpectedJob")
        # The controller dies between making a Job and noting it: it finds it by its name.
        lost = {"status": {"active": None, "lastScheduleTime": None}}
        await world.client.resource(CronJob).patch("cj", "default", lost, subresource="status")
        again = await world.until(CronJob, "cj", lambda c: c.status.active)
        assert [a.name for a in again.status.active or ()] == [active.name] and again.status.last_schedule_time


async def test_what_is_wrong_with_a_schedule_is_told() -> None:
    async with World("cronjob-controller") as world:
        for name, schedule in (("never", "59 23 31 2 *"), ("behind", "* * * * *")):
            made = cron_job(schedule=schedule)
            made.metadata.name = name
            await world.create(made)
        await world.settle(1)
        text = "invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second"
        assert await world.events("InvalidSchedule") == [text]
        long_ago = {"status": {"lastScheduleTime": clock.format_rfc3339(clock.timestamp() - 86400)}}
        await world.client.resource(CronJob).patch("behind", "default", long_ago, subresource="status")
        await world.until(CronJob, "behind", lambda c: c.status.active)
        advice = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        assert await world.events("TooManyMissedTimes") == [f"too many missed start times. {advice}"]


async def test_a_new_schedule_begins_with_its_next_time_in_its_zone() -> None:
    async with World("cronjob-controller", "job-controller") as world:
        world.phase = lambda pod: "Succeeded"
        await world.create(cron_job(schedule="0 0 1 1 *"))
        await world.settle(1900)
        change = {"spec": {"schedule": "10 * * * *", "timeZone": "Asia/Kolkata"}}  # five and a half hours ahead
        await world.client.resource(CronJob).patch("cj", "default", change)
        await world.settle(60)
        assert not await world.list(Job)  # ten past was before
        await world.settle(3600)
        [made] = await world.list(Job)
        scheduled = (made.metadata.annotations or {})["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        assert scheduled.endswith(":10:00+05:30")
        assert made.metadata.name == f"cj-{int(clock.parse_rfc3339(scheduled)) // 60}"


def at(text: str) -> float:
    return clock.parse_rfc3339(text)


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        ("0 0 * * *", "UTC", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("@hourly", "UTC", "2026-03-01T00:30:00Z", "2026-03-01T01:00:00Z"),
        ("*/15 9-17 * * mon-fri", "UTC", "2026-02-28T12:00:00Z", "2026-03-02T09:00:00Z"),
        ("0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 12 13 * 5", "UTC", "2026-03-01T00:00:00Z", "2026-03-06T12:00:00Z"),  # the 13th or a Friday
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"),  # 2:30 is skipped
        ("0 8 * * 7", "UTC", "2026-03-02T00:00:00Z", "2026-03-08T08:00:00Z"),
    ],
)
def test_schedules(text: str, zone: str, after: str, expected: str) -> None:
    schedule, _ = cron.parse(text)
    assert schedule.after(at(after), zone) == at(expected)


@pytest.mark.parametrize("text", ["* * * *", "60 * * * *", "* * * * mo", "*/0 * * * *", "@often", "5-1 * * * *"])
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        cron.parse(text)


def test_what_is_due() -> None:
    schedule, _ = cron.parse("* * * * *")
    now = at("2026-03-01T10:00:30Z")
    last, following, count = due(schedule, "UTC", now - 150, now)
    assert (last, following, count) == (now - 30, now + 30, 2)
    last, following, count = due(schedule, "UTC", now - 86400, now)
    assert (last, following) == (now - 30, now + 30) and count > 100
