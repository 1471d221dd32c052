"""The built-in provisioner of the StorageClass `standard`: a directory on the node that the scheduler chose.

The volume is a hostPath tied to its node by affinity, named after the claim, so that a repeated attempt finds what an
earlier one has made. What touches the disk is injected (`Config`): who assembles the cluster knows how the disks of
its nodes can be reached. Whoever removes compares the path in the volume with the one that the name leads to, for who
may write volumes must not be able to delete a machine's files; and what was on a node that is gone is gone with it.
Sizes are not enforced, so growing is only noted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pybernetes.api.core_v1 import (
    HostPathVolumeSource,
    Node,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from pybernetes.api.storage_v1 import StorageClass
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, key_of, split_key
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.control_plane.controllers.volume_binding import PROVISIONER, SELECTED_NODE
from pybernetes.machinery import codec, quantity
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

NAME = "pybernetes.io/local-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
HOSTNAME = "kubernetes.io/hostname"
_VOLUME = "volume/"  # prefix of a volume's key; a claim's key is namespace/name


@dataclass(frozen=True)
class Config:
    """The disks of the nodes. Both raise OSError, or LookupError for what does not exist or was not made here."""

    make: Callable[[str, str], Awaitable[str]]  #: node, volume -> the path of its directory, writable for everybody
    remove: Callable[[str, str, str], Awaitable[None]]  #: node, volume, the path it names: delete the directory


def pretended(root: str = "") -> Config:
    """Disks of nodes that only play running Pods."""

    async def make(node: str, name: str) -> str:
        return f"{root}/{node}/{name}"

    async def remove(node: str, name: str, path: str) -> None:
        if path != await make(node, name):
            raise LookupError(f"the volume's path is not {await make(node, name)}: it was not made here")

    return Config(make, remove)


def standard_class() -> StorageClass:
    """The StorageClass every cluster starts with, its default."""
    return StorageClass(
        metadata=ObjectMeta(name="standard", annotations={"storageclass.kubernetes.io/is-default-class": "true"}),
        provisioner=NAME,
        reclaim_policy="Delete",
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
    )


def refusal(claim: PersistentVolumeClaim) -> str:
    """Why this provisioner cannot serve a claim; "" when it can."""
    spec = claim.spec
    modes = {*(spec.access_modes or ())} - {"ReadWriteOnce", "ReadWriteOncePod"}
    if modes:
        return f"only ReadWriteOnce and ReadWriteOncePod are supported, not {', '.join(sorted(modes))}"
    if (spec.volume_mode or "Filesystem") != "Filesystem":
        return f"volumeMode {spec.volume_mode} is not supported"
    if spec.selector is not None:
        return "claim.spec.selector is not supported"
    if spec.data_source is not None or spec.data_source_ref is not None:
        return "claim.spec.dataSource is not supported"
    return ""


def volume_for(claim: PersistentVolumeClaim, one: StorageClass, node: str, path: str) -> PersistentVolume:
    """The volume of a claim: bound to it from the start, on one node."""
    meta = claim.metadata
    host = NodeSelectorRequirement(key=HOSTNAME, operator="In", values=[node])
    return PersistentVolume(
        metadata=ObjectMeta(name=f"pvc-{meta.uid}", annotations={PROVISIONED_BY: NAME}),
        spec=PersistentVolumeSpec(
            capacity={"storage": requested(claim)},
            access_modes=claim.spec.access_modes,
            persistent_volume_reclaim_policy=one.reclaim_policy or "Delete",
            storage_class_name=one.metadata.name,
            volume_mode="Filesystem",
            host_path=HostPathVolumeSource(path=path, type="DirectoryOrCreate"),
            node_affinity=VolumeNodeAffinity(
                required=NodeSelector(node_selector_terms=[NodeSelectorTerm(match_expressions=[host])])
            ),
            claim_ref=ObjectReference(
                api_version="v1",
                kind="PersistentVolumeClaim",
                namespace=meta.namespace,
                name=meta.name,
                uid=meta.uid,
                resource_version=meta.resource_version,
            ),
        ),
    )


def requested(claim: PersistentVolumeClaim) -> str:
    """How much storage the claim asks for, a quantity."""
    return ((claim.spec.resources.requests if claim.spec.resources else None) or {}).get("storage", "0")


def node_of(volume: PersistentVolume) -> str:
    """The node that a volume of ours is on."""
    required = volume.spec.node_affinity.required if volume.spec.node_affinity else None
    for term in required.node_selector_terms if required else ():
        for expression in term.match_expressions or ():
            if expression.key == HOSTNAME and expression.values:
                return expression.values[0]
    return ""


class LocalPathProvisioner(Controller):
    """Keys are claims, and `volume/name` for volumes."""

    name = "local-path-provisioner"

    def __init__(self, config: Config, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._config = config

    def setup(self) -> None:
        """Claims that the binder and the scheduler have sent here, and volumes made here."""
        self.claims = self.informers.informer(PersistentVolumeClaim)
        self.volumes = self.informers.informer(PersistentVolume)
        self.classes = self.informers.informer(StorageClass)
        self.claims.on(self._claim, lambda old, new: self._claim(new))
        self.volumes.on(self._volume, lambda old, new: self._volume(new))

    def _claim(self, claim: PersistentVolumeClaim) -> None:
        if (claim.metadata.annotations or {}).get(PROVISIONER) == NAME:
            self.enqueue(claim)

    def _volume(self, volume: PersistentVolume) -> None:
        ours = (volume.metadata.annotations or {}).get(PROVISIONED_BY) == NAME
        if ours and volume.status.phase in ("Released", "Failed"):
            self.queue.add(_VOLUME + volume.metadata.name)

    async def reconcile(self, key: str) -> None:
        """Make or grow a claim's volume, or remove a released one."""
        if key.startswith(_VOLUME):
            if (volume := self.volumes.get("", key.removeprefix(_VOLUME))) is not None:
                await self._remove(volume)
            return
        claim = self.claims.get(*split_key(key))
        if claim is None or claim.metadata.deletion_timestamp is not None:
            return
        if claim.spec.volume_name:
            await self._grow(claim)
        else:
            await self._provision(claim)

    async def _provision(self, claim: PersistentVolumeClaim) -> None:
        one = self.classes.get("", claim.spec.storage_class_name or "")
        node = (claim.metadata.annotations or {}).get(SELECTED_NODE, "")
        if one is None or one.provisioner != NAME or self.volumes.get("", f"pvc-{claim.metadata.uid}") is not None:
            return
        if not (problem := refusal(claim)) and not node:
            problem = f'StorageClass "{one.metadata.name}" must have volumeBindingMode WaitForFirstConsumer'
        if problem:
            self._failed(claim, one, problem)
            return
        try:
            path = await self._config.make(node, f"pvc-{claim.metadata.uid}")
        except (LookupError, OSError) as error:
            self._failed(claim, one, str(error))
            raise
        message = f'External provisioner is provisioning volume for claim "{key_of(claim)}"'
        self.events.event(claim, "Normal", "Provisioning", message)
        volume = volume_for(claim, one, node, path)
        try:
            await self.volumes.caught_up(await self.client.resource(PersistentVolume).create(volume))
        except StatusError as error:
            if error.code != 409:
                raise
        message = f"Successfully provisioned volume {volume.metadata.name}"
        self.events.event(claim, "Normal", "ProvisioningSucceeded", message)

    def _failed(self, claim: PersistentVolumeClaim, one: StorageClass, why: str) -> None:
        message = f'failed to provision volume with StorageClass "{one.metadata.name}": {why}'
        self.events.event(claim, "Warning", "ProvisioningFailed", message)

    async def _grow(self, claim: PersistentVolumeClaim) -> None:
        """Note a larger size in the volume, then in the claim's status."""
        volume = self.volumes.get("", claim.spec.volume_name or "")
        if volume is None or (volume.metadata.annotations or {}).get(PROVISIONED_BY) != NAME:
            return
        wanted = quantity.parse(requested(claim))
        if claim.status.phase != "Bound" or wanted <= quantity.parse((claim.status.capacity or {}).get("storage", "0")):
            return
        if wanted > quantity.parse((volume.spec.capacity or {}).get("storage", "0")):
            larger = codec.copy(volume)
            larger.spec.capacity = {**(volume.spec.capacity or {}), "storage": requested(claim)}
            await self.volumes.caught_up(await self.client.resource(PersistentVolume).update(larger))
        grown = codec.copy(claim)
        grown.status.capacity = {**(claim.status.capacity or {}), "storage": requested(claim)}
        await self.claims.caught_up(await self.client.resource(PersistentVolumeClaim).update_status(grown))
        self.events.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")

    async def _remove(self, volume: PersistentVolume) -> None:
        """Delete the directory of a volume that nobody wants any more, then the volume."""
        if (
            volume.status.phase not in ("Released", "Failed")
            or volume.spec.persistent_volume_reclaim_policy != "Delete"
            or (volume.metadata.annotations or {}).get(PROVISIONED_BY) != NAME
            or volume.metadata.deletion_timestamp is not None
        ):
            return
        name = volume.metadata.name
        try:
            if await self._exists(node_of(volume)):
                path = volume.spec.host_path.path if volume.spec.host_path else ""
                await self._config.remove(node_of(volume), name, path)
        except (LookupError, OSError) as error:
            self.events.event(volume, "Warning", "VolumeFailedDelete", str(error))
            raise
        try:
            await self.client.resource(PersistentVolume).delete(name, uid=volume.metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _exists(self, node: str) -> bool:
        try:
            await self.client.resource(Node).get(node)
        except StatusError as error:
            if error.code != 404:
                raise
            return False
        return True
