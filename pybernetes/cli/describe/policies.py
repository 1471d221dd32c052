"""What bounds and steers workloads: quotas, limits, disruption budgets, autoscalers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.describe.text import Lines, events, heading, moment, selector

if TYPE_CHECKING:
    from pybernetes.cli.session import Session

Object = dict[str, Any]

_SCOPES = {
    "Terminating": "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before "
    "being actively terminated by the system.",
    "NotTerminating": "Matches all pods that do not have an active deadline. These pods usually include long running "
    "pods whose container command is not expected to terminate.",
    "BestEffort": "Matches all pods that do not have resource requirements set. These pods have a best effort quality "
    "of service.",
    "NotBestEffort": "Matches all pods that have at least one resource requirement set. These pods have a burstable "
    "or guaranteed quality of service.",
}


def quota(session: Session, value: Object) -> str:
    """A ResourceQuota."""
    metadata, status = value["metadata"], value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    scope_lines(w, value, 0)
    w.add(0, "Resource\tUsed\tHard")
    w.add(0, "--------\t----\t----")
    for name, hard in sorted((status.get("hard") or {}).items()):
        w.add(0, f"{name}\t{(status.get('used') or {}).get(name, '0')}\t{hard}")
    return w.render()


def scope_lines(w: Lines, value: Object, level: int) -> None:
    """The scopes of a ResourceQuota, explained."""
    if scopes := sorted((value.get("spec") or {}).get("scopes") or ()):
        w.add(level, f"Scopes:\t{', '.join(scopes)}")
        for scope in scopes:
            if scope in _SCOPES:
                w.add(0, f"{' ' * (level + 1)}* {_SCOPES[scope]}")


def limits(session: Session, value: Object) -> str:
    """A LimitRange."""
    metadata = value["metadata"]
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    w.add(0, "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio")
    w.add(0, "----\t--------\t---\t---\t---------------\t-------------\t-----------------------")
    for row in limit_rows(value):
        w.add(0, row)
    return w.render()


def limit_rows(value: Object) -> list[str]:
    """The cells of a LimitRange, one line for each resource of each type."""
    parts = ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")
    rows = []
    for item in value["spec"].get("limits") or ():
        for key in sorted({name for part in parts for name in item.get(part) or ()}):
            cells = "\t".join((item.get(part) or {}).get(key, "-") for part in parts)
            rows.append(f"{item['type']}\t{key}\t{cells}")
    return rows


def disruption_budget(session: Session, value: Object) -> str:
    """A PodDisruptionBudget."""
    metadata, spec, status = value["metadata"], value.get("spec") or {}, value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    for title, name in (("Min available", "minAvailable"), ("Max unavailable", "maxUnavailable")):
        if spec.get(name) is not None:
            w.add(0, f"{title}:\t{spec[name]}")
    w.add(0, f"Selector:\t{selector(spec['selector']) if spec.get('selector') is not None else '<unset>'}")
    w.add(0, "Status:")
    for title, name in (
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ):
        w.add(2, f"{title}:\t{status.get(name, 0)}")
    events(session, w, value)
    return w.render()


def autoscaler(session: Session, value: Object) -> str:
    """A HorizontalPodAutoscaler (autoscaling/v2)."""
    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    goal = spec["scaleTargetRef"]
    w = Lines()
    heading(w, metadata)
    w.add(0, f"CreationTimestamp:\t{moment(metadata['creationTimestamp'])}")
    w.add(0, f"Reference:\t{goal['kind']}/{goal['name']}")
    w.add(0, "Metrics:\t( current / target )")
    current = status.get("currentMetrics") or []
    for index, metric in enumerate(spec.get("metrics") or ()):
        _metric(w, metric, current[index] if index < len(current) else {})
    w.add(0, f"Min replicas:\t{spec.get('minReplicas', '<unset>')}")
    w.add(0, f"Max replicas:\t{spec['maxReplicas']}")
    have, want = status.get("currentReplicas", 0), status.get("desiredReplicas", 0)
    w.add(0, f"{goal['kind']} pods:\t{have} current / {want} desired")
    if status.get("conditions"):
        w.add(0, "Conditions:")
        w.add(1, "Type\tStatus\tReason\tMessage")
        w.add(1, "----\t------\t------\t-------")
        for c in status["conditions"]:
            w.add(1, f"{c['type']}\t{c['status']}\t{c.get('reason', '')}\t{c.get('message', '')}")
    events(session, w, value)
    return w.render()


def _metric(w: Lines, metric: Object, now: Object) -> None:
    kind = metric["type"]
    part = kind[:1].lower() + kind[1:]
    source = metric.get(part) or {}
    target = source.get("target") or {}
    have = (now.get(part) or {}).get("current") or {}
    if kind in ("Resource", "ContainerResource"):
        where = f' of container "{source.get("container")}"' if kind == "ContainerResource" else ""
        title = f"resource {source.get('name')}{where} on pods"
        if target.get("averageValue") is not None:
            w.add(1, f"{title}:\t{have.get('averageValue') or '<unknown>'} / {target['averageValue']}")
        else:
            share = have.get("averageUtilization")
            shown = "<unknown>" if share is None else f"{share}% ({have.get('averageValue')})"
            wanted = target.get("averageUtilization")
            w.add(
                1, f"{title}  (as a percentage of request):\t{shown} / {'<auto>' if wanted is None else f'{wanted}%'}"
            )
        return
    name = (source.get("metric") or {}).get("name", "")
    key = "averageValue" if target.get("averageValue") is not None else "value"
    shown = f"{have.get(key) or '<unknown>'} / {target.get(key, '')}"
    if kind == "Pods":
        w.add(1, f'"{name}" on pods:\t{shown}')
    elif kind == "Object":
        about = source.get("describedObject") or {}
        w.add(1, f'"{name}" on {about.get("kind")}/{about.get("name")} (target {key}):\t{shown}')
    else:
        w.add(1, f'"{name}" (target {"average value" if key == "averageValue" else "value"}):\t{shown}')
