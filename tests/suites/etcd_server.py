"""A real etcd for tests and benchmarks: temporary directory, free loopback ports, ended by its own process id."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

BINARY = shutil.which("etcd")


class EtcdServer:
    """`with EtcdServer(directory) as server:` runs one member; `stop()` and `start()` keep data and ports.

    `tls`: (CA, certificate, key) files; clients then need a certificate too.
    """

    def __init__(self, directory: Path, *, fsync: bool = False, tls: tuple[Path, Path, Path] | None = None) -> None:
        self.directory = Path(directory)
        self.fsync = fsync
        self.tls = tls
        self.client_port, self.peer_port = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.client_port

    @property
    def url(self) -> str:
        return f"etcd://127.0.0.1:{self.client_port}"

    def start(self) -> None:
        scheme = "https" if self.tls else "http"
        client, peer = f"{scheme}://127.0.0.1:{self.client_port}", f"http://127.0.0.1:{self.peer_port}"
        command = [str(BINARY), "--name=test", f"--data-dir={self.directory / 'etcd'}", "--log-level=error"]
        command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        command += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        command += [f"--initial-cluster=test={peer}", "--heartbeat-interval=20", "--election-timeout=200"]
        if not self.fsync:
            command.append("--unsafe-no-fsync")
        if self.tls:
            ca, certificate, key = self.tls
            command += [f"--trusted-ca-file={ca}", f"--cert-file={certificate}", f"--key-file={key}"]
            command.append("--client-cert-auth")
        with (self.directory / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        for _ in range(200):
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(self.address, timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)  # another process on the wall clock: there is nothing to await
        raise RuntimeError("etcd did not start: " + (self.directory / "etcd.log").read_text()[-2000:])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
