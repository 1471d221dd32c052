"""The priority levels and flow schemas that upstream starts with."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.api.flowcontrol_v1 import (
    ExemptPriorityLevelConfiguration,
    FlowDistinguisherMethod,
    FlowSchema,
    FlowSchemaSpec,
    GroupSubject,
    LimitedPriorityLevelConfiguration,
    LimitResponse,
    NonResourcePolicyRule,
    PolicyRulesWithSubjects,
    PriorityLevelConfiguration,
    PriorityLevelConfigurationReference,
    PriorityLevelConfigurationSpec,
    QueuingConfiguration,
    ResourcePolicyRule,
    ServiceAccountSubject,
    Subject,
    UserSubject,
)
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.machinery.meta import ObjectMeta

# name, shares, lendable percent, queues, hand size, queue length ("-" rejects)
_LEVELS = """
catch-all 5 0 - - -
system 30 33 64 6 50
node-high 40 25 64 6 50
leader-election 10 0 16 4 50
workload-high 40 50 128 6 50
workload-low 100 90 128 6 50
global-default 20 50 128 6 50
"""

# name, level, precedence, distinguisher, subjects; u: user, g: group, s: service account; rules: * all, p: probes,
# l: leases (for leader election), e: endpoints
_SCHEMAS = """
exempt exempt 1 - g:system:masters *
probes exempt 2 - g:system:unauthenticated,g:system:authenticated p
system-leader-election leader-election 100 ByUser u:system:kube-controller-manager,u:system:kube-scheduler,s:kube-system:* l
endpoint-controller workload-high 150 ByUser u:system:kube-controller-manager,s:kube-system:endpoint-controller,s:kube-system:endpointslicemirroring-controller e
workload-leader-election leader-election 200 ByUser s:kube-system:* l
system-node-high node-high 400 ByUser g:system:nodes n
system-nodes system 500 ByUser g:system:nodes *
kube-controller-manager workload-high 800 ByNamespace u:system:kube-controller-manager *
kube-scheduler workload-high 800 ByNamespace u:system:kube-scheduler *
kube-system-service-accounts workload-high 900 ByNamespace s:kube-system:* *
service-accounts workload-low 9000 ByUser g:system:serviceaccounts *
global-default global-default 9900 ByUser g:system:unauthenticated,g:system:authenticated *
catch-all catch-all 10000 ByUser g:system:unauthenticated,g:system:authenticated *
"""  # noqa: E501 a table
_AUTOUPDATE = {"apf.kubernetes.io/autoupdate-spec": "true"}


async def run(setup: Setup) -> None:
    await setup.ensure([*levels(), *schemas()])


def levels() -> Iterator[PriorityLevelConfiguration]:
    """All priority levels."""
    yield PriorityLevelConfiguration(
        metadata=_meta("exempt"),
        spec=PriorityLevelConfigurationSpec(
            type="Exempt", exempt=ExemptPriorityLevelConfiguration(nominal_concurrency_shares=0, lendable_percent=0)
        ),
    )
    for line in _LEVELS.split("\n"):
        if not line:
            continue
        name, shares, lendable, queues, hand, length = line.split()
        response = LimitResponse(type="Reject")
        if queues != "-":
            queuing = QueuingConfiguration(queues=int(queues), hand_size=int(hand), queue_length_limit=int(length))
            response = LimitResponse(type="Queue", queuing=queuing)
        yield PriorityLevelConfiguration(
            metadata=_meta(name),
            spec=PriorityLevelConfigurationSpec(
                type="Limited",
                limited=LimitedPriorityLevelConfiguration(
                    nominal_concurrency_shares=int(shares), lendable_percent=int(lendable), limit_response=response
                ),
            ),
        )


def schemas() -> Iterator[FlowSchema]:
    """All flow schemas."""
    for line in _SCHEMAS.split("\n"):
        if not line:
            continue
        name, level, precedence, distinguisher, subjects, rules = line.split()
        rule = PolicyRulesWithSubjects(subjects=[_subject(text) for text in subjects.split(",")])
        rule.resource_rules, rule.non_resource_rules = _rules(rules)
        yield FlowSchema(
            metadata=_meta(name),
            spec=FlowSchemaSpec(
                priority_level_configuration=PriorityLevelConfigurationReference(name=level),
                matching_precedence=int(precedence),
                distinguisher_method=None if distinguisher == "-" else FlowDistinguisherMethod(type=distinguisher),
                rules=[rule],
            ),
        )


def _meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, annotations=dict(_AUTOUPDATE))


def _subject(text: str) -> Subject:
    kind, _, name = text.partition(":")
    if kind == "u":
        return Subject(kind="User", user=UserSubject(name=name))
    if kind == "g":
        return Subject(kind="Group", group=GroupSubject(name=name))
    namespace, _, account = name.partition(":")
    return Subject(kind="ServiceAccount", service_account=ServiceAccountSubject(namespace=namespace, name=account))


def _rules(code: str) -> tuple[list[ResourcePolicyRule] | None, list[NonResourcePolicyRule] | None]:
    if code == "p":
        paths = ["/healthz", "/readyz", "/livez"]
        return None, [NonResourcePolicyRule(verbs=["get"], non_resource_urls=paths)]
    if code == "l":
        verbs = ["get", "create", "update"]
        return [_resources(verbs, ["coordination.k8s.io"], ["leases"])], None
    if code == "e":
        verbs = ["get", "create", "update"]
        return [_resources(verbs, [""], ["endpoints"])], None
    if code == "n":
        nodes = _resources(["*"], [""], ["nodes", "nodes/status"], cluster=True)
        return [nodes, _resources(["*"], ["coordination.k8s.io"], ["leases"])], None
    everything = _resources(["*"], ["*"], ["*"], cluster=True)
    return [everything], [NonResourcePolicyRule(verbs=["*"], non_resource_urls=["*"])]


def _resources(
    verbs: list[str], groups: list[str], resources: list[str], *, cluster: bool = False
) -> ResourcePolicyRule:
    return ResourcePolicyRule(
        verbs=verbs, api_groups=groups, resources=resources, cluster_scope=cluster or None, namespaces=["*"]
    )
