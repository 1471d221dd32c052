"""What is accepted with a warning: one odd object of each sort, its texts as upstream has them."""

# ruff: noqa: E501 (one case a line)

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api import kinds, rules
from pybernetes.machinery import codec

CONTAINER: dict[str, Any] = {"name": "c", "image": "i"}


def warnings(api_version: str, kind: str, old: dict[str, Any] | None = None, **fields: Any) -> list[str]:
    """The warnings about an object with its defaults."""
    row = next(k for k in kinds.KINDS if k.api_version == api_version and k.kind == kind)
    warn, fill = rules.warnings_of(row), rules.defaults_of(row)
    assert warn is not None

    def made(wire: dict[str, Any]) -> Any:
        obj = codec.convert(row.type, {"metadata": {"name": "x"}, **wire})
        if fill is not None:
            fill(obj)
        return obj

    return warn(made(fields), made(old) if old is not None else None)


def pod(**spec: Any) -> list[str]:
    metadata = spec.pop("metadata", {"name": "x"})
    return warnings("v1", "Pod", metadata=metadata, spec={"containers": [CONTAINER], **spec})


def containers(*more: dict[str, Any]) -> list[str]:
    return pod(containers=[{**CONTAINER, "name": f"c{i}", **one} for i, one in enumerate(more)])


def test_a_plain_pod_has_none() -> None:
    assert pod() == []
    assert containers({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]}) == []


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}, 'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'),
        ({"hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]}, 'spec.hostAliases[1].ip: duplicate ip "1.1.1.1"'),
        ({"imagePullSecrets": [{"name": "a"}, {"name": "a"}]}, 'spec.imagePullSecrets[1].name: duplicate name "a"'),
        ({"imagePullSecrets": [{}]}, 'spec.imagePullSecrets[0].name: invalid empty name ""'),
        ({"overhead": {"memory": "100m"}}, 'spec.overhead[memory]: fractional byte value "100m" is invalid, must be an integer'),
        ({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}]}, "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"),
        ({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "k"}}]}}}, "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod"),
        ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]}]}}}}, 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead'),
        ({"volumes": [{"name": "v", "glusterfs": {"endpoints": "e", "path": "p"}}]}, "spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+"),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"configMap": {"name": "m", "items": [{"key": "k", "path": "t"}]}}]}}]}, 'spec.volumes[0].projected.sources.configMap[0]: has duplicated path with ServiceAccountToken "t"'),
        ({"metadata": {"name": "x", "annotations": {"seccomp.security.alpha.kubernetes.io/pod": "u"}}}, r"metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the \"seccompProfile\" field instead"),
    ],
)  # fmt: skip
def test_pods(spec: dict[str, Any], text: str) -> None:
    assert pod(**spec) == [text]


def test_a_name_that_is_no_host_name() -> None:
    (text,) = pod(metadata={"name": "a.b"})
    assert text.startswith(
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior;"
    )


def test_ports_of_all_containers() -> None:
    port = {"containerPort": 80}
    assert containers({"ports": [port]}, {"ports": [port]}) == [
        "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]"
    ]
    assert containers({"ports": [port, {**port, "hostPort": 8080}]}) == [
        "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"
    ]
    one, other = {**port, "hostPort": 80}, {**port, "hostPort": 80, "hostIP": "127.0.0.1"}
    assert containers({"ports": [one, other]}) == [
        "spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"
    ]
    assert containers({"ports": [port, {**port, "protocol": "UDP"}]}) == []
    assert containers({"ports": [{**port, "hostIP": "127.0.0.1"}]}) == [
        "spec.containers[0].ports[0]: hostIP set without hostPort: "
        "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:127.0.0.1}"
    ]


def test_variables_and_amounts() -> None:
    assert containers({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}) == [
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'
    ]
    assert containers({"resources": {"limits": {"memory": "1500m", "cpu": "100m"}}})[0] == (
        'spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer'
    )


@pytest.mark.parametrize(("kind", "path"), [("Deployment", "spec.template"), ("DaemonSet", "spec.template")])
def test_templates_are_looked_at_when_they_change(kind: str, path: str) -> None:
    annotations = {"container.apparmor.security.beta.kubernetes.io/c": "runtime/default"}
    template = {"metadata": {"labels": {"a": "b"}, "annotations": annotations}, "spec": {"containers": [CONTAINER]}}
    new = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    key = "container.apparmor.security.beta.kubernetes.io/c"
    text = rf"{path}.metadata.annotations[{key}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
    assert warnings("apps/v1", kind, **new) == [text]
    assert warnings("apps/v1", kind, old=new, **new) == []
    changed = {**new, "metadata": {"name": "x", "generation": 2}}
    assert warnings("apps/v1", kind, old=new, **changed) == [text]


def test_workloads() -> None:
    claims = [{"metadata": {"name": "v"}, "spec": {"resources": {"requests": {"storage": "1500m"}}}}]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
    found = warnings(
        "apps/v1",
        "StatefulSet",
        spec={"template": template, "volumeClaimTemplates": claims, "revisionHistoryLimit": -1},
    )
    amount = 'fractional byte value "1500m" is invalid, must be an integer'
    assert found == [
        f"spec.volumeClaimTemplates[0].resources.requests[storage]: {amount}",
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended",
    ]
    many = {"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001, "template": template}
    assert warnings("batch/v1", "Job", spec=many)[0].startswith("In Indexed Jobs with a number of completions higher")
    spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}
    assert warnings("batch/v1", "CronJob", spec=spec, metadata={"name": "a.b"})[0].startswith(
        "metadata.name: this is used in Pod names and hostnames"
    )
    odd = {**spec, "jobTemplate": {"spec": {"template": {"spec": {**template["spec"], "imagePullSecrets": [{}]}}}}}
    before = {"spec": odd, "metadata": {"name": "x", "generation": 1}}
    assert warnings("batch/v1", "CronJob", before, spec=odd, metadata={"name": "x", "generation": 1}) == []
    assert len(warnings("batch/v1", "CronJob", before, spec=odd, metadata={"name": "x", "generation": 2})) == 1
    zoned = {**spec, "schedule": "TZ=UTC * * * * *"}
    (found,) = warnings("batch/v1", "CronJob", {"spec": zoned}, spec=zoned)
    assert found.startswith("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see")
    assert warnings("networking.k8s.io/v1", "Ingress", metadata={"annotations": {"kubernetes.io/ingress.class": "a"}}) == [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    ]  # fmt: skip
    assert warnings(
        "node.k8s.io/v1", "RuntimeClass", handler="h", scheduling={"nodeSelector": {"beta.kubernetes.io/os": "l"}}
    ) == ['scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead']


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"externalIPs": ["1.2.3.4"]}, "spec.externalIPs is deprecated and may no longer be implemented in some clusters"),
        ({"externalName": "a.b"}, 'spec.externalName is ignored when spec.type is not "ExternalName"'),
        ({"type": "ExternalName", "externalName": "a.b", "externalIPs": ["1.2.3.4"]}, 'spec.externalIPs is ignored when spec.type is "ExternalName"'),
        ({"clusterIP": "None", "loadBalancerIP": "1.2.3.4"}, "spec.loadBalancerIP is ignored for headless services"),
        ({"clusterIP": "None", "sessionAffinity": "ClientIP"}, "spec.SessionAffinity is ignored for headless services"),
        ({"trafficDistribution": "PreferClose"}, 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'),
        ({"loadBalancerIP": "1.2.3.04"}, 'spec.loadBalancerIP: non-standard IP address "1.2.3.04" will be considered invalid in a future Kubernetes release: use "1.2.3.4"'),
        ({"clusterIP": "FD00::1", "clusterIPs": ["FD00::1"]}, 'spec.clusterIPs[0]: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")'),
    ],
)  # fmt: skip
def test_services(spec: dict[str, Any], text: str) -> None:
    assert warnings("v1", "Service", spec=spec) == [text]


def test_other_kinds_of_the_core_group() -> None:
    assert warnings("v1", "PersistentVolumeClaim", spec={"resources": {"requests": {"storage": "5500m"}}}) != []
    assert warnings("v1", "PersistentVolumeClaim", spec={"resources": {"limits": {"storage": "5500m"}}}) != []
    old = {"name": "c", "annotations": {"volume.beta.kubernetes.io/storage-class": "a"}}
    assert warnings("v1", "PersistentVolumeClaim", metadata=old, spec={}) == [
        "metadata.annotations[volume.beta.kubernetes.io/storage-class]: "
        'deprecated since v1.8; use "storageClassName" attribute instead'
    ]
    found = warnings(
        "v1",
        "PersistentVolume",
        metadata={"name": "v", "annotations": {"volume.beta.kubernetes.io/storage-class": "a"}},
        spec={
            "persistentVolumeReclaimPolicy": "Recycle",
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "In", "values": ["-"]}]}]
                }
            },
            "cephfs": {"monitors": ["m"]},
        },
    )
    assert [text.partition(":")[0] for text in found] == [
        "metadata.annotations[volume.beta.kubernetes.io/storage-class]",
        "spec.persistentVolumeReclaimPolicy",
        "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values[0]",
        "spec.cephfs",
    ]
    assert warnings("v1", "Node", spec={"externalID": "e"}) == [
        "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    ]
    mountable = {"name": "a", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    assert len(warnings("v1", "ServiceAccount", metadata=mountable)) == 1
    assert warnings("v1", "ServiceAccount", old={"metadata": mountable}, metadata=mountable) == []
    # (a Pod's own is set to 1 before it is looked at)
    late = {"spec": {"containers": [CONTAINER], "terminationGracePeriodSeconds": -1}}
    assert warnings("v1", "PodTemplate", template=late) == [
        "template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
    ]
    template = {"spec": {"containers": [CONTAINER], "nodeSelector": {"node-role.kubernetes.io/master": ""}}}
    assert warnings("v1", "ReplicationController", spec={"template": template}) == [
        'spec.template.spec.nodeSelector[node-role.kubernetes.io/master]: use "node-role.kubernetes.io/control-plane" '
        "instead"
    ]
    assert len(warnings("v1", "PodTemplate", template=template)) == 1
