"""A control plane's secrets on their way to the next one: encrypted in a Secret, the key in the user's hand.

Secret kube-system/kubeadm-certs holds the authorities, the key that signs service account tokens and what etcd asks
for, each encrypted with AES-256-GCM under a key that only `init` has printed. Whoever has a join token may read the
Secret; without the key it says nothing. It belongs to a token Secret of two hours' life, and goes with it.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from urllib.parse import parse_qsl

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Secret
from pybernetes.bootstrap import join_tokens, pki
from pybernetes.bootstrap.cluster import Cluster, ClusterError
from pybernetes.bootstrap.phases.objects import put, readers
from pybernetes.bootstrap.phases.run import Run, with_client
from pybernetes.client.client import Client
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta, OwnerReference

NAME, NAMESPACE = "kubeadm-certs", "kube-system"
TTL = 2 * 3600.0
#: Name in the Secret -> file below pki.
FILES = {
    "ca.crt": "ca.crt",
    "ca.key": "ca.key",
    "front-proxy-ca.crt": "front-proxy-ca.crt",
    "front-proxy-ca.key": "front-proxy-ca.key",
    "sa.key": "sa.key",
    "sa.pub": "sa.pub",
}
#: The authority of the cluster's own etcd, likewise.
ETCD_FILES = {"etcd-ca.crt": "etcd/ca.crt", "etcd-ca.key": "etcd/ca.key"}
#: Name in the Secret -> the store URL's option that names the file, and where the joining machine keeps it.
STORE_FILES = {
    "external-etcd-ca.crt": ("cafile", "etcd/ca.crt"),
    "external-etcd.crt": ("certfile", "apiserver-etcd-client.crt"),
    "external-etcd.key": ("keyfile", "apiserver-etcd-client.key"),
}


def upload(run: Run) -> None:
    """`init --upload-certs`."""
    if not run.options.upload_certs:
        return
    run.certificate_key = run.options.certificate_key or secrets.token_hex(32)
    key = key_of(run.certificate_key)
    run.admin(lambda client: put_secret(client, run.cluster, key))
    run.say("upload-certs", f"the control plane's secrets are in Secret {NAMESPACE}/{NAME}, encrypted, for two hours")


async def put_secret(client: Client, cluster: Cluster, key: bytes) -> None:
    """Make the Secret, its right to be read and its end."""
    token_id, secret = join_tokens.split(join_tokens.generate())
    token = join_tokens.Token(
        token_id,
        secret,
        clock.timestamp() + TTL,
        usages=(),
        groups=(),
        description=f"Proxy for managing TTL for the {NAME} secret",
    )
    await put(client, [join_tokens.secret_of(token)])
    owner = await client.resource(Secret).get(f"bootstrap-token-{token_id}", NAMESPACE)
    files = {name: cluster.pki / file for name, file in FILES.items()}
    if cluster.state.member is not None and cluster.state.member.etcd is not None:
        files |= {name: cluster.pki / file for name, file in ETCD_FILES.items()}
    else:
        files |= {name: path for name, path in store_files(cluster.state.store).items() if path is not None}
    data = {name: encrypt(path.read_bytes(), key) for name, path in files.items()}
    reference = OwnerReference(
        api_version="v1", kind="Secret", name=owner.metadata.name, uid=owner.metadata.uid, controller=True
    )
    metadata = ObjectMeta(name=NAME, namespace=NAMESPACE, owner_references=[reference])
    group = f"g:{join_tokens.NODE_GROUP}"
    await put(
        client,
        [
            Secret(metadata=metadata, type="Opaque", data=data),
            *readers("kubeadm:kubeadm-certs", NAMESPACE, "secrets", NAME, [group]),
        ],
    )


def download(run: Run) -> None:
    """`join --control-plane --certificate-key KEY`."""
    if not run.member.control_plane:
        return
    key, cluster = key_of(run.options.certificate_key), run.cluster
    assert run.connection is not None

    async def get(client: Client) -> Secret:
        try:
            return await client.resource(Secret).get(NAME, NAMESPACE)
        except StatusError as error:
            if error.code == 404:
                raise ClusterError(
                    f"Secret {NAMESPACE}/{NAME} is not there: it ends two hours after it was made; "
                    "'pybernetes certs upload' on a control plane makes it anew and prints the key"
                ) from error
            raise

    data = (with_client(run.connection, get)).data or {}
    for name, file in {**FILES, **ETCD_FILES, **{name: file for name, (_, file) in STORE_FILES.items()}}.items():
        if name in data:
            mode = 0o600 if file.endswith(".key") else 0o644
            pki.write(cluster.pki / file, decrypt(data[name], key), mode, durable=True)
    if run.member.etcd is None:
        cluster.state.store = with_files(cluster.state.store, cluster.pki, set(data))
        cluster.save()
    run.say("download-certs", f"{len(data)} files in {cluster.pki}")


def store_files(store: str) -> dict[str, Path | None]:
    """The files that a store's URL names, by their names in the Secret."""
    options = dict(parse_qsl(store.partition("?")[2]))
    return {name: Path(options[option]) if option in options else None for name, (option, _) in STORE_FILES.items()}


def with_files(store: str, directory: Path, present: set[str]) -> str:
    """A store's URL with the options for those files that this machine has."""
    more = [f"{option}={directory / file}" for name, (option, file) in STORE_FILES.items() if name in present]
    return f"{store}{'&' if '?' in store else '?'}{'&'.join(more)}" if more else store


def key_of(text: str) -> bytes:
    """The key's bytes. Raises ClusterError."""
    try:
        key = bytes.fromhex(text or "")
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ClusterError(
            "--certificate-key: 64 hex digits are needed, as 'pybernetes init --upload-certs' has printed them"
        )
    return key


def encrypt(data: bytes, key: bytes) -> str:
    """AES-256-GCM with the nonce before it, base64."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(12)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, data, None)).decode()


def decrypt(text: str, key: bytes) -> bytes:
    """The reverse. Raises ClusterError for another key."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = base64.b64decode(text)
    try:
        return AESGCM(key).decrypt(data[:12], data[12:], None)
    except InvalidTag as error:
        raise ClusterError(f"--certificate-key is not the one that Secret {NAMESPACE}/{NAME} was made with") from error
