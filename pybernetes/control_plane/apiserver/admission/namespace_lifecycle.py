"""NamespaceLifecycle: some namespaces are never deleted.

That nothing new is made in a namespace that is missing or going away is checked by the verbs themselves
(`Core.check_namespace`), before admission, as upstream's plugin is the first in its chain.
"""

from __future__ import annotations

from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.machinery import errors

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"
    mutates = True

    def handles(self, attributes: Attributes) -> bool:
        if attributes.operation != "DELETE":
            return False
        kind = attributes.resource.kind
        return kind.resource == "namespaces" and not kind.group and attributes.name in IMMORTAL

    async def admit(self, attributes: Attributes) -> None:
        raise errors.forbidden(attributes.resource.group_resource, attributes.name, "this namespace may not be deleted")
