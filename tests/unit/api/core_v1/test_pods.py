"""Pods: defaults, validation, and what an update may change. Wire in, findings out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pybernetes.api import kinds, rules
from pybernetes.api.core_v1 import Pod
from pybernetes.api.core_v1.pod_defaults import pull_policy
from pybernetes.api.core_v1.pod_update_validation import (
    qos_class,
    validate_pod_ephemeral_containers_update,
    validate_pod_resize,
)
from pybernetes.machinery import codec

KIND = kinds.of(Pod)
DEFAULTS, VALIDATION = rules.defaults_of(KIND), rules.validation_of(KIND)


def wire(**spec: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"containers": [{"name": "web", "image": "nginx:1.25"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {**base, **spec},
    }


def pod(**spec: Any) -> Pod:
    found = codec.from_dict(Pod, copy.deepcopy(wire(**spec)))
    assert DEFAULTS is not None
    DEFAULTS(found)
    return found


def container(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "web", "image": "nginx:1.25", **fields}]


def findings(**spec: Any) -> list[str]:
    return [str(error) for error in VALIDATION.create(pod(**spec))]


def test_defaults_of_a_simple_pod() -> None:
    spec = codec.to_dict(pod(containers=container(ports=[{"containerPort": 80}])))["spec"]
    assert spec == {
        "containers": [
            {
                "name": "web",
                "image": "nginx:1.25",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("reg.example.com:5000/nginx", "Always"),
        ("reg.example.com:5000/nginx:2", "IfNotPresent"),
        ("nginx@sha256:00", "IfNotPresent"),
        ("nginx:latest@sha256:00", "Always"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_requests_follow_limits_and_host_ports_the_host_network() -> None:
    found = pod(
        hostNetwork=True,
        containers=container(resources={"limits": {"cpu": "1"}}, ports=[{"containerPort": 80}]),
    )
    assert found.spec.containers[0].resources is not None
    assert found.spec.containers[0].resources.requests == {"cpu": "1"}
    assert found.spec.containers[0].ports is not None
    assert found.spec.containers[0].ports[0].host_port == 80


def test_volume_defaults() -> None:
    found = pod(
        volumes=[
            {"name": "a"},
            {"name": "b", "configMap": {"name": "x"}},
            {"name": "c", "hostPath": {"path": "/x"}},
            {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        ]
    )
    volumes = codec.to_dict(found)["spec"]["volumes"]
    assert volumes[0] == {"name": "a", "emptyDir": {}}
    assert volumes[1]["configMap"]["defaultMode"] == 420
    assert volumes[2]["hostPath"]["type"] == ""
    assert volumes[3]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600


def test_probe_defaults() -> None:
    found = pod(containers=container(livenessProbe={"httpGet": {"port": 80}}))
    assert codec.to_dict(found)["spec"]["containers"][0]["livenessProbe"] == {
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
    }


def test_a_good_pod_has_no_findings() -> None:
    assert findings() == []
    assert (
        findings(
            volumes=[{"name": "v", "emptyDir": {}}],
            initContainers=[{"name": "side", "image": "x:1", "restartPolicy": "Always", "volumeMounts": [
                {"name": "v", "mountPath": "/v"}]}],
            tolerations=[{"operator": "Exists"}],
            containers=container(
                env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                resources={"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "example.com/gpu": "1"}},
            ),
        )
        == []
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [{"name": "a"}]}, "spec.containers[0].image: Required value"),
        (
            {"containers": [*container(), *container()]},
            'spec.containers[1].name: Duplicate value: "web"',
        ),
        (
            {"containers": container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})},
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            {"containers": container(resources={"limits": {"example.com/gpu": "500m"}})},
            'spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer',
        ),
        (
            {"containers": container(resources={"requests": {"example.com/gpu": "1"}})},
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
        ),
        (
            {"containers": container(volumeMounts=[{"name": "no", "mountPath": "/x"}])},
            'spec.containers[0].volumeMounts[0].name: Not found: "no"',
        ),
        (
            {"containers": container(ports=[{"containerPort": 70000}])},
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            {"containers": container(livenessProbe={"successThreshold": 2, "tcpSocket": {"port": 1}})},
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            {"containers": container(readinessProbe={})},
            "spec.containers[0].readinessProbe: Required value: must specify a handler type",
        ),
        (
            {"restartPolicy": "Sometimes"},
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]},
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 1}]},
            "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when "
            "`tolerationSeconds` is set",
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            {"securityContext": {"sysctls": [{"name": "foo-", "value": "1"}]}},
            'spec.securityContext.sysctls[0].name: Invalid value: "foo-": must have at most 253 characters and match '
            r"regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
        ),
        (
            {"dnsPolicy": "None"},
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            {"initContainers": [{"name": "i", "image": "x:1", "readinessProbe": {"tcpSocket": {"port": 1}}}]},
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
            "restartPolicy=Always",
        ),
        (
            {"ephemeralContainers": [{"name": "e", "image": "x"}]},
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ),
        (
            {"schedulingGates": [{"name": "a"}], "nodeName": "n"},
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ),
        (
            {"hostNetwork": True, "containers": container(ports=[{"containerPort": 80, "hostPort": 81}])},
            "spec.containers[0].ports[0].containerPort: Invalid value: 80: must match `hostPort` when `hostNetwork` "
            "is true",
        ),
    ],
)  # fmt: skip
def test_findings(spec: dict[str, Any], expected: str) -> None:
    assert expected in findings(**spec)


def update(new: Pod, old: Pod) -> list[str]:
    return [str(error) for error in VALIDATION.update(new, old)]


def test_an_update_may_change_images_and_add_tolerations() -> None:
    old = pod()
    new = pod(
        containers=[{"name": "web", "image": "nginx:1.26", "imagePullPolicy": "IfNotPresent"}],
        tolerations=[{"key": "a", "operator": "Exists"}],
        activeDeadlineSeconds=10,
    )
    assert update(new, old) == []


def test_an_update_may_not_change_other_fields() -> None:
    found = update(pod(hostname="x"), pod())
    assert len(found) == 1
    assert found[0].startswith("spec: Forbidden: pod updates may not change fields other than ")
    assert '+ \thostname: "x",' in found[0]


def test_containers_can_not_be_added() -> None:
    more = [*container(), {"name": "b", "image": "x:1"}]
    assert update(pod(containers=more), pod()) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]


def test_a_gate_can_be_removed_but_not_added() -> None:
    gated = pod(schedulingGates=[{"name": "a"}])
    assert update(pod(), gated) == []
    assert any("only deletion is allowed" in text for text in update(gated, pod()))


def test_a_gated_pod_can_be_narrowed() -> None:
    gated = pod(schedulingGates=[{"name": "a"}])
    assert update(pod(schedulingGates=[{"name": "a"}], nodeSelector={"x": "y"}), gated) == []


def test_ephemeral_containers_are_only_added() -> None:
    one = pod(ephemeralContainers=[{"name": "e", "image": "x:1"}])
    assert validate_pod_ephemeral_containers_update(one, pod()) == []
    changed = pod(ephemeralContainers=[{"name": "e", "image": "x:2"}])
    assert any("may not be changed" in str(e) for e in validate_pod_ephemeral_containers_update(changed, one))
    assert any("may not be removed" in str(e) for e in validate_pod_ephemeral_containers_update(pod(), one))


def test_resize_changes_cpu_and_memory_only_and_keeps_the_class() -> None:
    small = pod(containers=container(resources={"requests": {"cpu": "1"}}))
    large = pod(containers=container(resources={"requests": {"cpu": "2"}}))
    assert validate_pod_resize(large, small) == []
    guaranteed = pod(containers=container(resources={"limits": {"cpu": "1", "memory": "1Gi"}}))
    assert any("QOS" in str(e) for e in validate_pod_resize(guaranteed, small))


@pytest.mark.parametrize(
    ("requests", "limits", "kind"),
    [
        ({"cpu": "0.5", "memory": "64Mi"}, {"cpu": "500m", "memory": "65536Ki"}, "Guaranteed"),
        ({"cpu": "0.4", "memory": "64Mi"}, {"cpu": "500m", "memory": "64Mi"}, "Burstable"),
        ({"cpu": "0", "memory": "64Mi"}, {"cpu": "1", "memory": "64Mi"}, "Burstable"),
        ({}, {"cpu": "1"}, "Burstable"),
        ({"cpu": "0m"}, {"memory": "0Mi"}, "BestEffort"),
    ],
)
def test_quality_of_service_compares_amounts(requests: dict[str, str], limits: dict[str, str], kind: str) -> None:
    assert qos_class(pod(containers=container(resources={"requests": requests, "limits": limits}))) == kind


def test_a_negative_grace_period_is_one_second() -> None:
    assert pod(terminationGracePeriodSeconds=-1).spec.termination_grace_period_seconds == 1
    assert pod(terminationGracePeriodSeconds=0).spec.termination_grace_period_seconds == 0


def test_resize_does_not_rename_or_reorder_containers() -> None:
    old, new = (pod(containers=[*container(name=one), *container(name=two)]) for one, two in ("ab", "ba"))
    assert ", ".join(str(e) for e in validate_pod_resize(new, old)) == (
        "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize, "
        "spec.containers[1].name: Forbidden: containers may not be renamed or reordered on resize"
    )


def test_a_finished_container_does_not_start_again() -> None:
    old = pod(restartPolicy="Never")
    old.status = codec.from_dict(Pod, {"status": {"containerStatuses": [
        {"name": "web", "state": {"terminated": {"exitCode": 0}}}]}}).status  # fmt: skip
    new = pod(restartPolicy="Never")
    new.status = codec.from_dict(Pod, {"status": {"containerStatuses": [
        {"name": "web", "state": {"running": {}}}]}}).status  # fmt: skip
    assert any("may not be transitioned to non-terminated state" in str(e) for e in VALIDATION.status(new, old))
