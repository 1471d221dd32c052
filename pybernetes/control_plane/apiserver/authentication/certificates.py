"""Users by TLS client certificate, and users that a trusted front proxy vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pybernetes.aio import clock
from pybernetes.control_plane.apiserver.authentication.user import AUTHENTICATED, CREDENTIAL_ID, User
from pybernetes.machinery import errors

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.http import PeerCertificate, Request

_REMEMBERED = 4096


@dataclass(frozen=True)
class FrontProxy:
    """Whose word is taken for who a request is from (X-Remote-User and its like)."""

    #: DER of the authorities that sign front proxies.
    roots: frozenset[bytes]
    #: Common names that may; empty is any.
    names: tuple[str, ...] = ("front-proxy-client",)


class Certificates:
    """Common name -> user, organizations -> groups. TLS has verified chain and usage; the end is looked at again,
    because connections live long. front_proxy_roots: certificates of these authorities are no users'."""

    def __init__(self, front_proxy_roots: frozenset[bytes] = frozenset()) -> None:
        self._proxies = front_proxy_roots
        self._users: dict[str, User] = {}

    def authenticate(self, request: Request) -> User | None:
        certificate = request.peer_certificate
        if certificate is None or certificate.root in self._proxies or not certificate.common_name:
            return None
        if clock.timestamp() > certificate.not_after:
            raise errors.unauthorized()
        user = self._users.get(certificate.fingerprint)
        if user is None:
            user = certificate_user(certificate)
            if len(self._users) >= _REMEMBERED:
                self._users.clear()
            self._users[certificate.fingerprint] = user
        return user


def certificate_user(certificate: PeerCertificate) -> User:
    """The user a client certificate stands for."""
    extra = {CREDENTIAL_ID: (f"X509SHA256={certificate.fingerprint}",)}
    groups = tuple(dict.fromkeys((*certificate.organizations, AUTHENTICATED)))
    return User(certificate.common_name, certificate.uid, groups, extra)


class RequestHeaders:
    """The user in X-Remote-User, -Group, -Uid and -Extra-*, if the front proxy sends them."""

    def __init__(self, proxy: FrontProxy) -> None:
        self._proxy = proxy

    def authenticate(self, request: Request) -> User | None:
        certificate = request.peer_certificate
        if certificate is None or certificate.root not in self._proxy.roots:
            return None
        if self._proxy.names and certificate.common_name not in self._proxy.names:
            return None
        name = request.header(b"x-remote-user").decode("latin-1").strip()
        if not name:
            return None
        groups = [value.decode("latin-1").strip() for value in request.header_values(b"x-remote-group")]
        extra: dict[str, tuple[str, ...]] = {}
        for key, value in request.raw_headers:
            if key.startswith(b"x-remote-extra-"):
                field = unquote(key[15:].decode("latin-1")).lower()
                extra[field] = (*extra.get(field, ()), value.decode("latin-1").strip())
        uid = request.header(b"x-remote-uid").decode("latin-1").strip()
        return User(name, uid, tuple(dict.fromkeys((*groups, AUTHENTICATED))), extra)
