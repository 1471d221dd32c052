"""How definitions are called: `io.k8s.api.core.v1.Pod`, and `com.example.v1.Foo` for custom kinds."""

from __future__ import annotations

import msgspec

from pybernetes.api.kinds import Kind

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME = f"{META}.Time"
MICRO_TIME = f"{META}.MicroTime"

_PREFIXES = {
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


def of_struct(struct: type[msgspec.Struct]) -> str:
    """The definition of a struct class."""
    module = struct.__module__
    if module.startswith("pybernetes.machinery."):
        return f"{META}.{struct.__name__}"
    return f"{of_module(module.removeprefix('pybernetes.api.').split('.')[0])}.{struct.__name__}"


def of_module(module: str) -> str:
    """The prefix of a group version: `core_v1` is `io.k8s.api.core.v1`."""
    group, _, version = module.rpartition("_")
    return f"{_PREFIXES.get(group, f'io.k8s.api.{group}')}.{version}"


def of_custom(kind: Kind, suffix: str = "") -> str:
    """The definition of a custom kind: its group turned round."""
    return f"{'.'.join(reversed(kind.group.split('.')))}.{kind.version}.{kind.kind}{suffix}"
