"""ControllerRevisions: the templates a DaemonSet or StatefulSet has had, so that Pods of two of them can run side by
side.

A revision's data is a patch that sets `spec.template`, in the form `kubectl rollout undo` applies. Its keys are sorted:
clients find the revision of a DaemonSet by making the same patch and comparing bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pybernetes.api.apps_v1 import ControllerRevision
from pybernetes.api.core_v1 import PodTemplateSpec
from pybernetes.client.client import Client
from pybernetes.client.controller import controller_reference
from pybernetes.client.informer import Informer, Matcher
from pybernetes.control_plane.controllers.numbers import template_hash
from pybernetes.control_plane.controllers.ownership import Claims, add_indexes
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, ObjectMeta

T = TypeVar("T", bound=Object)

POD_HASH = "controller-revision-hash"
REVISION_HASH = "controller.kubernetes.io/hash"


class Revisions:
    """The revisions of owners of one kind."""

    def __init__(self, client: Client, informer: Informer[ControllerRevision], owners: Any, label: str) -> None:
        add_indexes(informer)
        self._informer = informer
        self._resource = client.resource(ControllerRevision)
        self._claims = Claims(informer, self._resource, owners)
        self._label = label

    async def of(self, owner: Object, selector: Matcher) -> list[ControllerRevision]:
        """All, oldest first."""
        found = await self._claims.claim(owner, selector)
        return sorted(found, key=lambda r: (r.revision, r.metadata.creation_timestamp or "", r.metadata.name))

    async def current(
        self, owner: Object, template: PodTemplateSpec, known: list[ControllerRevision], collisions: int | None
    ) -> ControllerRevision:
        """The revision of a template: a known one, made the newest, or a new one, which is appended to `known`.

        Raises `Collision` when another template has taken the name.
        """
        data = template_patch(template)
        number = max((r.revision for r in known), default=0) + 1
        same = [r for r in known if r.data == data]
        if same:
            found = same[-1]
            if found is not known[-1]:
                changed = codec.copy(found)
                changed.revision = number
                found = await self._resource.update(changed)
                await self._informer.caught_up(found)
                known[:] = [*(r for r in known if r.metadata.uid != found.metadata.uid), found]
            return found
        hashed = template_hash(template, collisions)
        labels = {**(template.metadata.labels or {}), self._label: hashed}
        revision = ControllerRevision(
            metadata=ObjectMeta(
                name=f"{owner.metadata.name[:223]}-{hashed}",
                namespace=owner.metadata.namespace,
                labels=labels,
                annotations=owner.metadata.annotations,
                owner_references=[controller_reference(owner)],
            ),
            data=data,
            revision=number,
        )
        try:
            created = await self._resource.create(revision)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            present = await self._resource.get(revision.metadata.name, owner.metadata.namespace)
            if present.data != data:
                raise Collision from None
            return present
        await self._informer.caught_up(created)
        known.append(created)
        return created

    async def clean_up(self, known: Sequence[ControllerRevision], used: Iterable[str], limit: int | None) -> None:
        """Delete the oldest beyond the history limit; `used` are the names that stay."""
        names = {*used}
        unused = [r for r in known if r.metadata.name not in names]
        await self.remove(unused[: max(0, len(unused) - (10 if limit is None else limit))])

    async def remove(self, revisions: Iterable[ControllerRevision]) -> None:
        """Delete them; that they are gone already is success."""
        for revision in revisions:
            metadata = revision.metadata
            try:
                await self._resource.delete(metadata.name, metadata.namespace, uid=metadata.uid)
            except StatusError as error:
                if error.code != 404:
                    raise
            await self._informer.terminating(revision)


class Collision(Exception):
    """Two templates have one hash: count it, and try again."""


def template_patch(template: PodTemplateSpec) -> dict[str, Any]:
    """What a revision keeps of a template."""
    return {"spec": {"template": _sorted({**codec.to_dict(template), "$patch": "replace"})}}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def template_of(revision: ControllerRevision) -> PodTemplateSpec:
    """The template a revision keeps."""
    data = dict((revision.data or {}).get("spec", {}).get("template", {}))
    data.pop("$patch", None)
    return codec.from_dict(PodTemplateSpec, data)
