"""Defaults of Ingresses, IngressClasses and NetworkPolicies."""

from __future__ import annotations

from pybernetes.api.networking_v1 import Ingress, IngressClass, IngressLoadBalancerStatus, NetworkPolicy


def default_ingress(ingress: Ingress) -> None:
    if ingress.status.load_balancer is None:
        ingress.status.load_balancer = IngressLoadBalancerStatus()


def default_ingress_class(ingress_class: IngressClass) -> None:
    parameters = ingress_class.spec.parameters
    if parameters is not None and not parameters.scope:
        parameters.scope = "Cluster"


def default_network_policy(policy: NetworkPolicy) -> None:
    spec = policy.spec
    for rule in (*(spec.ingress or ()), *(spec.egress or ())):
        for port in rule.ports or ():
            if not port.protocol:
                port.protocol = "TCP"
    if not spec.policy_types:
        spec.policy_types = ["Ingress", "Egress"] if spec.egress else ["Ingress"]
