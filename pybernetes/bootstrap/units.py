"""systemd units for a member's processes: where systemd is, it keeps them, and starts them after a reboot.

A unit counts as started when its process says that it is ready (sd_notify). At a reboot each waits, and says that it is
alive, or is begun again, until what it needs is there, so that one that fails holds up no other.

Elsewhere the processes are started as `up` does it, and somebody has to say `pybernetes up` after a reboot.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from pybernetes.bootstrap import processes
from pybernetes.bootstrap.cluster import Cluster, ClusterError

DIRECTORY = Path("/etc/systemd/system")


def available() -> bool:
    """Whether this machine is run by systemd."""
    return Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None


def name(cluster: Cluster, part: str) -> str:
    """`part`: etcd, control-plane or agent."""
    return f"pybernetes-{cluster.state.name}-{part}.service"


def render(cluster: Cluster, part: str, arguments: list[str]) -> str:
    """The text of a unit that runs `pybernetes ARGUMENTS`."""
    command = " ".join(_quoted(word) for word in (sys.executable, "-m", "pybernetes", *arguments))
    # Containers outlive their agent, so only its own process is ended (KillMode), and nothing limits it.
    return f"""[Unit]
Description=pybernetes: {part} of cluster {cluster.state.name}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
TimeoutStartSec=180
Environment=PYTHONPATH={_quoted(processes.import_root())}
ExecStart={command}
Restart=always
RestartSec=2
KillMode=process
Delegate=yes
LimitNOFILE=1048576
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""


def start(cluster: Cluster, part: str, arguments: list[str], patience: float, directory: Path = DIRECTORY) -> None:
    """Write the unit, enable it and start it; `patience` seconds for it to be ready. Raises ClusterError."""
    path = directory / name(cluster, part)
    path.write_text(render(cluster, part, arguments))
    _systemctl("daemon-reload")
    _systemctl("enable", path.name)
    try:
        _systemctl("start", path.name, seconds=patience)
    except (ClusterError, subprocess.TimeoutExpired):
        said = subprocess.run(
            ["journalctl", "--no-pager", "--output=cat", "--lines=15", f"--unit={path.name}"],
            capture_output=True, text=True, check=False, timeout=60,
        ).stdout.strip()  # fmt: skip
        text = f"{path.stem} is not ready after {patience:.0f} s; see 'journalctl -u {path.name}'"
        raise ClusterError(f"{text}\n{said}") from None


def pause(cluster: Cluster, part: str) -> bool:
    """Stop it and keep the unit, for `start`; whether it ran, or waited for what it needs."""
    unit = name(cluster, part)
    done = subprocess.run(
        ["systemctl", "is-active", unit], capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    _systemctl("stop", unit)
    return done.stdout.strip() in ("active", "activating")


def stop(cluster: Cluster, part: str, directory: Path = DIRECTORY) -> None:
    """Stop it and take the unit away. Safe to repeat."""
    path = directory / name(cluster, part)
    if path.exists():
        _systemctl("disable", "--now", path.name)
        path.unlink()
        _systemctl("daemon-reload")
        # One that was killed, or ended late, would be remembered as failed.
        subprocess.run(["systemctl", "reset-failed", path.name], capture_output=True, check=False, timeout=60)


def _systemctl(*arguments: str, seconds: float = 60.0) -> None:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=seconds)
    if done.returncode:
        raise ClusterError(f"systemctl {' '.join(arguments)}: {done.stderr.strip()}")


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
