"""What the server does with objects of one custom kind in one version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from pybernetes.aio import clock
from pybernetes.api import meta_validation
from pybernetes.api.apiextensions_v1 import CustomResourceDefinition, CustomResourceDefinitionVersion
from pybernetes.api.kinds import Kind
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.crd import jsonpath, values
from pybernetes.control_plane.apiserver.objects import AnyObject, Custom
from pybernetes.control_plane.apiserver.resource import Column, Strategy, Table
from pybernetes.machinery import codec, errors, field, labels, schema, table
from pybernetes.machinery.field import FieldError
from pybernetes.machinery.meta import ObjectMeta

#: The dependants of a rule set: (new wire, old wire) -> findings.
Rules = Callable[[dict[str, Any], dict[str, Any] | None], list[FieldError]]


class CustomStrategy(Strategy):
    """`shape`: the version's schema. `rules`: its x-kubernetes-validations, None without any."""

    counts_generation = True
    returns_deleted = False

    def __init__(
        self,
        kind: Kind,
        definition: CustomResourceDefinition,
        version: CustomResourceDefinitionVersion,
        shape: schema.Schema,
        rules: Rules | None = None,
    ) -> None:
        super().__init__(kind)
        self.definition = definition
        self.version = version
        self.shape = shape
        self.rules = rules
        subresources = version.subresources
        self.has_status = subresources is not None and subresources.status is not None
        self.scale = subresources.scale if subresources is not None else None
        self.fields: Mapping[str, Callable[[Any], str]] = {
            selectable.json_path.removeprefix("."): _getter(selectable.json_path)
            for selectable in version.selectable_fields or ()
        }
        self.table = _table(version)
        if version.deprecated:
            plain = f"{kind.group}/{kind.version} {kind.kind} is deprecated"
            self.deprecation = version.deprecation_warning or plain
        self.terminating = definition.metadata.deletion_timestamp is not None

    def set_defaults(self, obj: AnyObject) -> None:
        schema.apply_defaults(cast(Custom, obj).content, self.shape)

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        custom = cast(Custom, obj)
        if self.terminating:
            raise errors.method_not_allowed(self.kind.group_resource, "create")
        if self.has_status:
            custom.content.pop("status", None)
        custom.metadata.generation = 1

    def prepare_update(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        now, was = cast(Custom, new), cast(Custom, old)
        if self.has_status:
            now.content.pop("status", None)
            if "status" in was.content:
                now.content["status"] = was.content["status"]
        now.metadata.generation = was.metadata.generation
        if self.changed(new, old):
            now.metadata.generation = (was.metadata.generation or 0) + 1

    def prepare_status(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        now, was = cast(Custom, new), cast(Custom, old)
        status = now.content.get("status")
        now.content = dict(was.content)
        if status is not None:
            now.content["status"] = status
        else:
            now.content.pop("status", None)
        kept = now.metadata
        metadata = codec.copy(was.metadata)
        metadata.managed_fields = kept.managed_fields
        metadata.resource_version = kept.resource_version
        now.metadata = metadata

    def changed(self, new: AnyObject, old: AnyObject) -> bool:
        now, was = cast(Custom, new).content, cast(Custom, old).content
        if not self.has_status:
            return now != was
        return {k: v for k, v in now.items() if k != "status"} != {k: v for k, v in was.items() if k != "status"}

    def reset_status(self, obj: AnyObject) -> None:
        cast(Custom, obj).content.pop("status", None)

    def validate(self, obj: AnyObject) -> list[FieldError]:
        custom = cast(Custom, obj)
        found = meta_validation.object_meta(custom.metadata, self.kind.namespaced, any_finalizer=True)
        return found + self._content(custom, None)

    def validate_update(self, new: AnyObject, old: AnyObject) -> list[FieldError]:
        found = meta_validation.object_meta_update(new.metadata, old.metadata, any_finalizer=True)
        return found + self._content(cast(Custom, new), cast(Custom, old))

    validate_status = validate_update

    def _content(self, custom: Custom, old: Custom | None) -> list[FieldError]:
        found = values.judge(custom.content, self.shape)
        found = [error for error in found if error.field not in ("apiVersion", "kind", "metadata")]
        if old is not None and found:
            # Ratcheting: what was wrong before and did not change stays as it is.
            before = {(e.field, str(e.value), e.detail) for e in values.judge(old.content, self.shape)}
            found = [
                e
                for e in found
                if (e.field, str(e.value), e.detail) not in before or _value(custom, e.field) != _value(old, e.field)
            ]
        if self.scale is not None:
            found += self._scale_limits(custom)
        if self.rules is not None and not found:
            found = self.rules(custom.to_wire(), old.to_wire() if old is not None else None)
        return found

    def _scale_limits(self, custom: Custom) -> list[FieldError]:
        assert self.scale is not None
        replicas = jsonpath.first(self.scale.spec_replicas_path, custom.content)
        if replicas is None or (isinstance(replicas, int) and 0 <= replicas < 2**31):
            return []
        text = "should be a non-negative integer" if isinstance(replicas, int) else "must be an integer"
        return [field.invalid(self.scale.spec_replicas_path.removeprefix("."), replicas, text)]

    def warnings(self, new: AnyObject, old: AnyObject | None) -> list[str]:
        return unqualified_finalizers(new, old)


def unqualified_finalizers(new: AnyObject, old: AnyObject | None) -> list[str]:
    """Warnings about new finalizers that somebody else may use as well."""
    known = {*((old.metadata.finalizers or ()) if old is not None else ()), "orphan", "foregroundDeletion"}
    text = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other"
    return [
        f'metadata.finalizers: "{finalizer}": {text} finalizer writers'
        for finalizer in new.metadata.finalizers or ()
        if finalizer not in known and "/" not in finalizer
    ]


def _value(custom: Custom, path: str) -> Any:
    try:
        return jsonpath.first("." + path, custom.content)
    except jsonpath.JSONPathError:
        return object()


def _getter(path: str) -> Callable[[Any], str]:
    find = jsonpath.compile(path)

    def get(obj: Any) -> str:
        found = find(obj.content)
        if not found or found[0] is None:
            return ""
        value = found[0]
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    return get


_NAME = Column("Name", format="name", description="Name must be unique within a namespace.")


def _table(version: CustomResourceDefinitionVersion) -> Table:
    """The version's printer columns; name and age without any."""
    declared = version.additional_printer_columns
    if not declared:
        age = Column("Age", "date", description="CreationTimestamp is when the object was created.")
        return Table((_NAME, age), lambda obj: [obj.metadata.name, _age(obj.metadata.creation_timestamp)])
    columns = [_NAME]
    cells: list[Callable[[dict[str, Any]], Any]] = []
    for column in declared:
        columns.append(
            Column(column.name, column.type, column.format or "", column.description or "", column.priority or 0)
        )
        cells.append(_cell(column.json_path, column.type))

    def row(obj: Any) -> list[Any]:
        wire = {"metadata": _wire_meta(obj.metadata), **obj.content}
        return [obj.metadata.name, *(cell(wire) for cell in cells)]

    return Table(tuple(columns), row)


def _wire_meta(metadata: ObjectMeta) -> dict[str, Any]:
    return cast("dict[str, Any]", codec.to_dict(metadata))


def _age(text: str | None) -> str:
    return table.age(clock.parse_rfc3339(text), clock.timestamp()) if text else "<unknown>"


def _cell(path: str, type_: str) -> Callable[[dict[str, Any]], Any]:
    find = jsonpath.compile(path)

    def cell(wire: dict[str, Any]) -> Any:
        found = [value for value in find(wire) if value is not None]
        if not found:
            return None
        value = found[0]
        if type_ == "date":
            return _age(value) if isinstance(value, str) else "<unknown>"
        if type_ == "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        if type_ == "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        if type_ == "boolean":
            return value if isinstance(value, bool) else None
        if len(found) > 1:
            return ",".join(_text(item) for item in found)
        return _text(value)

    return cell


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        import msgspec

        return msgspec.json.encode(value).decode()
    return str(value)


class Parts:
    """Reading and writing what the scale subresource shows, by the paths of a definition."""

    def __init__(self, spec_path: str, status_path: str, selector_path: str | None) -> None:
        self._spec, self._status, self._selector = spec_path, status_path, selector_path

    def read(self, obj: AnyObject) -> tuple[int, int, str]:
        content = cast(Custom, obj).content
        selector = jsonpath.first(self._selector, content) if self._selector else None
        if isinstance(selector, dict):
            selector = str(labels.from_map(selector))
        return (
            jsonpath.first(self._spec, content) or 0,
            jsonpath.first(self._status, content) or 0,
            selector or "",
        )

    def write(self, obj: AnyObject, replicas: int) -> None:
        content = cast(Custom, obj).content
        *parents, last = self._spec.removeprefix(".").split(".")
        for name in parents:
            content = content.setdefault(name, {})
        content[last] = replicas
