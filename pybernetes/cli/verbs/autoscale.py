"""`kubectl autoscale`: a HorizontalPodAutoscaler for something with replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import CLIError
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    most, least = flags.number("max"), flags.number("min")
    if most < 1:
        raise CLIError(f"--max=MAXPODS is required and must be at least 1, max: {most}")
    if least > most:
        raise CLIError(f"--max=MAXPODS must be larger or equal to --min=MINPODS, max: {most}, min: {least}")
    if flags.given("cpu-percent"):
        session.warn(
            "Flag --cpu-percent has been deprecated, Use --cpu with percentage or resource quantity format "
            "(e.g., '70%' for "
            "utilization or '500m' for milliCPU)."
        )
    writer = Writer(session, flags, "kubectl-autoscale")
    found = finder.fetch(session, flags, finder.targets(session, flags, arguments))
    if not found:
        raise CLIError("no objects passed to autoscale")
    for f in found:
        if "scale" not in f.resource.subresources:
            raise CLIError(f"cannot autoscale a {f.resource.kind}.{f.resource.group}: no scale subresource")
        metrics = [_metric(r, t) for r, t in (("cpu", flags.text("cpu")), ("memory", flags.text("memory"))) if t]
        if flags.given("cpu-percent") and flags.number("cpu-percent") >= 0:
            metrics = [_metric("cpu", f"{flags.number('cpu-percent')}%")]
        spec: dict[str, Any] = {
            "maxReplicas": most,
            "scaleTargetRef": {"apiVersion": f.resource.api_version, "kind": f.resource.kind, "name": f.name},
        }
        if metrics:
            spec["metrics"] = metrics
        if least > 0:
            spec["minReplicas"] = least
        value: dict[str, Any] = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": flags.text("name") or f.name},
            "spec": spec,
            "status": {"currentMetrics": None, "desiredReplicas": 0},
        }
        resource = session.resources.find("horizontalpodautoscalers.v2.autoscaling")
        made = writer.create(resource, f.namespace, value)
        writer.report(made, f"{resource.shown}/{made['metadata']['name']}", "autoscaled")
    return None


def _metric(resource: str, text: str) -> dict[str, Any]:
    if text.endswith("%"):
        target: dict[str, Any] = {"type": "Utilization", "averageUtilization": int(text[:-1])}
    else:
        unit = {"cpu": "m", "memory": "Mi"}[resource]
        target = {"type": "AverageValue", "averageValue": text + unit if text.isdigit() else text}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}


COMMAND = Command(
    "Create an autoscaler that automatically chooses and sets the number of pods.",
    usage="kubectl autoscale (-f FILENAME | TYPE NAME | TYPE/NAME) [--min=MINPODS] --max=MAXPODS [--cpu=CPU]",
    flags=f"{FILES} {PRINT} cpu= cpu-percent#-1 memory= dry-run~unchanged:none field-manager= max#-1 min#-1 name= "
    "save-config?",
    run=run,
)
