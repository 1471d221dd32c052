"""configMap, secret, downwardAPI and projected volumes: content from the API, written atomically, kept current."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pybernetes.api.core_v1 import ConfigMap, Pod, Secret, Volume, VolumeProjection
from pybernetes.client.errors import Unavailable
from pybernetes.machinery.errors import StatusError
from pybernetes.node.kubelet.volumes import atomic, mounts
from pybernetes.node.kubelet.volumes.content import (
    DEFAULT_MODE,
    Files,
    of_config_map,
    of_downward_api,
    of_secret,
    shared_with_group,
)
from pybernetes.node.kubelet.volumes.context import Context, VolumeError, fs_group, root_mode

PLUGINS = {"config_map": "configmap", "secret": "secret", "downward_api": "downward-api", "projected": "projected"}
#: Tokens of this lifetime are asked for when a projection names none, seconds.
TOKEN_SECONDS = 3600


def plugin_of(volume: Volume) -> str:
    """The directory name of the plugin; "" when it is none of these."""
    for attribute, name in PLUGINS.items():
        if getattr(volume, attribute) is not None:
            return name
    return ""


async def set_up(context: Context, pod: Pod, volume: Volume) -> tuple[Path, float]:
    """Write the content; the directory, and when it must be renewed (Unix seconds; infinity: never)."""
    directory = context.paths.volume(pod.metadata.uid, plugin_of(volume), volume.name)
    try:
        files, renew = await _files(context, pod, volume)
    except TimeoutError:
        raise VolumeError("failed to sync configmap cache: timed out waiting for the condition") from None
    gid = fs_group(pod)
    # Secrets are kept off the disk.
    tmpfs = context.config.real_mounts and (volume.secret is not None or volume.projected is not None)
    await context.offload(_write, directory, shared_with_group(files, gid), gid, _owner(pod), tmpfs)
    return directory, renew


def _write(directory: Path, files: Files, gid: int, owner: int, tmpfs: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if tmpfs and not os.path.ismount(directory):
        mounts.mount("tmpfs", directory, "tmpfs")
    if gid >= 0:
        os.chown(directory, -1, gid)
    directory.chmod(root_mode(gid, tmpfs=tmpfs))
    if owner >= 0:
        files = {path: f if f.uid != TOKEN_OWNER else f._replace(uid=owner) for path, f in files.items()}
    else:
        files = {path: f if f.uid != TOKEN_OWNER else f._replace(uid=-1) for path, f in files.items()}
    try:
        atomic.write(directory, files, gid)
    except ValueError as error:
        raise VolumeError(str(error)) from None


#: Marks token files, which belong to the user that all containers run as.
TOKEN_OWNER = -2


def _owner(pod: Pod) -> int:
    """The one user all containers run as; -1 when there is none."""
    context = pod.spec.security_context
    usual = context.run_as_user if context else None
    users = set()
    for container in (*pod.spec.containers, *(pod.spec.init_containers or ())):
        own = container.security_context.run_as_user if container.security_context else None
        users.add(usual if own is None else own)
    only = next(iter(users)) if len(users) == 1 else None
    return -1 if only is None else only


async def _files(context: Context, pod: Pod, volume: Volume) -> tuple[Files, float]:
    namespace, watches = pod.metadata.namespace, context.watches
    forever = float("inf")
    if (config_map := volume.config_map) is not None:
        name = config_map.name or ""
        found = await watches.get(ConfigMap, namespace, name)
        mode = _mode(config_map.default_mode)
        return of_config_map(found, name, config_map.items, mode, bool(config_map.optional)), forever
    if (secret := volume.secret) is not None:
        name = secret.secret_name or ""
        held = await watches.get(Secret, namespace, name)
        return of_secret(held, name, secret.items, _mode(secret.default_mode), bool(secret.optional)), forever
    if (downward := volume.downward_api) is not None:
        return of_downward_api(pod, downward.items, _mode(downward.default_mode), context.allocatable()), forever
    assert volume.projected is not None
    mode, files, renew = _mode(volume.projected.default_mode), Files(), forever
    errors: list[str] = []
    for source in volume.projected.sources or ():
        try:
            part, until = await _source(context, pod, source, mode)
        except VolumeError as error:
            errors.append(str(error))
            continue
        files.update(part)
        renew = min(renew, until)
    if errors:
        raise VolumeError(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
    return files, renew


async def _source(context: Context, pod: Pod, source: VolumeProjection, mode: int) -> tuple[Files, float]:
    namespace, watches, forever = pod.metadata.namespace, context.watches, float("inf")
    if (config_map := source.config_map) is not None:
        name = config_map.name or ""
        found = await watches.get(ConfigMap, namespace, name)
        return of_config_map(found, name, config_map.items, mode, bool(config_map.optional)), forever
    if (secret := source.secret) is not None:
        name = secret.name or ""
        held = await watches.get(Secret, namespace, name)
        return of_secret(held, name, secret.items, mode, bool(secret.optional)), forever
    if source.downward_api is not None:
        return of_downward_api(pod, source.downward_api.items, mode, context.allocatable()), forever
    if (token := source.service_account_token) is not None:
        try:
            async with asyncio.timeout(30):
                text, renew = await context.tokens.get(
                    pod, token.audience or "", token.expiration_seconds or TOKEN_SECONDS
                )
        except (StatusError, Unavailable, TimeoutError) as error:
            raise VolumeError(f"failed to fetch token: {error}") from None
        gid = fs_group(pod)
        shown = 0o600 if _owner(pod) >= 0 and gid < 0 else 0o640 if gid >= 0 else mode
        return {token.path: atomic.File(text.encode(), shown, TOKEN_OWNER)}, renew
    if source.cluster_trust_bundle is not None:
        raise VolumeError("projected volume source clusterTrustBundle is not supported by this kubelet")
    if source.pod_certificate is not None:
        raise VolumeError("projected volume source podCertificate is not supported by this kubelet")
    return {}, forever


def _mode(mode: int | None) -> int:
    return DEFAULT_MODE if mode is None else mode
