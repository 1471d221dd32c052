"""The kubelet: makes the pods of one node run, through a container runtime.

`lifecycle` decides (pure), `worker` performs per pod, `status` tells; `kubelet` assembles. Node registration, leases
and node status are in `node_status`; the HTTPS API of the node is `server`.
"""
