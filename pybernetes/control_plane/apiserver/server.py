"""The API server: assembles cache, registry, access, admission and chain, listens, and runs until cancelled.

Order at start, and why: the store, then the cache (everything else reads it), then access (needs roles), then the
listener, then the post-start hooks (they write through the chain), and only then `ready`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pybernetes.aio.tasks import Ready
from pybernetes.control_plane.apiserver import audit, builtin, deadline, poststart
from pybernetes.control_plane.apiserver.access import Access
from pybernetes.control_plane.apiserver.admission import plugins
from pybernetes.control_plane.apiserver.admission.chain import Admission
from pybernetes.control_plane.apiserver.audit.chain import AuditedChain, Auditor, received
from pybernetes.control_plane.apiserver.audit.policy import Rules, load
from pybernetes.control_plane.apiserver.authentication import configuration as authentication
from pybernetes.control_plane.apiserver.authentication import service_accounts
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authorization import configuration as authorization
from pybernetes.control_plane.apiserver.cache import WatchCache
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.chain import Chain, Step
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.discovery import Discovery
from pybernetes.control_plane.apiserver.flowcontrol.control import FlowControl
from pybernetes.control_plane.apiserver.health import Health
from pybernetes.control_plane.apiserver.housekeeping import compact, expire_events
from pybernetes.control_plane.apiserver.http import Config as HTTPConfig
from pybernetes.control_plane.apiserver.http import HTTPServer, Request, Response, server_context
from pybernetes.control_plane.apiserver.metrics import Metrics
from pybernetes.control_plane.apiserver.objects import stamp
from pybernetes.control_plane.apiserver.paths import Paths
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.control_plane.apiserver.registry import Registry
from pybernetes.control_plane.apiserver.render import error_response
from pybernetes.control_plane.apiserver.renewed_tls import RenewedTLS
from pybernetes.control_plane.apiserver.transport import LocalTransport
from pybernetes.machinery import errors
from pybernetes.store import Store, closed, open_store
from pybernetes.store.protocol import Seal

log = logging.getLogger(__name__)

#: The server's own identity.
SELF = User("system:apiserver", "", ("system:masters", "system:authenticated"), {})


@dataclass(frozen=True)
class Config:
    """Everything an API server needs to know."""

    #: A store, or the URL of one (`memory:`, `sqlite:///path`, `etcd://host:port`). A store must have been made with
    #: `stamp=objects.stamp`.
    store: Store | str = "memory:"
    #: File with an EncryptionConfiguration: what is encrypted in the store, and how. None: nothing.
    encryption: Path | None = None
    #: Address and port to bind; port 0 takes a free one.
    host: str = "127.0.0.1"
    port: int = 0
    #: Listen at all; without, only in-process transports reach the server (tests, simulations under virtual time).
    listen: bool = True
    #: The address under which Pods and other machines reach this server; it is listened on as well. "" derives it from
    #: `host`, and on loopback Service default/kubernetes has no endpoints.
    advertise_address: str = ""
    #: Whether the nodes answer DNS, so that Service kube-system/kube-dns leads to them.
    node_dns: bool = True
    #: Where node agents answer DNS, the same address on every node; "" is the advertised address.
    dns_address: str = ""
    #: Other API servers use the same store: Service default/kubernetes leads to all that are alive.
    shared: bool = False
    #: Directory of keys and certificates in kubeadm's layout (apiserver.crt, ca.crt, sa.key, front-proxy-ca.crt,
    #: apiserver-kubelet-client.crt...). None: plain HTTP and no certificates or service account tokens, for
    #: benchmarks and tests on loopback.
    pki: Path | None = None
    #: Bearer tokens of fixed users: tests and benchmarks.
    static_tokens: Mapping[str, User] = field(default_factory=dict)
    #: Requests without credentials are system:anonymous (who may see health and version); off: 401.
    anonymous: bool = True
    #: Users known elsewhere: OpenID Connect issuers, a token webhook, front proxies.
    authentication: authentication.Config = field(default_factory=authentication.Config)
    #: Which authorizers decide.
    authorization: authorization.Config = field(default_factory=authorization.Config)
    #: Who signs service account tokens, and for whom.
    service_accounts: service_accounts.Config = field(default_factory=service_accounts.Config)
    #: Ranges of Service addresses, the primary family first.
    service_cidrs: tuple[str, ...] = ("10.96.0.0/12",)
    #: First and last port for NodePorts.
    node_ports: tuple[int, int] = (30000, 32767)
    #: Seconds between compactions of the store's history; a watch can resume from what is younger.
    compact_interval: float = 300.0
    #: Seconds that Events are kept.
    event_ttl: float = 3600.0
    #: Requests that may wait at a time (writes for their commit); more are answered 429.
    max_waiting: int = 4000
    #: Requests that may hold a seat of a priority level at a time, reading and changing ones; both 0: no flow control.
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    #: What is recorded of requests, and where to; None: nothing.
    audit: audit.Config | None = None
    #: Changes per resource that a watch can resume from at most.
    watch_window: int = 50_000


#: Checks of upstream's informers and of controllers that feed on them. Here one cache feeds all: it is loaded before
#: the first request is answered, and they are as well as it is.
_SYNCED = (
    "poststarthook/start-kube-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-status-available-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
)


class APIServer:
    """`run()` until cancelled; `ready` carries (host, port), ("", 0) when it does not listen."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ready: Ready[tuple[str, int]] = Ready()
        self.store = store_of(config)
        self.cache = WatchCache(self.store, window_limit=config.watch_window)
        self.registry = Registry()
        self.core = Core(self.cache, self.registry, Admission(()))
        self.core.config = config
        self.access = Access(
            self.core,
            config.pki,
            config.static_tokens,
            config.service_accounts,
            anonymous=config.anonymous,
            authentication=config.authentication,
            authorization=config.authorization,
        )
        self._address = ("", 0)
        self._server: HTTPServer | None = None
        self._renewed = RenewedTLS()
        self.health = Health()
        self.flows = FlowControl(self.core, config.max_requests_inflight + config.max_mutating_requests_inflight)
        self.metrics = Metrics(self.cache, self.flows)
        self.discovery = Discovery(self.registry, self._external)
        self.paths = Paths(self.discovery, self.health, self.metrics)
        kind = Chain if config.audit is None else AuditedChain
        self.chain = kind(self.core, self._steps(), self.paths.find, self._observe)
        self._hooks: dict[str, bool] = {name: False for name, _ in poststart.HOOKS}
        #: OpenAPI v3 documents of aggregated servers: `apis/GROUP/VERSION` -> (hash, document).
        self.foreign_documents: dict[str, tuple[str, bytes]] = {}
        #: Parts that `install` adds: `start()` once the cache is loaded, `run()` until cancelled; by name.
        self.parts: dict[str, Any] = {}

    def transport(self, user: User) -> LocalTransport:
        """An in-process transport that acts as `user`; usable once `ready`."""
        return LocalTransport(self.chain, user)

    def _steps(self) -> list[Step]:
        """The chain's steps: order of reading = order of running."""
        recorded: list[Step] = [] if self.config.audit is None else [received]
        return [
            self.access.authenticate,
            *recorded,
            self._not_overloaded,
            self.access.impersonate,
            self.flows.admit,
            self.access.authorize,
            deadline.check,
        ]

    def _observe(self, call: Call, status: int) -> None:
        if call.seats:
            self.flows.release(call)
        self.metrics.observe(call, status)

    def _not_overloaded(self, call: Call) -> None:
        server = self._server
        if server is not None and call.request is not None and len(server.tasks) > self.config.max_waiting:
            raise errors.too_many_requests("too many requests, please try again later", 1)

    async def run(self) -> None:
        """Serve until cancelled."""
        config = self.config
        if isinstance(self.chain, AuditedChain):
            assert config.audit is not None
            rules = Rules(load(config.audit.policy.read_text()))
            self.chain.auditor = Auditor(rules, audit.backends(config.audit), self.core.authorizer)
            self.parts["audit"] = self.chain.auditor
        await self.store.start()
        try:
            await closed.check(self.store)
            self.registry.extend(builtin.build(self.core))
            self.core.admission = Admission(plugins.build(self.core))
            self._connect()
            _plug_in(self)
            await self.cache.start()
            self.access.start()
            self.flows.transport = self.transport(SELF)
            self.parts["flow-control"] = self.flows
            for part in self.parts.values():
                part.start()
            self._mount()
            async with asyncio.TaskGroup() as group:
                if config.listen:
                    self._server = HTTPServer(self.chain.serve_http, self._http_config(), _refusal)
                    group.create_task(self._server.run(), name="apiserver/http")
                    self._address = await self._server.ready.wait()
                    if config.advertise_address and config.host not in (config.advertise_address, "0.0.0.0", "::"):
                        address = replace(self._http_config(), host=config.advertise_address, port=self._address[1])
                        more = HTTPServer(self.chain.serve_http, address, _refusal)
                        group.create_task(more.run(), name="apiserver/http-advertised")
                        await more.ready.wait()
                for name, part in self.parts.items():
                    group.create_task(part.run(), name=f"apiserver/{name}")
                group.create_task(self._lost(), name="apiserver/lost")
                group.create_task(self._renewed.run(), name="apiserver/certificates")
                group.create_task(compact(self.cache, config.compact_interval), name="apiserver/compact")
                group.create_task(expire_events(self.cache, config.event_ttl), name="apiserver/events")
                await self._post_start(group)
                gc.collect()
                gc.freeze()  # what the start made lives on: the collector need not walk it again
                gc.set_threshold(50_000, 20, 100)
                self.ready.set(self._address)
        finally:
            await self.access.close()
            self.cache.close()
            await self.store.close()

    async def _lost(self) -> None:
        """A server whose cache no longer follows the store must not answer."""
        await self.cache.failed.wait()
        raise RuntimeError("the watch cache lost the store")

    async def _post_start(self, lasting: asyncio.TaskGroup) -> None:
        config = self.config
        pki = config.pki
        setup = Setup(
            self.core,
            self.transport(SELF),
            self._advertised(),
            self._address[1] or 6443,
            config.service_cidrs,
            _read(pki, "ca.crt"),
            _read(pki, "front-proxy-ca.crt"),
            config.node_dns,
            config.dns_address or self._advertised(),
            config.shared,
        )
        first, *rest = poststart.HOOKS
        await first[1](setup)
        self._hooks[first[0]] = True
        async with asyncio.TaskGroup() as group:
            for name, hook in rest:
                group.create_task(self._hook(name, hook, setup), name=f"apiserver/{name}")
        if config.shared and setup.advertise:
            from pybernetes.control_plane.apiserver.peers import Peers

            lasting.create_task(Peers(setup).run(), name="apiserver/peers")

    async def _hook(self, name: str, hook: Any, setup: Setup) -> None:
        await hook(setup)
        self._hooks[name] = True

    def _connect(self) -> None:
        """How kubelets, Pods and Services are reached."""
        from pybernetes.control_plane.apiserver.connect.targets import Targets, kubelet_context

        pki = self.config.pki
        tls = None
        if pki is not None:
            client = pki / "apiserver-kubelet-client.crt"
            have = client.exists()
            tls = kubelet_context("", str(client) if have else "", str(client.with_suffix(".key")))
            if have:
                self._renewed.keep(tls, client)
        self.core.connector = Targets(self.core, tls)

    def _http_config(self) -> HTTPConfig:
        config = self.config
        pki = config.pki
        if pki is None:
            return HTTPConfig(host=config.host, port=config.port)
        authorities = [str(pki / name) for name in ("ca.crt", "front-proxy-ca.crt") if (pki / name).exists()]
        tls = server_context(str(pki / "apiserver.crt"), str(pki / "apiserver.key"), authorities)
        self._renewed.keep(tls, pki / "apiserver.crt")
        return HTTPConfig(host=config.host, port=config.port, tls=tls)

    def _mount(self) -> None:
        """Health checks and the paths of the token issuer."""
        health = self.health
        health.add("ping", lambda: True)
        health.add("log", lambda: True)
        health.add("etcd", lambda: not self.cache.failed.is_set())
        health.add("etcd-readiness", lambda: not self.cache.failed.is_set(), live=False)
        health.add("informer-sync", lambda: True, live=False)
        for name in _SYNCED:
            health.add(name, lambda: not self.cache.failed.is_set())
        for name in self._hooks:
            health.add(f"poststarthook/{name}", lambda name=name: self._hooks[name])  # type: ignore[misc]
        health.add("shutdown", lambda: True, live=False)
        if self.access.issuer is not None:
            document = service_accounts.discovery(self.config.service_accounts, self.access.keys)
            key_set = service_accounts.key_set(self.access.keys)

            async def configuration(call: Call) -> Result:
                return Result(raw=_json(document))

            async def keys(call: Call) -> Result:
                return Result(raw=_json(key_set), media_type=b"application/jwk-set+json")

            self.paths.mount("/.well-known/openid-configuration", configuration)
            self.paths.mount("/openid/v1/jwks", keys)

    def _external(self) -> str:
        host = self.config.advertise_address or self._address[0] or self.config.host
        return f"[{host}]:{self._address[1]}" if ":" in host else f"{host}:{self._address[1]}"

    def _advertised(self) -> str:
        config = self.config
        if config.advertise_address:
            return config.advertise_address
        if config.host in ("0.0.0.0", "::", ""):
            return _outward_address()
        return config.host


def store_of(config: Config) -> Store:
    """The store as the API server uses it, not yet started: values bear their revision, and are sealed if they are."""
    if not isinstance(config.store, str):
        if config.encryption is not None:
            raise ValueError("encryption needs the store's URL, not a store")
        return config.store
    return open_store(config.store, stamp=stamp, seal=seal_of(config))


def seal_of(config: Config) -> Seal | None:
    """What values are kept as; None: as they are."""
    if config.encryption is None:
        return None
    from pybernetes.control_plane.apiserver.encryption import Encryption, load

    return Encryption(load(config.encryption.read_text()))


def _plug_in(server: APIServer) -> None:
    """Parts that live beside us and mount themselves: custom resources, OpenAPI, aggregation, addresses, usage,
    legacy tokens."""
    for name in ("crd", "openapi", "aggregation", "allocation", "resource_metrics", "legacy_tokens"):
        module = f"pybernetes.control_plane.apiserver.{name}"
        with contextlib.suppress(ModuleNotFoundError):
            import importlib

            found = importlib.import_module(module)
            install = getattr(found, "install", None)
            if install is not None:
                install(server)


def _outward_address() -> str:
    """The address of the interface towards the default route; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def _read(pki: Path | None, name: str) -> str:
    path = pki / name if pki is not None else None
    return path.read_text() if path is not None and path.exists() else ""


def _json(value: Any) -> bytes:
    import msgspec

    return msgspec.json.encode(value)


def _refusal(request: Request | None, status: int, message: str) -> Response:
    """What the HTTP layer answers by itself: too large, malformed, our own bug."""
    if status == 413:
        return error_response(None, errors.too_large(message))
    if status >= 500:
        return error_response(None, errors.internal(message))
    return error_response(None, errors.StatusError(status, "BadRequest", message))
