"""`kubectl debug`: a container with tools beside one that has none: in the Pod, in a copy of it, or on a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import debugging, finder
from pybernetes.cli.command import Command
from pybernetes.cli.debugging import Wish
from pybernetes.cli.errors import APIError, CLIError
from pybernetes.cli.finder import Found
from pybernetes.cli.session import STRATEGIC_PATCH, pause
from pybernetes.cli.watching import Deadline

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

Custom = dict[str, Any] | None  # a Container of `--custom`

_WAIT = 5 * 60.0


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    names, rest = (arguments, []) if flags.dash < 0 else (arguments[: flags.dash], arguments[flags.dash :])
    _check(flags, names, rest)
    custom = _custom(flags)
    if flags.text("profile") == "legacy":
        session.warn(
            "--profile=legacy is deprecated and planned to be removed in v1.39. It is recommended to specify other "
            'profile, for example "--profile=general".'
        )
    if names and "/" not in names[0]:
        names = [f"pods/{name}" for name in names]
    code = 0
    for found in finder.fetch(session, flags, finder.targets(session, flags, names)):
        kind = found.object.get("kind")
        if kind == "Node":
            pod, container = _node(session, flags, found, rest, custom)
        elif kind == "Pod":
            pod, container = _pod(session, flags, found, rest, custom)
        else:
            raise CLIError(f'"{found.resource.api_version}, Kind={kind}" not supported by debug')
        if _attaching(flags) and container:
            code = _attach(session, flags, pod, container)
    return code


def _check(flags: Flags, names: list[str], rest: list[str]) -> None:
    if not flags.text("image") and not flags.text("copy-to") and not flags.many("set-image"):
        raise CLIError("you must specify --image when not using --copy-to.")
    if flags.text("copy-to"):
        if not flags.text("image") and not flags.many("set-image") and not rest:
            raise CLIError("you must specify --image, --set-image or command arguments.")
        if flags.text("target"):
            raise CLIError("--target is incompatible with --copy-to. Use --share-processes instead.")
    else:
        for name in ("same-node", "set-image", "replace"):
            if flags.given(name):
                raise CLIError(f"--{name} may only be used with --copy-to.")
    if flags.on("tty") and not flags.on("stdin"):
        raise CLIError("-i/--stdin is required for containers with -t/--tty=true")
    if flags.text("image-pull-policy") not in ("", "Always", "IfNotPresent", "Never"):
        raise CLIError(f"invalid image pull policy: {flags.text('image-pull-policy')}")
    if flags.text("profile") not in debugging.PROFILES:
        raise CLIError(f"unknown profile: {flags.text('profile')}")
    if not names and not flags.many("filename"):
        raise CLIError("NAME or TYPE/NAME are required for debug")


def _custom(flags: Flags) -> Custom:
    from pybernetes.cli.writing import parse_json

    if not (path := flags.text("custom")):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            found = parse_json(file.read())
    except OSError as error:
        raise CLIError(
            f"must pass a container spec json file for custom profile: open {path}: {(error.strerror or '').lower()}"
        ) from None
    if not isinstance(found, dict):
        raise CLIError("unable to unmarshall custom profile")
    if found.keys() & {"name", "command", "image", "lifecycle", "volumeDevices"}:
        raise CLIError("name, command, image, lifecycle and volume devices are not modifiable via custom profile")
    return found


def _wish(flags: Flags, name: str, rest: list[str], custom: Custom) -> Wish:
    keep = {name for name in ("labels", "annotations", "liveness", "readiness", "startup") if flags.on(f"keep-{name}")}
    if flags.on("keep-init-containers"):
        keep.add("init-containers")
    return Wish(
        image=flags.text("image"),
        name=name,
        profile=flags.text("profile"),
        arguments=tuple(rest),
        arguments_only=flags.on("arguments-only"),
        env=tuple((k, v) for k, _, v in (pair.partition("=") for pair in flags.many("env"))),
        pull_policy=flags.text("image-pull-policy"),
        stdin=flags.on("stdin"),
        tty=flags.on("tty"),
        target=flags.text("target"),
        custom=custom,
        images=tuple((k, v) for k, _, v in (p.partition("=") for g in flags.many("set-image") for p in g.split(","))),
        share=flags.on("share-processes") if flags.given("share-processes") else None,
        same_node=flags.on("same-node"),
        keep=frozenset(keep),
    )


def _suffix() -> str:
    import secrets

    return "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))


def _pod(session: Session, flags: Flags, found: Found, rest: list[str], custom: Custom) -> tuple[dict[str, Any], str]:
    if flags.text("target") and not flags.on("quiet"):
        session.say(
            f'Targeting container "{flags.text("target")}". If you don\'t see processes from this container it may be '
            "because the container runtime doesn't support this feature."
        )
    name = flags.text("container")
    if not name and flags.text("image"):
        name = f"debugger-{_suffix()}"
        if not flags.on("quiet"):
            session.say(f"Defaulting debug container name to {name}.")
    wish = _wish(flags, name, rest, custom)
    if flags.text("copy-to"):
        made = debugging.copied(found.object, flags.text("copy-to"), wish)
        if flags.on("replace"):
            session.call("DELETE", found.path(), {"gracePeriodSeconds": 0, "kind": "DeleteOptions", "apiVersion": "v1"})
        return session.call("POST", found.resource.path(found.namespace), made), name
    names = [{"name": one["name"]} for one in found.object["spec"].get("ephemeralContainers") or ()]
    added = debugging.ephemeral(wish)
    order = {"$setElementOrder/ephemeralContainers": [*names, {"name": added["name"]}]}  # else it would be the first
    patch = {"spec": {**order, "ephemeralContainers": [added]}}
    try:
        pod = session.call("PATCH", found.path("ephemeralcontainers"), patch, content=STRATEGIC_PATCH)
    except APIError as error:
        details = error.status.get("details") or {}
        if error.reason == "NotFound" and not details.get("name"):
            raise CLIError(
                f'ephemeral containers are disabled for this cluster (error from server: "{error}").'
            ) from None
        raise
    return pod, name


def _node(session: Session, flags: Flags, found: Found, rest: list[str], custom: Custom) -> tuple[dict[str, Any], str]:
    container = flags.text("container") or "debugger"
    name = f"node-debugger-{found.name}-{_suffix()}"
    made = debugging.on_node(found.name, name, session.namespace, _wish(flags, container, rest, custom))
    if not flags.on("quiet"):
        session.say(f"Creating debugging pod {name} with container {container} on node {found.name}.")
    return session.call("POST", session.resources.find("pods").path(session.namespace), made), container


def _attaching(flags: Flags) -> bool:
    return flags.on("attach") if flags.given("attach") else flags.on("stdin")


def _attach(session: Session, flags: Flags, pod: dict[str, Any], container: str) -> int:
    """Wait until the container runs, and join it; when it has ended already, show what it said."""
    from pybernetes.cli.verbs.attach import attach
    from pybernetes.cli.verbs.run import show_logs

    pods, metadata = session.resources.find("pods"), pod["metadata"]
    deadline = Deadline(_WAIT)
    while True:
        status = _status(pod, container)
        state = status.get("state") or {}
        if "running" in state or "terminated" in state:
            break
        if deadline.passed:
            raise CLIError("timed out waiting for the condition")
        pause(0.1)
        pod = session.get(pods, metadata["namespace"], metadata["name"])
    target = finder.Target(pods, metadata["namespace"], metadata["name"])
    if "terminated" in state:
        show_logs(session, target, container)
        return 0
    try:
        return attach(session, pod, container, flags.on("stdin"), flags.on("tty"), flags.on("quiet"))
    except (APIError, CLIError) as error:
        session.warn(f"warning: couldn't attach to pod/{target.name}, falling back to streaming logs: {error}")
        show_logs(session, target, container)
        return 0


def _status(pod: dict[str, Any], container: str) -> dict[str, Any]:
    status = pod.get("status") or {}
    every = [*(status.get("containerStatuses") or ()), *(status.get("ephemeralContainerStatuses") or ())]
    return next((s for s in every if s["name"] == container), {})


COMMAND = Command(
    "Debug cluster resources using interactive debugging containers.",
    usage="kubectl debug (POD | TYPE[[.VERSION].GROUP]/NAME) [ -- COMMAND [args...] ]",
    flags="arguments-only? attach? c:container= copy-to= custom= env* f:filename* image= image-pull-policy= "
    "keep-annotations? keep-init-containers?true keep-labels? keep-liveness? keep-readiness? keep-startup? "
    "profile=general q:quiet? replace? same-node? set-image* share-processes?true i:stdin? target= t:tty?",
    run=run,
    examples="kubectl debug mypod -it --image=busybox\nkubectl debug mypod -it --copy-to=my-debugger --image=debian "
    "--set-image=app=app:debug\nkubectl debug node/mynode -it --image=busybox",
)
