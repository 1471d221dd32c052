"""A member whose processes systemd keeps: systemd itself is the host's first process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.suites.etcd_server import BINARY
from tests.suites.hosts import SYSTEMD, Host, hosts, join_line

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SYSTEMD.exists(), reason="systemd is not installed"),
    pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH"),
]
UNITS = {f"pybernetes-default-{part}.service" for part in ("etcd", "control-plane", "agent")}


@pytest.fixture(scope="module")
def pair() -> Iterator[list[Host]]:
    with hosts("sd1", "sd2", systemd=True) as found:
        yield found


def left(state: dict[str, set[str]]) -> dict[str, set[str]]:
    """A host's state without what systemd and its journal keep for themselves."""
    own = ("/run/systemd", "/run/log", "/run/credentials", "/run/initctl")
    return {key: {one for one in found if not one.startswith(own)} for key, found in state.items() if key != "cgroups"}


def show(host: Host, unit: str, name: str) -> str:
    return host.run("systemctl", "show", f"--property={name}", "--value", unit).stdout.strip()


def pid(host: Host, unit: str) -> str:
    return show(host, unit, "MainPID")


def state(host: Host, unit: str) -> str:
    return show(host, unit, "ActiveState")


def until(what: str, condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def ready(host: Host) -> bool:
    ask = ("wait", "--for=condition=Ready", "node/sd1", "--timeout=1s")
    return "condition met" in host.kubectl(*ask, check=False)


def test_systemd_keeps_the_processes_of_members_and_reset_takes_them_from_it(pair: list[Host]) -> None:
    host, worker = pair
    before = {one.name: left(one.state()) for one in pair}
    line = join_line(host.pybernetes("init", "--store", "etcd").stdout)
    assert "[node] sd2 is Ready" in worker.pybernetes(*line).stdout
    active = host.run("systemctl", "is-active", *sorted(UNITS)).stdout.split()
    assert active == ["active"] * 3
    enabled = host.run("systemctl", "is-enabled", *sorted(UNITS)).stdout.split()
    assert enabled == ["enabled"] * 3, "they start with the machine"
    until("the node is Ready", lambda: ready(host))

    for unit in sorted(UNITS):
        killed = pid(host, unit)
        host.run("kill", "-9", killed)
        until(f"{unit} is back", lambda killed=killed, unit=unit: pid(host, unit) not in ("0", killed))  # type: ignore[misc]
    until("and works", lambda: "ok" in host.kubectl("get", "--raw", "/readyz", check=False))

    saved = "/run/saved"
    host.kubectl("create", "configmap", "before")
    host.pybernetes("backup", saved)
    host.kubectl("create", "configmap", "after")
    host.pybernetes("restore", saved)
    names = host.kubectl("get", "configmaps", "-o", "name").split()
    assert "configmap/before" in names and "configmap/after" not in names
    until("the node is Ready again", lambda: ready(host))

    agent, server = (f"pybernetes-default-{part}.service" for part in ("agent", "control-plane"))
    # Less time to start than it takes, but more than passes until it says that it is alive.
    worker.run("mkdir", f"/run/systemd/system/{agent}.d")
    worker.run("tee", f"/run/systemd/system/{agent}.d/short.conf", stdin="[Service]\nTimeoutStartSec=65\n")
    worker.run("systemctl", "daemon-reload")
    host.run("systemctl", "stop", server)
    worker.run("systemctl", "restart", "--no-block", agent)
    until("it waits", lambda: state(worker, agent) == "activating" and pid(worker, agent) != "0")
    begin, waiting = time.monotonic(), pid(worker, agent)
    until("it says so", lambda: "waits" in show(worker, agent, "StatusText"))
    until("its time is over", lambda: time.monotonic() > begin + 75)
    assert (state(worker, agent), pid(worker, agent)) == ("activating", waiting)
    host.run("systemctl", "start", server)
    until("it is ready", lambda: state(worker, agent) == "active")
    assert pid(worker, agent) == waiting, "never begun again"
    worker.run("rm", "-r", f"/run/systemd/system/{agent}.d")

    host.run("rm", "-r", saved, f"{saved}.pki")
    for one in (worker, host):
        one.pybernetes("reset", "--force")
        assert left(one.state()) == before[one.name]
        listed = one.run(
            "systemctl",
            "list-units",
            "--state=loaded,failed,active,activating",
            "--plain",
            "--no-legend",
            "pybernetes-*",
        ).stdout
        assert listed == "", "the name of one that had containers may be remembered for a while, but nothing of it"
