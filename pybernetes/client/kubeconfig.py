"""Kubeconfig files: read, merged as upstream merges them, and resolved to one connection.

`KUBECONFIG` may list several files; of two entries with one name the first wins, also of `current-context`. Paths
inside a file are relative to it. In a Pod without any file, the mounted service account is the connection.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pybernetes.client.errors import ConfigError

#: Extension of a cluster's entry: further servers of the same cluster.
ALTERNATES = "pybernetes.io/servers"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class ExecPlugin:
    """A command that prints credentials (client.authentication.k8s.io)."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    provide_cluster_info: bool = False
    install_hint: str = ""
    interactive_mode: str = "IfAvailable"  #: Never, IfAvailable or Always: whether it may ask at the terminal


@dataclass(frozen=True)
class Connection:
    """All that is needed to reach one API server as one user. Certificates and keys are PEM bytes."""

    server: str  #: `https://host:port`, maybe with a path
    namespace: str = "default"
    ca: bytes | None = None
    insecure: bool = False  #: do not verify the server's certificate
    tls_server_name: str = ""
    client_certificate: bytes | None = None
    client_key: bytes | None = None
    token: str = ""
    token_file: str = ""  #: read again as it rotates; wins over `token`
    username: str = ""
    password: str = ""
    exec_plugin: ExecPlugin | None = None
    impersonate: str = ""
    impersonate_uid: str = ""
    impersonate_groups: tuple[str, ...] = ()
    impersonate_extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    proxy_url: str = ""
    context: str = ""
    files: tuple[str, ...] = ()  #: kubeconfigs and the files they name: read again when one is replaced
    origin: tuple[str, ...] = ()  #: the kubeconfigs among them
    alternates: tuple[str, ...] = ()  #: further servers of the same cluster, asked when `server` cannot be reached


@dataclass
class Kubeconfig:
    """The merged content of one or more files: name -> entry in wire form, with paths made absolute."""

    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    contexts: dict[str, dict[str, Any]] = field(default_factory=dict)
    current_context: str = ""
    files: Sequence[Path] = ()

    def connection(self, context: str = "", *, cluster: str = "", user: str = "", server: str = "") -> Connection:
        """The connection of a context (default: the current one), with parts replaced. Raises ConfigError."""
        name = context or self.current_context
        entry: Mapping[str, Any] = {}
        if name:
            if name not in self.contexts:
                raise ConfigError(f'context "{name}" does not exist')
            entry = self.contexts[name]
        cluster_name, user_name = cluster or entry.get("cluster", ""), user or entry.get("user", "")
        if cluster_name and cluster_name not in self.clusters:
            raise ConfigError(f'cluster "{cluster_name}" does not exist')
        if user_name and user_name not in self.users:
            raise ConfigError(f'auth info "{user_name}" does not exist')
        c, u = self.clusters.get(cluster_name, {}), self.users.get(user_name, {})
        if not (server or c.get("server")):
            raise ConfigError("no configuration has been provided: no server to talk to")
        return Connection(
            server=(server or str(c["server"])).rstrip("/"),
            namespace=entry.get("namespace") or "default",
            ca=_content(c, "certificate-authority"),
            insecure=bool(c.get("insecure-skip-tls-verify")),
            tls_server_name=c.get("tls-server-name") or "",
            client_certificate=_content(u, "client-certificate"),
            client_key=_content(u, "client-key"),
            token=u.get("token") or "",
            token_file=u.get("tokenFile") or "",
            username=u.get("username") or "",
            password=u.get("password") or "",
            exec_plugin=_exec(user_name, u),
            impersonate=u.get("as") or "",
            impersonate_uid=u.get("as-uid") or "",
            impersonate_groups=tuple(u.get("as-groups") or ()),
            impersonate_extra=tuple((k, tuple(v)) for k, v in (u.get("as-user-extra") or {}).items()),
            proxy_url=c.get("proxy-url") or "",
            context=name,
            files=(*map(str, self.files), *(str(e[k]) for e in (c, u) for k in _FILE_KEYS if e.get(k))),
            origin=tuple(map(str, self.files)),
            alternates=_alternates(c),
        )


def paths(explicit: str = "", environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The files to read: the explicit one, else those of KUBECONFIG, else ~/.kube/config."""
    if explicit:
        return [Path(explicit)]
    if listed := environ.get("KUBECONFIG"):
        return [Path(p) for p in listed.split(os.pathsep) if p]
    return [Path(environ.get("HOME") or Path.home()) / ".kube" / "config"]


def load(files: Sequence[Path], *, explicit: bool = False) -> Kubeconfig:
    """Read and merge. Missing files are skipped unless `explicit`. Raises ConfigError naming the file."""
    merged = Kubeconfig(files=files)
    for path in files:
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            if explicit:
                raise ConfigError(f"stat {path}: no such file or directory") from None
            continue
        except OSError as error:
            raise ConfigError(f"{path}: {error}") from None
        content = _parse(path, text)
        for name, into in (("cluster", merged.clusters), ("user", merged.users), ("context", merged.contexts)):
            for item in content.get(f"{name}s") or ():
                into.setdefault(item["name"], _absolute(item.get(name) or {}, path.parent))
        merged.current_context = merged.current_context or content.get("current-context") or ""
    return merged


def in_cluster(environ: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT) -> Connection:
    """The connection of a Pod's service account. Raises ConfigError when not in a Pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError("not in a Pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    namespace = directory / "namespace"
    try:
        ca = (directory / "ca.crt").read_bytes()
    except OSError as error:
        raise ConfigError(f"no service account is mounted: {error}") from None
    return Connection(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
        ca=ca,
        token_file=str(directory / "token"),
    )


def default(explicit: str = "", context: str = "") -> Connection:
    """What a client started by a person or in a Pod uses. Raises ConfigError."""
    merged = load(paths(explicit), explicit=bool(explicit))
    if not merged.clusters and not explicit:
        try:
            return in_cluster()
        except ConfigError:
            pass
    return merged.connection(context)


def reloaded(connection: Connection) -> Connection:
    """The connection with the credentials that its files have now. Raises ConfigError."""
    fresh = load([*map(Path, connection.origin)]).connection(connection.context)
    return replace(
        connection,
        ca=fresh.ca,
        client_certificate=fresh.client_certificate,
        client_key=fresh.client_key,
        token=fresh.token,
        alternates=fresh.alternates,
    )


def with_impersonation(connection: Connection, user: str, groups: Sequence[str] = ()) -> Connection:
    """The same connection, acting as somebody else."""
    return replace(connection, impersonate=user, impersonate_groups=tuple(groups))


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"error loading config file {path}: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"error loading config file {path}: not a mapping")
    return content


_FILE_KEYS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def _absolute(entry: dict[str, Any], base: Path) -> dict[str, Any]:
    return {k: str(base / v) if k in _FILE_KEYS and v else v for k, v in entry.items()}


def _alternates(cluster: Mapping[str, Any]) -> tuple[str, ...]:
    for extension in cluster.get("extensions") or ():
        if isinstance(extension, dict) and extension.get("name") == ALTERNATES:
            return tuple(map(str, extension.get("extension") or ()))
    return ()


def _content(entry: Mapping[str, Any], name: str) -> bytes | None:
    """The `name-data` of an entry, or the content of the file `name`."""
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except ValueError:
            raise ConfigError(f"{name}-data is not base64") from None
    if path := entry.get(name):
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(f"unable to read {name} {path}: {error.strerror}") from None
    return None


EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


def _exec(user: str, entry: Mapping[str, Any]) -> ExecPlugin | None:
    if provider := entry.get("auth-provider"):
        name = provider.get("name")
        if name in ("gcp", "azure"):
            raise ConfigError(
                f"The {name} auth plugin has been removed.\nPlease use an exec credential plugin instead."
            )
        raise ConfigError(f'no Auth Provider found for name "{name}"; use an exec credential plugin')
    if not (plugin := entry.get("exec")):
        return None
    version, mode = plugin.get("apiVersion") or "", plugin.get("interactiveMode") or ""
    for field_name in ("command", "apiVersion"):
        if not plugin.get(field_name):
            raise ConfigError(f"{field_name} must be specified for {user} to use exec authentication plugin")
    if not mode and version == EXEC_VERSIONS[0]:
        raise ConfigError(f"interactiveMode must be specified for {user} to use exec authentication plugin")
    if mode not in ("", "Never", "IfAvailable", "Always"):
        raise ConfigError(f'invalid interactiveMode for {user}: "{mode}"')
    if version not in EXEC_VERSIONS:
        raise ConfigError(f'exec plugin: invalid apiVersion "{version}"')
    return ExecPlugin(
        command=plugin["command"],
        args=tuple(plugin.get("args") or ()),
        env=tuple((e["name"], e["value"]) for e in plugin.get("env") or ()),
        api_version=version,
        provide_cluster_info=bool(plugin.get("provideClusterInfo")),
        install_hint=plugin.get("installHint") or "",
        interactive_mode=mode or "IfAvailable",
    )
