"""kube-proxy: Services become rules of the node's packet filter."""

from pybernetes.network.proxy.proxy import Config, Proxy, teardown

__all__ = ["Config", "Proxy", "teardown"]
