"""`kubectl logs`: what containers have printed, of one Pod, of a controller's Pods, or of all that a selector finds."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from pybernetes.cli import podpick
from pybernetes.cli.command import Command
from pybernetes.cli.errors import APIError, CLIError, lines
from pybernetes.cli.session import seconds

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    selector = flags.text("selector")
    if not arguments and not selector:
        raise CLIError(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required "
            "argument for the logs command\nSee 'kubectl logs -h' for help and examples"
        )
    if len(arguments) == 2:
        if "/" not in arguments[0] and flags.text("container"):
            raise CLIError("only one of -c or an inline [CONTAINER] arg is allowed")
        flags.set("container", arguments[1])
    elif len(arguments) > 2 or (selector and arguments):
        raise CLIError(
            "only a selector (-l) or a POD name is allowed"
            if selector
            else "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nSee 'kubectl logs -h' for help "
            "and examples"
        )
    if flags.given("since") and flags.given("since-time"):
        raise CLIError("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if flags.on("all-containers") and flags.text("container"):
        raise CLIError("--all-containers=true should not be specified with container name " + flags.text("container"))
    every = flags.on("all-containers") or flags.on("all-pods")
    if selector:
        pods = session.list(session.resources.find("pods"), session.namespace, selector=selector)
        if not pods:
            session.warn(f"No resources found in {session.namespace} namespace.")
            return None
    else:
        try:
            _, value = podpick.find(session, arguments[0])
        except APIError as error:
            if error.reason != "NotFound":
                raise
            raise CLIError(f'error from server (NotFound): {error} in namespace "{session.namespace}"') from None
        if value["kind"] == "Pod":
            pods = [value]
        else:
            pods = podpick.pods_of(session, value)
            if not pods:
                raise CLIError("timed out waiting for the condition")
            if not flags.on("all-pods"):
                if len(pods) > 1:
                    session.warn(f"Found {len(pods)} pods, using pod/{pods[0]['metadata']['name']}")
                pods = pods[:1]
    sources: list[tuple[dict[str, Any], str]] = []
    for pod in pods:
        if every:
            sources += [(pod, name) for name in podpick.containers(pod)]
        else:
            quiet = bool(selector)
            given = flags.text("container")
            if given and given not in podpick.containers(pod):
                raise CLIError(
                    f"container {given} is not valid for pod {pod['metadata']['name']} out of: {podpick.every(pod)}"
                )
            sources.append((pod, podpick.container(session, pod, flags.text("container"), quiet=quiet)))
    limit = flags.number("max-log-requests")
    if flags.on("follow") and len(sources) > limit:
        raise CLIError(
            f"you are attempting to follow {len(sources)} log streams, but maximum allowed concurrency is {limit}, use "
            "--max-log-requests to increase the limit"
        )
    query = _query(flags, bool(selector))
    if flags.on("follow") and len(sources) > 1:
        return _together(session, flags, sources, query)
    failed = False
    for pod, name in sources:
        try:
            _copy(session, flags, pod, name, query, threading.Lock())
        except APIError as error:
            if not flags.on("ignore-errors"):
                raise
            session.warn(lines(error))
    return 1 if failed else None


def _query(flags: Flags, selected: bool) -> dict[str, str]:
    query: dict[str, str] = {}
    if flags.on("follow"):
        query["follow"] = "true"
    if flags.on("previous"):
        query["previous"] = "true"
    if flags.on("timestamps"):
        query["timestamps"] = "true"
    if since := seconds(flags.text("since")):
        query["sinceSeconds"] = str(int(-(-since // 1)))
    if moment := flags.text("since-time"):
        query["sinceTime"] = moment
    tail = flags.number("tail")
    if flags.given("tail"):
        if tail < -1:
            raise CLIError("--tail must be greater than or equal to -1")
        if tail >= 0:
            query["tailLines"] = str(tail)
    elif selected:
        query["tailLines"] = "10"
    if size := flags.number("limit-bytes"):
        query["limitBytes"] = str(size)
    if flags.on("insecure-skip-tls-verify-backend"):
        query["insecureSkipTLSVerifyBackend"] = "true"
    return query


def _copy(
    session: Session, flags: Flags, pod: dict[str, Any], name: str, query: dict[str, str], lock: threading.Lock
) -> None:
    metadata = pod["metadata"]
    http = session.http.another() if flags.on("follow") else session.http
    if flags.on("follow"):
        http.patience(None)
    resource = session.resources.find("pods")
    path = resource.path(metadata["namespace"], metadata["name"], "log")
    reply = session.open("GET", path, query={"container": name, **query}, accept="*/*", http=http)
    out = sys.stdout.buffer
    session.out.flush()
    prefix = f"[pod/{metadata['name']}/{name}] ".encode() if flags.on("prefix") or flags.on("all-pods") else b""
    if not prefix and not flags.on("follow"):
        for chunk in reply.chunks():
            out.write(chunk)
        out.flush()
        return
    pending = b""
    for chunk in reply.chunks():
        pending += chunk
        *whole, pending = pending.split(b"\n")
        with lock:
            for line in whole:
                out.write(prefix + line + b"\n")
            out.flush()
    if pending:
        with lock:
            out.write(prefix + pending)
            out.flush()


def _together(
    session: Session, flags: Flags, sources: list[tuple[dict[str, Any], str]], query: dict[str, str]
) -> int | None:
    """Several logs at once: one thread and one connection each."""
    lock = threading.Lock()
    failures: list[BaseException] = []

    def follow(pod: dict[str, Any], name: str) -> None:
        try:
            _copy(session, flags, pod, name, query, lock)
        except (APIError, EOFError, OSError) as error:
            failures.append(error)

    session.resources.find("pods")
    threads = [threading.Thread(target=follow, args=source, daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures and not flags.on("ignore-errors"):
        raise failures[0]
    return None


COMMAND = Command(
    "Print the logs for a container in a pod or specified resource.",
    usage="kubectl logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]",
    flags="all-containers? all-pods? c:container= f:follow? ignore-errors? insecure-skip-tls-verify-backend? "
    "limit-bytes#0 "
    "max-log-requests#5 pod-running-timeout=20s prefix? p:previous? l:selector= since=0s since-time= tail#-1 "
    "timestamps?",
    run=run,
    examples="kubectl logs nginx\nkubectl logs -f deploy/web\nkubectl logs -l app=nginx --all-containers\n"
    "kubectl logs --tail=20 nginx\nkubectl logs --previous nginx",
)
