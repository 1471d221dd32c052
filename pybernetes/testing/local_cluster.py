"""A whole cluster inside a Python process, for tests.

Real API semantics, garbage collection, namespace deletion, scheduler and controllers; nodes that honestly play running
Pods. Everything runs in the caller's event loop, so under a virtual-time loop an hour of cluster life takes
milliseconds. No files, no sockets, no root, unless `serve=True` asks for an HTTPS address for other clients.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from pybernetes.aio.tasks import Nursery
from pybernetes.bootstrap.control_plane import ADMIN, Config, ControlPlane, signer
from pybernetes.client.client import Client
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.server import Config as APIServerConfig
from pybernetes.control_plane.controllers import certificates as signing
from pybernetes.control_plane.controllers import local_path
from pybernetes.control_plane.controllers.manager import Config as ControllerManagerConfig

if TYPE_CHECKING:
    from pybernetes.machinery.meta import Object

O = TypeVar("O", bound="Object")  # noqa: E741 - an object kind


@dataclass(frozen=True)
class Options:
    """What a test may choose."""

    #: Nodes that play running Pods.
    nodes: int = 1
    #: Listen on a free loopback port with TLS, and write a kubeconfig: for kubectl and other clients.
    serve: bool = False
    #: Which controllers run: names, `*` for all, `-name` to leave one out.
    controllers: tuple[str, ...] = ("*",)
    #: Run a scheduler.
    scheduler: bool = True


class LocalCluster:
    """`async with LocalCluster(nodes=3) as cluster:`; `cluster.client` is an administrator's client."""

    def __init__(
        self, nodes: int = 1, *, serve: bool = False, controllers: tuple[str, ...] = ("*",), scheduler: bool = True
    ) -> None:
        self.options = Options(nodes, serve, controllers, scheduler)
        self.client: Client
        #: https://127.0.0.1:PORT with `serve`, else "".
        self.server = ""
        #: Path of an administrator's kubeconfig, with `serve`.
        self.kubeconfig: Path | None = None
        self.control_plane: ControlPlane
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def client_of(self, name: str, *groups: str) -> Client:
        """A client that acts as another user, to test what it may do."""
        return self.control_plane.client(User(name, "", (*groups, "system:authenticated"), {}))

    async def _start(self) -> None:
        options = self.options
        pki: Path | None = None
        directory: Path | None = None
        if options.serve:
            from pybernetes.bootstrap import pki as certificates

            directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pybernetes-")))
            pki = directory / "pki"
            certificates.ensure(pki)
        self.control_plane = ControlPlane(
            Config(
                apiserver=APIServerConfig(store="memory:", listen=options.serve, pki=pki),
                controllers=ControllerManagerConfig(
                    controllers=options.controllers,
                    root_ca=(pki / "ca.crt").read_text() if pki else _PLACEHOLDER_CA,
                    certificates=signing.Config(sign=signer(pki)) if pki else None,
                    local_path=local_path.pretended(),
                ),
                scheduler=options.scheduler,
                fake_nodes=options.nodes,
            )
        )
        nursery = await self._stack.enter_async_context(Nursery("local-cluster"))
        running = nursery.start(self.control_plane.run(), "control-plane")
        await _first(running, self.control_plane.ready.wait())
        self.client = self.control_plane.client(ADMIN)
        if directory is not None and pki is not None:
            self._write_kubeconfig(directory, pki)

    def _write_kubeconfig(self, directory: Path, pki: Path) -> None:
        from pybernetes.bootstrap import kubeconfigs
        from pybernetes.bootstrap import pki as certificates

        host, port = self.control_plane.address
        self.server = f"https://{host}:{port}"
        authority = certificates.KeyPair((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes())
        pair = certificates.client(authority, "kubernetes-admin", "system:masters")
        credentials = kubeconfigs.Credentials(self.server, authority.certificate, pair)
        self.kubeconfig = directory / "kubeconfig"
        text = kubeconfigs.render("local", "kubernetes-admin", credentials)
        certificates.write(self.kubeconfig, text.encode(), 0o600)


#: Published as kube-root-ca.crt where there is no TLS and so no authority.
_PLACEHOLDER_CA = "(this cluster has no TLS)\n"


async def _first(running: asyncio.Task[None], ready: object) -> None:
    """Wait until a component is ready; raise what it failed with if it ends before."""
    waiting = asyncio.ensure_future(ready)  # type: ignore[call-overload]  # noqa: TID251 - ends in this function
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            running.result()
            raise RuntimeError(f"{running.get_name()} ended before it was ready")
    finally:
        waiting.cancel()
