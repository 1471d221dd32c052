"""What the network part of a node agent may read beyond the roles of kube-proxy and CoreDNS: network policies.

They are enforced beside proxy and DNS, with the same identity. No role of upstream's fits: there they are the business
of a CNI plug-in.
"""

from __future__ import annotations

import ipaddress

from pybernetes.api.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.machinery.meta import ObjectMeta

_NAME = "pybernetes:network-policy"
_READ = ["get", "list", "watch"]


async def run(setup: Setup) -> None:
    if not setup.advertise or ipaddress.ip_address(setup.advertise).is_loopback:
        return  # no real nodes
    role = ClusterRole(
        metadata=ObjectMeta(name=_NAME),
        rules=[
            PolicyRule(api_groups=["networking.k8s.io"], resources=["networkpolicies"], verbs=_READ),
        ],
    )
    binding = ClusterRoleBinding(
        metadata=ObjectMeta(name=_NAME),
        role_ref=RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=_NAME),
        subjects=[Subject(kind="User", api_group="rbac.authorization.k8s.io", name="system:kube-proxy")],
    )
    await setup.ensure([role, binding])
