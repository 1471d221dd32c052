"""Who may what: assembles authentication and authorization from files and stored objects, as steps of the chain."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

from pybernetes.api.authentication_v1 import TokenReview
from pybernetes.api.core_v1 import Pod
from pybernetes.control_plane.apiserver.authentication import service_accounts
from pybernetes.control_plane.apiserver.authentication.certificates import Certificates, FrontProxy, RequestHeaders
from pybernetes.control_plane.apiserver.authentication.chain import Authentication
from pybernetes.control_plane.apiserver.authentication.configuration import Config as AuthenticationConfig
from pybernetes.control_plane.apiserver.authentication.impersonation import impersonate, impersonates
from pybernetes.control_plane.apiserver.authentication.service_accounts import ServiceAccountTokens, TokenIssuer, Use
from pybernetes.control_plane.apiserver.authentication.tokens import BootstrapTokens, StaticTokens
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authentication.waiting import Remembering, TokenWebhook, WaitingAuthenticator
from pybernetes.control_plane.apiserver.authorization.attributes import Authorizer, of_request
from pybernetes.control_plane.apiserver.authorization.configuration import Config as AuthorizationConfig
from pybernetes.control_plane.apiserver.authorization.configuration import Webhook
from pybernetes.control_plane.apiserver.authorization.node import NodeAuthorizer
from pybernetes.control_plane.apiserver.authorization.rbac import RBAC
from pybernetes.control_plane.apiserver.authorization.union import Always, Masters, Union
from pybernetes.control_plane.apiserver.authorization.webhook import AccessWebhook, Remembered, Undecided, settled
from pybernetes.control_plane.apiserver.cache import Change, Item
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.core import Core

_RBAC_GROUP = "rbac.authorization.k8s.io"
_RBAC_RESOURCES = ("clusterroles", "roles", "clusterrolebindings", "rolebindings")


class Access:
    """Authenticator and authorizer of one server. `start()` when the cache is loaded."""

    def __init__(
        self,
        core: Core,
        pki: Path | None,
        static_tokens: Mapping[str, User],
        accounts: service_accounts.Config,
        *,
        anonymous: bool,
        authentication: AuthenticationConfig,
        authorization: AuthorizationConfig,
    ) -> None:
        self._core = core
        self.rbac = RBAC()
        self.node = NodeAuthorizer(self.get)
        made: dict[str, Authorizer] = {
            "Node": self.node,
            "RBAC": self.rbac,
            "AlwaysAllow": Always(True),
            "AlwaysDeny": Always(False),
        }
        #: For steps and reviews, which can wait for a webhook.
        deciding = [_access_webhook(e) if isinstance(e, Webhook) else made[e] for e in authorization.authorizers]
        self.authorizer = Union([Masters(), *deciding])
        self._authorize = self.authorizer.authorize
        self._hooks = [each for each in deciding if isinstance(each, AccessWebhook)]
        requests: list[Any] = []
        tokens: list[Any] = []
        self.issuer: TokenIssuer | None = None
        self.keys: list[Any] = []
        self.accounts: ServiceAccountTokens | None = None
        #: Told of every use of a legacy or stale token, with the request that bore it or sent it for review.
        self.legacy_used: Callable[[Use, Call | None], None] = lambda use, call: None
        self._asking: Call | None = None
        if static_tokens:
            tokens.append(StaticTokens(static_tokens))
        if pki is not None:
            roots = _authorities(pki / "front-proxy-ca.crt")
            requests.append(Certificates(roots))
            if roots:
                requests.append(RequestHeaders(FrontProxy(roots, authentication.proxy_names)))
            if (pki / "sa.key").exists():
                self.issuer = TokenIssuer((pki / "sa.key").read_bytes(), self.get, accounts)
                public = [path.read_bytes() for path in sorted(pki.glob("sa*.pub"))]
                found = ServiceAccountTokens(public or [(pki / "sa.key").read_bytes()], self.get, accounts)
                found.on_use = lambda use: self.legacy_used(use, self._asking)
                self.keys = list(found.keys.values())
                self.accounts = found
                tokens.append(found)
        tokens.append(BootstrapTokens(self.get))
        self.authentication = Authentication(
            requests,
            tokens,
            audiences=accounts.api_audiences,
            anonymous=anonymous,
            anonymous_paths=authentication.anonymous_paths,
            waiting=[Remembering(each) for each in _waiting(authentication)],
        )
        core.authorizer = self.authorizer
        if self._hooks:
            core.patient_authorizer = self.authorizer
            known = [Remembered(each) if isinstance(each, AccessWebhook) else each for each in deciding]
            core.authorizer = Union([Masters(), *known])
        core.rbac = self.rbac
        core.authenticator = self
        core.token_issuer = self.issuer

    def get(self, group: str, resource: str, namespace: str, name: str) -> Any:
        """An object from the cache, or None."""
        item = self._core.item(group, resource, namespace, name)
        return item.obj if item is not None else None

    def start(self) -> None:
        """Read the roles and bindings that exist, and follow them."""
        for resource in _RBAC_RESOURCES:
            storage = self._core.cache.storage(_RBAC_GROUP, resource)
            for item in storage.items.values():
                self.rbac.put(item.obj)  # type: ignore[arg-type]
            storage.listeners.append(self._role_changed)
        pods = self._core.cache.storage("", "pods")
        for item in pods.items.values():
            self._put_pod(item)
        pods.listeners.append(self._pod_changed)

    def _put_pod(self, item: Item) -> None:
        self.node.put_pod(item.namespace, item.name, cast(Pod, item.obj).spec.node_name or "")

    def _pod_changed(self, change: Change) -> None:
        if change.deleted:
            self.node.drop_pod(change.item.namespace, change.item.name)
        else:
            self._put_pod(change.item)

    def _role_changed(self, change: Change) -> None:
        if change.deleted:
            self.rbac.drop(change.item.obj)  # type: ignore[arg-type]
        else:
            self.rbac.put(change.item.obj)  # type: ignore[arg-type]

    # -- steps ------------------------------------------------------------------------------------------------------

    def authenticate(self, call: Call) -> Awaitable[None] | None:
        """Who is it. In process that is given."""
        if call.user is None:
            assert call.request is not None
            self._asking = call
            try:
                found = self.authentication.authenticate(call.request)
            finally:
                self._asking = None
            if found.__class__ is not User:
                return _set_user(call, cast("Awaitable[User]", found))
            call.user = found
        return None

    async def review(self, question: TokenReview, call: Call) -> TokenReview:
        """Serve `POST tokenreviews`. Whoever asks is told what the bearer of the token would be."""
        self._asking = call
        try:
            self.authentication.review(question)
        finally:
            self._asking = None
        return await self.authentication.ask_others(question)

    def impersonate(self, call: Call) -> Awaitable[None] | None:
        """As whom do they act."""
        request = call.request
        if request is None or not impersonates(call.headers):
            return None
        user = call.user
        assert user is not None

        def act() -> None:
            call.user = impersonate(user, request.raw_headers, self._authorize)

        try:
            act()
        except Undecided as missing:
            return settled(act, missing)
        return None

    def authorize(self, call: Call) -> Awaitable[None] | None:
        """May they. Raises 403."""
        user = call.user
        assert user is not None
        attributes = of_request(call.info, call.params)
        try:
            if not self._authorize(user, attributes).allowed:
                self.authorizer.require(user, attributes)
        except Undecided as missing:
            return settled(lambda: self.authorizer.require(user, attributes), missing)
        return None

    async def close(self) -> None:
        """Close what was asked through."""
        await self.authentication.close()
        for hook in self._hooks:
            await hook.close()


async def _set_user(call: Call, found: Awaitable[User]) -> None:
    call.user = await found


def _waiting(config: AuthenticationConfig) -> list[WaitingAuthenticator]:
    found: list[WaitingAuthenticator] = []
    if config.jwt:
        from pybernetes.control_plane.apiserver.authentication.oidc import OIDC

        found += [OIDC(each, config.algorithms) for each in config.jwt]
    if config.webhook is not None:
        from pybernetes.control_plane.apiserver.remote_hook import RemoteHook

        found.append(TokenWebhook(RemoteHook(config.webhook), config.webhook_ttl))
    return found


def _access_webhook(config: Webhook) -> AccessWebhook:
    from pybernetes.control_plane.apiserver.remote_hook import RemoteHook

    return AccessWebhook(RemoteHook(config.kubeconfig, config.timeout), config)


def _authorities(path: Path) -> frozenset[bytes]:
    """The certificates of a PEM file, as DER."""
    if not path.exists():
        return frozenset()
    text = path.read_text()
    blocks = text.split("-----END CERTIFICATE-----")[:-1]
    return frozenset(
        ssl.PEM_cert_to_DER_cert(block[block.index("-----BEGIN") :] + "-----END CERTIFICATE-----\n") for block in blocks
    )
