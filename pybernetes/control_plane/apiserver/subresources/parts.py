"""The shape of subresources that write one part of the object by rules of their own."""

from __future__ import annotations

from pybernetes.control_plane.apiserver.body import check_kind, read_object
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Subresource
from pybernetes.control_plane.apiserver.verbs.change import change
from pybernetes.control_plane.apiserver.verbs.create import settle_namespace
from pybernetes.control_plane.apiserver.verbs.get import get
from pybernetes.control_plane.apiserver.verbs.patch import body_of, check_identity, check_type, patched
from pybernetes.control_plane.apiserver.verbs.update import check_name
from pybernetes.control_plane.apiserver.verbs.writing import check_options
from pybernetes.machinery.field import FieldError


class Part(Subresource):
    """GET shows the object; PUT and PATCH go through `prepare` and `validate` of the subclass."""

    verbs: tuple[str, ...] = ("get", "patch", "update")

    def prepare(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        """Undo all that this subresource may not change."""
        raise NotImplementedError

    def validate(self, new: AnyObject, old: AnyObject) -> list[FieldError]:
        """What is wrong with the change."""
        return []

    async def handle(self, call: Call) -> Result | None:
        if call.info.verb == "get":
            return await get(self.core, call)
        resource = self.resource
        check_options(call, "UpdateOptions")
        again = call.info.verb == "patch"
        if again:
            kind = check_type(call, resource)
            if kind.endswith("+yaml"):
                kind = "application/merge-patch+json"
            body = body_of(call, kind)

            def produce(old: AnyObject) -> AnyObject:
                new = resource.codec.convert(patched(resource.codec.to_wire(old), body, kind, resource), None)
                check_identity(new, old, resource)
                resource.strategy.set_defaults(new)
                return new

        else:
            obj = read_object(call, resource)
            check_kind(obj, resource)
            check_name(obj, call)
            settle_namespace(obj.metadata, resource, call.info.namespace)
            resource.strategy.set_defaults(obj)

            def produce(old: AnyObject) -> AnyObject:
                return resource.codec.copy(obj)

        return await change(
            self.core,
            call,
            produce,
            subresource=self.name,
            prepare=self.prepare,
            validate=self.validate,
            again=again,
        )
