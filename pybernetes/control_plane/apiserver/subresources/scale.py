"""`scale`: how many replicas, in one form for every kind that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pybernetes.api.autoscaling_v1 import Scale as ScaleObject
from pybernetes.api.autoscaling_v1 import ScaleSpec, ScaleStatus
from pybernetes.api.kinds import Kind
from pybernetes.control_plane.apiserver.body import read_as
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.objects import AnyObject, StructCodec
from pybernetes.control_plane.apiserver.resource import Resource, Strategy, Subresource
from pybernetes.control_plane.apiserver.verbs.change import change
from pybernetes.control_plane.apiserver.verbs.get import find, settle
from pybernetes.control_plane.apiserver.verbs.patch import MERGE_PATCH, body_of, check_type, patched
from pybernetes.control_plane.apiserver.verbs.writing import check_options
from pybernetes.machinery import errors, field, labels
from pybernetes.machinery.meta import ObjectMeta

_CODEC = StructCodec(ScaleObject)
_KIND = Kind("autoscaling", "v1", "Scale", "scales", True, "autoscaling_v1")
#: How a Scale is shown, whatever it belongs to.
_SCALES = Resource(_KIND, _CODEC, Strategy(_KIND))


class Scale(Subresource):
    """`read(obj)` gives (spec replicas, status replicas, selector text), `write(obj, replicas)` sets them: custom
    resources override both."""

    name = "scale"
    api_version = "autoscaling/v1"
    kind = "Scale"
    verbs = ("get", "patch", "update")

    def read(self, obj: AnyObject) -> tuple[int, int, str]:
        """The replicas wanted and there, and their selector."""
        workload: Any = obj
        selector = workload.spec.selector
        if isinstance(selector, dict):
            text = str(labels.from_map(selector))
        else:
            text = str(labels.from_struct(selector)) if selector is not None else ""
        return workload.spec.replicas or 0, workload.status.replicas or 0, text

    def write(self, obj: AnyObject, replicas: int) -> None:
        """Set the replicas wanted on an object of our own."""
        cast(Any, obj).spec.replicas = replicas

    def scale_of(self, obj: AnyObject) -> ScaleObject:
        """The Scale of an object."""
        wanted, there, selector = self.read(obj)
        meta = obj.metadata
        return ScaleObject(
            metadata=ObjectMeta(
                name=meta.name,
                namespace=meta.namespace,
                uid=meta.uid,
                resource_version=meta.resource_version,
                creation_timestamp=meta.creation_timestamp,
            ),
            spec=ScaleSpec(replicas=wanted),
            status=ScaleStatus(replicas=there, selector=selector or None),
        )

    async def handle(self, call: Call) -> Result | None:
        if call.info.verb == "get":
            await settle(self.core, call)
            return Result(obj=self.scale_of(find(call).obj), resource=_SCALES)
        check_options(call, "UpdateOptions")
        wanted = self._patch(call) if call.info.verb == "patch" else self._body(call)
        resource = self.resource

        def produce(old: AnyObject) -> AnyObject:
            scale = wanted(old)
            replicas = scale.spec.replicas or 0
            if replicas < 0:
                wrong = field.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
                raise errors.invalid("autoscaling", "Scale", call.info.name, [wrong])
            new = resource.codec.copy(old)
            self.write(new, replicas)
            new.metadata.resource_version = scale.metadata.resource_version
            if scale.metadata.uid:
                new.metadata.uid = scale.metadata.uid
            return new

        strategy = resource.strategy
        result = await change(
            self.core,
            call,
            produce,
            subresource="scale",
            prepare=strategy.prepare_update,
            validate=strategy.validate_update,
            again=call.info.verb == "patch",
        )
        return Result(obj=self.scale_of(result.item.obj if result.item is not None else result.obj), resource=_SCALES)

    def _body(self, call: Call) -> Callable[[AnyObject], ScaleObject]:
        scale = read_as(call, ScaleObject)
        if scale is None:
            raise errors.bad_request("the body is empty")
        if scale.metadata.name and scale.metadata.name != call.info.name:
            raise errors.bad_request(
                f"the name of the object ({scale.metadata.name}) does not match the name on the URL ({call.info.name})"
            )
        return lambda old: scale

    def _patch(self, call: Call) -> Callable[[AnyObject], ScaleObject]:
        kind = check_type(call, self.resource)
        if kind.endswith("+yaml"):
            from pybernetes.control_plane.apiserver.verbs.apply import body_of as configuration

            body: Any = configuration(call)
            kind = MERGE_PATCH
        else:
            body = body_of(call, kind)
        scales = Resource(self.resource.kind, _CODEC, self.resource.strategy)

        def patched_scale(old: AnyObject) -> ScaleObject:
            wire = patched(_CODEC.to_wire(self.scale_of(old)), body, kind, scales)
            return cast(ScaleObject, _CODEC.convert(wire, None))

        return patched_scale
