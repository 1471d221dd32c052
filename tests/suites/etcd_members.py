"""Three members of one etcd on three hosts, with TLS between all: what several control planes share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from pybernetes.bootstrap import pki
from tests.suites.etcd_server import BINARY
from tests.suites.hosts import ROOT, Host

__all__ = ["BINARY", "EtcdMembers"]


class EtcdMembers:
    """One member a host; `kill()` and `start()` keep its data."""

    def __init__(self, hosts: list[Host], directory: Path) -> None:
        self.hosts, self.directory = hosts, directory
        authority = pki.create_authority("etcd-ca")
        pki.write(directory / "ca.crt", authority.certificate, 0o644)
        names = ("localhost", "127.0.0.1", *(host.address for host in hosts))
        both = pki.Spec("", "", "etcd", (), (pki.SERVER, pki.CLIENT), names)
        for name, pair in (("member", pki.issue(authority, both)), ("client", pki.client(authority, "api"))):
            pki.write(directory / f"{name}.crt", pair.certificate, 0o644)
            pki.write(directory / f"{name}.key", pair.key, 0o600)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """For --store."""
        addresses = ",".join(f"{host.address}:2379" for host in self.hosts)
        files = "&".join(
            f"{option}={self.directory / name}"
            for option, name in (("cafile", "ca.crt"), ("certfile", "client.crt"), ("keyfile", "client.key"))
        )
        return f"etcd://{addresses}?{files}"

    def start(self, host: Host) -> None:
        """Run the member of a host."""
        client, peer = f"https://{host.address}:2379", f"https://{host.address}:2380"
        everyone = ",".join(f"{other.name}=https://{other.address}:2380" for other in self.hosts)
        command = [str(BINARY), f"--name={host.name}", f"--data-dir={self.directory / host.name}", "--log-level=error"]
        command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        command += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        command += [f"--initial-cluster={everyone}", "--client-cert-auth", "--peer-client-cert-auth"]
        for prefix in ("", "peer-"):
            command += [f"--{prefix}trusted-ca-file={self.directory / 'ca.crt'}"]
            command += [f"--{prefix}cert-file={self.directory / 'member.crt'}"]
            command += [f"--{prefix}key-file={self.directory / 'member.key'}"]
        with (self.directory / f"{host.name}.log").open("ab") as log:
            self._processes[host.name] = subprocess.Popen(
                ["nsenter", "-t", str(host.inside), "-n", "--", *command], stdout=log, stderr=log, cwd=ROOT
            )

    def kill(self, host: Host) -> None:
        process = self._processes.pop(host.name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for host in self.hosts:
            if host.name in self._processes:
                self.kill(host)


def kill_process(host: Host, what: str) -> None:
    """SIGKILL to a member's process (`control-plane`, `agent-NAME`), seen from inside its host."""
    record = host.run("cat", f"/var/lib/pybernetes/default/run/{what}.pid").stdout
    script = f"import os; os.kill({json.loads(record)['pid']}, {int(signal.SIGKILL)})"
    host.run(sys.executable, "-c", script)


assert os
