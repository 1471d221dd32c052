"""Which requests a webhook or a policy is about: rules, selectors, equivalence of versions. Pure but for namespaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.machinery import labels
from pybernetes.machinery.meta import LabelSelector

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core
    from pybernetes.control_plane.apiserver.resource import Resource

#: Configurations of admission itself are never judged by it, so that nobody locks himself out.
OWN_GROUP = "admissionregistration.k8s.io"
_OWN = frozenset(
    {
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    }
)
#: Kept apart from admission webhooks by upstream.
_REVIEWS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})


class Rule(Protocol):
    @property
    def operations(self) -> list[str] | None: ...
    @property
    def api_groups(self) -> list[str] | None: ...
    @property
    def api_versions(self) -> list[str] | None: ...
    @property
    def resources(self) -> list[str] | None: ...
    @property
    def scope(self) -> str | None: ...


class Hit(NamedTuple):
    """What matched: the resource's group, version and name, and its kind, as the rule wants to see them."""

    group: str
    version: str
    resource: str
    kind: str


def exempt(attributes: Attributes) -> bool:
    """Requests that neither webhooks nor policies see."""
    kind = attributes.resource.kind
    return kind.group == OWN_GROUP and kind.resource in _OWN


def match(
    core: Core,
    attributes: Attributes,
    rules: Sequence[Rule],
    namespace_selector: LabelSelector | None,
    object_selector: LabelSelector | None,
    equivalent: bool,
) -> Hit | None:
    """The hit, or None when the rules and selectors are not about this request."""
    hit = match_rules(core, attributes, rules, equivalent)
    if hit is None:
        return None
    if not selects_namespace(core, attributes, namespace_selector):
        return None
    return hit if selects_object(attributes, object_selector) else None


def match_rules(core: Core, attributes: Attributes, rules: Iterable[Rule], equivalent: bool) -> Hit | None:
    """The first rule that covers the request, in its own version or (if `equivalent`) in another of its kind."""
    kind = attributes.resource.kind
    listed = list(rules)
    for rule in listed:
        if covers(rule, attributes, kind.group, kind.version, kind.resource):
            return Hit(kind.group, kind.version, kind.resource, attributes.kind)
    if equivalent:
        for other in equivalents(core, attributes.resource):
            for rule in listed:
                if covers(rule, attributes, other.kind.group, other.kind.version, other.kind.resource):
                    return Hit(other.kind.group, other.kind.version, other.kind.resource, other.kind.kind)
    return None


def equivalents(core: Core, resource: Resource) -> list[Resource]:
    """The same objects in other versions or groups."""
    storage = resource.storage
    if storage is None:
        return []
    return [r for r in core.registry if r is not resource and r.storage is storage]


def covers(rule: Rule, attributes: Attributes, group: str, version: str, resource: str) -> bool:
    """Whether one rule is about a request, seen as this resource."""
    operations, groups, versions = rule.operations or (), rule.api_groups or (), rule.api_versions or ()
    if "*" not in operations and attributes.operation not in operations:
        return False
    if ("*" not in groups and group not in groups) or ("*" not in versions and version not in versions):
        return False
    if rule.scope not in (None, "*"):
        namespaced = bool(attributes.namespace) and resource != "namespaces"
        if (rule.scope == "Namespaced") is not namespaced:
            return False
    if (wanted := getattr(rule, "resource_names", None)) and attributes.name not in wanted:
        return False
    sub = attributes.subresource
    for pattern in rule.resources or ():
        main, _, part = pattern.partition("/")
        if main in ("*", resource) and part in ("*", sub):
            if not part and pattern == "*" and sub:
                continue
            return True
    return False


def selects_namespace(core: Core, attributes: Attributes, selector: LabelSelector | None) -> bool:
    """By the labels of the namespace; requests for the Namespace itself by its own; cluster-wide ones always match."""
    if selector is None or not (selector.match_labels or selector.match_expressions):
        return True
    if attributes.resource.kind.resource == "namespaces" and not attributes.resource.kind.group:
        subject = attributes.obj if attributes.obj is not None else attributes.old_obj
        own = subject.metadata.labels if subject is not None else None
        return labels.from_struct(selector).matches(own or {})
    if not attributes.namespace:
        return True
    item = core.item("", "namespaces", "", attributes.namespace)
    return labels.from_struct(selector).matches((item.obj.metadata.labels if item is not None else None) or {})


def selects_object(attributes: Attributes, selector: LabelSelector | None) -> bool:
    """By the labels of the new or the old object: either will do."""
    if selector is None or not (selector.match_labels or selector.match_expressions):
        return True
    wanted = labels.from_struct(selector)
    subjects: list[Any] = [attributes.obj, attributes.old_obj]
    return any(
        wanted.matches(subject.metadata.labels or {})
        for subject in subjects
        if subject is not None and hasattr(subject, "metadata")
    )
