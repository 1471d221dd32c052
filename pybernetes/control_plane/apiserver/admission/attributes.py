"""What admission plugins see of a request, and the shape every plugin has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pybernetes.control_plane.apiserver.admission.reinvocation import Asked

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.authentication.user import User
    from pybernetes.control_plane.apiserver.objects import AnyObject
    from pybernetes.control_plane.apiserver.resource import Resource

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


class Attributes:
    """One write (or connect) on its way into the store.

    resource: the served resource (`.kind` is its row: group, version, kind, resource); for a subresource of another
    kind (pods/eviction) `kind` still is the kind of `obj`.
    obj: the new object (None for DELETE); mutating plugins change it in place, or assign another one.
    old_obj: the object as stored (UPDATE, DELETE; None for CREATE); shared, never change it.
    options: the wire form of CreateOptions, UpdateOptions or DeleteOptions. name: may be "" before a generated name.
    """

    __slots__ = (
        "again",
        "annotations",
        "api_version",
        "asked",
        "dry_run",
        "kind",
        "mutated",
        "name",
        "namespace",
        "obj",
        "old_obj",
        "operation",
        "options",
        "resource",
        "subresource",
        "user",
        "warnings",
    )

    def __init__(
        self,
        operation: Operation,
        resource: Resource,
        namespace: str,
        name: str,
        obj: AnyObject | None,
        old_obj: AnyObject | None,
        user: User | None,
        subresource: str = "",
        options: dict[str, Any] | None = None,
        dry_run: bool = False,
    ) -> None:
        self.operation = operation
        self.resource = resource
        self.api_version = obj.api_version if obj is not None and obj.api_version else resource.kind.api_version
        self.kind = obj.kind if obj is not None and obj.kind else resource.kind.kind
        self.subresource = subresource
        self.namespace = namespace
        self.name = name
        self.obj = obj
        self.old_obj = old_obj
        self.user = user
        self.options = options or {}
        self.dry_run = dry_run
        self.warnings: list[str] = []
        #: A webhook or a policy changed the object; the second round of the mutating plugins; who was asked, by plugin.
        self.mutated = False
        self.again = False
        self.asked: dict[str, Asked] | None = None
        #: Notes for the audit; None when nobody reads them.
        self.annotations: dict[str, str] | None = None

    def asked_by(self, plugin: str) -> Asked:
        """What a plugin remembers from the first round to the second."""
        if self.asked is None:
            self.asked = {}
        return self.asked.setdefault(plugin, Asked())

    def annotate(self, key: str, value: str) -> None:
        """Leave a note for the audit."""
        if self.annotations is not None:
            self.annotations[key] = value

    def warn(self, text: str) -> None:
        """Have the answer carry a Warning header."""
        self.warnings.append(text)


class Plugin:
    """One admission plugin. Sync work stays sync in spirit: do not await what does not wait.

    `mutates`/`validates` say which halves exist, so that the chain skips the other. Refuse by raising a StatusError.
    """

    name = ""
    mutates = False
    validates = False
    #: `handles` looks at operation, kind and subresource only, so that the chain may remember its answer.
    fixed = False

    def handles(self, attributes: Attributes) -> bool:
        """Whether this plugin looks at such a request; cheap, called for every write."""
        raise NotImplementedError

    async def admit(self, attributes: Attributes) -> None:
        """Mutate `attributes.obj`, or refuse."""

    async def validate(self, attributes: Attributes) -> None:
        """Refuse, or do nothing. Runs after the object was validated; must not mutate."""
