"""One run of `init` or `join`: the user's options, and what the phases have found out so far."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pybernetes.bootstrap.cluster import Cluster, ClusterError, Member
from pybernetes.client import kubeconfig
from pybernetes.client.client import Client
from pybernetes.client.errors import ConfigError, Unavailable
from pybernetes.client.http import HTTPTransport
from pybernetes.client.kubeconfig import Connection
from pybernetes.machinery.errors import StatusError

T = TypeVar("T")


@dataclass
class Run:
    """See the module. Fields are set by the phase named beside them."""

    options: argparse.Namespace
    joins: bool
    _cluster: Cluster | None = None  #: settings
    connection: Connection | None = None  #: discovery: the API, as the bearer of the token
    authority: bytes = b""  #: discovery: the cluster's CA
    settings: dict[str, Any] = field(default_factory=dict)  #: discovery: the ClusterConfiguration
    token: str = ""  #: bootstrap-token
    certificate_key: str = ""  #: upload-certs

    @property
    def cluster(self) -> Cluster:
        """The cluster's directory on this machine, once the settings are decided."""
        assert self._cluster is not None
        return self._cluster

    @cluster.setter
    def cluster(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def has_cluster(self) -> bool:
        """Whether this run has begun to make something."""
        return self._cluster is not None

    @property
    def member(self) -> Member:
        member = self.cluster.state.member
        assert member is not None
        return member

    @property
    def node(self) -> str:
        return self.cluster.state.nodes[0].name

    def say(self, phase: str, text: str) -> None:
        """A line of progress."""
        print(f"[{phase}] {text}", flush=True)

    def admin(self, action: Callable[[Client], Awaitable[T]]) -> T:
        """Do something as the cluster's administrator."""
        return with_client(connection_of(self.cluster.directory / "super-admin.conf"), action)


def connection_of(path: Path) -> Connection:
    """The connection of a kubeconfig. Raises ClusterError."""
    try:
        return kubeconfig.load([path], explicit=True).connection()
    except ConfigError as error:
        raise ClusterError(str(error)) from error


def with_client(connection: Connection, action: Callable[[Client], Awaitable[T]]) -> T:
    """Run one action with a client. Raises ClusterError for what the server says or when it says nothing."""

    async def run() -> T:
        async with HTTPTransport(connection) as transport:
            return await action(Client(transport))

    try:
        return asyncio.run(run())
    except StatusError as error:
        raise ClusterError(f"{connection.server}: {error.message}") from error
    except Unavailable as error:
        raise ClusterError(f"cannot reach {connection.server}: {error}") from error
