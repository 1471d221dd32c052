"""Plain API objects: the operations that the upstream tests do on every kind, request by request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .wire import APPLY, JSON_PATCH, MERGE, STRATEGIC, Body, Wire, life, until

REQUEST = {"name": "req-0", "exactly": {"deviceClassName": "my-class"}}
TIME = "2026-01-01T00:00:00Z"


def condition(type_: str = "StatusUpdate", status: str = "True") -> Body:
    return {"type": type_, "status": status, "reason": "E2E", "message": "Set by e2e test", "lastTransitionTime": TIME}


def of(api_version: str, kind: str, **body: Any) -> Callable[[str], Body]:
    return lambda name: {"apiVersion": api_version, "kind": kind, **body}


def of_numbers(api_version: str, kind: str, make: Callable[[int], Body]) -> Callable[[str], Body]:
    return lambda name: {"apiVersion": api_version, "kind": kind, **make(int(name[-1]))}


ADMISSION = "admissionregistration.k8s.io/v1"
CONSTRAINTS = {
    "matchConstraints": {
        "resourceRules": [
            {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
        ]
    }
}
KINDS: list[tuple[str, Callable[[str], Body], Body | None]] = [
    (
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
        of(
            "flowcontrol.apiserver.k8s.io/v1",
            "FlowSchema",
            spec={
                "matchingPrecedence": 10000,
                "priorityLevelConfiguration": {"name": "global-default"},
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [
                    {
                        "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
                        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                    }
                ],
            },
        ),
        {
            "conditions": [
                {"type": "E2E", "status": "True", "reason": "E2E", "message": "m", "lastTransitionTime": TIME}
            ]
        },
    ),
    (
        "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
        of(
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
            spec={"type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}},
        ),
        {
            "conditions": [
                {"type": "E2E", "status": "True", "reason": "E2E", "message": "m", "lastTransitionTime": TIME}
            ]
        },
    ),
    (
        "/apis/resource.k8s.io/v1/deviceclasses",
        of(
            "resource.k8s.io/v1",
            "DeviceClass",
            spec={"selectors": [{"cel": {"expression": 'device.driver == "test-driver.cdi.k8s.io"'}}]},
        ),
        None,
    ),
    (
        "/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims",
        of("resource.k8s.io/v1", "ResourceClaim", spec={"devices": {"requests": [REQUEST]}}),
        {
            "allocation": {
                "devices": {
                    "results": [{"request": "req-0", "driver": "driver-a", "pool": "worker-1", "device": "dev-1"}]
                }
            }
        },
    ),
    (
        "/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaimtemplates",
        of("resource.k8s.io/v1", "ResourceClaimTemplate", spec={"spec": {"devices": {"requests": [REQUEST]}}}),
        None,
    ),
    (
        "/apis/resource.k8s.io/v1/resourceslices",
        of(
            "resource.k8s.io/v1",
            "ResourceSlice",
            spec={
                "driver": "dra.example.com",
                "nodeName": "some-node",
                "devices": [{"name": "dev-1"}],
                "pool": {"name": "cluster", "resourceSliceCount": 1, "generation": 0},
            },
        ),
        None,
    ),
    (
        "/apis/storage.k8s.io/v1/csidrivers",
        of("storage.k8s.io/v1", "CSIDriver", spec={"volumeLifecycleModes": ["Ephemeral"]}),
        None,
    ),
    ("/apis/storage.k8s.io/v1/csinodes", of("storage.k8s.io/v1", "CSINode", spec={"drivers": []}), None),
    (
        "/apis/storage.k8s.io/v1/namespaces/{namespace}/csistoragecapacities",
        of(
            "storage.k8s.io/v1",
            "CSIStorageCapacity",
            storageClassName="e2e",
            capacity="10Gi",
            nodeTopology={"matchLabels": {"a": "b"}},
        ),
        None,
    ),
    (
        "/apis/storage.k8s.io/v1/storageclasses",
        of("storage.k8s.io/v1", "StorageClass", provisioner="e2e-fake-provisioner"),
        None,
    ),
    (
        "/apis/storage.k8s.io/v1/volumeattributesclasses",
        of("storage.k8s.io/v1", "VolumeAttributesClass", driverName="e2e-vac.csi", parameters={"type": "silver"}),
        None,
    ),
    (
        "/apis/storage.k8s.io/v1/volumeattachments",
        of(
            "storage.k8s.io/v1",
            "VolumeAttachment",
            spec={"attacher": "e2e.test", "nodeName": "e2e-node", "source": {"persistentVolumeName": "pv"}},
        ),
        {"attached": True},
    ),
    (
        "/apis/networking.k8s.io/v1/ingressclasses",
        of("networking.k8s.io/v1", "IngressClass", spec={"controller": "example.com/controller"}),
        None,
    ),
    (
        "/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses",
        of(
            "networking.k8s.io/v1",
            "Ingress",
            spec={"defaultBackend": {"service": {"name": "default-backend", "port": {"name": "", "number": 8080}}}},
        ),
        {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}},
    ),
    (
        "/apis/networking.k8s.io/v1/servicecidrs",
        of_numbers("networking.k8s.io/v1", "ServiceCIDR", lambda i: {"spec": {"cidrs": [f"10.20{i}.0.0/24"]}}),
        {"conditions": [condition()]},
    ),
    (
        "/api/v1/namespaces/{namespace}/services",
        of(
            "v1",
            "Service",
            spec={"type": "LoadBalancer", "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}]},
        ),
        {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}, "conditions": [condition()]},
    ),
    ("/api/v1/nodes", of("v1", "Node", spec={"unschedulable": True}), {"phase": "Running", "capacity": {"e2e": "5"}}),
    (
        f"/apis/{ADMISSION}/validatingadmissionpolicies",
        of(
            ADMISSION,
            "ValidatingAdmissionPolicy",
            spec={
                "failurePolicy": "Fail",
                "validations": [{"expression": "object.spec.replicas <= 100"}],
                **CONSTRAINTS,
            },
        ),
        {"conditions": [condition()]},
    ),
    (
        f"/apis/{ADMISSION}/validatingadmissionpolicybindings",
        of(
            ADMISSION,
            "ValidatingAdmissionPolicyBinding",
            spec={"policyName": "replicalimit-policy.example.com", "validationActions": ["Deny"]},
        ),
        None,
    ),
    (
        f"/apis/{ADMISSION}/mutatingadmissionpolicies",
        of(
            ADMISSION,
            "MutatingAdmissionPolicy",
            spec={
                "reinvocationPolicy": "Never",
                "failurePolicy": "Fail",
                **CONSTRAINTS,
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: 1}}"},
                    }
                ],
            },
        ),
        None,
    ),
    (
        f"/apis/{ADMISSION}/mutatingadmissionpolicybindings",
        of(ADMISSION, "MutatingAdmissionPolicyBinding", spec={"policyName": "replicalimit-policy.example.com"}),
        None,
    ),
]


@pytest.mark.parametrize(("path", "make", "status"), KINDS, ids=[row[0].rsplit("/", 1)[1] for row in KINDS])
def test_operations(
    wire: Wire, pybernetes_namespace: str, path: str, make: Callable[[str], Body], status: Body | None
) -> None:
    life(wire, path.format(namespace=pybernetes_namespace), make, status=status)


def test_ip_addresses(wire: Wire) -> None:
    path = "/apis/networking.k8s.io/v1/ipaddresses"
    for name in ("192.168.1.5", "fd00:1234::7"):
        parent = {"resource": "services", "namespace": "default", "name": "kubernetes"}
        obj = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {"name": name, "labels": {"special-label": "ip"}},
            "spec": {"parentRef": parent},
        }
        assert wire.post(path, obj)["spec"]["parentRef"] == parent
        one = f"{path}/{name.replace(':', '%3A')}"
        assert wire.patch(one, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)["metadata"]["name"] == name
        again = wire.get(one)
        again["metadata"]["annotations"]["updated"] = "true"
        assert wire.put(one, again)["metadata"]["annotations"]["updated"] == "true"
    assert len(wire.get(f"{path}?labelSelector=special-label%3Dip")["items"]) == 2
    wire.delete(f"{path}/192.168.1.5")
    wire.delete(f"{path}?labelSelector=special-label%3Dip")
    assert not wire.get(f"{path}?labelSelector=special-label%3Dip")["items"]
    bad = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": "nothing"},
        "spec": {"parentRef": {"resource": "services", "name": "x"}},
    }
    assert wire.refused("POST", path, bad).code == 422


def test_the_default_service_and_its_range(wire: Wire) -> None:
    service = wire.get("/api/v1/namespaces/default/services/kubernetes")
    assert [p["name"] for p in service["spec"]["ports"]] == ["https"]
    listed = {(s["metadata"]["namespace"], s["metadata"]["name"]) for s in wire.get("/api/v1/services")["items"]}
    assert ("default", "kubernetes") in listed
    cidr = wire.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes")
    assert cidr["status"]["conditions"][0]["status"] == "True"


def test_protobuf_service_and_deployment(wire: Wire, pybernetes_namespace: str) -> None:
    here = pybernetes_namespace
    service = wire.post_protobuf(
        f"/api/v1/namespaces/{here}/services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s", "labels": {"a": "b"}},
            "spec": {"selector": {"app": "x"}, "ports": [{"name": "h", "port": 80, "targetPort": 8080}]},
        },
    )
    assert service["spec"]["ports"][0]["targetPort"] == 8080 and service["spec"]["clusterIP"]
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "web:1",
                    "resources": {"limits": {"cpu": "100m"}},
                    "readinessProbe": {"httpGet": {"scheme": "HTTPS", "port": 8444, "path": "/readyz"}},
                }
            ]
        },
    }
    deployment = wire.post_protobuf(
        f"/apis/apps/v1/namespaces/{here}/deployments",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": template},
        },
    )
    probe = deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    assert probe["httpGet"]["port"] == 8444 and probe["periodSeconds"] == 10
    wire.until(f"/apis/apps/v1/namespaces/{here}/deployments/d", lambda d: d["status"].get("readyReplicas") == 1)


def test_a_pod_with_an_inline_csi_volume(wire: Wire, pybernetes_namespace: str) -> None:
    path = f"/api/v1/namespaces/{pybernetes_namespace}/pods"
    csi = {"driver": "e2e.example.com", "volumeAttributes": {"a": "b"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "inline", "labels": {"e": "csi"}},
        "spec": {
            "containers": [{"name": "c", "image": "web:1", "volumeMounts": [{"name": "v", "mountPath": "/mnt"}]}],
            "volumes": [{"name": "v", "csi": csi}],
            "schedulingGates": [{"name": "example.com/hold"}],
        },
    }
    made = wire.post(path, pod)
    assert next(v for v in made["spec"]["volumes"] if v["name"] == "v")["csi"] == csi
    assert wire.patch(f"{path}/inline", {"metadata": {"labels": {"p": "1"}}}, STRATEGIC)["metadata"]["labels"]["p"]
    assert len(wire.get(f"{path}?labelSelector=e%3Dcsi")["items"]) == 1
    wire.delete(f"{path}/inline", {"gracePeriodSeconds": 0})


def test_a_namespace_is_set_up_for_its_tests(wire: Wire) -> None:
    """What the suite does before every test: watches by name, streamed."""
    labels = {"e2e-framework": "conf", "pod-security.kubernetes.io/enforce": "privileged"}
    made = wire.post(
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "conf-", "labels": labels}},
    )
    name = made["metadata"]["name"]
    for resource, wanted in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")):
        path = f"/api/v1/namespaces/{name}/{resource}?fieldSelector=metadata.name%3D{wanted}"
        found = None
        asked = f"{path}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        for type_, obj in wire.watch(asked):
            if type_ != "BOOKMARK":
                found = obj
                break
        assert found is not None and found["metadata"]["name"] == wanted
    assert found["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE")
    wire.delete(f"/api/v1/namespaces/{name}")
    until(lambda: wire.raw("GET", f"/api/v1/namespaces/{name}")[0], lambda code: code == 404, 15)


def test_subject_access_reviews_agree_with_what_is_allowed(wire: Wire, pybernetes_namespace: str) -> None:
    here = pybernetes_namespace
    wire.post(
        f"/api/v1/namespaces/{here}/serviceaccounts",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "e2e"}},
    )
    user = f"system:serviceaccount:{here}:e2e"
    groups = ["system:authenticated", f"system:serviceaccounts:{here}"]
    asked = {"namespace": here, "verb": "list", "resource": "configmaps", "version": "v1"}
    kinds = (
        ("SubjectAccessReview", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
        ("LocalSubjectAccessReview", f"/apis/authorization.k8s.io/v1/namespaces/{here}/localsubjectaccessreviews"),
    )

    def verdicts() -> set[bool]:
        found = set()
        for kind, path in kinds:
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": kind,
                "metadata": {},
                "spec": {"user": user, "groups": groups, "resourceAttributes": asked},
            }
            if kind.startswith("Local"):
                body["metadata"] = {"namespace": here}
            found.add(wire.post(path, body)["status"]["allowed"])
        headers = {"Impersonate_User": user, "Impersonate_Uid": "1", "Impersonate_Group": groups[0]}
        code, _, _ = wire.raw("GET", f"/api/v1/namespaces/{here}/configmaps", **headers)
        assert code in (200, 403)
        return {*found, code == 200}

    assert verdicts() == {False}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    wire.post(
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{here}/rolebindings",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "b"},
            "roleRef": ref,
            "subjects": [{"kind": "ServiceAccount", "name": "e2e", "namespace": here}],
        },
    )
    assert verdicts() == {True}


@pytest.mark.parametrize("kind", [APPLY, STRATEGIC, MERGE, JSON_PATCH])
def test_a_claim_with_nothing_allocated(wire: Wire, pybernetes_namespace: str, kind: str) -> None:
    """An empty allocation is one, by each kind of patch, and nobody holds up the deletion of such a claim."""
    path = f"/apis/resource.k8s.io/v1/namespaces/{pybernetes_namespace}/resourceclaims"
    head = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim"}
    spec = {"devices": {"requests": [REQUEST]}}
    made = wire.post(f"{path}?fieldValidation=Strict", {**head, "metadata": {"name": "test"}, "spec": spec})
    own = {"name": "test", "namespace": pybernetes_namespace, "uid": made["metadata"]["uid"]}
    patch: Any = {**head, "metadata": own, "status": {"allocation": {}}}
    if kind == JSON_PATCH:
        patch = [{"op": "add", "path": "/status/allocation", "value": {}}]
    more = "&fieldManager=test-apply&force=true" if kind == APPLY else ""
    after = wire.patch(f"{path}/test/status?fieldValidation=Strict{more}", patch, kind)
    assert not after["status"]["allocation"].get("devices")
    assert int(after["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    wire.delete(f"{path}/test")
    assert wire.raw("GET", f"{path}/test")[0] == 404
