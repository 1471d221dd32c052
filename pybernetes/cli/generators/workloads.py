"""What runs: `create deployment`, `job`, `cronjob`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli.errors import CLIError
from pybernetes.cli.generators.shape import Generator, Object, new

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def container_name(image: str) -> str:
    """The name of a container for an image: its last path part, without tag and digest."""
    import re

    name = image.rsplit("/", 1)[-1].split("@")[0].split(":")[0]
    return re.sub(r"[^a-z0-9-]", "-", name.lower().replace("_", "-")).strip("-") or "container"


def _container(name: str, image: str, command: list[str]) -> Object:
    return {"name": name, "image": image, **({"command": command} if command else {}), "resources": {}}


def _deployment(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    images = [i for given in flags.many("image") for i in given.split(",")]
    if rest and len(images) > 1:
        raise CLIError("cannot specify multiple --image options and command")
    replicas = flags.number("replicas")
    containers = []
    names: set[str] = set()
    for image in images:
        short = container_name(image)
        if short in names:
            short = f"{short}-{len(names)}"
        names.add(short)
        containers.append(_container(short, image, rest))
    if flags.given("port"):
        containers[0]["ports"] = [{"containerPort": flags.number("port")}]
    found = new(
        "apps/v1",
        "Deployment",
        name,
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
        },
        status={},
    )
    found["metadata"]["labels"] = {"app": name}
    return found


def _job(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    source = flags.text("from")
    if bool(source) == bool(flags.text("image")):
        raise CLIError("either --image or --from must be specified")
    if not source:
        spec = {"containers": [_container(name, flags.text("image"), rest)], "restartPolicy": "Never"}
        return new("batch/v1", "Job", name, spec={"template": {"metadata": {}, "spec": spec}}, status={})
    from pybernetes.cli import finder

    if rest:
        raise CLIError("cannot specify --from and command")
    target = finder._slashed(session, [source], session.namespace)[0]
    if target.resource.kind != "CronJob":
        raise CLIError("from must be an existing cronjob")
    live = session.get(target.resource, target.namespace, target.name)
    template = live["spec"]["jobTemplate"]
    found = new("batch/v1", "Job", name, spec=template["spec"], status={})
    metadata = template.get("metadata") or {}
    found["metadata"]["annotations"] = {
        "cronjob.kubernetes.io/instantiate": "manual",
        **(metadata.get("annotations") or {}),
    }
    if metadata.get("labels"):
        found["metadata"]["labels"] = metadata["labels"]
    found["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": live["metadata"]["name"],
            "uid": live["metadata"]["uid"],
            "controller": True,
        }
    ]
    return found


def _cronjob(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    pod = {
        "containers": [_container(name, flags.text("image"), rest)],
        "restartPolicy": flags.text("restart") or "OnFailure",
    }
    template = {"metadata": {"name": name}, "spec": {"template": {"metadata": {}, "spec": pod}}}
    return new(
        "batch/v1", "CronJob", name, spec={"jobTemplate": template, "schedule": flags.text("schedule")}, status={}
    )


GENERATORS: dict[str, Generator] = {
    "deployment": Generator(
        "Create a deployment with the specified name.",
        _deployment,
        "image* r:replicas#1 port#-1",
        "NAME --image=image -- [COMMAND] [args...]",
        ("image",),
        True,
        said="deployment",
    ),
    "job": Generator(
        "Create a job with the specified name.",
        _job,
        "image= from=",
        "NAME --image=image [--from=cronjob/name] -- [COMMAND] [args...]",
        said="job",
    ),
    "cronjob": Generator(
        "Create a cron job with the specified name.",
        _cronjob,
        "image= schedule= restart=",
        "NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...]",
        ("image", "schedule"),
        True,
        said="cronjob",
    ),
}
