"""Which objects of a resource a list, watch or deletecollection is about: namespace, labels, fields.

Selectors become one predicate over cached items. Equality on the name, on the resource's indexed field or the
namespace alone also gives an index value, so that fan-out and listing need not ask everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybernetes.machinery import errors, fields, labels

if TYPE_CHECKING:
    from pybernetes.api.kinds import Kind
    from pybernetes.control_plane.apiserver.cache import Item
    from pybernetes.control_plane.apiserver.call import Call
    from pybernetes.control_plane.apiserver.resource import Resource

Predicate = Callable[["Item"], bool]


def _unknown_field(path: str, kind: Kind, has_own: bool) -> str:
    is_custom = not kind.module
    if kind.kind == "Job" and not is_custom:
        return f'field label "{path}" not supported for Job'
    if has_own or is_custom:
        return f"field label not supported: {path}"
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'


class Selection:
    """namespace: "" is all. `predicate` judges labels and fields (None: no selectors), `matches` the namespace too."""

    __slots__ = ("field_selector", "index", "key", "label_selector", "matches", "name", "namespace", "predicate")

    def __init__(self, resource: Resource, namespace: str, label_text: str, field_text: str) -> None:
        try:
            self.label_selector = labels.parse(label_text)
            self.field_selector = fields.parse(field_text)
        except ValueError as error:
            raise errors.bad_request(error) from None
        strategy = resource.strategy
        getters = strategy.fields
        for path in self.field_selector.paths:
            if (
                path != "metadata.name"
                and path not in getters
                and not (path == "metadata.namespace" and resource.kind.namespaced)
            ):
                raise errors.bad_request(_unknown_field(path, resource.kind, bool(getters)))
        exact = self.field_selector.exact
        self.name = exact("metadata.name")
        self.namespace = namespace or (exact("metadata.namespace") or "" if resource.kind.namespaced else "")
        self.predicate = self._predicate(resource)
        indexed = strategy.indexed_field
        value = exact(indexed) if indexed else None
        if self.name is not None:
            self.index = ("name", self.name)
        elif value is not None:
            self.index = ("field", value)
        elif self.namespace:
            self.index = ("namespace", self.namespace)
        else:
            self.index = ("", "")
        self.matches = self._matches()
        self.key = (self.namespace, str(self.label_selector), str(self.field_selector))

    def _predicate(self, resource: Resource) -> Predicate | None:
        wanted = self.label_selector
        terms = self.field_selector.terms
        if wanted.empty and not terms:
            return None
        served = resource.served
        tests: list[tuple[Callable[[Item], str], bool, str]] = []
        for path, operator, value in terms:
            get: Callable[[Item], str]
            if path == "metadata.name":
                get = _name
            elif path == "metadata.namespace":
                get = _namespace
            else:
                get = _getter(resource.strategy.fields[path], served)
            tests.append((get, operator == "=", value))
        if not tests:
            return lambda item: wanted.matches(item.obj.metadata.labels)

        def holds(item: Item) -> bool:
            for get, equal, value in tests:
                if (get(item) == value) is not equal:
                    return False
            return wanted.empty or wanted.matches(item.obj.metadata.labels)

        return holds

    def _matches(self) -> Predicate | None:
        namespace, predicate = self.namespace, self.predicate
        if not namespace or self.index[0] == "namespace":
            return predicate
        if predicate is None:
            return lambda item: item.namespace == namespace
        return lambda item: item.namespace == namespace and predicate(item)


def _name(item: Item) -> str:
    return item.name


def _namespace(item: Item) -> str:
    return item.namespace


def _getter(getter: Callable[[Any], str], served: Callable[[Any], Any] | None) -> Callable[[Item], str]:
    if served is None:
        return lambda item: getter(item.obj)
    return lambda item: getter(served(item.obj))


def of(call: Call, resource: Resource) -> Selection:
    """The selection that a request's query asks for."""
    params = call.params
    if not params:
        return Selection(resource, call.info.namespace, "", "")
    return Selection(resource, call.info.namespace, call.param("labelSelector"), call.param("fieldSelector"))
