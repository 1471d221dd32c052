"""`kubectl port-forward`: local ports that lead to ports of a Pod. One WebSocket and two threads per connection."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

from pybernetes.cli import podpick
from pybernetes.cli.command import Command
from pybernetes.cli.errors import APIError, CLIError
from pybernetes.cli.session import seconds

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if len(arguments) < 2:
        raise CLIError(
            "TYPE/NAME and list of ports are required for port-forward\nSee 'kubectl port-forward -h' for help "
            "and examples"
        )
    _, value = podpick.find(session, arguments[0])
    pod = podpick.one(session, arguments[0], seconds(flags.text("pod-running-timeout")))
    phase = (pod.get("status") or {}).get("phase")
    if phase != "Running":
        raise CLIError(f"unable to forward port because pod is not running. Current status={phase}")
    pairs = [_pair(text, value, pod) for text in arguments[1:]]
    listeners: list[tuple[socket.socket, int]] = []
    addresses = [a for given in flags.many("address") for a in given.split(",")] or ["localhost"]
    for local, remote in pairs:
        for host in ("127.0.0.1", "::1") if addresses == ["localhost"] else addresses:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                listener = socket.create_server((host, local), family=family)
            except OSError as error:
                if addresses == ["localhost"] and host == "::1":
                    continue
                raise CLIError(
                    f"unable to listen on any of the requested ports: [{{{local} {remote}}}]: {error.strerror}"
                ) from None
            local = listener.getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            session.say(f"Forwarding from {shown}:{local} -> {remote}")
            listeners.append((listener, remote))
    session.out.flush()
    session.resources.find("pods")
    threads = [threading.Thread(target=_accept, args=(session, pod, s, remote), daemon=True) for s, remote in listeners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return None


def _pair(text: str, value: dict[str, Any], pod: dict[str, Any]) -> tuple[int, int]:
    local, colon, remote = text.partition(":")
    if not colon:
        remote = local
    container_port = _remote(remote, value, pod)
    if colon and not local:
        return 0, container_port
    if not colon:
        service_port = int(remote) if remote.isdigit() else container_port
        return service_port, container_port
    if not local.isdigit() or int(local) > 65535:
        raise CLIError(f"error parsing local port '{local}': strconv.ParseUint: parsing \"{local}\": invalid syntax")
    return int(local), container_port


def _remote(text: str, value: dict[str, Any], pod: dict[str, Any]) -> int:
    """The Pod's port behind a number or a name, through a Service's target port where it is one."""
    target: Any = text
    if value["kind"] == "Service":
        ports = value["spec"].get("ports") or ()
        found = next((p for p in ports if str(p["port"]) == text or p.get("name") == text), None)
        if found is None:
            raise CLIError(f"Service {value['metadata']['name']} does not have a service port {text}")
        if value["spec"].get("clusterIP") == "None" and text.isdigit():
            return int(text)
        target = found.get("targetPort") or found["port"]
    if str(target).isdigit():
        return int(target)
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == target:
                return int(port["containerPort"])
    raise CLIError(f"Pod '{pod['metadata']['name']}' does not have a named port '{target}'")


def _accept(session: Session, pod: dict[str, Any], listener: socket.socket, remote: int) -> None:
    local = listener.getsockname()[1]
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        print(f"Handling connection for {local}", flush=True)
        threading.Thread(target=_forward, args=(session, pod, connection, local, remote), daemon=True).start()


def _forward(session: Session, pod: dict[str, Any], connection: socket.socket, local: int, remote: int) -> None:
    metadata = pod["metadata"]
    path = session.resources.find("pods").path(metadata["namespace"], metadata["name"], "portforward")
    try:
        web = session.upgrade(path, [("ports", str(remote))], ("v4.channel.k8s.io",))
    except (APIError, OSError) as error:
        print(f"error: error upgrading connection: {error}", file=sys.stderr, flush=True)
        connection.close()
        return

    def upload() -> None:
        try:
            while data := connection.recv(32768):
                web.send(b"\0" + data)
        except (OSError, ValueError):
            pass
        web.close()

    threading.Thread(target=upload, daemon=True).start()
    opened = [False, False]  # the first message on either channel is the port's number
    while (message := web.receive()) is not None:
        if not message or message[0] > 1:
            continue
        channel, data = message[0], message[1:]
        if not opened[channel]:
            opened[channel] = True
            if len(data) == 2 and struct.unpack("<H", data)[0] == remote:
                continue
        if channel == 1 and data:
            text = data.decode("utf-8", "replace")
            print(f"E error forwarding port {remote} to pod: {text}", file=sys.stderr, flush=True)
            break
        try:
            connection.sendall(data)
        except OSError:
            break
    web.close()
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


COMMAND = Command(
    "Forward one or more local ports to a pod.",
    usage="kubectl port-forward TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]",
    flags="address* pod-running-timeout=1m0s",
    run=run,
    examples="kubectl port-forward pod/mypod 5000 6000\nkubectl port-forward service/myservice 8443:https",
)
