"""TLS contexts whose certificates are renewed while they are in use.

Whoever renews a certificate replaces its files; the context is given the new pair, and connections made from then on
show it. Nothing is restarted and no connection is cut.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from pybernetes.aio import files

log = logging.getLogger(__name__)


class RenewedTLS:
    """`keep()` contexts, then `run()` until cancelled."""

    def __init__(self) -> None:
        self._kept: list[tuple[ssl.SSLContext, Path]] = []

    def keep(self, context: ssl.SSLContext, certificate: Path) -> ssl.SSLContext:
        """`context` has loaded `certificate` and the `.key` beside it; keep it up to date."""
        self._kept.append((context, certificate))
        return context

    async def run(self) -> None:
        """Load what is replaced. A pair that does not fit together yet is tried again at the next look."""
        watched = files.Watched({path.with_suffix(suffix) for _, path in self._kept for suffix in (".crt", ".key")})
        while True:
            await watched.change()
            for context, certificate in self._kept:
                try:
                    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
                except OSError as error:  # ssl.SSLError is one
                    log.warning("certificate %s: %s", certificate, error)
