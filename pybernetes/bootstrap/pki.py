"""The cluster's certificates, in kubeadm's file layout so that kubeadm's users find what they know.

A table says which certificates there are; `build()` decides, from the files that exist and the time, which must be made
or renewed, and makes them; `ensure()` reads and writes. Keys are P-256: making a whole cluster's takes milliseconds
where RSA takes seconds. Private keys are 0600. `cryptography` costs 60 ms to import and is loaded on first use only.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pybernetes.aio import clock
from pybernetes.aio.files import write as write

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

DAY = 86400.0
_BACKDATE = 300.0  # certificates are valid from five minutes ago: clocks of joining machines differ
SERVER, CLIENT = "server auth", "client auth"


class KeyPair(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class Spec(NamedTuple):
    """One leaf certificate: file name below the directory without suffix, its authority's name, subject, usages."""

    name: str
    authority: str
    common_name: str
    organizations: tuple[str, ...] = ()
    usages: tuple[str, ...] = (CLIENT,)
    names: tuple[str, ...] = ()  # DNS names and IP addresses


class Expiry(NamedTuple):
    """A line of `certs check`. name: as in the directory (`apiserver`, `etcd/ca`); not_after: Unix seconds."""

    name: str
    subject: str
    not_after: float
    remaining: float
    is_authority: bool


@dataclass(frozen=True)
class Config:
    """What the cluster's certificates say."""

    #: Name of the node the API server runs on, one of its DNS names.
    node_name: str = "localhost"
    #: First address of the Service range: `kubernetes.default`.
    service_ip: str = "10.96.0.1"
    #: The cluster's DNS domain.
    cluster_domain: str = "cluster.local"
    #: Further DNS names and addresses under which the API server is reached.
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    #: Also make the certificates of an etcd of our own.
    etcd: bool = False
    #: Further names and addresses of this machine's member of it.
    etcd_names: tuple[str, ...] = ()
    #: Validity of leaf certificates, seconds.
    validity: float = 365 * DAY
    #: Validity of authorities, seconds.
    authority_validity: float = 3650 * DAY
    #: A leaf with less than this left is renewed, seconds.
    renew_before: float = 90 * DAY


class PKIError(Exception):
    """The existing files do not allow what is asked."""


AUTHORITIES = {"ca": "kubernetes", "front-proxy-ca": "front-proxy-ca", "etcd/ca": "etcd-ca"}


def specs(config: Config) -> list[Spec]:
    """The leaf certificates of a cluster, in kubeadm's names."""
    domain = config.cluster_domain
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{domain}")
    serving = tuple(dict.fromkeys((config.node_name, *service, config.service_ip, *config.names)))
    found = [
        Spec("apiserver", "ca", "kube-apiserver", (), (SERVER,), serving),
        Spec("apiserver-kubelet-client", "ca", "kube-apiserver-kubelet-client", ("kubeadm:cluster-admins",)),
        Spec("front-proxy-client", "front-proxy-ca", "front-proxy-client"),
    ]
    if config.etcd:
        local = tuple(dict.fromkeys((config.node_name, "localhost", "127.0.0.1", "::1", *config.etcd_names)))
        found += [
            Spec("etcd/server", "etcd/ca", config.node_name, (), (SERVER, CLIENT), local),
            Spec("etcd/peer", "etcd/ca", config.node_name, (), (SERVER, CLIENT), local),
            Spec("etcd/healthcheck-client", "etcd/ca", "kube-etcd-healthcheck-client"),
            Spec("apiserver-etcd-client", "etcd/ca", "kube-apiserver-etcd-client"),
        ]
    return found


def ensure(directory: Path, config: Config | None = None) -> list[str]:
    """Make `directory` (kubeadm's `pki`) complete; the names of the files written, none if all is well.

    Raises PKIError if an authority is there without its key and something must be signed.
    """
    config = config or Config()
    existing: dict[str, bytes] = {}
    if directory.is_dir():
        for path in (*directory.glob("*"), *directory.glob("etcd/*")):
            if path.suffix in (".crt", ".key", ".pub") and path.is_file():
                existing[str(path.relative_to(directory))] = path.read_bytes()
    written = build(existing, config)
    for name, data in written.items():
        write(directory / name, data, 0o600 if name.endswith(".key") else 0o644, durable="ca." in name or "sa." in name)
    return list(written)


def build(existing: Mapping[str, bytes], config: Config) -> dict[str, bytes]:
    """Files to write, by name, given those that exist. Without I/O: an in-process cluster keeps all in memory."""
    files: dict[str, bytes] = {}
    wanted = specs(config)
    needed = {spec.authority for spec in wanted}
    authorities: dict[str, KeyPair] = {}
    for name, common_name in AUTHORITIES.items():
        if name not in needed:
            continue
        certificate = existing.get(f"{name}.crt")
        if certificate is None:
            pair = create_authority(common_name, config.authority_validity)
            files[f"{name}.crt"], files[f"{name}.key"] = pair
        else:
            pair = KeyPair(certificate, existing.get(f"{name}.key", b""))
        authorities[name] = pair
    for spec in wanted:
        certificate, key = existing.get(f"{spec.name}.crt"), existing.get(f"{spec.name}.key")
        authority = authorities[spec.authority]
        if certificate and key and is_current(KeyPair(certificate, key), spec, authority, config.renew_before):
            continue
        if not authority.key:
            raise PKIError(f"{spec.name}.crt must be made, but there is no {spec.authority}.key (external authority?)")
        files[f"{spec.name}.crt"], files[f"{spec.name}.key"] = issue(authority, spec, config.validity)
    if "sa.key" not in existing:
        files["sa.key"], files["sa.pub"] = create_signing_key()
    elif "sa.pub" not in existing:
        files["sa.pub"] = public_key(existing["sa.key"])
    return files


def create_authority(common_name: str, validity: float = Config.authority_validity) -> KeyPair:
    """A self-signed certificate authority."""
    from cryptography import x509

    key = _generate()
    name = _name(common_name, ())
    builder = _builder(name, name, key.public_key(), validity).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    builder = builder.add_extension(_key_usage({"digital signature", "key encipherment", "cert sign"}), critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
    return KeyPair(_sign(builder, key), _pem(key))


def issue(authority: KeyPair, spec: Spec, validity: float = Config.validity) -> KeyPair:
    """A new key and a certificate for it, as `spec` says (its `authority` and file name are not looked at)."""
    key = _generate()
    usages = {"digital signature", "key encipherment", *spec.usages}
    certificate = _leaf(
        authority, _name(spec.common_name, spec.organizations), key.public_key(), usages, _names(spec.names), validity
    )
    return KeyPair(certificate, _pem(key))


def client(authority: KeyPair, common_name: str, *organizations: str, validity: float = Config.validity) -> KeyPair:
    """A client certificate: user `common_name` in groups `organizations`."""
    return issue(authority, Spec("", "", common_name, organizations), validity)


def server(authority: KeyPair, common_name: str, names: Iterable[str], validity: float = Config.validity) -> KeyPair:
    """A serving certificate for DNS names and IP addresses (a kubelet's, a webhook's in tests)."""
    return issue(authority, Spec("", "", common_name, (), (SERVER,), tuple(names)), validity)


def sign_request(authority: KeyPair, request: bytes, usages: Iterable[str], validity: float) -> bytes:
    """Sign a PEM certificate request: subject and alternative names are the request's, `usages` are the API's words
    (`digital signature`, `client auth` ...), the end is no later than the authority's. The certificate as PEM.

    Raises PKIError for a request that is malformed, not self-signed or asks to be an authority, and for unknown usages.
    """
    from cryptography import x509

    try:
        parsed = x509.load_pem_x509_csr(request)
        valid = parsed.is_signature_valid
    except (ValueError, TypeError) as error:
        raise PKIError(f"unable to parse csr: {error}") from error
    if not valid:
        raise PKIError("unable to verify certificate request signature")
    try:
        alternative = list(parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        alternative = []
    public: Any = parsed.public_key()
    return _leaf(authority, parsed.subject, public, set(usages), alternative, validity)


def create_signing_key() -> KeyPair:
    """The key pair that signs ServiceAccount tokens: (private PEM, public PEM), a P-256 key for ES256."""
    private = _pem(_generate())
    return KeyPair(private, public_key(private))


def public_key(private: bytes) -> bytes:
    """The public half of a PEM private key, as PEM."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(private, None)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def certificate_hash(certificate: bytes) -> str:
    """`sha256:<hex>` over the public key of the first certificate in a PEM text: what `join --ca-cert-hash` pins."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    key = x509.load_pem_x509_certificate(certificate).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return "sha256:" + hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def expirations(directory: Path) -> list[Expiry]:
    """All certificates below a pki directory, leaves first, by name."""
    found = []
    for path in sorted((*directory.glob("*.crt"), *directory.glob("etcd/*.crt"))):
        found.append(expiry(str(path.relative_to(directory))[:-4], path.read_bytes()))
    return sorted(found, key=lambda e: (e.is_authority, e.name))


def expiry(name: str, certificate: bytes) -> Expiry:
    """When a PEM certificate ends."""
    from cryptography import x509

    parsed = x509.load_pem_x509_certificate(certificate)
    end = parsed.not_valid_after_utc.timestamp()
    subject = parsed.subject.rfc4514_string()
    return Expiry(name, subject, end, end - clock.timestamp(), _is_authority(parsed))


def due(path: Path, renew_before: float) -> bool:
    """Whether a certificate file is missing or no good, or ends within `renew_before` seconds."""
    try:
        return expiry(path.name, path.read_bytes()).remaining < renew_before
    except (OSError, ValueError):
        return True


def is_current(pair: KeyPair, spec: Spec, authority: KeyPair, renew_before: float) -> bool:
    """The pair is what `spec` asks, signed by `authority`, and has more than `renew_before` seconds left."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization

    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    except (ValueError, TypeError, InvalidSignature):
        return False
    if certificate.public_key() != key.public_key():
        return False
    if certificate.not_valid_after_utc.timestamp() - clock.timestamp() < renew_before:
        return False
    if certificate.subject != _name(spec.common_name, spec.organizations):
        return False
    try:
        present = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        present = set()
    return present >= set(_names(spec.names))


# -- x509 ---------------------------------------------------------------------------------------------------------


def _generate() -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.TraditionalOpenSSL  # "EC PRIVATE KEY", as Go writes it
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _name(common_name: str, organizations: Iterable[str]) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _names(names: Iterable[str]) -> list[x509.GeneralName]:
    from cryptography import x509

    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _builder(subject: x509.Name, issuer: x509.Name, public: Any, validity: float) -> x509.CertificateBuilder:
    from cryptography import x509

    now = clock.timestamp()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now - _BACKDATE))
        .not_valid_after(_moment(now + validity))
    )


def _leaf(
    authority: KeyPair,
    subject: x509.Name,
    public: Any,
    usages: set[str],
    names: list[x509.GeneralName],
    validity: float,
) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key: Any = serialization.load_pem_private_key(authority.key, None)
    remaining = issuer.not_valid_after_utc.timestamp() - clock.timestamp()
    builder = _builder(subject, issuer.subject, public, min(validity, remaining))
    extended = [_extended()[usage] for usage in sorted(usages) if usage in _extended()]
    builder = builder.add_extension(_key_usage(usages - _extended().keys()), critical=True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        link = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    except x509.ExtensionNotFound:
        link = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = builder.add_extension(link, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _sign(builder, key)


def _sign(builder: x509.CertificateBuilder, key: Any) -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization

    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _extended() -> dict[str, x509.ObjectIdentifier]:
    from cryptography.x509.oid import ExtendedKeyUsageOID as Oid

    return {
        "any": Oid.ANY_EXTENDED_KEY_USAGE,
        SERVER: Oid.SERVER_AUTH,
        CLIENT: Oid.CLIENT_AUTH,
        "code signing": Oid.CODE_SIGNING,
        "email protection": Oid.EMAIL_PROTECTION,
        "s/mime": Oid.EMAIL_PROTECTION,
        "timestamping": Oid.TIME_STAMPING,
        "ocsp signing": Oid.OCSP_SIGNING,
    }


_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}


def _key_usage(usages: set[str]) -> x509.KeyUsage:
    from cryptography import x509

    if unknown := usages - _KEY_USAGES.keys():
        raise PKIError(f"unrecognized usage values: {sorted(unknown)}")
    given = {_KEY_USAGES[usage] for usage in usages}
    return x509.KeyUsage(**{name: name in given for name in dict.fromkeys(_KEY_USAGES.values())})


def _is_authority(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _moment(timestamp: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(timestamp), datetime.UTC)
