"""Webhooks and an aggregated API that run in a Pod of the cluster, called by the API server through their Service."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pybernetes.bootstrap import pki
from tests.e2e import netexec
from tests.e2e.conftest import RealCluster
from tests.e2e.netexec.world import until

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]

NAMESPACE, NAME = "extensions", "extension"
HERE = ("-n", NAMESPACE)
IMAGE = "docker.io/library/extension:latest"
API = "v1alpha1.wardle.example.com"
ACCOUNT = {"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}


def role(kind: str, name: str, reference: str, namespace: str = "") -> dict[str, Any]:
    of = "Role" if reference.startswith("extension-") else "ClusterRole"
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": of, "name": reference},
        "subjects": [ACCOUNT],
    }


@pytest.fixture(scope="module")
def bundle(cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The extension runs; the caBundle of its certificate."""
    program = Path(netexec.__file__).with_name("extension.py")
    cluster.image("import", str(netexec.build(tmp_path_factory.mktemp("image") / "extension.tar", program, IMAGE)))
    authority = pki.create_authority("extension-ca")
    pair = pki.server(authority, NAME, (f"{NAME}.{NAMESPACE}.svc",))
    certs = {"tls.crt": pair.certificate, "tls.key": pair.key}
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "readinessProbe": {"httpGet": {"scheme": "HTTPS", "port": 8444, "path": "/readyz"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "certs", "mountPath": "/certs", "readOnly": True}],
    }
    labels = {"app": NAME}
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {"hooked": "true"}}},
        role("ClusterRoleBinding", "extension:auth-delegator", "system:auth-delegator"),
        role("RoleBinding", "extension-reader", "extension-apiserver-authentication-reader", "kube-system"),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "certs", "namespace": NAMESPACE},
            "data": {name: base64.b64encode(data).decode() for name, data in certs.items()},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"selector": labels, "ports": [{"port": 8443, "targetPort": 8444}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
                "volumes": [{"name": "certs", "secret": {"secretName": "certs"}}],
            },
        },
    ]
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    cluster.wait(*HERE, "pod/extension", "--for=condition=Ready")
    until(lambda: [s for s in cluster.get(*HERE, "endpointslices")["items"] if s.get("endpoints")])
    yield base64.b64encode(authority.certificate).decode()
    cluster.kubectl("delete", "apiservice", API, "--ignore-not-found")
    cluster.kubectl("delete", "namespace", NAMESPACE)
    cluster.kubectl("delete", "clusterrolebinding", "extension:auth-delegator")
    cluster.kubectl("delete", "rolebinding", "-n", "kube-system", "extension-reader")


def configuration(kind: str, bundle: str, path: str, resource: str, operation: str) -> str:
    name = f"extension-{path.strip('/')}"
    hook = {
        "name": f"{name}.example.com",
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}],
        "clientConfig": {
            "caBundle": bundle,
            "service": {"namespace": NAMESPACE, "name": NAME, "path": path, "port": 8443},
        },
        "sideEffects": "None",
        "admissionReviewVersions": ["v1", "v1beta1"],
        "timeoutSeconds": 2,
        "namespaceSelector": {"matchLabels": {"hooked": "true"}},
    }
    about = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration"}
    return json.dumps({**about, "metadata": {"name": name}, "webhooks": [hook]})


def refused(cluster: RealCluster, *arguments: str) -> str:
    done = cluster.kubectl(*HERE, *arguments, check=False)
    assert done.returncode != 0
    return done.stderr


def test_webhooks_in_a_pod(cluster: RealCluster, bundle: str) -> None:
    hooks = (
        configuration("Mutating", bundle, "/mutate", "configmaps", "CREATE"),
        configuration("Validating", bundle, "/deny", "configmaps", "*"),
        configuration("Validating", bundle, "/attach", "pods/attach", "CONNECT"),
        configuration("Validating", bundle, "/hang", "secrets", "CREATE"),
    )
    for hook in hooks:
        cluster.apply(hook)
    try:
        cluster.kubectl(*HERE, "create", "configmap", "good", "--from-literal=mutation-start=yes")
        assert cluster.get(*HERE, "configmap", "good")["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes"}
        bad = "webhook-e2e-test=webhook-disallow"
        text = 'admission webhook "extension-deny.example.com" denied the request: the configmap contains unwanted'
        assert text in refused(cluster, "create", "configmap", "bad", f"--from-literal={bad}")
        patch = '{"data":{"webhook-e2e-test":"webhook-disallow"}}'
        assert text in refused(cluster, "patch", "configmap", "good", "-p", patch)
        said = refused(cluster, "attach", NAME, "-i", "-c", "main")
        assert "attaching to pod 'extension' is not allowed" in said
        said = refused(cluster, "create", "secret", "generic", "late")
        assert "/hang?timeout=2s" in said and "context deadline exceeded" in said
    finally:
        for hook in hooks:
            cluster.kubectl("delete", "-f", "-", stdin=hook)


def test_conversion_in_a_pod(cluster: RealCluster, bundle: str) -> None:
    service = {"namespace": NAMESPACE, "name": NAME, "path": "/convert", "port": 8443}
    webhook = {
        "conversionReviewVersions": ["v1", "v1beta1"],
        "clientConfig": {"caBundle": bundle, "service": service},
    }

    def version(name: str, *fields: str) -> dict[str, Any]:
        properties = {field: {"type": "string"} for field in fields}
        schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
        return {"name": name, "served": True, "storage": name == "v1", "schema": schema}

    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "places.stable.example.com"},
        "spec": {
            "group": "stable.example.com",
            "scope": "Namespaced",
            "names": {"plural": "places", "kind": "Place"},
            "conversion": {"strategy": "Webhook", "webhook": webhook},
            "versions": [version("v1", "hostPort"), version("v2", "host", "port")],
        },
    }
    cluster.apply(json.dumps(definition))
    try:
        cluster.wait("crd/places.stable.example.com", "--for=condition=Established")
        old: dict[str, Any]
        old = {"apiVersion": "stable.example.com/v1", "kind": "Place", "metadata": {"name": "old"}, "hostPort": "a:1"}
        new = {"apiVersion": "stable.example.com/v2", "kind": "Place", "metadata": {"name": "new"}}
        new |= {"host": "b", "port": "2"}
        for obj in (old, new):
            cluster.kubectl(*HERE, "create", "-f", "-", stdin=json.dumps(obj))
        found = cluster.get(*HERE, "places.v2.stable.example.com")["items"]
        assert [(p["host"], p["port"]) for p in found] == [("b", "2"), ("a", "1")]
        found = cluster.get(*HERE, "places.v1.stable.example.com")["items"]
        assert [p["hostPort"] for p in found] == ["b:2", "a:1"]
    finally:
        cluster.kubectl("delete", "crd", "places.stable.example.com")


def test_an_aggregated_api_in_a_pod(cluster: RealCluster, bundle: str) -> None:
    """It trusts the front proxy that kube-system names, and lets in whom RBAC lets in."""
    spec = {
        "group": "wardle.example.com",
        "version": "v1alpha1",
        "groupPriorityMinimum": 2000,
        "versionPriority": 200,
        "caBundle": bundle,
        "service": {"namespace": NAMESPACE, "name": NAME, "port": 8443},
    }
    about = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API}}
    cluster.apply(json.dumps({**about, "spec": spec}))
    cluster.wait(f"apiservice/{API}", "--for=condition=Available")
    (condition,) = cluster.get("apiservice", API)["status"]["conditions"]
    assert condition["message"] == "all checks passed"
    flunder = {"apiVersion": "wardle.example.com/v1alpha1", "kind": "Flunder", "metadata": {"name": "one"}}
    cluster.kubectl(*HERE, "create", "-f", "-", stdin=json.dumps(flunder))
    assert [f["metadata"]["name"] for f in cluster.get(*HERE, "flunders")["items"]] == ["one"]
    assert 'User "mary" cannot list resource "flunders"' in refused(cluster, "get", "flunders", "--as=mary")
    cluster.kubectl(*HERE, "create", "role", "flunders", "--verb=list", "--resource=flunders.wardle.example.com")
    cluster.kubectl(*HERE, "create", "rolebinding", "flunders", "--role=flunders", "--user=mary")
    shown = until(lambda: cluster.kubectl(*HERE, "get", "flunders", "-o", "name", "--as=mary", check=False).stdout)
    assert shown == "flunder.wardle.example.com/one\n"
    cluster.kubectl(*HERE, "delete", "flunder", "one", "--wait=false")
    assert cluster.get(*HERE, "flunders")["items"] == []
    cluster.kubectl("delete", "apiservice", API)
    assert "could not find the requested resource" in refused(
        cluster, "get", "--raw", f"/apis/{spec['group']}/v1alpha1"
    )
