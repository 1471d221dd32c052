"""The resources that are served now. CRDs add and remove theirs at run time; discovery and OpenAPI listen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pybernetes.control_plane.apiserver.resource import Resource


class Registry:
    """Resources by (group, version, resource). `revision` counts changes, so that what is derived can be cached."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str, str], Resource] = {}
        self._listeners: list[Callable[[], None]] = []
        self.revision = 0

    def add(self, resource: Resource) -> None:
        """Serve `resource`, in the place of one with the same group, version and name."""
        kind = resource.kind
        self._resources[kind.group, kind.version, kind.resource] = resource
        self._changed()

    def remove(self, group: str, version: str, resource: str) -> None:
        """Serve it no more; nothing happens if it was not."""
        if self._resources.pop((group, version, resource), None) is not None:
            self._changed()

    def get(self, group: str, version: str, resource: str) -> Resource | None:
        return self._resources.get((group, version, resource))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource whose objects are of that kind."""
        for resource in self._resources.values():
            if resource.kind.kind == kind and resource.kind.api_version == api_version:
                return resource
        return None

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._resources.values()))

    def versions(self, group: str) -> list[str]:
        """The versions of a group, the preferred one first."""
        found = {kind.version: None for resource in self if (kind := resource.kind).group == group}
        return sorted(found, key=version_rank)

    def groups(self) -> list[str]:
        """Group names in the order of their first resource; the core group ("") included."""
        return list({resource.kind.group: None for resource in self})

    def in_version(self, group: str, version: str) -> list[Resource]:
        return [r for r in self if r.kind.group == group and r.kind.version == version]

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def extend(self, resources: Iterable[Resource]) -> None:
        """Add many."""
        for resource in resources:
            kind = resource.kind
            self._resources[kind.group, kind.version, kind.resource] = resource
        self._changed()

    def _changed(self) -> None:
        self.revision += 1
        for listener in self._listeners:
            listener()


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sort key that puts the preferred version first: v2 before v1 before v1beta2 before v1alpha1 before others."""
    import re

    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), version)
