"""What a Pod refers to by name.

Both who decides what a kubelet may read and who looks for Secrets that nobody uses any more ask this, so it stands with
the types: a reference that is forgotten here is refused there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: (resource, namespace, name)
Reference = tuple[str, str, str]


def references_of(pod: Any) -> Iterator[Reference]:
    """What a pod refers to by name: Secrets, ConfigMaps, claims, resource claims, its ServiceAccount."""
    namespace, spec = pod.metadata.namespace, pod.spec
    if spec.service_account_name:
        yield "serviceaccounts", namespace, spec.service_account_name
    for secret in spec.image_pull_secrets or ():
        if secret.name:
            yield "secrets", namespace, secret.name
    for container in (*(spec.init_containers or ()), *spec.containers, *(spec.ephemeral_containers or ())):
        for source in container.env_from or ():
            if source.config_map_ref is not None and source.config_map_ref.name:
                yield "configmaps", namespace, source.config_map_ref.name
            if source.secret_ref is not None and source.secret_ref.name:
                yield "secrets", namespace, source.secret_ref.name
        for variable in container.env or ():
            value = variable.value_from
            if value is None:
                continue
            if value.config_map_key_ref is not None and value.config_map_key_ref.name:
                yield "configmaps", namespace, value.config_map_key_ref.name
            if value.secret_key_ref is not None and value.secret_key_ref.name:
                yield "secrets", namespace, value.secret_key_ref.name
    for volume in spec.volumes or ():
        for resource, name in _volume_references(volume, pod.metadata.name):
            if name:
                yield resource, namespace, name
    statuses = (pod.status.resource_claim_statuses or ()) if pod.status is not None else ()
    generated = {status.name: status.resource_claim_name for status in statuses}
    for claim in spec.resource_claims or ():
        name = claim.resource_claim_name or generated.get(claim.name)
        if name:
            yield "resourceclaims", namespace, name


#: Volume sources whose Secret is `secret_ref`.
WITH_SECRET = ("cephfs", "cinder", "flex_volume", "iscsi", "rbd", "scale_io", "storageos")


def _volume_references(volume: Any, pod_name: str) -> Iterator[tuple[str, str | None]]:
    if volume.secret is not None:
        yield "secrets", volume.secret.secret_name
    if volume.config_map is not None:
        yield "configmaps", volume.config_map.name
    if volume.persistent_volume_claim is not None:
        yield "persistentvolumeclaims", volume.persistent_volume_claim.claim_name
    if volume.ephemeral is not None:
        yield "persistentvolumeclaims", f"{pod_name}-{volume.name}"
    if volume.csi is not None and volume.csi.node_publish_secret_ref is not None:
        yield "secrets", volume.csi.node_publish_secret_ref.name
    if volume.azure_file is not None:
        yield "secrets", volume.azure_file.secret_name
    for name in WITH_SECRET:
        source = getattr(volume, name)
        if source is not None and source.secret_ref is not None:
            yield "secrets", source.secret_ref.name
    for part in (volume.projected.sources or ()) if volume.projected is not None else ():
        if part.secret is not None:
            yield "secrets", part.secret.name
        if part.config_map is not None:
            yield "configmaps", part.config_map.name
