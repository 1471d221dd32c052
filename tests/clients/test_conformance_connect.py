"""Streams before admission: webhooks and policies judge a CONNECT by what its query asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_conformance_extensions import ADMISSION, configuration, denied, hook, registered, rule
from .wire import Body, Wire

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "to-be-attached-pod"},
    "spec": {"containers": [{"name": "container1", "image": "i:1"}]},
}


@pytest.fixture
def here(wire: Wire, pybernetes_namespace: str) -> str:
    """A namespace with a label of its name, and a Pod that runs."""
    wire.patch(f"/api/v1/namespaces/{pybernetes_namespace}", {"metadata": {"labels": {pybernetes_namespace: "true"}}})
    pods = f"/api/v1/namespaces/{pybernetes_namespace}/pods"
    wire.post_protobuf(pods, POD)
    wire.until(f"{pods}/to-be-attached-pod", lambda p: p["status"].get("phase") == "Running")
    return pybernetes_namespace


def test_webhooks_see_what_is_asked_for(wire: Wire, here: str, tmp_path: Path) -> None:
    def answer(_: str, request: Body) -> Body:
        seen.append(request)
        asked = request["object"]
        if asked["kind"] == "PodAttachOptions" and not (asked.get("stdin") and asked["container"] == "container1"):
            return {"allowed": True}
        return denied(f"{request['subResource']} of {request['resource']['resource']} is not allowed")

    seen: list[Body] = []
    parts = ("attach", "exec", "portforward", "proxy")
    rules = [rule("", f"pods/{part}", "CONNECT") for part in parts]
    only = {"namespaceSelector": {"matchLabels": {here: "true"}}}
    with (
        hook(tmp_path, answer) as (port, bundle),
        registered(wire, configuration("Validating", "streams", port, bundle, rules, **only)),
    ):
        arguments = (f"--namespace={here}", "attach", "to-be-attached-pod", "-i", "-c=container1")
        assert "attach of pods is not allowed" in wire.kubectl(*arguments, fails=True)
        pod = f"/api/v1/namespaces/{here}/pods/to-be-attached-pod"
        for method, asked in (
            ("POST", "exec?command=ls&command=-l&stdout=true&container=container1"),
            ("POST", "portforward?ports=80"),
            ("GET", "proxy/a/b?c=d"),
        ):
            assert "of pods is not allowed" in wire.refused(method, f"{pod}/{asked}").message
    shown = [{key: value for key, value in request["object"].items() if key != "apiVersion"} for request in seen]
    assert shown[0] == {
        "kind": "PodAttachOptions", "stdin": True, "stdout": True, "stderr": True, "container": "container1"
    }  # fmt: skip
    assert shown[-3:] == [
        {"kind": "PodExecOptions", "stdout": True, "container": "container1", "command": ["ls", "-l"]},
        {"kind": "PodPortForwardOptions", "ports": [80]},
        {"kind": "PodProxyOptions", "path": "/a/b"},
    ]


def test_policies_see_what_is_asked_for(wire: Wire, here: str) -> None:
    selector = {"namespaceSelector": {"matchLabels": {here: "true"}}}
    base = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": f"streams-{here}"}}
    validation = {"expression": "!has(object.stdin) || !object.stdin", "message": "nobody may type"}
    constraints = {**selector, "resourceRules": [rule("", "pods/attach", "CONNECT")]}
    spec = {"matchConstraints": constraints, "validations": [validation]}
    policies, bindings = (f"{ADMISSION}/validatingadmissionpolic{end}" for end in ("ies", "ybindings"))
    wire.post_protobuf(policies, {**base, "kind": "ValidatingAdmissionPolicy", "spec": spec})
    binding = {"policyName": f"streams-{here}", "validationActions": ["Deny"], "matchResources": selector}
    wire.post_protobuf(bindings, {**base, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding})
    asked = f"/api/v1/namespaces/{here}/pods/to-be-attached-pod/attach?stdin=true&container=container1"
    assert "nobody may type" in wire.refused("POST", asked).message
    wire.delete(f"{bindings}/streams-{here}")
    wire.delete(f"{policies}/streams-{here}")


def test_a_webhook_behind_a_service_that_is_missing_is_named_in_full(wire: Wire, here: str) -> None:
    only = {"namespaceSelector": {"matchLabels": {here: "true"}}}
    body = configuration("Validating", "missing", 1, "", [rule("", "configmaps")], ("/",), **only)
    reference = {"namespace": here, "name": "nobody", "path": "/configmaps", "port": 8443}
    body["webhooks"][0]["clientConfig"] = {"service": reference}
    with registered(wire, body):
        refused = wire.refused(
            "POST",
            f"/api/v1/namespaces/{here}/configmaps",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}},
        )
    url = f"https://nobody.{here}.svc:8443/configmaps?timeout=10s"
    assert refused.code == 500 and f'Post "{url}": service "nobody" not found' in refused.message
