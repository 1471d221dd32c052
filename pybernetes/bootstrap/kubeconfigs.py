"""Kubeconfig files: those the components need, and the user's own, into which a cluster's context is merged.

Ours are written as text with embedded certificates, 0600. In a user's file only entries that carry our mark (an
extension, as minikube does it) are ever replaced or removed; a foreign entry of the same name is an error.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pybernetes.bootstrap import pki
from pybernetes.client.kubeconfig import ALTERNATES

_MARK = "pybernetes.io/owner"


class KubeconfigError(Exception):
    """A kubeconfig file cannot be used or changed."""


class Credentials(NamedTuple):
    """What a kubeconfig says: where the API server is, whom to trust (PEM), who one is (PEM pair or a token)."""

    server: str
    authority: bytes
    client: pki.KeyPair | None = None
    token: str = ""
    client_file: str = ""  # a PEM file of certificate and key, in place of `client`: for what is renewed
    alternates: tuple[str, ...] = ()  # further servers of the same cluster, asked when `server` cannot be reached


class Spec(NamedTuple):
    """A component's kubeconfig: file name, user, groups."""

    file: str
    common_name: str
    organizations: tuple[str, ...] = ()


#: For nodes that run an Ingress controller: it may read every Secret, so a node that joins does not get it.
INGRESS = Spec("ingress.conf", "pybernetes:ingress")


#: Those of a control plane, in kubeadm's names.
CONTROL_PLANE = [
    Spec("admin.conf", "kubernetes-admin", ("kubeadm:cluster-admins",)),
    Spec("super-admin.conf", "kubernetes-super-admin", ("system:masters",)),
    Spec("controller-manager.conf", "system:kube-controller-manager"),
    Spec("scheduler.conf", "system:kube-scheduler"),
]
PROXY = "system:kube-proxy"


def kubelet_spec(node_name: str) -> Spec:
    """A kubelet's."""
    return Spec("kubelet.conf", f"system:node:{node_name}", ("system:nodes",))


def specs(node_name: str) -> list[Spec]:
    """The kubeconfigs of a machine with control plane and node, in kubeadm's names where it has them."""
    cloud = Spec("cloud-controller-manager.conf", "system:cloud-controller-manager")
    return [*CONTROL_PLANE, *node_specs(node_name), cloud, INGRESS]


def node_specs(node_name: str) -> list[Spec]:
    """The kubeconfigs of any node."""
    return [
        kubelet_spec(node_name),
        Spec("kube-proxy.conf", PROXY),
    ]


def ensure(
    directory: Path,
    server: str,
    authority: pki.KeyPair,
    wanted: list[Spec],
    *,
    cluster: str = "kubernetes",
    validity: float = pki.Config.validity,
    renew_before: float = pki.Config.renew_before,
) -> list[str]:
    """Make the components' kubeconfigs below `directory`; the names of the files written, none if all are well.

    server: `https://host:port`. A file is kept while it names this server and authority and its certificate lasts.
    """
    written = []
    for spec in wanted:
        path = directory / spec.file
        if path.exists() and _is_current(path, spec, server, authority, renew_before):
            continue
        pair = pki.client(authority, spec.common_name, *spec.organizations, validity=validity)
        text = render(cluster, spec.common_name, Credentials(server, authority.certificate, pair))
        pki.write(path, text.encode(), 0o600)
        written.append(spec.file)
    return written


def render(cluster: str, user: str, credentials: Credentials, *, context: str = "", namespace: str = "") -> str:
    """A kubeconfig of one context (named `user@cluster` unless told otherwise)."""
    context = context or f"{user}@{cluster}"
    place = f"\n    namespace: {json.dumps(namespace)}" if namespace else ""
    lines = [
        "apiVersion: v1",
        "kind: Config",
        "clusters:",
        "- cluster:",
        f"    certificate-authority-data: {_data(credentials.authority)}",
        f"    server: {json.dumps(credentials.server)}",
        *_alternates(credentials.alternates),
        f"  name: {json.dumps(cluster)}",
        "contexts:",
        "- context:",
        f"    cluster: {json.dumps(cluster)}",
        f"    user: {json.dumps(user)}{place}",
        f"  name: {json.dumps(context)}",
        f"current-context: {json.dumps(context)}",
        "preferences: {}",
        "users:",
        f"- name: {json.dumps(user)}",
        "  user:",
    ]
    if credentials.client is not None:
        lines.append(f"    client-certificate-data: {_data(credentials.client.certificate)}")
        lines.append(f"    client-key-data: {_data(credentials.client.key)}")
    if credentials.client_file:
        lines.append(f"    client-certificate: {json.dumps(credentials.client_file)}")
        lines.append(f"    client-key: {json.dumps(credentials.client_file)}")
    if credentials.token:
        lines.append(f"    token: {json.dumps(credentials.token)}")
    return "\n".join(lines) + "\n"


def _alternates(servers: tuple[str, ...]) -> list[str]:
    if not servers:
        return []
    return ["    extensions:", f"    - name: {ALTERNATES}", f"      extension: {json.dumps(list(servers))}"]


def render_public(server: str, authority: bytes) -> str:
    """The kubeconfig of cluster-info: where the cluster is and whom to trust, and no user."""
    return "\n".join(
        [
            "apiVersion: v1",
            "kind: Config",
            "clusters:",
            "- cluster:",
            f"    certificate-authority-data: {_data(authority)}",
            f"    server: {json.dumps(server)}",
            '  name: ""',
            "contexts: null",
            'current-context: ""',
            "preferences: {}",
            "users: null",
            "",
        ]
    )


def merge(path: Path, name: str, credentials: Credentials, *, owner: str) -> None:
    """Add cluster, user and context `name` to a user's kubeconfig, or replace them where they are ours.

    owner: who we are (the cluster's data directory), kept as a mark. The current context is set only if there is none.
    Raises KubeconfigError for a file that is no kubeconfig, is locked by kubectl, or has a foreign entry of that name.
    """
    user: dict[str, Any] = {}
    if credentials.client is not None:
        user["client-certificate-data"] = _data(credentials.client.certificate)
        user["client-key-data"] = _data(credentials.client.key)
    if credentials.token:
        user["token"] = credentials.token
    mark = [{"name": _MARK, "extension": {"owner": owner}}]
    cluster = {
        "certificate-authority-data": _data(credentials.authority),
        "server": credentials.server,
        "extensions": mark,
    }
    entries = {
        "clusters": {"name": name, "cluster": cluster},
        "users": {"name": name, "user": user},
        "contexts": {"name": name, "context": {"cluster": name, "user": name, "extensions": mark}},
    }
    with _locked(path):
        config = _read(path)
        ours = _ours(config, name)
        for section, entry in entries.items():
            items = _section(config, section)
            index = _index(items, name)
            if index is None:
                items.append(entry)
            elif ours:
                items[index] = entry
            else:
                raise KubeconfigError(f"{path}: {section} already has an entry {name!r} that is not ours")
        if not config.get("current-context"):
            config["current-context"] = name
        _write(path, config)


def replace(path: Path, name: str, credentials: Credentials) -> None:
    """Renew our entries `name` in a user's kubeconfig if they are there; without, or with a broken file, nothing."""
    with contextlib.suppress(KubeconfigError):
        config = _read(path) if path.exists() else {}
        index = _index(_section(config, "clusters"), name)
        if index is not None and _ours(config, name):
            for extension in config["clusters"][index]["cluster"].get("extensions") or ():
                if extension.get("name") == _MARK:
                    merge(path, name, credentials, owner=extension["extension"]["owner"])


def remove(path: Path, name: str) -> bool:
    """Take our entries `name` out of a user's kubeconfig; False if there are none. Foreign entries stay."""
    if not path.exists():
        return False
    with _locked(path):
        config = _read(path)
        if not _ours(config, name):
            return False
        for section in ("clusters", "users", "contexts"):
            items = _section(config, section)
            index = _index(items, name)
            if index is not None:
                del items[index]
        if config.get("current-context") == name:
            config["current-context"] = ""
        _write(path, config)
    return True


def user_path() -> Path:
    """The file kubectl would write: the first of `$KUBECONFIG`, else `~/.kube/config`."""
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(listed[0]) if listed else Path.home() / ".kube" / "config"


def client_certificate(path: Path) -> bytes:
    """The embedded certificate (PEM) of the first user in a kubeconfig; b"" if it has none."""
    for entry in _section(_read(path), "users"):
        data = (entry.get("user") or {}).get("client-certificate-data")
        if data:
            return base64.b64decode(data)
    return b""


def expirations(directory: Path) -> list[pki.Expiry]:
    """The client certificates in the kubeconfigs below `directory`, for `certs check`."""
    return [
        pki.expiry(path.name, certificate)
        for path in sorted(directory.glob("*.conf"))
        if (certificate := client_certificate(path))
    ]


def _is_current(path: Path, spec: Spec, server: str, authority: pki.KeyPair, renew_before: float) -> bool:
    try:
        config = _read(path)
        cluster = _section(config, "clusters")[0]["cluster"]
        user = _section(config, "users")[0]["user"]
        pair = pki.KeyPair(base64.b64decode(user["client-certificate-data"]), base64.b64decode(user["client-key-data"]))
        trusted = base64.b64decode(cluster["certificate-authority-data"])
    except (KubeconfigError, KeyError, IndexError, TypeError, ValueError):
        return False
    wanted = pki.Spec("", "", spec.common_name, spec.organizations)
    return (
        bool(cluster.get("server") == server)
        and trusted == authority.certificate
        and pki.is_current(pair, wanted, authority, renew_before)
    )


def _data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def _read(path: Path) -> dict[str, Any]:
    import yaml

    if not path.exists() or not (text := path.read_text()).strip():
        return {"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": [], "preferences": {}}
    try:
        config = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(config, dict) or config.get("kind", "Config") != "Config":
        raise KubeconfigError(f"{path} is not a kubeconfig")
    return config


def _section(config: dict[str, Any], name: str) -> list[Any]:
    items = config.get(name)
    if items is None:
        items = config[name] = []
    if not isinstance(items, list):
        raise KubeconfigError(f"kubeconfig: {name} is not a list")
    return items


def _index(items: list[Any], name: str) -> int | None:
    return next((i for i, item in enumerate(items) if isinstance(item, dict) and item.get("name") == name), None)


def _ours(config: dict[str, Any], name: str) -> bool:
    """Some entry `name` carries our mark (kubectl may have dropped one, never all)."""
    for section, kind in (("clusters", "cluster"), ("contexts", "context")):
        items = _section(config, section)
        index = _index(items, name)
        extensions = (items[index].get(kind) or {}).get("extensions") if index is not None else None
        if any(isinstance(e, dict) and e.get("name") == _MARK for e in extensions or ()):
            return True
    return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """kubectl's own lock: a file beside it that must not exist."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock")
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise KubeconfigError(f"{path} is being changed by another program ({lock} exists)") from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _write(path: Path, config: dict[str, Any]) -> None:
    """Replace the file at once, keeping its mode, owner and, where it is a symbolic link, the link."""
    import yaml

    real = Path(os.path.realpath(path))
    text = yaml.dump(config, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
    descriptor, temporary = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            try:
                old = real.stat()
                os.fchmod(file.fileno(), old.st_mode & 0o777)
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    with contextlib.suppress(PermissionError):
                        os.fchown(file.fileno(), old.st_uid, old.st_gid)
            except FileNotFoundError:
                os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, real)
    except BaseException:
        os.unlink(temporary)
        raise
