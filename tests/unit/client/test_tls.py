"""TLS with client certificates from memory, against a real TLS server."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pybernetes.client.errors import ConfigError, Unavailable
from pybernetes.client.http import HTTPTransport
from pybernetes.client.kubeconfig import Connection
from pybernetes.client.transport import Request


def self_signed(name: str) -> tuple[bytes, bytes]:
    """(certificate, key) as PEM, valid for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)  # the TLS library looks at the real clock
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


@pytest.mark.real_time
async def test_certificates_are_presented_and_verified(tmp_path: Path) -> None:
    (server_cert, server_key), (client_cert, client_key) = self_signed("server"), self_signed("jane")
    for name, content in (("s.crt", server_cert), ("s.key", server_key), ("c.crt", client_cert)):
        (tmp_path / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    context.load_verify_locations(tmp_path / "c.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    seen: list[object] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peercert"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        trusted = Connection(url, ca=server_cert, client_certificate=client_cert, client_key=client_key)
        async with HTTPTransport(trusted) as transport:
            assert (await transport.request(Request("GET", "/healthz"))).body == b"ok"
        assert "jane" in str(seen[0])
        async with HTTPTransport(Connection(url, ca=client_cert)) as transport:
            with pytest.raises(Unavailable, match="certificate verify failed"):
                await transport.request(Request("GET", "/healthz"))
        async with HTTPTransport(Connection(url, client_certificate=client_cert)) as transport:
            with pytest.raises(ConfigError, match="needs its key"):
                await transport.request(Request("GET", "/healthz"))
