"""Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs: what makes Pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.describe.pods import template_lines
from pybernetes.cli.describe.text import (
    Lines,
    annotation_lines,
    controller,
    events,
    heading,
    labels_and_annotations,
    moment,
    pairs,
    selector,
)

if TYPE_CHECKING:
    from pybernetes.cli.session import Session

Object = dict[str, Any]


def _owned_pods(session: Session, value: Object) -> str:
    from pybernetes.cli.verbs.rollout import selector_text

    text = selector_text(value["spec"].get("selector") or {})
    counts = {"Running": 0, "Pending": 0, "Succeeded": 0, "Failed": 0}
    for pod in session.list(session.resources.find("pods"), value["metadata"]["namespace"], selector=text):
        if any(o.get("uid") == value["metadata"]["uid"] for o in pod["metadata"].get("ownerReferences") or ()):
            phase = (pod.get("status") or {}).get("phase", "")
            if phase in counts:
                counts[phase] += 1
    shown = (("Running", "Running"), ("Pending", "Waiting"), ("Succeeded", "Succeeded"), ("Failed", "Failed"))
    return " / ".join(f"{counts[phase]} {word}" for phase, word in shown)


def deployment(session: Session, value: Object) -> str:
    """A Deployment, with its old and new ReplicaSets."""
    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    w.add(0, f"CreationTimestamp:\t{moment(metadata['creationTimestamp'])}")
    labels_and_annotations(w, metadata)
    w.add(0, f"Selector:\t{selector(spec.get('selector'))}")
    s = status.get
    w.add(
        0,
        f"Replicas:\t{spec.get('replicas', 1)} desired | {s('updatedReplicas', 0)} updated | {s('replicas', 0)} "
        f"total | "
        f"{s('availableReplicas', 0)} available | {s('unavailableReplicas', 0)} unavailable",
    )
    strategy = spec.get("strategy") or {}
    w.add(0, f"StrategyType:\t{strategy.get('type', '')}")
    w.add(0, f"MinReadySeconds:\t{spec.get('minReadySeconds', 0)}")
    if rolling := strategy.get("rollingUpdate"):
        w.add(
            0,
            f"RollingUpdateStrategy:\t{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} "
            f"max surge",
        )
    template_lines(w, spec["template"])
    if status.get("conditions"):
        w.add(0, "Conditions:")
        w.add(1, "Type\tStatus\tReason")
        w.add(1, "----\t------\t------")
        for c in status["conditions"]:
            w.add(1, f"{c['type']} \t{c['status']}\t{c.get('reason', '')}")
    _replica_sets(session, w, value)
    events(session, w, value)
    return w.render()


def _replica_sets(session: Session, w: Lines, value: Object) -> None:
    metadata = value["metadata"]
    from pybernetes.cli.verbs.rollout import selector_text

    text = selector_text(value["spec"].get("selector") or {})
    key = "deployment.kubernetes.io/revision"
    found = [
        r
        for r in session.list(session.resources.find("replicasets.apps"), metadata["namespace"], selector=text)
        if any(o.get("uid") == metadata["uid"] for o in r["metadata"].get("ownerReferences") or ())
    ]
    current = (metadata.get("annotations") or {}).get(key)
    new = [r for r in found if (r["metadata"].get("annotations") or {}).get(key) == current]
    old = [r for r in found if r not in new]

    def shown(items: list[Object]) -> str:
        return (
            ", ".join(
                f"{r['metadata']['name']} "
                f"({(r.get('status') or {}).get('replicas', 0)}/{r['spec'].get('replicas', 1)} replicas created)"
                for r in items
            )
            or "<none>"
        )

    w.add(0, f"OldReplicaSets:\t{shown(old)}")
    w.add(0, f"NewReplicaSet:\t{shown(new)}")


def replica_set(session: Session, value: Object) -> str:
    """A ReplicaSet or ReplicationController."""
    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    plain = value["kind"] == "ReplicationController"
    chosen = {"matchLabels": spec.get("selector")} if plain else spec.get("selector")
    w.add(0, f"Selector:\t{selector(chosen)}")
    labels_and_annotations(w, metadata)
    if owner := controller(metadata):
        w.add(0, f"Controlled By:\t{owner}")
    w.add(0, f"Replicas:\t{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    w.add(0, f"Pods Status:\t{_owned_pods(session, {**value, 'spec': {**spec, 'selector': chosen}})}")
    template_lines(w, spec["template"])
    if status.get("conditions"):
        w.add(0, "Conditions:")
        w.add(1, "Type\tStatus\tReason")
        w.add(1, "----\t------\t------")
        for c in status["conditions"]:
            w.add(1, f"{c['type']} \t{c['status']}\t{c.get('reason', '')}")
    events(session, w, value)
    return w.render()


def stateful_set(session: Session, value: Object) -> str:
    """A StatefulSet."""
    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    w.add(0, f"CreationTimestamp:\t{moment(metadata['creationTimestamp'])}")
    w.add(0, f"Selector:\t{selector(spec.get('selector'))}")
    labels_and_annotations(w, metadata)
    w.add(0, f"Replicas:\t{spec.get('replicas', 1)} desired | {status.get('replicas', 0)} total")
    strategy = spec.get("updateStrategy") or {}
    w.add(0, f"Update Strategy:\t{strategy.get('type', '')}")
    if (rolling := strategy.get("rollingUpdate")) is not None and rolling.get("partition") is not None:
        w.add(1, f"Partition:\t{rolling['partition']}")
        if rolling.get("maxUnavailable") is not None:
            w.add(1, f"MaxUnavailable:\t{rolling['maxUnavailable']}")
    w.add(0, f"Pods Status:\t{_owned_pods(session, value)}")
    template_lines(w, spec["template"])
    claims = spec.get("volumeClaimTemplates") or []
    w.add(0, "Volume Claims:\t<none>" if not claims else "Volume Claims:")
    for c in claims:
        w.add(1, f"Name:\t{c['metadata']['name']}")
        w.add(1, f"StorageClass:\t{c['spec'].get('storageClassName', '')}")
        pairs(w, 1, "Labels", c["metadata"].get("labels"))
        annotation_lines(w, c["metadata"].get("annotations"), 1)
        w.add(1, f"Capacity:\t{((c['spec'].get('resources') or {}).get('requests') or {}).get('storage', '<default>')}")
        w.add(1, f"Access Modes:\t[{' '.join(c['spec'].get('accessModes') or ())}]")
    events(session, w, value)
    return w.render()


def daemon_set(session: Session, value: Object) -> str:
    """A DaemonSet."""
    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    w.add(0, f"Selector:\t{selector(spec.get('selector'))}")
    pairs(w, 0, "Node-Selector", spec["template"]["spec"].get("nodeSelector"))
    labels_and_annotations(w, metadata)
    for title, key in (
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ):
        w.add(0, f"{title}: {status.get(key, 0)}")
    w.add(0, f"Pods Status:\t{_owned_pods(session, value)}")
    template_lines(w, spec["template"])
    events(session, w, value)
    return w.render()


def job(session: Session, value: Object) -> str:
    """A Job."""
    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    w.add(0, f"Selector:\t{selector(spec.get('selector'))}")
    labels_and_annotations(w, metadata)
    if owner := controller(metadata):
        w.add(0, f"Controlled By:\t{owner}")
    if spec.get("parallelism") is not None:
        w.add(0, f"Parallelism:\t{spec['parallelism']}")
    w.add(0, f"Completions:\t{spec.get('completions', '<unset>')}")
    if spec.get("completionMode"):
        w.add(0, f"Completion Mode:\t{spec['completionMode']}")
    w.add(0, f"Suspend:\t{'true' if spec.get('suspend') else 'false'}")
    w.add(0, f"Backoff Limit:\t{spec.get('backoffLimit', 6)}")
    if spec.get("ttlSecondsAfterFinished") is not None:
        w.add(0, f"TTL Seconds After Finished:\t{spec['ttlSecondsAfterFinished']}")
    if status.get("startTime"):
        w.add(0, f"Start Time:\t{moment(status['startTime'])}")
    if status.get("completionTime"):
        from pybernetes.aio import clock
        from pybernetes.machinery.table import duration

        w.add(0, f"Completed At:\t{moment(status['completionTime'])}")
        took = clock.parse_rfc3339(status["completionTime"]) - clock.parse_rfc3339(status["startTime"])
        w.add(0, f"Duration:\t{duration(took)}")
    if spec.get("activeDeadlineSeconds"):
        w.add(0, f"Active Deadline Seconds:\t{spec['activeDeadlineSeconds']}s")
    ready = f" ({status['ready']} Ready)" if status.get("ready") is not None else ""
    w.add(
        0,
        f"Pods Statuses:\t{status.get('active', 0)} Active{ready} / {status.get('succeeded', 0)} Succeeded / "
        f"{status.get('failed', 0)} Failed",
    )
    template_lines(w, spec["template"])
    events(session, w, value)
    return w.render()


def cron_job(session: Session, value: Object) -> str:
    """A CronJob."""
    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    job_spec = spec["jobTemplate"]["spec"]
    w = Lines()
    heading(w, metadata)
    w.add(0, f"Schedule:\t{spec['schedule']}")
    w.add(0, f"Concurrency Policy:\t{spec.get('concurrencyPolicy', 'Allow')}")
    w.add(0, f"Suspend:\t{'True' if spec.get('suspend') else 'False'}")
    w.add(0, f"Time Zone:\t{spec.get('timeZone') or '<unset>'}")
    for title, name in (("Successful", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        w.add(0, f"{title} Job History Limit:\t{spec.get(name, '<unset>')}")
    deadline = spec.get("startingDeadlineSeconds")
    w.add(0, f"Starting Deadline Seconds:\t{'<unset>' if deadline is None else f'{deadline}s'}")
    chosen = job_spec.get("selector")
    w.add(0, f"Selector:\t{'<unset>' if chosen is None else selector(chosen)}")
    w.add(0, f"Parallelism:\t{job_spec.get('parallelism', '<unset>')}")
    w.add(0, f"Completions:\t{job_spec.get('completions', '<unset>')}")
    if job_spec.get("activeDeadlineSeconds"):
        w.add(0, f"Active Deadline Seconds:\t{job_spec['activeDeadlineSeconds']}s")
    template_lines(w, job_spec["template"])
    last = status.get("lastScheduleTime")
    w.add(0, f"Last Schedule Time:\t{moment(last) if last else '<unset>'}")
    active = ", ".join(ref["name"] for ref in status.get("active") or ())
    w.add(0, f"Active Jobs:\t{active or '<none>'}")
    events(session, w, value)
    return w.render()
