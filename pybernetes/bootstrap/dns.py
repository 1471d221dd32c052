"""`pybernetes dns`: the cluster DNS as a process of its own, for clusters whose nodes run something else.

On our nodes it is a part of the agent; this is the same server with its own connection to the API.
"""

from __future__ import annotations

import argparse
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from pybernetes.aio.tasks import Ready
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.errors import ConfigError
from pybernetes.client.http import HTTPTransport
from pybernetes.network.dns import forward, wire
from pybernetes.network.dns.server import DNS, Config


@dataclass(frozen=True)
class Settings:
    """The server's own settings, and how it reaches the API."""

    dns: Config
    connection: kubeconfig.Connection


class Process:
    """`run()` until cancelled; `ready` carries (address, port)."""

    def __init__(self, settings: Settings) -> None:
        self._transport = HTTPTransport(settings.connection)
        self._server = DNS(settings.dns, Client(self._transport))
        self.ready: Ready[tuple[str, int]] = self._server.ready

    async def run(self) -> None:
        """See the class."""
        try:
            await self._server.run()
        finally:
            await self._transport.close()


def parse(arguments: list[str]) -> tuple[Process, argparse.Namespace]:
    """The component that the flags describe. Raises ClusterError for values that cannot be."""
    default = Config()
    parser = argparse.ArgumentParser(prog="pybernetes dns", description="The cluster DNS, as a process of its own.")
    parser.add_argument("--kubeconfig", metavar="FILE", required=True, help="how to reach the API server")
    parser.add_argument("--address", default=default.address, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=default.port, help="UDP and TCP port (default: %(default)s)")
    parser.add_argument("--domain", default=default.domain, help="the cluster's domain (default: %(default)s)")
    parser.add_argument("--ttl", type=int, default=default.ttl, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument(
        "--service-address", action="append", metavar="ADDR", help="address of the DNS Service; may be repeated"
    )
    parser.add_argument(
        "--range", action="append", metavar="CIDR", help="Pod or Service range, never asked upstream; may be repeated"
    )
    parser.add_argument(
        "--upstream", action="append", metavar="ADDR[#PORT]", help="name server for other names; may be repeated"
    )
    parser.add_argument(
        "--resolv-conf", default="/etc/resolv.conf", metavar="FILE", help="upstreams otherwise (default: %(default)s)"
    )
    parser.add_argument("--ready-fd", type=int, help="file descriptor to write a line to when ready")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    options = parser.parse_args(arguments)
    own = (options.address, *(options.service_address or ()))
    try:
        for text in own:
            ipaddress.ip_address(text)
        for text in options.range or ():
            ipaddress.ip_network(text)
        for text in options.upstream or ():
            forward.split(text)
        wire.name(options.domain)
        connection = kubeconfig.load([Path(options.kubeconfig)], explicit=True).connection()
    except (ValueError, OSError, ConfigError) as error:
        raise ClusterError(str(error)) from error
    config = Config(
        address=options.address,
        port=options.port,
        domain=options.domain,
        ttl=options.ttl,
        service_addresses=tuple(options.service_address or ()),
        ranges=tuple(options.range or ()),
        forward=forward.Config(
            upstreams=tuple(options.upstream or ()), resolv_conf=(Path(options.resolv_conf),), own=own
        ),
    )
    return Process(Settings(config, connection)), options
