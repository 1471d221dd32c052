"""kube-proxy: Services become rules of the node's packet filter; and beside it, NetworkPolicies."""

from pybernetes.network.proxy import policy
from pybernetes.network.proxy.proxy import Config, Proxy, teardown

__all__ = ["Config", "Proxy", "policy", "teardown"]
