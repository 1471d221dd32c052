"""Who may what: assembles authentication and authorization from files and stored objects, as steps of the chain."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pybernetes.api.core_v1 import Pod
from pybernetes.control_plane.apiserver.authentication import service_accounts
from pybernetes.control_plane.apiserver.authentication.certificates import Certificates, FrontProxy, RequestHeaders
from pybernetes.control_plane.apiserver.authentication.chain import Authentication
from pybernetes.control_plane.apiserver.authentication.impersonation import impersonate, impersonates
from pybernetes.control_plane.apiserver.authentication.service_accounts import ServiceAccountTokens, TokenIssuer
from pybernetes.control_plane.apiserver.authentication.tokens import BootstrapTokens, StaticTokens
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authorization.attributes import of_request
from pybernetes.control_plane.apiserver.authorization.node import NodeAuthorizer
from pybernetes.control_plane.apiserver.authorization.rbac import RBAC
from pybernetes.control_plane.apiserver.authorization.union import Masters, Union
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
    ) -> None:
        self._core = core
        self.rbac = RBAC()
        self.node = NodeAuthorizer(self.get)
        self.authorizer = Union([Masters(), self.node, self.rbac])
        self._authorize = self.authorizer.authorize
        requests: list[Any] = []
        tokens: list[Any] = []
        self.issuer: TokenIssuer | None = None
        self.keys: list[Any] = []
        if static_tokens:
            tokens.append(StaticTokens(static_tokens))
        if pki is not None:
            roots = _authorities(pki / "front-proxy-ca.crt")
            requests.append(Certificates(roots))
            if roots:
                requests.append(RequestHeaders(FrontProxy(roots)))
            if (pki / "sa.key").exists():
                self.issuer = TokenIssuer((pki / "sa.key").read_bytes(), self.get, accounts)
                public = [path.read_bytes() for path in sorted(pki.glob("sa*.pub"))]
                found = ServiceAccountTokens(public or [(pki / "sa.key").read_bytes()], self.get, accounts)
                self.keys = list(found.keys.values())
                tokens.append(found)
        tokens.append(BootstrapTokens(self.get))
        self.authentication = Authentication(requests, tokens, audiences=accounts.api_audiences, anonymous=anonymous)
        core.authorizer = self.authorizer
        core.rbac = self.rbac
        core.authenticator = self.authentication
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

    def authenticate(self, call: Call) -> None:
        """Who is it. In process that is given."""
        if call.user is None:
            assert call.request is not None
            call.user = self.authentication.authenticate(call.request)

    def impersonate(self, call: Call) -> None:
        """As whom do they act."""
        request = call.request
        if request is not None and impersonates(call.headers):
            assert call.user is not None
            call.user = impersonate(call.user, request.raw_headers, self._authorize)

    def authorize(self, call: Call) -> None:
        """May they. Raises 403."""
        user = call.user
        assert user is not None
        attributes = of_request(call.info, call.params)
        if not self._authorize(user, attributes).allowed:
            self.authorizer.require(user, attributes)


def _authorities(path: Path) -> frozenset[bytes]:
    """The certificates of a PEM file, as DER."""
    if not path.exists():
        return frozenset()
    text = path.read_text()
    blocks = text.split("-----END CERTIFICATE-----")[:-1]
    return frozenset(
        ssl.PEM_cert_to_DER_cert(block[block.index("-----BEGIN") :] + "-----END CERTIFICATE-----\n") for block in blocks
    )
