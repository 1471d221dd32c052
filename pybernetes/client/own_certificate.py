"""A certificate of one's own: asked for with a CertificateSigningRequest, and asked for anew before it ends.

The way kubelets get theirs: a fresh key each time, a request to the API, and somebody there who approves and signs.
The pair is one PEM file, replaced at once, so that whoever uses it (this process or another) needs no more than to
notice that the file has changed. Renewal comes at 70 to 90 % of the certificate's life, by chance, so that a thousand
nodes which joined together do not come back together; and at once when the names it should be good for have changed.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock, files
from pybernetes.aio.backoff import Backoff
from pybernetes.aio.tasks import Ready
from pybernetes.api.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

if TYPE_CHECKING:
    from cryptography import x509

log = logging.getLogger(__name__)

#: Seconds to wait for approval and signature before a new request is made.
PATIENCE = 900.0
#: Seconds between looks whether the names have changed, while the certificate is good.
LOOK = 3600.0
CLIENT_USAGES, SERVER_USAGES = ("digital signature", "client auth"), ("digital signature", "server auth")


class Refused(Exception):
    """The request was denied or could not be signed; the text says by whom and why."""


@dataclass(frozen=True)
class Config:
    """What the certificate says, who signs it, and where it is kept."""

    #: Certificate chain and key, one PEM file (0600).
    file: Path
    signer: str
    common_name: str
    organizations: tuple[str, ...] = ()
    usages: tuple[str, ...] = CLIENT_USAGES
    #: DNS names and IP addresses it is to be good for, as they are now. None: not known yet, wait.
    names: Callable[[], tuple[str, ...] | None] = tuple
    #: Seconds of validity to ask for; None: the signer's choice.
    seconds: int | None = None


class OwnCertificate:
    """`run()` keeps the file good until cancelled; `ready` is set once it is."""

    def __init__(self, config: Config, client: Client) -> None:
        self.config = config
        self.ready: Ready[Path] = Ready()
        self._requests = client.resource(CertificateSigningRequest)

    async def run(self) -> None:
        """See the class. A refusal is logged and asked again later: an administrator may change their mind."""
        backoff = Backoff(1.0, 300.0)
        while True:
            names = self.config.names()
            wait = 0.25 if names is None else self._left(names)
            if wait > 0:
                if names is not None:
                    self.ready.set(self.config.file)
                await clock.sleep(min(wait, LOOK))
                continue
            try:
                await self.renew()
                backoff.reset()
            except (Refused, StatusError, Unavailable, TimeoutError) as error:
                log.warning("no new certificate for %s: %s", self.config.common_name, error or "nobody approved it")
                await backoff.wait()

    async def renew(self) -> None:
        """Ask for a certificate and write it. Raises Refused, StatusError, Unavailable, TimeoutError."""
        key, request = make_request(self.config, self.config.names() or ())
        spec = CertificateSigningRequestSpec(
            request=base64.b64encode(request).decode(),
            signer_name=self.config.signer,
            usages=list(self.config.usages),
            expiration_seconds=self.config.seconds,
        )
        made = await self._requests.create(
            CertificateSigningRequest(metadata=ObjectMeta(generate_name="csr-"), spec=spec)
        )
        chain = await self._signed(made)
        files.write(self.config.file, chain + key, 0o600)
        log.info("%s has a new certificate in %s", self.config.common_name, self.config.file)

    async def _signed(self, request: CertificateSigningRequest) -> bytes:
        name = request.metadata.name
        async with asyncio.timeout(PATIENCE):
            while True:
                if (chain := _outcome(request)) is not None:
                    return chain
                version = request.metadata.resource_version
                selector = f"metadata.name={name}"
                try:
                    batches = await self._requests.watch_batches(field_selector=selector, resource_version=version)
                    async with batches:
                        async for batch in batches:
                            for type_, seen in batch:
                                if type_ == "DELETED":
                                    raise Refused(f"request {name} was deleted before it was signed")
                                if type_ == "MODIFIED" and (chain := _outcome(seen)) is not None:
                                    return chain
                except (StatusError, Unavailable) as error:
                    log.debug("watch of request %s: %s", name, error)
                await clock.sleep(1.0)
                request = await self._requests.get(name)

    def _left(self, names: tuple[str, ...]) -> float:
        """Seconds until the certificate is to be renewed; 0 for now."""
        try:
            pem = self.config.file.read_bytes()
        except OSError:
            return 0.0
        due = renewal_time(pem, names)
        return max(0.0, due - clock.timestamp())


def renewal_time(pem: bytes, names: tuple[str, ...] = ()) -> float:
    """When (Unix seconds) the certificate in a PEM text should be replaced: 70 to 90 % of its life, the same answer
    for the same certificate; 0 if it is unreadable or not good for all of `names`."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return 0.0
    if not set(names) <= names_of(certificate):
        return 0.0
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    chance = certificate.serial_number % 1000 / 1000  # serial numbers are random
    return begin + (end - begin) * (0.7 + 0.2 * chance)


def names_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> set[str]:
    """DNS names and IP addresses of a certificate, as text."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def make_request(config: Config, names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """(private key, request), both PEM. The key is new: P-256."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in config.organizations]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, config.common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([*map(_general_name, names)]), critical=False)
    request = builder.sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.TraditionalOpenSSL
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return private, request.public_bytes(serialization.Encoding.PEM)


def _general_name(name: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _outcome(request: CertificateSigningRequest) -> bytes | None:
    """The chain when it is signed; None while it is open. Raises Refused."""
    for condition in request.status.conditions or ():
        if condition.type in ("Denied", "Failed"):
            raise Refused(f"request {request.metadata.name} was {condition.type.lower()}: {condition.message or ''}")
    certificate = request.status.certificate
    return base64.b64decode(certificate) if certificate else None
