"""Workloads, Services, ConfigMaps, definitions and the rest: one table of what is refused, and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api import kinds, rules
from pybernetes.machinery import codec

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "c", "image": "x:1"}]},
}
SELECTOR = {"matchLabels": {"a": "b"}}


def make(api_version: str, kind: str, **fields: Any) -> Any:
    row = kinds.by_kind(api_version, kind)
    assert row is not None
    meta: dict[str, Any] = {"name": "x", **fields.pop("metadata", {})}
    if row.namespaced:
        meta["namespace"] = "default"
    obj = codec.from_dict(row.type, {"metadata": meta, **fields})
    defaults = rules.defaults_of(row)
    if defaults is not None:
        defaults(obj)
    return obj


def created(obj: Any) -> list[str]:
    return [str(e) for e in rules.validation_of(kinds.of(type(obj))).create(obj)]


def updated(new: Any, old: Any) -> list[str]:
    return [str(e) for e in rules.validation_of(kinds.of(type(new))).update(new, old)]


def job_template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"restartPolicy": "Never", **TEMPLATE["spec"]}}, **spec}}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (("apps/v1", "Deployment"), {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
        (("apps/v1", "ReplicaSet"), {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
        (("apps/v1", "DaemonSet"), {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
        (("apps/v1", "StatefulSet"), {"spec": {"selector": SELECTOR, "serviceName": "s", "template": TEMPLATE}}),
        (("v1", "ReplicationController"), {"spec": {"template": TEMPLATE}}),
        (("batch/v1", "CronJob"), {"spec": {"schedule": "*/5 0-3 * jan mon", "jobTemplate": job_template()}}),
        (("v1", "Service"), {"spec": {"ports": [{"port": 80}]}}),
        (("v1", "Service"), {"spec": {"type": "ExternalName", "externalName": "a.example.com"}}),
        (("v1", "ConfigMap"), {"data": {"a.b": "c"}}),
        (("v1", "Secret"), {"stringData": {"a": "b"}}),
        (("v1", "Node"), {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
        (("networking.k8s.io/v1", "NetworkPolicy"), {"spec": {"podSelector": {}, "ingress": [{}]}}),
        (("policy/v1", "PodDisruptionBudget"), {"spec": {"minAvailable": "50%", "selector": SELECTOR}}),
        (("rbac.authorization.k8s.io/v1", "Role"), {"rules": [{"verbs": ["get"], "apiGroups": [""],
                                                              "resources": ["pods"]}]}),
        (("coordination.k8s.io/v1", "Lease"), {"spec": {"holderIdentity": "a"}}),
        (("storage.k8s.io/v1", "StorageClass"), {"provisioner": "example.com/x"}),
        (("scheduling.k8s.io/v1", "PriorityClass"), {"value": 5}),
        (("node.k8s.io/v1", "RuntimeClass"), {"handler": "runc"}),
        (("autoscaling/v2", "HorizontalPodAutoscaler"), {"spec": {"maxReplicas": 3, "scaleTargetRef": {
            "kind": "Deployment", "name": "d"}}}),
        (("discovery.k8s.io/v1", "EndpointSlice"), {"addressType": "IPv4", "endpoints": [
            {"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
        (("resource.k8s.io/v1", "ResourceClaim"), {"spec": {"devices": {"requests": [
            {"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}}),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_good_objects(kind: tuple[str, str], fields: dict[str, Any]) -> None:
    assert created(make(*kind, **fields)) == []


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (
            ("apps/v1", "Deployment"),
            {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": TEMPLATE}},
            'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`',
        ),
        (
            ("apps/v1", "Deployment"),
            {"spec": {"selector": SELECTOR, "template": TEMPLATE,
                      "strategy": {"type": "Recreate", "rollingUpdate": {}}}},
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            ("apps/v1", "DaemonSet"),
            {"spec": {"selector": SELECTOR, "template": TEMPLATE,
                      "updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}},
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (
            ("apps/v1", "ReplicaSet"),
            {"spec": {"selector": SELECTOR, "template": {**TEMPLATE, "spec": {
                **TEMPLATE["spec"], "restartPolicy": "Never"}}}},
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
        (
            ("batch/v1", "CronJob"),
            {"spec": {"schedule": "61 * * * *", "jobTemplate": job_template()}},
            'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61',
        ),
        (
            ("batch/v1", "CronJob"),
            {"spec": {"schedule": "* * * * *", "timeZone": "Nowhere/City", "jobTemplate": job_template()}},
            'spec.timeZone: Invalid value: "Nowhere/City": unknown time zone Nowhere/City',
        ),
        (
            ("v1", "Service"),
            {"spec": {"ports": [{"port": 80}, {"port": 81}]}},
            "spec.ports[0].name: Required value",
        ),
        (
            ("v1", "Service"),
            {"spec": {"ports": [{"port": 80, "nodePort": 30000}]}},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            ("v1", "Service"),
            {"metadata": {"name": "1x"}, "spec": {"ports": [{"port": 80}]}},
            "metadata.name: Invalid value: \"1x\": a DNS-1035 label must consist of lower case alphanumeric characters "
            "or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
            "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
        (
            ("v1", "ConfigMap"),
            {"data": {"": "x"}},
            "data[]: Invalid value: \"\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
            "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        ),
        (("v1", "Secret"), {"type": "kubernetes.io/tls"}, "data[tls.crt]: Required value"),
        (
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            {"roleRef": {"kind": "Group", "name": "x"}},
            'roleRef.kind: Unsupported value: "Group": supported values: "Role", "ClusterRole"',
        ),
        (
            ("scheduling.k8s.io/v1", "PriorityClass"),
            {"value": 2_000_000_000},
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (
            ("networking.k8s.io/v1", "Ingress"),
            {"spec": {"rules": [{"http": {"paths": [{"path": "x", "pathType": "Prefix", "backend": {
                "service": {"name": "s", "port": {"number": 80}}}}]}}]}},
            'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path',
        ),
        (
            ("v1", "LimitRange"),
            {"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}},
            'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
        ),
        (
            ("v1", "ResourceQuota"),
            {"spec": {"hard": {"nonsense": "1"}}},
            'spec.hard[nonsense]: Invalid value: "nonsense": must be a standard resource for quota',
        ),
        (
            ("v1", "PersistentVolumeClaim"),
            {"spec": {"accessModes": ["ReadWriteOnce"]}},
            "spec.resources[storage]: Required value",
        ),
        (
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
            {"webhooks": [{"name": "a.example.com", "clientConfig": {"url": "https://x.example.com"},
                           "sideEffects": "None", "admissionReviewVersions": ["v1"],
                           "matchConditions": [{"name": "c", "expression": "object.x ==="}]}]},
            None,
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_refusals(kind: tuple[str, str], fields: dict[str, Any], expected: str | None) -> None:
    found = created(make(*kind, **fields))
    if expected is None:
        assert any("compilation failed" in text for text in found), found
    else:
        assert expected in found


def test_selectors_do_not_change() -> None:
    old = make("apps/v1", "Deployment", spec={"selector": SELECTOR, "template": TEMPLATE})
    wider = {**TEMPLATE, "metadata": {"labels": {"a": "b", "c": "d"}}}
    new = make("apps/v1", "Deployment", spec={"selector": {"matchLabels": {"c": "d"}}, "template": wider})
    assert updated(new, old) == ['spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable']


def test_a_stateful_set_changes_little() -> None:
    spec = {"selector": SELECTOR, "template": TEMPLATE, "serviceName": "s"}
    old = make("apps/v1", "StatefulSet", spec=spec)
    assert updated(make("apps/v1", "StatefulSet", spec={**spec, "replicas": 3}), old) == []
    found = updated(make("apps/v1", "StatefulSet", spec={**spec, "serviceName": "t"}), old)
    assert found[0].startswith("spec: Forbidden: updates to statefulset spec for fields other than 'replicas'")


def test_an_immutable_config_map_stays() -> None:
    old = make("v1", "ConfigMap", data={"a": "b"}, immutable=True)
    new = make("v1", "ConfigMap", data={"a": "c"}, immutable=True)
    assert updated(new, old) == ["data: Forbidden: field is immutable when `immutable` is set"]
    assert "immutable: Forbidden: field is immutable when `immutable` is set" in updated(
        make("v1", "ConfigMap", data={"a": "b"}), old
    )


def test_string_data_goes_into_data() -> None:
    secret = make("v1", "Secret", stringData={"a": "b"})
    assert secret.data == {"a": "Yg=="}
    assert secret.string_data is None


def test_a_jobs_template_does_not_change_unless_suspended() -> None:
    labels = {"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "x"}
    template = {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", **TEMPLATE["spec"]}}
    steered = {**template, "spec": {**template["spec"], "nodeSelector": {"a": "b"}}}  # type: ignore[dict-item]
    selector = {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}

    def job(template: Any, **more: Any) -> Any:
        return make("batch/v1", "Job", spec={"template": template, "selector": selector, **more})

    assert any("field is immutable" in text for text in updated(job(steered), job(template)))
    assert updated(job(steered, suspend=True), job(template, suspend=True)) == []
