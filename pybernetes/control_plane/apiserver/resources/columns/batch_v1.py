"""How jobs print."""

from __future__ import annotations

from typing import Any

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.resource import Table
from pybernetes.control_plane.apiserver.resources.columns.cells import NONE, age, columns, containers, selector, since
from pybernetes.machinery.table import duration

#: Conditions that are a job's state when true, the decisive ones first.
_STATES = ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet")


def _job(obj: Any) -> list[Any]:
    spec, status = obj.spec, obj.status
    done = status.succeeded or 0
    if spec.completions is not None:
        completions = f"{done}/{spec.completions}"
    else:
        parallel = spec.parallelism or 0
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    took = ""
    if status.start_time:
        end = clock.parse_rfc3339(status.completion_time) if status.completion_time else clock.timestamp()
        took = duration(end - clock.parse_rfc3339(status.start_time))
    true = {c.type for c in status.conditions or () if c.status == "True"}
    state = next((word for word in _STATES if word in true), "")
    if not state:
        state = "Terminating" if obj.metadata.deletion_timestamp is not None else "Running"
    return [
        obj.metadata.name,
        state,
        completions,
        took,
        age(obj),
        *containers(spec.template),
        selector(spec.selector),
    ]


def _cron_job(obj: Any) -> list[Any]:
    spec, status = obj.spec, obj.status
    last = since(status.last_schedule_time) if status.last_schedule_time else NONE
    template = spec.job_template.spec.template if spec.job_template.spec else None
    job_selector = spec.job_template.spec.selector if spec.job_template.spec else None
    return [
        obj.metadata.name,
        spec.schedule,
        spec.time_zone or NONE,
        "True" if spec.suspend else "False",
        len(status.active or ()),
        last,
        age(obj),
        *containers(template),
        selector(job_selector),
    ]


TABLES: dict[str, Table] = {
    "Job": Table(columns("Name|Status|Completions|Duration|Age|*Containers|*Images|*Selector"), _job),
    "CronJob": Table(
        columns("Name|Schedule|Timezone|Suspend|#Active|Last Schedule|Age|*Containers|*Images|*Selector"), _cron_job
    ),
}
