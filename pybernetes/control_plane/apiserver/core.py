"""What verbs and subresources share: the cache, the registry, admission, and a few questions about the cluster."""

from __future__ import annotations

from typing import Any

from pybernetes.api.kinds import GroupResource
from pybernetes.control_plane.apiserver.admission.chain import Admission
from pybernetes.control_plane.apiserver.cache import Item, Storage, WatchCache
from pybernetes.control_plane.apiserver.registry import Registry
from pybernetes.machinery import errors
from pybernetes.machinery.meta import StatusCause

_NAMESPACES = GroupResource("", "namespaces")


class Core:
    """See the module. `authorize(user, attributes)`, `tokens` and the like are set by the server when it assembles."""

    def __init__(self, cache: WatchCache, registry: Registry, admission: Admission) -> None:
        self.cache = cache
        self.registry = registry
        self.admission = admission
        self.namespaces: Storage = cache.storage("", "namespaces")
        self.authorizer: Any = None
        #: The same for who can wait: it may raise `authorization.webhook.Undecided`. None: there is no difference.
        self.patient_authorizer: Any = None
        self.rbac: Any = None
        self.authenticator: Any = None
        #: The server's configuration.
        self.config: Any = None
        self.token_issuer: Any = None
        #: How to reach kubelets, Pods and Services (`connect.dial`), set by the server.
        self.connector: Any = None

    def item(self, group: str, resource: str, namespace: str, name: str) -> Item | None:
        """A stored object by name; None when there is none."""
        storage = self.cache.storage(group, resource)
        return storage.items.get(f"{storage.prefix}{namespace}/{name}" if namespace else storage.prefix + name)

    def check_namespace(self, namespace: str, gr: tuple[str, str], name: str) -> None:
        """Refuse to create in a namespace that does not exist or is going away."""
        item = self.namespaces.items.get(self.namespaces.prefix + namespace)
        if item is None:
            raise errors.not_found(_NAMESPACES, namespace)
        if item.obj.metadata.deletion_timestamp is not None:
            message = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = errors.forbidden(gr, name, message)
            assert error.details is not None
            cause = f"namespace {namespace} is being terminated"
            error.details.causes = [
                StatusCause(reason="NamespaceTerminating", message=cause, field_="metadata.namespace")
            ]
            raise error
