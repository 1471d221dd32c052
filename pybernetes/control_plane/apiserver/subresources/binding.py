"""`pods/binding` (and the older `bindings`): a scheduler's decision. The hottest write of a busy cluster."""

from __future__ import annotations

from typing import cast

from pybernetes.api.core_v1 import Binding as BindingObject
from pybernetes.api.core_v1 import Pod
from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.control_plane.apiserver.body import read_as
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.core import Core
from pybernetes.control_plane.apiserver.resource import Resource, Subresource
from pybernetes.control_plane.apiserver.resources import pods
from pybernetes.control_plane.apiserver.verbs.change import ATTEMPTS
from pybernetes.control_plane.apiserver.verbs.writing import OTHER_NAMESPACE
from pybernetes.machinery import codec, errors, field
from pybernetes.machinery.meta import Status
from pybernetes.store import RevisionConflict

_GR = ("", "pods/binding")


class Binding(Subresource):
    name = "binding"
    kind = "Binding"
    verbs = ("create",)

    async def handle(self, call: Call) -> Result | None:
        binding = _read(call)
        name = call.info.name
        if binding.metadata.name and binding.metadata.name != name:
            raise errors.bad_request("name in URL does not match name in Binding object")
        binding.metadata.name = name
        return await assign(self.core, self.resource, call, binding)


class Bindings(Subresource):
    verbs = ("create",)

    async def handle(self, call: Call) -> Result | None:
        binding = _read(call)
        pods_resource = self.core.registry.get("", "v1", "pods")
        assert pods_resource is not None
        return await assign(self.core, pods_resource, call, binding)


def _read(call: Call) -> BindingObject:
    binding = read_as(call, BindingObject)
    if binding is None:
        raise errors.bad_request("the body is empty")
    if binding.metadata.namespace and binding.metadata.namespace != call.info.namespace:
        raise errors.bad_request(OTHER_NAMESPACE)
    return binding


async def assign(core: Core, resource: Resource, call: Call, binding: BindingObject) -> Result:
    """Set the node of the Pod that the binding names."""
    name, namespace, target = binding.metadata.name, call.info.namespace, binding.target
    wrong: list[field.FieldError] = []
    if target.kind not in (None, "", "Node"):
        wrong.append(field.not_supported("target.kind", target.kind, ["Node", "<empty>"]))
    if not target.name:
        wrong.append(field.required("target.name", ""))
    if wrong:
        raise errors.invalid("", "Binding", name, wrong)
    attributes = Attributes(
        "CREATE", resource, namespace, name, binding, None, call.user, "binding", None, call.dry_run
    )
    attributes.annotations = call.annotations
    await core.admission.admit(attributes)
    await core.admission.validate(attributes)
    storage = resource.storage
    assert storage is not None and target.name
    key = resource.key(namespace, name)
    for _ in range(ATTEMPTS):
        item = storage.items.get(key)
        if item is None:
            raise errors.not_found(resource.group_resource, name)
        old = cast(Pod, item.obj)
        _check(old, binding)
        pod: Pod = codec.copy(old)
        pods.bind(pod, target.name, binding.metadata.labels, binding.metadata.annotations)
        if call.dry_run:
            break
        try:
            await storage.update(key, pod, item.revision)
        except RevisionConflict:
            await core.cache.fresh()
            continue
        break
    else:
        raise errors.conflict(_GR, name)
    return Result(201, obj=Status(status="Success", code=201))


def _check(pod: Pod, binding: BindingObject) -> None:
    name = pod.metadata.name
    if binding.metadata.uid and binding.metadata.uid != pod.metadata.uid:
        text = f"Precondition failed: UID in precondition: {binding.metadata.uid}"
        raise errors.conflict(_GR, name, f"{text}, UID in object meta: {pod.metadata.uid}")
    version = binding.metadata.resource_version
    if version and version != pod.metadata.resource_version:
        text = (
            f"Precondition failed: ResourceVersion in precondition: {version}, "
            f"ResourceVersion in object meta: {pod.metadata.resource_version}"
        )
        raise errors.conflict(_GR, name, text)
    if pod.metadata.deletion_timestamp is not None:
        raise errors.conflict(_GR, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod.spec.node_name:
        raise errors.conflict(_GR, name, f'pod {name} is already assigned to node "{pod.spec.node_name}"')
    if pod.spec.scheduling_gates:
        raise errors.conflict(_GR, name, f"pod {name} has non-empty .spec.schedulingGates")
