"""ServiceAccount: every Pod runs as a service account, and gets its token as a projected volume unless it declines."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pybernetes.aio import clock
from pybernetes.api.core_v1.container import Container, VolumeMount
from pybernetes.api.core_v1.objects import ServiceAccount as Account
from pybernetes.api.core_v1.pod import Pod
from pybernetes.api.core_v1.references import LocalObjectReference, ObjectFieldSelector
from pybernetes.api.core_v1.volume import (
    ConfigMapProjection,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    KeyToPath,
    ProjectedVolumeSource,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import MIRROR, creates_pod, is_core, pod_of, refuse
from pybernetes.machinery import names
from pybernetes.machinery.errors import not_found

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
#: Upstream has a random one in each Pod. Nobody can tell, for volumes are named within a Pod; but with this one the
#: Pods of a workload are equal, and what was worked out for one of them (checks, owners of fields) holds for all.
SUFFIX = names.safe_encode("token")
#: An hour and seven seconds: the odd number tells tokens of this volume from those a user asked for.
TOKEN_SECONDS = 3607
ENFORCE = "kubernetes.io/enforce-mountable-secrets"
#: How often, and how long in all, a Pod waits for the default account of a namespace that was just made.
WAIT_STEP, WAIT_STEPS = 0.05, 20


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    fixed = True
    mutates = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: Attributes) -> bool:
        if attributes.operation == "CREATE":
            return is_core(attributes, "pods")
        return attributes.operation == "UPDATE" and is_core(attributes, "pods", "ephemeralcontainers")

    async def admit(self, attributes: Attributes) -> None:
        if not creates_pod(attributes):
            return
        pod = pod_of(attributes)
        spec = pod.spec
        if pod.metadata.annotations and MIRROR in pod.metadata.annotations:
            return
        if not spec.service_account_name:
            spec.service_account_name = "default"
        spec.service_account = spec.service_account_name
        account = await self._account(attributes, spec.service_account_name)
        automount = spec.automount_service_account_token
        if automount is None:
            automount = account.automount_service_account_token is not False
        if automount:
            mount_token(pod)
        if not spec.image_pull_secrets and account.image_pull_secrets:
            spec.image_pull_secrets = [LocalObjectReference(name=s.name) for s in account.image_pull_secrets]

    async def validate(self, attributes: Attributes) -> None:
        pod = pod_of(attributes)
        if pod.metadata.annotations and MIRROR in pod.metadata.annotations:
            self._mirror(attributes, pod)
            return
        if attributes.operation == "UPDATE":
            return
        account = await self._account(attributes, pod.spec.service_account_name or "")
        if (account.metadata.annotations or {}).get(ENFORCE) == "true":
            self._mountable(attributes, pod, account)

    def _mirror(self, attributes: Attributes, pod: Pod) -> None:
        if pod.spec.service_account_name:
            raise refuse(attributes, "a mirror pod may not reference service accounts")
        for volume in pod.spec.volumes or ():
            for projection in (volume.projected.sources if volume.projected else None) or ():
                if projection.service_account_token is not None:
                    raise refuse(attributes, "a mirror pod may not use ServiceAccountToken volume projections")

    def _mountable(self, attributes: Attributes, pod: Pod, account: Account) -> None:
        allowed = {reference.name for reference in account.secrets or ()}
        name = account.metadata.name
        for volume in pod.spec.volumes or ():
            if volume.secret is not None and volume.secret.secret_name not in allowed:
                text = (
                    f'volume with secret.secretName="{volume.secret.secret_name}" is not allowed because '
                    f"service account {name} does not reference that secret"
                )
                raise refuse(attributes, text)
        pulls = {reference.name for reference in account.image_pull_secrets or ()}
        for i, pull in enumerate(pod.spec.image_pull_secrets or ()):
            if pull.name not in pulls:
                text = (
                    f'imagePullSecrets[{i}].name="{pull.name}" is not allowed because service account {name} '
                    "does not reference that imagePullSecret"
                )
                raise refuse(attributes, text)

    async def _account(self, attributes: Attributes, name: str) -> Account:
        namespace = attributes.namespace
        item = self._core.item("", "serviceaccounts", namespace, name)
        if item is None and name == "default" and attributes.obj is not None:
            for _ in range(WAIT_STEPS):  # its controller is about to make it
                await clock.sleep(WAIT_STEP)
                if (item := self._core.item("", "serviceaccounts", namespace, name)) is not None:
                    break
        if item is None:
            missing = not_found(("", "serviceaccounts"), name).message.removeprefix("serviceaccounts ")
            text = f"error looking up service account {namespace}/{name}: serviceaccount {missing}"
            raise refuse(attributes, text)
        return cast(Account, item.obj)


def mount_token(pod: Pod) -> None:
    """Mount the token into every container that has nothing at its path yet."""
    spec = pod.spec
    taken = {volume.name for volume in spec.volumes or ()}
    volume_name = next((name for name in taken if name.startswith(VOLUME_PREFIX)), "")
    existing = bool(volume_name)
    if not volume_name:
        volume_name = VOLUME_PREFIX + SUFFIX
    mounted = False
    for containers in (spec.init_containers, spec.containers):
        for container in containers or ():
            mounted = _mount(container, volume_name) or mounted
    if mounted and not existing:
        volume = Volume(name=volume_name, projected=token_source())
        if spec.volumes is None:
            spec.volumes = [volume]
        else:
            spec.volumes.append(volume)


def _mount(container: Container, volume_name: str) -> bool:
    mounts = container.volume_mounts
    if mounts is not None:
        for mount in mounts:
            if mount.mount_path == MOUNT_PATH:
                return False
    mount = VolumeMount(name=volume_name, read_only=True, mount_path=MOUNT_PATH)
    if mounts is None:
        container.volume_mounts = [mount]
    else:
        mounts.append(mount)
    return True


def token_source() -> ProjectedVolumeSource:
    """Token, CA certificate and namespace, as every Pod finds them."""
    return ProjectedVolumeSource(
        default_mode=0o644,
        sources=[
            VolumeProjection(
                service_account_token=ServiceAccountTokenProjection(expiration_seconds=TOKEN_SECONDS, path="token")
            ),
            VolumeProjection(
                config_map=ConfigMapProjection(name="kube-root-ca.crt", items=[KeyToPath(key="ca.crt", path="ca.crt")])
            ),
            VolumeProjection(
                downward_api=DownwardAPIProjection(
                    items=[
                        DownwardAPIVolumeFile(
                            path="namespace",
                            field_ref=ObjectFieldSelector(api_version="v1", field_path="metadata.namespace"),
                        )
                    ]
                )
            ),
        ],
    )
