"""The control plane renews its own certificates: twice a day it looks whether any is due, and makes it anew.

It has the authority, so nobody needs to be asked; and it uses the files itself, through contexts and clients that
notice a replaced file, so nothing is restarted. What is due is decided where certificates are made (`pki`,
`kubeconfigs`): with less than a quarter of a year left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from pybernetes.aio import clock
from pybernetes.bootstrap import kubeconfigs, pki
from pybernetes.bootstrap.cluster import Cluster

log = logging.getLogger(__name__)

#: Seconds between looks; less than any certificate's last quarter by far.
INTERVAL = 12 * 3600.0


class Renewal:
    """`run()` until cancelled. `renew` makes what is due and returns the names of the files written."""

    def __init__(self, renew: Callable[[], list[str]], interval: float = INTERVAL) -> None:
        self._renew, self._interval = renew, interval

    async def run(self) -> None:
        """See the class. A look that fails (a full disk) is repeated at the next."""
        while True:
            await clock.sleep(self._interval * (0.9 + 0.2 * clock.rng.random()))
            try:
                written = self._renew()  # some milliseconds, twice a day: no thread
            except (OSError, pki.PKIError, kubeconfigs.KubeconfigError) as error:
                log.error("certificates could not be renewed: %s", error)
                continue
            if written:
                log.info("renewed: %s", ", ".join(written))


def renew(cluster: Cluster, renew_before: float = pki.Config.renew_before) -> list[str]:
    """Make anew what ends within `renew_before` seconds, of a cluster here or of this member; the files written."""
    if cluster.state.member is None:
        from pybernetes.bootstrap import local

        return local.renew(cluster, renew_before)
    from pybernetes.bootstrap.phases import certs
    from pybernetes.bootstrap.phases.kubeconfig import control_plane

    written = pki.ensure(cluster.pki, certs.config_of(cluster, renew_before))
    authority = pki.KeyPair((cluster.pki / "ca.crt").read_bytes(), (cluster.pki / "ca.key").read_bytes())
    return [*written, *control_plane(cluster, authority, renew_before)]
