"""systemd units for a member's processes: where systemd is, it keeps them, and starts them after a reboot.

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
    before = {"agent": ("control-plane",), "control-plane": ("etcd",)}.get(part, ())
    after = " ".join(("network-online.target", *(name(cluster, other) for other in before)))
    command = " ".join(_quoted(word) for word in (sys.executable, "-m", "pybernetes", *arguments))
    # Containers outlive their agent, so only its own process is ended (KillMode), and nothing limits it.
    return f"""[Unit]
Description=pybernetes: {part} of cluster {cluster.state.name}
After={after}
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
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


def start(cluster: Cluster, part: str, arguments: list[str], directory: Path = DIRECTORY) -> None:
    """Write the unit, enable it and start it. Raises ClusterError."""
    path = directory / name(cluster, part)
    path.write_text(render(cluster, part, arguments))
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", path.name)


def pause(cluster: Cluster, part: str) -> bool:
    """Stop it and keep the unit, for `start`; whether it ran."""
    unit = name(cluster, part)
    ran = subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False, timeout=60).returncode == 0
    _systemctl("stop", unit)
    return ran


def stop(cluster: Cluster, part: str, directory: Path = DIRECTORY) -> None:
    """Stop it and take the unit away. Safe to repeat."""
    path = directory / name(cluster, part)
    if path.exists():
        _systemctl("disable", "--now", path.name)
        path.unlink()
        _systemctl("daemon-reload")
        # One that was killed, or ended late, would be remembered as failed.
        subprocess.run(["systemctl", "reset-failed", path.name], capture_output=True, check=False, timeout=60)


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise ClusterError(f"systemctl {' '.join(arguments)}: {done.stderr.strip()}")


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
