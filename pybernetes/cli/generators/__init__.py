"""Objects made from flags, for `kubectl create KIND`: one module for each concern, one function for each kind."""

from pybernetes.cli.generators import access, data, limits, network, workloads
from pybernetes.cli.generators.shape import Generator, Missing

__all__ = ["GENERATORS", "Generator", "Missing"]

_ALL = {**workloads.GENERATORS, **data.GENERATORS, **network.GENERATORS, **access.GENERATORS, **limits.GENERATORS}
#: Words after `create` -> how the object is made, in the order of the help.
GENERATORS: dict[str, Generator] = dict(sorted(_ALL.items()))
