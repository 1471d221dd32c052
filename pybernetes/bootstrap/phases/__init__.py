"""How a machine becomes a member of a cluster: `init` and `join` as two ordered lists of phases.

Order of reading = order of running. Each phase is a module with a `run(run: Run)` (two where the commands differ); what
a phase finds out for the later ones is in the `Run`. When a phase fails, everything that this run has made is taken
away again, so that the user corrects the cause and repeats the same line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pybernetes.bootstrap.phases import (
    addons,
    bootstrap_token,
    certs,
    control_plane,
    discovery,
    etcd,
    kubeconfig,
    mark,
    node,
    preflight,
    settings,
    upload_certs,
    upload_config,
)
from pybernetes.bootstrap.phases.run import Run

Phase = tuple[str, Callable[[Run], None]]

INIT: Sequence[Phase] = (
    ("preflight", preflight.run),
    ("settings", settings.decide),
    ("certs", certs.make),
    ("kubeconfig", kubeconfig.run),
    ("etcd", etcd.run),
    ("control-plane", control_plane.run),
    ("upload-config", upload_config.run),
    ("upload-certs", upload_certs.upload),
    ("bootstrap-token", bootstrap_token.run),
    ("addons", addons.run),
    ("node", node.run),
    ("mark-control-plane", mark.run),
)

JOIN: Sequence[Phase] = (
    ("preflight", preflight.run),
    ("discovery", discovery.run),
    ("settings", settings.adopt),
    ("download-certs", upload_certs.download),
    ("certs", certs.make),
    ("kubeconfig", kubeconfig.run),
    ("etcd", etcd.run),
    ("control-plane", control_plane.run),
    ("node", node.run),
    ("mark-control-plane", mark.run),
)
