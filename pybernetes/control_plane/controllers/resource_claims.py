"""The resource claim controller: claims for devices that Pods bring along as templates, and the end of reservations.

A Pod's claim gets a generated name, so what was made is noted in the Pod's status; a claim that was made and not yet
noted is found again by its owner and the annotation with the entry it is for. The scheduler allocates and reserves;
whoever gives a Pod its node without asking it has the reservation made here. Once no Pod is left that may run, the
claim loses its allocation, for its devices are free again, and a generated one is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybernetes.api.core_v1 import Pod, PodResourceClaim
from pybernetes.api.resource_v1 import ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate
from pybernetes.client.controller import Controller, controller_of, controller_reference, key_of, split_key
from pybernetes.client.informer import OWNER
from pybernetes.control_plane.controllers.pods import is_terminal
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta

FINALIZER = "resource.kubernetes.io/delete-protection"
ENTRY = "resource.kubernetes.io/pod-claim-name"
_CLAIM, _TEMPLATE = "resource claim", "resource claim template"
_POD = "pod:"  # prefix of a Pod's key; a claim's key is namespace/name


class ResourceClaimController(Controller):
    """Keys are claims, and `pod:namespace/name` for Pods."""

    name = "resource-claim-controller"
    component = "resource_claim"

    def setup(self) -> None:
        """Pods with claims, claims, and templates that may come late."""
        self.pods = self.informers.informer(Pod)
        self.claims = self.informers.informer(ResourceClaim)
        self.templates = self.informers.informer(ResourceClaimTemplate)
        self.pods.add_index(_CLAIM, lambda pod: (f"{pod.metadata.namespace}/{name}" for name in _names(pod)))
        self.pods.add_index(_TEMPLATE, _templates)
        self.claims.add_owner_index()
        self.pods.on(self._pod, lambda old, new: self._pod(new), self._pod_gone)
        self.claims.on(self._claim, lambda old, new: self._claim(new), self._claim_gone)
        self.templates.on(self._template)

    def _pod(self, pod: Pod) -> None:
        if not pod.spec.resource_claims and pod.status.extended_resource_claim_status is None:
            return
        self.queue.add(_POD + key_of(pod))
        if _is_done(pod):
            self._pod_gone(pod)

    def _pod_gone(self, pod: Pod) -> None:
        for name in _names(pod):
            self.queue.add(f"{pod.metadata.namespace}/{name}")

    def _claim(self, claim: ResourceClaim) -> None:
        self.enqueue(claim)
        for pod in self.pods.by_index(_CLAIM, key_of(claim)):
            self.queue.add(_POD + key_of(pod))

    def _claim_gone(self, claim: ResourceClaim) -> None:
        owner = controller_of(claim)
        if owner is not None and owner.kind == "Pod":
            self.queue.add(f"{_POD}{claim.metadata.namespace}/{owner.name}")

    def _template(self, template: ResourceClaimTemplate) -> None:
        for pod in self.pods.by_index(_TEMPLATE, key_of(template)):
            self.queue.add(_POD + key_of(pod))

    async def reconcile(self, key: str) -> None:
        """Make the claims of a Pod, or see whether a claim is still used."""
        if key.startswith(_POD):
            pod = self.pods.get(*split_key(key.removeprefix(_POD)))
            if pod is not None and pod.metadata.deletion_timestamp is None and not _is_done(pod):
                await self._make(pod)
                await self._reserve(pod)
        elif (claim := self.claims.get(*split_key(key))) is not None:
            await self._end(claim)

    # Claims from templates

    async def _make(self, pod: Pod) -> None:
        noted = {s.name: s.resource_claim_name for s in pod.status.resource_claim_statuses or ()}
        made: dict[str, str] = {}
        for entry in pod.spec.resource_claims or ():
            if entry.resource_claim_template_name is None:
                continue
            known = noted.get(entry.name)
            if entry.name in noted and (not known or self.claims.get(pod.metadata.namespace, known) is not None):
                continue
            try:
                made[entry.name] = await self._claim_of(pod, entry)
            except StatusError as error:
                message = f"PodResourceClaim {entry.name}: {error}"
                self.events.event(pod, "Warning", "FailedResourceClaimCreation", message)
                raise
        if made:
            statuses = [{"name": name, "resourceClaimName": claim} for name, claim in made.items()]
            body = {"metadata": {"uid": pod.metadata.uid}, "status": {"resourceClaimStatuses": statuses}}
            meta = pod.metadata
            resource = self.client.resource(Pod)
            patched = await resource.patch(meta.name, meta.namespace, body, type="strategic", subresource="status")
            await self.pods.caught_up(patched)

    async def _claim_of(self, pod: Pod, entry: PodResourceClaim) -> str:
        """The name of the claim for an entry, made if there is none."""
        for claim in self.claims.by_index(OWNER, pod.metadata.uid):
            annotations = claim.metadata.annotations or {}
            if annotations.get(ENTRY) == entry.name and claim.metadata.deletion_timestamp is None:
                return claim.metadata.name
        namespace = pod.metadata.namespace
        name = entry.resource_claim_template_name or ""
        template = self.templates.get(namespace, name)
        if template is None:
            template = await self.client.resource(ResourceClaimTemplate).get(name, namespace)
        inner = template.spec.metadata or ObjectMeta()
        made = ResourceClaim(
            metadata=ObjectMeta(
                generate_name=f"{pod.metadata.name}-{entry.name}-",
                namespace=namespace,
                labels=inner.labels,
                annotations={**(inner.annotations or {}), ENTRY: entry.name},
                owner_references=[controller_reference(pod)],
            ),
            spec=template.spec.spec,
        )
        created = await self.client.resource(ResourceClaim).create(made)
        await self.claims.caught_up(created)
        return created.metadata.name

    async def _reserve(self, pod: Pod) -> None:
        """For a Pod whose node the scheduler did not choose: its claims, as far as they are allocated."""
        if not pod.spec.node_name:
            return
        for name in _names(pod):
            claim = self.claims.get(pod.metadata.namespace, name)
            if claim is None or claim.status.allocation is None or claim.metadata.deletion_timestamp is not None:
                continue
            users = claim.status.reserved_for or []
            if any(user.uid == pod.metadata.uid for user in users) or len(users) >= 256:
                continue
            changed = codec.copy(claim)
            user = ResourceClaimConsumerReference(resource="pods", name=pod.metadata.name, uid=pod.metadata.uid)
            changed.status.reserved_for = [*users, user]
            await self.claims.caught_up(await self.client.resource(ResourceClaim).update_status(changed))

    # The end of reservations

    async def _end(self, claim: ResourceClaim) -> None:
        resource = self.client.resource(ResourceClaim)
        users = claim.status.reserved_for or []
        valid = [user for user in users if await self._may_run(claim.metadata.namespace, user)]
        current = claim
        ours = FINALIZER in (claim.metadata.finalizers or ())
        freed = ours and not valid and (len(users) > 0 or claim.metadata.deletion_timestamp is not None)
        if len(valid) < len(users) or (freed and claim.status.allocation is not None):
            current = codec.copy(claim)
            current.status.reserved_for = valid or None
            if freed:
                current.status.allocation = None
            current = await resource.update_status(current)
            await self.claims.caught_up(current)
        if freed and current.status.allocation is None:
            current = codec.copy(current)
            current.metadata.finalizers = [f for f in current.metadata.finalizers or () if f != FINALIZER] or None
            current = await resource.update(current)
            await self.claims.caught_up(current)
        owner = controller_of(claim)
        if valid or owner is None or owner.kind != "Pod" or claim.metadata.deletion_timestamp is not None:
            return
        pod = self.pods.get(claim.metadata.namespace, owner.name)
        if pod is not None and (pod.metadata.uid != owner.uid or _is_done(pod)):
            try:
                await resource.delete(claim.metadata.name, claim.metadata.namespace, uid=claim.metadata.uid)
            except StatusError as error:
                if error.code != 404:
                    raise

    async def _may_run(self, namespace: str, user: ResourceClaimConsumerReference) -> bool:
        """Whether a reservation still stands. A Pod that the cache does not know is asked for: it may be new."""
        if user.api_group or user.resource != "pods":
            raise RuntimeError(f"unsupported ReservedFor entry: {user}")
        pod = self.pods.get(namespace, user.name)
        if pod is None:
            try:
                pod = await self.client.resource(Pod).get(user.name, namespace)
            except StatusError as error:
                if error.code != 404:
                    raise
                return False
        return pod.metadata.uid == user.uid and not _is_done(pod)


def _is_done(pod: Pod) -> bool:
    """None of its containers runs or ever will."""
    return is_terminal(pod) or (pod.metadata.deletion_timestamp is not None and not pod.spec.node_name)


def _names(pod: Pod) -> list[str]:
    """The claims of a Pod, as far as they are known."""
    made = {s.name: s.resource_claim_name for s in pod.status.resource_claim_statuses or ()}
    found = (entry.resource_claim_name or made.get(entry.name) for entry in pod.spec.resource_claims or ())
    extended = pod.status.extended_resource_claim_status
    return [name for name in (*found, extended.resource_claim_name if extended else None) if name]


def _templates(pod: Pod) -> Iterable[str]:
    for entry in pod.spec.resource_claims or ():
        if entry.resource_claim_template_name:
            yield f"{pod.metadata.namespace}/{entry.resource_claim_template_name}"
