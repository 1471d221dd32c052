"""The cloud controller manager: nodes, load balancers and routes of whoever owns the machines.

`provider.py` is the seam: what a cloud must be able to do. `memory.py`, `local.py` and `libcloud.py` are three of equal
rank; the controllers (`node`, `node_lifecycle`, `service`, `routes`) know no more of them than the protocol says.
"""
