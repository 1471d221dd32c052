"""`kubectl run`: one Pod for one image, attached to when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli import detaching
from pybernetes.cli.command import FILES, PRINT, Command
from pybernetes.cli.errors import CLIError
from pybernetes.cli.finder import Target
from pybernetes.cli.session import pause, seconds
from pybernetes.cli.watching import Deadline
from pybernetes.cli.writing import Writer

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if not arguments:
        raise CLIError("NAME is required for run\nSee 'kubectl run -h' for help and examples")
    if flags.dash == 0:
        raise CLIError("NAME is required for run\nSee 'kubectl run -h' for help and examples")
    if flags.dash > 1:
        raise CLIError(f"exactly one NAME is required, got {flags.dash}")
    name, rest = arguments[0], arguments[1:]
    if not flags.text("image"):
        raise CLIError("--image is required" if flags.given("image") else 'required flag(s) "image" not set')
    restart = flags.text("restart")
    if restart not in ("Always", "OnFailure", "Never"):
        raise CLIError(f"invalid restart policy: {restart}\nSee 'kubectl run -h' for help and examples")
    stdin, tty = flags.on("stdin"), flags.on("tty")
    attach = flags.on("attach") if flags.given("attach") else stdin or tty
    if tty and not stdin:
        raise CLIError("-i/--stdin is required for containers with -t/--tty=true")
    writer = Writer(session, flags, "kubectl-run")
    if attach and writer.dry_run != "none":
        raise CLIError(
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)\n"
            "See 'kubectl run -h' for help and examples"
        )
    if flags.on("rm") and not attach:
        raise CLIError("--rm should only be used for attached containers")
    pod = _pod(flags, name, rest, restart)
    if flags.on("expose"):
        service = _service(flags, name, pod)
        made = writer.create(session.resources.find("services"), session.namespace, service)
        writer.report(made, f"service/{name}", "created")
    pods = session.resources.find("pods")
    if session.flags.text("namespace"):
        pod["metadata"].setdefault("namespace", session.namespace)
    made = writer.create(pods, session.namespace, pod)
    if not attach:
        if writer.output and writer.output != "name" and flags.on("expose"):
            session.out.write("---\n---\n" if writer.output == "yaml" else "")
            from pybernetes.cli.printers import objects

            session.out.write(objects.printer(flags)(made))
        else:
            writer.report(made, f"pod/{name}", "created")
        return None
    target = Target(pods, session.namespace, name)
    try:
        return _attached(session, flags, target, stdin, tty, restart)
    finally:
        if flags.on("rm"):
            from pybernetes.cli.deletion import options

            try:
                session.call("DELETE", target.path(), options("background", -1))
            finally:
                session.say(f'pod "{name}" deleted from {session.namespace} namespace')


def _pod(flags: Flags, name: str, rest: list[str], restart: str) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "image": flags.text("image"), "resources": {}}
    if rest:
        container["command" if flags.on("command") else "args"] = rest
    if flags.text("image-pull-policy"):
        container["imagePullPolicy"] = flags.text("image-pull-policy")
    if flags.text("port"):
        container["ports"] = [{"containerPort": int(flags.text("port"))}]
    if flags.many("env"):
        container["env"] = []
        for pair in flags.many("env"):
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise CLIError(f"invalid env: {pair}")
            container["env"].append({"name": key, **({"value": value} if value else {})})
    if flags.on("stdin"):
        container["stdin"] = True
        if not flags.on("leave-stdin-open"):
            container["stdinOnce"] = True
    if flags.on("tty"):
        container["tty"] = True
    if flags.on("privileged"):
        container["securityContext"] = {"privileged": True}
    labels = {"run": name}
    if flags.text("labels"):
        labels = dict(pair.split("=", 1) for pair in flags.text("labels").split(","))
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": restart},
        "status": {},
    }
    if flags.many("annotations"):
        pod["metadata"]["annotations"] = dict(a.partition("=")[::2] for a in flags.many("annotations"))
    if flags.text("overrides"):
        from pybernetes.cli.writing import parse_json
        from pybernetes.machinery import patch

        override = parse_json(flags.text("overrides"))
        kind = flags.text("override-type")
        if kind == "json":
            pod = patch.json_patch(pod, override)
        elif kind == "strategic":
            from pybernetes.api.core_v1 import Pod
            from pybernetes.machinery.schema import of_struct

            pod = patch.strategic_merge(pod, override, of_struct(Pod))
        else:
            pod = patch.merge_patch(pod, override)
    return pod


def _service(flags: Flags, name: str, pod: dict[str, Any]) -> dict[str, Any]:
    if not flags.text("port"):
        raise CLIError("--port must be set when exposing a service")
    port = int(flags.text("port"))
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, **({"labels": pod["metadata"]["labels"]} if flags.text("labels") else {})},
        "spec": {
            "ports": [{"port": port, "protocol": "TCP", "targetPort": port}],
            "selector": pod["metadata"]["labels"],
        },
        "status": {"loadBalancer": {}},
    }


def _attached(session: Session, flags: Flags, target: Target, stdin: bool, tty: bool, restart: str) -> int | None:
    """Wait until the Pod runs, join it, and end with its exit code."""
    from pybernetes.cli.errors import APIError
    from pybernetes.cli.verbs.attach import attach

    deadline = Deadline(seconds(flags.text("pod-running-timeout")))
    pod = session.get(target.resource, target.namespace, target.name)
    while (phase := (pod.get("status") or {}).get("phase", "Pending")) == "Pending":
        if deadline.passed:
            raise CLIError("timed out waiting for the condition")
        pause(0.1)
        pod = session.get(target.resource, target.namespace, target.name)
    if phase == "Running":
        try:
            show_logs(session, target)  # what it said before somebody listened, such as a prompt
            attach(session, pod, "", stdin, tty, flags.on("quiet"), flags.text("detach-keys"))
        except (APIError, CLIError) as error:
            session.warn(f"warning: couldn't attach to pod/{target.name}, falling back to streaming logs: {error}")
            show_logs(session, target)
    else:
        show_logs(session, target)
    if restart == "Always" and not flags.on("rm"):
        return None
    if restart != "Never":
        return None
    while (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
        pause(0.1)
        pod = session.get(target.resource, target.namespace, target.name)
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            session.warn(f"pod {target.namespace}/{target.name} terminated ({ended.get('reason', 'Error')})")
            return int(ended["exitCode"])
    return None


def show_logs(session: Session, target: Target, container: str = "") -> None:
    """All that a container has printed so far."""
    import sys

    query = {"container": container} if container else {}
    reply = session.open("GET", target.path("log"), query=query, accept="*/*")
    session.out.flush()
    for chunk in reply.chunks():
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


COMMAND = Command(
    "Create and run a particular image in a pod.",
    usage='kubectl run NAME --image=image [--env="key=value"] [--port=port] [--dry-run=server|client] '
    "[--overrides=inline-json] [--command] -- [COMMAND] [args...]",
    flags=f"{FILES} {PRINT} annotations* attach? cascade~background:background command? "
    f"detach-keys={detaching.DEFAULT} dry-run~unchanged:none env* expose? "
    "field-manager= force? grace-period#-1 image= image-pull-policy= l:labels= leave-stdin-open? override-type=merge "
    "overrides= pod-running-timeout=1m0s port= privileged? q:quiet? restart=Always rm? save-config? i:stdin? "
    "timeout=0s "
    "t:tty? wait?",
    run=run,
    examples="kubectl run nginx --image=nginx\nkubectl run -i -t busybox --image=busybox --restart=Never --rm -- sh",
)
