"""`kubectl cp`: files and directories to and from a container, as a tar stream over exec."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

from pybernetes.cli import podpick, streaming
from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError, ExitCode

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if len(arguments) != 2:
        raise CLIError("source and destination are required")
    source, destination = (_split(a) for a in arguments)
    if source[0] and destination[0]:
        raise CLIError("one of src or dest must be a local file specification")
    if not source[0] and not destination[0]:
        raise CLIError("one of src or dest must be a remote file specification")
    if not source[1] or not destination[1]:
        raise CLIError("filepath can not be empty")
    if destination[0]:
        _upload(session, flags, source[1], destination[0], destination[1])
    else:
        _download(session, flags, source[0], source[1], destination[1])
    return None


def _split(text: str) -> tuple[str, str]:
    """(`namespace/pod`, path); no pod for a local path."""
    pod, colon, path = text.partition(":")
    return (pod, path) if colon and not pod.startswith((".", "/")) else ("", text)


def _pod(session: Session, flags: Flags, word: str) -> tuple[str, str, str]:
    namespace, slash, name = word.rpartition("/")
    namespace = namespace if slash else session.namespace
    pod = session.get(session.resources.find("pods"), namespace, name)
    return namespace, name, podpick.container(session, pod, flags.text("container"))


def _upload(session: Session, flags: Flags, local: str, word: str, remote: str) -> None:
    if not os.path.lexists(local):
        raise CLIError(f"{local} doesn't exist in local filesystem")
    namespace, name, container = _pod(session, flags, word)
    into = io.BytesIO()
    probe = streaming.run(
        session, namespace, name, "exec", container, command=["test", "-d", remote], sink=into, quiet=True
    )
    if probe == 0 or remote.endswith("/"):
        remote = remote.rstrip("/") + "/" + os.path.basename(os.path.normpath(local))
    directory, base = os.path.split(remote)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(local, arcname=base)
    archive.seek(0)
    command = ["tar", "-xmf", "-"]
    if flags.on("no-preserve"):
        command = ["tar", "--no-same-permissions", "--no-same-owner", "-xmf", "-"]
    if directory:
        command += ["-C", directory]
    code = streaming.run(session, namespace, name, "exec", container, command=command, stdin=True, source=archive)
    if code:
        raise ExitCode(code)


def _download(session: Session, flags: Flags, word: str, remote: str, local: str) -> None:
    namespace, name, container = _pod(session, flags, word)
    out = io.BytesIO()
    code = streaming.run(session, namespace, name, "exec", container, command=["tar", "cf", "-", remote], sink=out)
    if code:
        raise ExitCode(code)
    out.seek(0)
    prefix = os.path.normpath(remote).lstrip("/")
    if os.path.isdir(local):
        local = os.path.join(local, os.path.basename(prefix))
    with tarfile.open(fileobj=out) as tar:
        for member in tar:
            inner = os.path.relpath(os.path.normpath(member.name).lstrip("/"), prefix)
            if inner.startswith(".."):
                session.warn(f"warning: skipping file {member.name!r}: it is outside the requested path")
                continue
            target = os.path.normpath(os.path.join(local, inner))
            if member.isdir():
                os.makedirs(target, exist_ok=True)
            elif member.isfile():
                os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
                content = tar.extractfile(member)
                assert content is not None
                with open(target, "wb") as file:
                    file.write(content.read())
                if not flags.on("no-preserve"):
                    os.chmod(target, member.mode & 0o777)
            else:  # a link may lead out of the target: upstream does not follow it either
                session.warn(f"warning: skipping symlink: {member.name!r} -> {member.linkname!r}")


COMMAND = Command(
    "Copy files and directories to and from containers.",
    usage="kubectl cp <file-spec-src> <file-spec-dest>",
    flags="c:container= no-preserve? retries#0",
    run=run,
    examples="kubectl cp /tmp/foo some-pod:/tmp/bar\nkubectl cp some-namespace/some-pod:/tmp/foo /tmp/bar",
)
