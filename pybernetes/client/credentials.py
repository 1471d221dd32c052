"""Credentials that change while a client runs: renewed certificates and kubeconfigs, rotated token files, exec plugins;
and the TLS context they need."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pybernetes.aio import clock, files
from pybernetes.client import kubeconfig
from pybernetes.client.errors import ConfigError
from pybernetes.client.kubeconfig import Connection, ExecPlugin

log = logging.getLogger(__name__)

_TOKEN_SECONDS = 60.0  # a mounted token is read again this often; kubelets rotate long before expiry


@dataclass(frozen=True)
class Credential:
    """What an exec plugin has given."""

    token: str = ""
    certificate: bytes | None = None
    key: bytes | None = None
    expires: float | None = None  # Unix seconds


class Credentials:
    """The Authorization header and client certificate of a connection, as they are now."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._token = connection.token
        self._token_read = float("-inf")
        self._credential: Credential | None = None
        self._files = files.Watched(connection.files if connection.origin else ())

    async def refresh(self, *, rejected: bool = False) -> bool:
        """Renew what is stale (or was rejected with 401); whether the client certificate changed."""
        renewed = self._files.changed() and self._reload()
        connection = self._connection
        if connection.token_file and (rejected or clock.monotonic() - self._token_read > _TOKEN_SECONDS):
            try:
                self._token = Path(connection.token_file).read_text().strip()  # noqa: ASYNC240 - a few bytes
            except OSError as error:
                if not self._token:
                    why = (error.strerror or "").lower()
                    raise ConfigError(f"open {connection.token_file}: {why}") from None
            self._token_read = clock.monotonic()
        if connection.exec_plugin is None:
            return renewed
        have = self._credential
        if have and not rejected and (have.expires is None or have.expires > clock.timestamp() + 10):
            return False
        self._credential = await _run(connection.exec_plugin, connection)
        self._token = self._credential.token or self._connection.token
        return have is None or have.certificate != self._credential.certificate

    def _reload(self) -> bool:
        """Take over what the kubeconfig says now; whether the certificates are others."""
        before = self._connection
        if not before.origin:
            return False
        try:
            self._connection = after = kubeconfig.reloaded(before)
        except ConfigError as error:
            log.warning("credentials not read again: %s", error)  # somebody is at it: the old ones go on
            return False
        if not after.token_file:
            self._token = after.token
        return (before.ca, before.client_certificate, before.client_key) != (
            after.ca,
            after.client_certificate,
            after.client_key,
        )

    @property
    def servers(self) -> tuple[str, ...]:
        """Where the API is; the first is the one to ask first."""
        return (self._connection.server, *self._connection.alternates)

    @property
    def headers(self) -> dict[str, str]:
        """Authorization and impersonation headers."""
        connection = self._connection
        headers = {}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        elif connection.username:
            pair = f"{connection.username}:{connection.password}".encode()
            headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers

    @property
    def impersonation(self) -> list[tuple[str, str]]:
        """Impersonation headers; the group header may repeat."""
        connection = self._connection
        found = []
        if connection.impersonate:
            found.append(("Impersonate-User", connection.impersonate))
        if connection.impersonate_uid:
            found.append(("Impersonate-Uid", connection.impersonate_uid))
        found.extend(("Impersonate-Group", group) for group in connection.impersonate_groups)
        for name, values in connection.impersonate_extra:
            found.extend((f"Impersonate-Extra-{name}", value) for value in values)
        return found

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context; None for plain HTTP."""
        connection = self._connection
        if not connection.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=connection.ca.decode() if connection.ca else None)
        if connection.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate, key = connection.client_certificate, connection.client_key
        if self._credential and self._credential.certificate:
            certificate, key = self._credential.certificate, self._credential.key
        if certificate:
            if not key:
                raise ConfigError("a client certificate needs its key")
            with _in_memory(certificate) as cert_path, _in_memory(key) as key_path:
                context.load_cert_chain(cert_path, key_path)
        return context


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path under which OpenSSL can read `content`, without it ever touching a disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


_NOT_INSTALLED = """

It looks like you are trying to use a client-go credential plugin that is not installed.

To learn more about this feature, consult the documentation available at:
      https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins"""


async def _run(plugin: ExecPlugin, connection: Connection) -> Credential:
    """Run the plugin. Raises ConfigError with what is wrong."""
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if plugin.interactive_mode == "Always" and not terminal:
        raise ConfigError("exec plugin cannot support interactive mode: standard input is not a terminal")
    interactive = terminal and plugin.interactive_mode != "Never"
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.provide_cluster_info:
        spec["cluster"] = {"server": connection.server, "insecure-skip-tls-verify": connection.insecure}
        if connection.tls_server_name:
            spec["cluster"]["tls-server-name"] = connection.tls_server_name
        if connection.ca:
            spec["cluster"]["certificate-authority-data"] = base64.b64encode(connection.ca).decode()
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    environ = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
    try:
        process = await asyncio.create_subprocess_exec(
            plugin.command,
            *plugin.args,
            env=environ,
            stdin=None if interactive else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        hint = f"{_NOT_INSTALLED}\n\n{plugin.install_hint}" if plugin.install_hint else _NOT_INSTALLED
        if "/" in plugin.command or not isinstance(error, FileNotFoundError):
            raise ConfigError(f"exec: fork/exec {plugin.command}: {(error.strerror or '').lower()}") from None
        raise ConfigError(f"exec: executable {plugin.command} not found{hint}") from None
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise ConfigError(f"exec: executable {plugin.command} failed with exit code {process.returncode}")
    try:
        answer = msgspec.json.decode(output)
        version, status = answer.get("apiVersion") or "client.authentication.k8s.io/__internal", answer.get("status")
    except (msgspec.DecodeError, AttributeError):
        raise ConfigError(f"decoding stdout: {plugin.command} printed no ExecCredential") from None
    if version != plugin.api_version:
        raise ConfigError(
            f"exec plugin is configured to use API version {plugin.api_version}, plugin returned version {version}"
        )
    if not isinstance(status, dict):
        raise ConfigError("exec plugin didn't return a status field")
    certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
    if not status.get("token") and not certificate and not key:
        raise ConfigError("exec plugin didn't return a token or cert/key pair")
    if bool(certificate) != bool(key):
        raise ConfigError("exec plugin returned only certificate or key, not both")
    expires = status.get("expirationTimestamp")
    return Credential(
        token=status.get("token") or "",
        certificate=certificate.encode() if certificate else None,
        key=key.encode() if key else None,
        expires=clock.parse_rfc3339(expires) if expires else None,
    )
