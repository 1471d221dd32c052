from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from pybernetes.aio import clock
from pybernetes.bootstrap import pki

CONFIG = pki.Config(node_name="node-1", etcd=True)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_files_are_kubeadms(tmp_path: Path) -> None:
    written = pki.ensure(tmp_path, CONFIG)
    names = {"ca", "apiserver", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client"}
    names |= {"etcd/ca", "etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"}
    assert set(written) == {f"{n}{s}" for n in names for s in (".crt", ".key")} | {"sa.key", "sa.pub"}
    assert all(mode(tmp_path / w) == (0o600 if w.endswith(".key") else 0o644) for w in written)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    serving = x509.load_pem_x509_certificate((tmp_path / "apiserver.crt").read_bytes())
    names_of = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(n.value) for n in names_of} == {
        "node-1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "10.96.0.1",
        "localhost",
        "127.0.0.1",
    }
    assert serving.not_valid_after_utc.timestamp() == int(clock.timestamp() + 365 * pki.DAY)


async def test_what_is_valid_stays(tmp_path: Path) -> None:
    pki.ensure(tmp_path, CONFIG)
    assert pki.ensure(tmp_path, CONFIG) == []
    clock.use_virtual_epoch(clock.timestamp() + 300 * pki.DAY)
    renewed = pki.ensure(tmp_path, CONFIG)
    assert "apiserver.crt" in renewed and "ca.crt" not in renewed and "sa.key" not in renewed
    assert all(e.remaining > 364 * pki.DAY for e in pki.expirations(tmp_path) if not e.is_authority)


async def test_new_names_and_broken_files_are_remade(tmp_path: Path) -> None:
    pki.ensure(tmp_path, CONFIG)
    assert pki.ensure(tmp_path, pki.Config(node_name="node-1", names=("api.example.org",))) == [
        "apiserver.crt",
        "apiserver.key",
    ]
    (tmp_path / "front-proxy-client.crt").write_text("rubbish")
    (tmp_path / "apiserver-kubelet-client.key").write_bytes(pki.create_signing_key().certificate)
    (tmp_path / "sa.pub").unlink()
    assert {w.split(".")[0] for w in pki.ensure(tmp_path, pki.Config(node_name="node-1", names=()))} == {
        "front-proxy-client",
        "apiserver-kubelet-client",
        "sa",
    }


async def test_a_foreign_authority_is_not_replaced(tmp_path: Path) -> None:
    pki.ensure(tmp_path, CONFIG)
    (tmp_path / "ca.key").unlink()
    assert pki.ensure(tmp_path, CONFIG) == []
    (tmp_path / "apiserver.crt").unlink()
    with pytest.raises(pki.PKIError, match=r"no ca\.key"):
        pki.ensure(tmp_path, CONFIG)


async def test_expiry_list(tmp_path: Path) -> None:
    pki.ensure(tmp_path, pki.Config())
    found = pki.expirations(tmp_path)
    assert [e.name for e in found] == [
        "apiserver",
        "apiserver-kubelet-client",
        "front-proxy-client",
        "ca",
        "front-proxy-ca",
    ]
    assert found[1].subject == "CN=kube-apiserver-kubelet-client,O=kubeadm:cluster-admins"
    assert round(found[0].remaining / pki.DAY) == 365


def request(common_name: str = "system:node:n", dns: str = "n") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes")
    name = x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
    return builder.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_requests_are_signed_as_asked() -> None:
    authority = pki.create_authority("kubernetes", 10 * pki.DAY)
    signed = pki.sign_request(authority, request(), ["digital signature", "client auth"], 20 * pki.DAY)
    certificate = x509.load_pem_x509_certificate(signed)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    assert certificate.subject.rfc4514_string() == "CN=system:node:n,O=system:nodes"
    extensions = certificate.extensions
    alternative = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternative.get_values_for_type(x509.DNSName) == ["n"]
    assert [u.dotted_string for u in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value] == [
        "1.3.6.1.5.5.7.3.2"
    ]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_encipherment and not usage.key_cert_sign
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc.timestamp() == int(clock.timestamp() + 10 * pki.DAY)  # no later than the CA


async def test_bad_requests_are_refused() -> None:
    authority = pki.create_authority("kubernetes")
    with pytest.raises(pki.PKIError, match="unable to parse csr"):
        pki.sign_request(authority, b"rubbish", ["client auth"], 1)
    with pytest.raises(pki.PKIError, match="unrecognized usage"):
        pki.sign_request(authority, request(), ["world domination"], 1)


async def test_certificate_hash_is_kubeadms() -> None:
    one, two = pki.create_authority("a"), pki.create_authority("a")
    assert pki.certificate_hash(one.certificate).startswith("sha256:")
    assert len(pki.certificate_hash(one.certificate)) == 7 + 64
    assert pki.certificate_hash(one.certificate) != pki.certificate_hash(two.certificate)


@pytest.mark.real_time
async def test_openssl_accepts_the_chain(tmp_path: Path) -> None:
    pki.ensure(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "apiserver.crt", tmp_path / "apiserver.key")
    server.load_verify_locations(tmp_path / "ca.crt")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    client.load_cert_chain(tmp_path / "apiserver-kubelet-client.crt", tmp_path / "apiserver-kubelet-client.key")
    pipes = [ssl.MemoryBIO() for _ in range(2)]
    ends = [
        server.wrap_bio(pipes[0], pipes[1], server_side=True),
        client.wrap_bio(pipes[1], pipes[0], server_hostname="10.96.0.1"),
    ]
    done: set[int] = set()
    for _ in range(6):
        for i in (1, 0):
            try:
                ends[i].do_handshake()
                done.add(i)
            except ssl.SSLWantReadError:
                pass
    assert done == {0, 1}
    subject = dict(x[0] for x in ends[0].getpeercert()["subject"])
    assert subject == {"organizationName": "kubeadm:cluster-admins", "commonName": "kube-apiserver-kubelet-client"}
