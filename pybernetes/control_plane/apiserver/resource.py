"""A served resource, and the strategy: everything that is special about its kind.

Verbs are generic; where kinds differ they ask the `Strategy`, one subclass per kind in `resources/`. A hook that a
kind does not need is inherited from here and does the ordinary thing. A `Resource` ties a kind in one served version
to the storage its objects live in (which may belong to another version or group, then `stored`/`served` convert).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import msgspec

from pybernetes.api import rules
from pybernetes.api.kinds import GroupResource, Kind
from pybernetes.control_plane.apiserver.objects import AnyObject, Codec

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.cache import Storage
    from pybernetes.control_plane.apiserver.call import Call, Result
    from pybernetes.control_plane.apiserver.core import Core
    from pybernetes.control_plane.apiserver.crd.tracking import Views
    from pybernetes.machinery.field import FieldError
    from pybernetes.machinery.meta import DeleteOptions

#: A selectable field's value, as text ("" when unset).
Getter = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the kind's table. priority above 0: shown only in wide output."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Table:
    """How a kind prints: `row(obj)` gives one cell per column."""

    columns: tuple[Column, ...]
    row: Callable[[Any], list[Any]]


class Strategy:
    """What the server does with one kind. `kind` is the row of the kind it is for."""

    #: The kind has a status subresource: writes to the object leave the status alone, and the other way round.
    has_status = False
    #: metadata.generation counts changes of everything but metadata and status.
    counts_generation = False
    #: PUT of a name that does not exist creates it.
    create_on_update = False
    #: PUT without resourceVersion overwrites.
    unconditional_update = True
    #: Deletion without a policy orphans the dependents (kinds older than garbage collection).
    orphans_by_default = False
    #: DELETE answers with the object instead of a Status.
    returns_deleted = False
    #: The warning that answers every request, for a version that is deprecated.
    deprecation = ""
    #: Selectable fields beside metadata.name and metadata.namespace.
    fields: Mapping[str, Getter] = {}
    #: The selectable field that watches are indexed by ("" is none).
    indexed_field = ""

    #: Set when the resource is built.
    core: Core

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    # -- what is written --------------------------------------------------------------------------------------------

    def set_defaults(self, obj: AnyObject) -> None:
        """Fill in defaults, in place."""
        defaults = self._defaults
        if defaults is not None:
            defaults(obj)

    def prepare_create(self, obj: AnyObject, call: Call) -> None:
        """Bring a new object into the state it starts in (after mutating admission)."""
        if self.has_status:
            self.reset_status(obj)
        if self.counts_generation:
            obj.metadata.generation = 1

    def prepare_update(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        """Undo what an update of the main resource may not change; count the generation."""
        if self.has_status:
            new.status = old.status  # type: ignore[union-attr]
        new.metadata.generation = old.metadata.generation
        if self.counts_generation and self.changed(new, old):
            new.metadata.generation = (old.metadata.generation or 0) + 1

    def prepare_status(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        """Undo what an update of the status may not change: all but status and some metadata."""
        for name in self._specs:
            setattr(new, name, getattr(old, name))
        metadata, before = new.metadata, old.metadata
        metadata.generation = before.generation
        metadata.deletion_timestamp = before.deletion_timestamp
        metadata.deletion_grace_period_seconds = before.deletion_grace_period_seconds

    def validate(self, obj: AnyObject) -> list[FieldError]:
        """What is wrong with a new object."""
        validation = self._validation
        return validation.create(obj) if validation is not None else []

    def validate_update(self, new: AnyObject, old: AnyObject) -> list[FieldError]:
        """What is wrong with a change."""
        validation = self._validation
        return validation.update(new, old) if validation is not None else []

    def validate_status(self, new: AnyObject, old: AnyObject) -> list[FieldError]:
        """What is wrong with a change of the status."""
        validation = self._validation
        return validation.status(new, old) if validation is not None and validation.status is not None else []

    def warnings(self, new: AnyObject, old: AnyObject | None) -> list[str]:
        """What is odd about an object that is accepted, for Warning headers; not asked for a status."""
        warn = self._warn
        return warn(new, old) if warn is not None else []

    # -- what happens around the write ------------------------------------------------------------------------------

    async def before_create(self, obj: AnyObject, call: Call) -> Callable[[], None] | None:
        """Take what the object needs (allocations); returns how to give it back when the write fails."""
        return None

    async def before_update(self, new: AnyObject, old: AnyObject, call: Call) -> Callable[[], None] | None:
        """The same for an update."""
        return None

    def after_delete(self, obj: AnyObject) -> None:
        """Give back what the object had."""

    def graceful(self, obj: AnyObject, options: DeleteOptions) -> bool:
        """Whether the object is deleted gracefully: then `options.grace_period_seconds` is set by this call."""
        return False

    def check_delete(self, obj: AnyObject) -> None:
        """Refuse a deletion."""

    def held(self, obj: AnyObject) -> bool:
        """Whether anything but finalizers in the metadata keeps a deleted object alive."""
        return False

    def mark_deleting(self, obj: AnyObject) -> None:
        """What a deletion that has to wait changes beside the metadata."""

    def decorate(self, obj: AnyObject) -> AnyObject:
        """The object as it is shown, where that is not as it is stored."""
        return obj

    @cached_property
    def table(self) -> Table | None:
        """How the kind prints; None prints name and creation time."""
        from pybernetes.control_plane.apiserver.resources import columns

        return columns.table_of(self.kind)

    # -- derived ----------------------------------------------------------------------------------------------------

    def changed(self, new: AnyObject, old: AnyObject) -> bool:
        """Whether anything but metadata and status differs."""
        return any(getattr(new, name) != getattr(old, name) for name in self._specs)

    def reset_status(self, obj: AnyObject) -> None:
        """Empty the status."""
        obj.status = self._empty_status()  # type: ignore[union-attr]

    @cached_property
    def _specs(self) -> tuple[str, ...]:
        names = [f.name for f in msgspec.structs.fields(self.kind.type)]
        return tuple(n for n in names if n not in ("api_version", "kind", "metadata", "status"))

    @cached_property
    def _empty_status(self) -> Callable[[], Any]:
        status = next(f for f in msgspec.structs.fields(self.kind.type) if f.name == "status")
        if status.default_factory is not msgspec.NODEFAULT:
            return cast("Callable[[], Any]", status.default_factory)
        return lambda: None

    @cached_property
    def _defaults(self) -> Callable[[Any], None] | None:
        return rules.defaults_of(self.kind)

    @cached_property
    def _warn(self) -> Callable[[Any, Any], list[str]] | None:
        return rules.warnings_of(self.kind)

    @cached_property
    def _validation(self) -> Any:
        return rules.validation_of(self.kind)


class Subresource:
    """One subresource (`status`, `scale`, `binding`...): the verbs it has are the methods it overrides.

    kind: (api version, kind) of what it exchanges, for discovery; ("", "") is the resource's own.
    """

    name = ""
    api_version = ""
    kind = ""
    verbs: tuple[str, ...] = ()
    #: Takes any HTTP method (proxies).
    any_method = False

    def __init__(self, core: Core, resource: Resource) -> None:
        self.core = core
        self.resource = resource

    async def handle(self, call: Call) -> Result | None:
        """Answer `call` (its `info.verb` is one of `verbs`)."""
        raise NotImplementedError


@dataclass(eq=False)
class Resource:
    """One resource in one served version."""

    kind: Kind
    codec: Codec
    strategy: Strategy
    #: None for kinds that are not stored (reviews).
    storage: Storage | None = None
    subresources: dict[str, Subresource] = field(default_factory=dict)
    singular: str = ""
    list_kind: str = ""
    #: Serves a kind that answers `create` without storing anything (reviews, bindings), or the odd read-only one.
    special: Subresource | None = None
    #: Conversions when the storage holds another version: stored -> served, served -> stored.
    served: Callable[[AnyObject], AnyObject] | None = None
    stored: Callable[[AnyObject], AnyObject] | None = None
    #: How changes look in other versions, where a webhook converts; for managed fields.
    views: Views | None = None
    #: Whether discovery says so; a version that is deprecated still is served.
    storage_version_hash: str = ""

    def __post_init__(self) -> None:
        self.singular = self.singular or self.kind.singular
        self.list_kind = self.list_kind or self.kind.kind + "List"

    @property
    def group_resource(self) -> GroupResource:
        return self.kind.group_resource

    def key(self, namespace: str, name: str) -> str:
        """Where in the store the object is."""
        storage = cast("Storage", self.storage)
        return f"{storage.prefix}{namespace}/{name}" if self.kind.namespaced else f"{storage.prefix}{name}"
