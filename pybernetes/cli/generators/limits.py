"""What bounds it: `create namespace`, `quota`, `pdb`, `priorityclass`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli.errors import CLIError
from pybernetes.cli.generators.shape import Generator, Object, new

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def _namespace(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    return new("v1", "Namespace", name, spec={}, status={})


def _quota(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    spec: Object = {}
    if flags.text("hard"):
        spec["hard"] = {}
        for pair in flags.text("hard").split(","):
            key, equals, value = pair.partition("=")
            if not equals:
                raise CLIError(f"Invalid argument syntax {pair}, expected <resource>=<value>")
            spec["hard"][key] = value
    if flags.text("scopes"):
        spec["scopes"] = flags.text("scopes").split(",")
    return new("v1", "ResourceQuota", name, spec=spec, status={})


def _pdb(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    least, most = flags.text("min-available"), flags.text("max-unavailable")
    if not least and not most:
        raise CLIError("one of min-available or max-unavailable must be specified")
    if least and most:
        raise CLIError("min-available and max-unavailable cannot be both specified")
    key, text = ("minAvailable", least) if least else ("maxUnavailable", most)
    if not flags.text("selector"):
        raise CLIError("a selector must be specified")
    labels = dict(pair.split("=", 1) for pair in flags.text("selector").split(","))
    spec = {key: int(text) if text.isdigit() else text, "selector": {"matchLabels": labels}}
    status = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}
    return new("policy/v1", "PodDisruptionBudget", name, spec=spec, status=status)


def _priorityclass(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    found = new("scheduling.k8s.io/v1", "PriorityClass", name, value=flags.number("value"))
    if flags.text("description"):
        found["description"] = flags.text("description")
    if flags.on("global-default"):
        found["globalDefault"] = True
    found["preemptionPolicy"] = flags.text("preemption-policy")
    return found


GENERATORS: dict[str, Generator] = {
    "namespace": Generator("Create a namespace with the specified name.", _namespace),
    "quota": Generator(
        "Create a quota with the specified name, hard limits, and optional scopes.",
        _quota,
        "hard= scopes=",
        said="quota",
    ),
    "pdb": Generator(
        "Create a pod disruption budget with the specified name, selector, and desired minimum available pods.",
        _pdb,
        "selector= min-available= max-unavailable=",
        said="pdb",
    ),
    "priorityclass": Generator(
        "Create a priority class with the specified name, value, globalDefault and description.",
        _priorityclass,
        "value#0 description= global-default? preemption-policy=PreemptLowerPriority",
        said="priorityclass",
    ),
}
