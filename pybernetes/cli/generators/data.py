"""What is read: `create configmap` and `create secret`, from literals, files and environment files."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from pybernetes.cli.errors import CLIError
from pybernetes.cli.generators.shape import Generator, Object, new

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CLIError(f"error reading {path}: {(error.strerror or '').lower()}") from None


def _data(flags: Flags) -> dict[str, bytes]:
    """`--from-literal`, `--from-file` and `--from-env-file`."""
    found: dict[str, bytes] = {}

    def put(key: str, value: bytes) -> None:
        if key in found:
            raise CLIError(f'cannot add key "{key}", another key by that name already exists in Data')
        found[key] = value

    if flags.many("from-env-file") and (flags.many("from-file") or flags.many("from-literal")):
        raise CLIError("from-env-file cannot be combined with from-file or from-literal")
    for given in flags.many("from-file"):
        key, equals, path = given.partition("=")
        if not equals:
            key, path = "", given
        if not os.path.exists(path):
            raise CLIError(f"error reading {path}: no such file or directory")
        if os.path.isdir(path):
            if key:
                raise CLIError("cannot give a key name for a directory path")
            for name in sorted(os.listdir(path)):
                if os.path.isfile(os.path.join(path, name)):
                    put(name, _read(os.path.join(path, name)))
        else:
            put(key or os.path.basename(path), _read(path))
    for given in flags.many("from-literal"):
        key, equals, value = given.partition("=")
        if not equals or not key:
            raise CLIError(f"invalid literal source {given}, expected key=value")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        put(key, value.encode())
    for path in flags.many("from-env-file"):
        for line in _read(path).decode().splitlines():
            line = line.lstrip()
            if not line or line.startswith("#"):
                continue
            key, equals, value = line.partition("=")
            put(key, (value if equals else os.environ.get(key, "")).encode())
    return found


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _hashed(flags: Flags, made: Object) -> Object:
    """With `--append-hash`, the name ends in a hash of the content."""
    if flags.on("append-hash"):
        from pybernetes.cli.kustomize.sources import content_hash

        made["metadata"]["name"] += f"-{content_hash(made, made['metadata']['name'])}"
    return made


def _configmap(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    found = new("v1", "ConfigMap", name)
    text, binary = {}, {}
    for key, value in _data(flags).items():
        try:
            text[key] = value.decode("utf-8")
        except UnicodeDecodeError:
            binary[key] = _b64(value)
    if text:
        found["data"] = text
    if binary:
        found["binaryData"] = binary
    return _hashed(flags, found)


def _secret(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    found = new("v1", "Secret", name)
    data = {key: _b64(value) for key, value in _data(flags).items()}
    if data:
        found["data"] = data
    if flags.text("type"):
        found["type"] = flags.text("type")
    return _hashed(flags, found)


def _secret_tls(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    import ssl

    parts = {}
    for key, flag in (("tls.crt", "cert"), ("tls.key", "key")):
        path = flags.text(flag)
        if not path:
            raise CLIError("key and certificate must be specified")
        try:
            with open(path, "rb") as file:
                parts[key] = file.read()
        except OSError as error:
            raise CLIError(f"Cannot read file {path}, open {path}: {(error.strerror or '').lower()}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(flags.text("cert"), flags.text("key"))
    except (ssl.SSLError, OSError) as error:
        raise CLIError(f"failed to load key pair tls: {error}") from None
    data = {k: _b64(v) for k, v in parts.items()}
    return _hashed(flags, new("v1", "Secret", name, type="kubernetes.io/tls", data=data))


def _secret_docker(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    found = new("v1", "Secret", name, type="kubernetes.io/dockerconfigjson")
    if flags.many("from-file"):
        data = _data(flags)
        found["data"] = {".dockerconfigjson": _b64(next(iter(data.values())))}
        return _hashed(flags, found)
    user, password = flags.text("docker-username"), flags.text("docker-password")
    if not user or not password:
        raise CLIError(
            "either --from-file or the combination of --docker-username, --docker-password and --docker-server "
            "is required"
        )
    import json

    from pybernetes.cli.printers.objects import _escaped

    entry = {"username": user, "password": password}
    if flags.text("docker-email"):
        entry["email"] = flags.text("docker-email")
    entry["auth"] = _b64(f"{user}:{password}".encode())
    text = json.dumps({"auths": {flags.text("docker-server"): entry}}, separators=(",", ":"))
    found["data"] = {".dockerconfigjson": _b64(_escaped(text).encode())}
    return _hashed(flags, found)


_FROM = "from-literal* from-file* from-env-file* append-hash?"

GENERATORS: dict[str, Generator] = {
    "configmap": Generator(
        "Create a config map based on a file, directory, or literal value.", _configmap, _FROM, said="configmap"
    ),
    "secret generic": Generator(
        "Create a secret from a local file, directory, or literal value.", _secret, f"{_FROM} type=", said="secret"
    ),
    "secret tls": Generator("Create a TLS secret.", _secret_tls, "cert= key= append-hash?", said="secret"),
    "secret docker-registry": Generator(
        "Create a secret for use with a Docker registry.",
        _secret_docker,
        "docker-username= docker-password= docker-email= docker-server=https://index.docker.io/v1/ from-file* "
        "append-hash? "
        "from-literal* from-env-file*",
        said="secret",
    ),
}
