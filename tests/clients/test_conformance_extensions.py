"""Custom resources, admission and kubectl: what the upstream tests send, and the answers that they look for."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.control_plane.apiserver.admission.test_webhooks import certificate

from .wire import APPLY, JSON_PATCH, MERGE, STRATEGIC, Body, Wire, until

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
BAR = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {
                "bars": {
                    "description": "List of Bars and their specs.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"description": "Name of Bar.", "type": "string"},
                            "age": {"description": "Age of Bar.", "type": "string"},
                            "feeling": {
                                "description": "Whether Bar is feeling great.",
                                "type": "string",
                                "enum": ["Great", "Down"],
                            },
                            "bazs": {"description": "List of Bazs.", "type": "array", "items": {"type": "string"}},
                        },
                    },
                }
            },
        },
        "status": {"type": "object", "description": "Status of Foo"},
    },
}


def version(name: str, schema: Body, *, storage: bool = False, served: bool = True) -> Body:
    return {
        "name": name,
        "served": served,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }


def crd(group: str, *versions: Body, kind: str = "Foo", scope: str = "Namespaced", **spec: Any) -> Body:
    plural = kind.lower() + "s"
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": scope, "versions": list(versions), **spec},
    }


@contextlib.contextmanager
def defined(wire: Wire, definition: Body) -> Iterator[str]:
    """A definition that is established while the block runs; its path."""
    wire.post_protobuf(CRDS, definition)
    one = f"{CRDS}/{definition['metadata']['name']}"
    try:
        wire.until(
            one,
            lambda c: (
                {"NamesAccepted", "Established"}
                <= {x["type"] for x in c.get("status", {}).get("conditions", []) if x["status"] == "True"}
            ),
        )
        yield one
    finally:
        wire.delete(one)


@contextlib.contextmanager
def hook(directory: Path, answer: Callable[[str, Body], Body | None]) -> Iterator[tuple[int, str]]:
    """An HTTPS server that answers reviews: `answer(path, request) -> response`; None never answers in time."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = self.path.partition("?")[0]
            response = answer(path, review["request"])
            if response is None:
                stop.wait(5)
                response = {"allowed": True}
            review = {
                "apiVersion": review["apiVersion"],
                "kind": review["kind"],
                "response": {"uid": review["request"]["uid"], **response},
            }
            body = json.dumps(review).encode()
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    stop = threading.Event()
    cert, key = certificate(directory)
    server = Server(("0.0.0.0", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, b64encode(cert.read_bytes()).decode()
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


def patch_of(*operations: Body) -> Body:
    return {"allowed": True, "patchType": "JSONPatch", "patch": b64encode(json.dumps(operations).encode()).decode()}


def denied(message: str) -> Body:
    return {"allowed": False, "status": {"message": message, "reason": "Forbidden", "code": 403}}


def configuration(
    kind: str, name: str, port: int, bundle: str, rules: list[Body], paths: tuple[str, ...] = ("/",), **more: Any
) -> Body:
    hooks = [
        {
            "name": f"h{i}.k8s.io",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"],
            "rules": rules,
            "clientConfig": {"url": f"https://127.0.0.1:{port}{path}", "caBundle": bundle},
            **more,
        }
        for i, path in enumerate(paths)
    ]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": name, "labels": {"e2e": name}},
        "webhooks": hooks,
    }


def rule(group: str, resource: str, *operations: str, version: str = "v1") -> Body:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": [resource],
        "operations": list(operations or ("CREATE",)),
    }


@contextlib.contextmanager
def registered(wire: Wire, body: Body) -> Iterator[str]:
    path = f"{ADMISSION}/{body['kind'].lower()}s"
    wire.post(path, body)
    try:
        yield f"{path}/{body['metadata']['name']}"
    finally:
        wire.delete(f"{path}?labelSelector=e2e%3D{body['metadata']['name']}")


def config_map(name: str, **data: str) -> Body:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_discovery(wire: Wire) -> None:
    found = wire.get("/version")
    assert found["major"].isdigit() and found["minor"].isdigit()
    for group in wire.get("/apis")["groups"]:
        one = wire.get(f"/apis/{group['name']}/")
        assert one["preferredVersion"] in one["versions"]
        for each in one["versions"]:
            listed = wire.get(f"/apis/{each['groupVersion']}")
            assert listed["groupVersion"] == each["groupVersion"] and listed["resources"]
    groups = {group["name"]: group for group in wire.get("/apis")["groups"]}
    assert ADMISSION.removeprefix("/apis/") in [
        v["groupVersion"] for v in groups["admissionregistration.k8s.io"]["versions"]
    ]
    hooks = {one["name"] for one in wire.get(ADMISSION)["resources"]}
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= hooks
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    with defined(wire, crd("disc.example.com", version("v1", OPEN, storage=True))):
        for path, wanted in (("/api", ("", "v1", "pods")), ("/apis", ("disc.example.com", "v1", "foos"))):

            def read(path: str = path) -> set[tuple[str, str, str]]:
                code, headers, answer = wire.raw("GET", path, Accept=accept)
                assert code == 200 and "as=APIGroupDiscoveryList" in headers["Content-Type"]
                return {
                    (g["metadata"].get("name", ""), v["version"], r["resource"])
                    for g in json.loads(answer)["items"]
                    for v in g["versions"]
                    for r in v.get("resources", ())
                }

            until(read, lambda seen, wanted=wanted: wanted in seen)


def test_no_table_of_a_review(wire: Wire) -> None:
    body = {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}},
    }
    refused = wire.refused(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        body,
        Accept="application/json;as=Table;v=v1;g=meta.k8s.io",
    )
    assert refused.code == 406


@pytest.mark.parametrize(
    ("groups", "kinds"),
    [(("one.example.com", "two.example.com"), ("Foo", "Foo")), (("same.example.com",) * 2, ("Foo", "Bar"))],
)
def test_openapi_of_several_definitions(wire: Wire, groups: tuple[str, str], kinds: tuple[str, str]) -> None:
    """Of different groups, or of one group and version and different kinds."""
    definitions = [
        crd(group, version("v1", BAR, storage=True), kind=kind) for group, kind in zip(groups, kinds, strict=True)
    ]
    names = {
        f"{'.'.join(reversed(group.split('.')))}.v1.{kind}": {"group": group, "kind": kind, "version": "v1"}
        for group, kind in zip(groups, kinds, strict=True)
    }
    assert len(names) == 2

    def published() -> Body:
        found = wire.get("/openapi/v2")["definitions"]
        return {name: found[name] for name in names if name in found}

    with defined(wire, definitions[0]), defined(wire, definitions[1]):
        found = until(published, lambda seen: seen.keys() == names.keys())
        for name, told in names.items():
            assert found[name]["x-kubernetes-group-version-kind"] == [told]
            assert found[name]["properties"]["spec"] == BAR["properties"]["spec"]
    until(published, lambda seen: not seen)


def test_openapi_follows_definitions_and_kubectl_reads_it(wire: Wire, pybernetes_namespace: str) -> None:
    here = f"--namespace={pybernetes_namespace}"
    group = "publish.example.com"
    name = "com.example.publish.{}.Foo".format
    definition = crd(group, version("v1", BAR, storage=True), version("v2", BAR))

    def published() -> Body:
        code, headers, body = wire.raw("GET", "/openapi/v2")
        assert code == 200 and wire.raw("GET", "/openapi/v2", If_None_Match=headers["ETag"])[0] == 304
        return dict(json.loads(body)["definitions"])

    with defined(wire, definition) as one:
        found = until(published, lambda d: name("v1") in d and name("v2") in d)[name("v1")]
        assert found["properties"]["spec"] == BAR["properties"]["spec"]
        assert found["x-kubernetes-group-version-kind"] == [{"group": group, "kind": "Foo", "version": "v1"}]
        assert {"apiVersion", "kind", "metadata"} <= set(found["properties"])

        def foo(text: str) -> str:
            return f"apiVersion: {group}/v1\nkind: Foo\nmetadata: {{name: t}}\nspec:\n  bars:\n{text}"

        good = foo("  - {name: test-bar, age: '10', feeling: Great}\n")
        wire.kubectl(here, "create", "-f", "-", stdin=good)
        wire.kubectl(here, "delete", "foos", "t")
        wire.kubectl(here, "apply", "-f", "-", stdin=good)
        wire.kubectl(here, "apply", "-f", "-", stdin=good)
        wire.kubectl(here, "delete", "foos", "t")
        for verb in ("create", "apply"):
            wrong = wire.kubectl(here, verb, "-f", "-", stdin=foo("  - {name: b, unknown: x}\n"), fails=True)
            assert 'unknown field "spec.bars[0].unknown"' in wrong
            wrong = wire.kubectl(here, verb, "-f", "-", stdin=foo("  - {name: b, feeling: NonExistent}\n"), fails=True)
            assert 'Unsupported value: "NonExistent"' in wrong
            wrong = wire.kubectl(here, verb, "-f", "-", stdin=foo("  - {age: '10'}\n"), fails=True)
            assert "spec.bars[0].name: Required value" in wrong
        text = wire.kubectl("explain", "foos")
        assert "DESCRIPTION" in text and "Foo CRD for Testing" in text and "Specification of Foo" in text
        text = wire.kubectl("explain", "foos.spec.bars")
        assert "Whether Bar is feeling great." in text and "bazs" in text
        wire.kubectl("explain", "foos.spec.bars2", fails=True)
        wire.patch(
            one,
            [
                {"op": "test", "path": "/spec/versions/1/name", "value": "v2"},
                {"op": "replace", "path": "/spec/versions/1/name", "value": "v4"},
            ],
            JSON_PATCH,
        )
        until(published, lambda d: name("v4") in d and name("v2") not in d and name("v1") in d)
        changed = wire.get(one)
        changed["spec"]["versions"][1]["served"] = False
        wire.put(one, changed)
        until(published, lambda d: name("v4") not in d and name("v1") in d)
    until(published, lambda d: name("v1") not in d)
    nested = {
        "type": "object",
        "properties": {
            "spec": {**OPEN, "description": "Specification of Waldo"},
            "status": {"type": "object", "description": "Status of Waldo"},
        },
    }
    for each, schema in (("root", OPEN), ("embedded", nested)):
        with defined(wire, crd(f"{each}.example.com", version("v1", schema, storage=True), kind="Waldo")):
            until(published, lambda d, each=each: f"com.example.{each}.v1.Waldo" in d)
            head = f"apiVersion: {each}.example.com/v1\nkind: Waldo\nmetadata: {{name: w}}\n"
            waldo = head + "spec:\n  a: null\n  b:\n  - c: d\n"
            wire.kubectl(here, "create", "-f", "-", stdin=waldo)
            wire.kubectl(here, "apply", "-f", "-", stdin=waldo)
            wire.kubectl(here, "delete", f"waldos.{each}.example.com", "w")
            text = wire.kubectl("explain", f"waldos.{each}.example.com")
            assert "KIND:       Waldo" in text


def test_definitions(wire: Wire, pybernetes_namespace: str) -> None:
    start = wire.get(CRDS)["metadata"]["resourceVersion"]
    for i in range(3):
        body = crd(f"many{i}.example.com", version("v1", OPEN, storage=True))
        body["metadata"]["labels"] = {"many": "yes"}
        wire.post_protobuf(CRDS, body)
    assert len(wire.get(f"{CRDS}?labelSelector=many%3Dyes")["items"]) == 3
    one = f"{CRDS}/foos.many0.example.com"
    wire.until(one, lambda c: any(x["type"] == "Established" for x in c["status"].get("conditions", ())))
    new = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "m"}
    status = wire.get(f"{one}/status")
    status["status"]["conditions"].append(new | {"lastTransitionTime": "2026-01-01T00:00:00Z"})
    after = wire.put(f"{one}/status", status)
    assert "StatusUpdate" in {c["type"] for c in after["status"]["conditions"]}
    after = wire.patch(f"{one}/status", {"metadata": {"annotations": {"a": "b"}}}, MERGE)
    assert after["metadata"]["annotations"] == {"a": "b"}
    wire.delete(f"{CRDS}?labelSelector=many%3Dyes")
    until(lambda: wire.get(f"{CRDS}?labelSelector=many%3Dyes")["items"], lambda items: not items)
    seen = []
    for type_, obj in wire.watch(
        f"{CRDS}?resourceVersion={start}&fieldSelector=metadata.name%3Dfoos.many0.example.com"
    ):
        assert obj["metadata"]["name"] == "foos.many0.example.com"
        seen.append(type_)
        if type_ == "DELETED":
            break
    assert seen[0] == "ADDED" and "MODIFIED" in seen


def test_defaulting_from_storage(wire: Wire) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    with defined(wire, crd("def.example.com", version("v1", schema, storage=True), scope="Cluster")) as one:
        path = "/apis/def.example.com/v1/foos"
        make = {"apiVersion": "def.example.com/v1", "kind": "Foo"}
        wire.post(path, {**make, "metadata": {"name": "one"}})
        where = "/spec/versions/0/schema/openAPIV3Schema/properties"
        wire.patch(one, [{"op": "add", "path": f"{where}/a/default", "value": "A"}], JSON_PATCH)
        wire.until(f"{path}/one", lambda o: o.get("a") == "A")
        until(lambda: wire.post(path, {**make, "metadata": {"generateName": "two-"}}), lambda o: o.get("a") == "A")
        made = wire.post(path, {**make, "metadata": {"name": "two"}})
        wire.patch(
            one,
            [{"op": "remove", "path": f"{where}/a/default"}, {"op": "add", "path": f"{where}/b/default", "value": "B"}],
            JSON_PATCH,
        )
        wire.until(f"{path}/two", lambda o: o.get("b") == "B")
        assert made["a"] == "A" == wire.get(f"{path}/two")["a"]


def test_field_validation(wire: Wire, pybernetes_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{pybernetes_namespace}/deployments"
    text = """{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", %s "labels": {"app": "n"}},
      "spec": {%s "replicas": 1, "selector": {"matchLabels": {"app": "n"}}, "template": {
        "metadata": {"labels": {"app": "n"}}, "spec": {"containers": [{"name": "n", "image": "n:1"}]}}}}"""

    def strict(path: str, body: str, method: str = "POST", **headers: str) -> str:
        join = "&" if "?" in path else "?"
        code, _, answer = wire.raw(method, f"{path}{join}fieldValidation=Strict", body.encode(), **headers)
        return "" if code < 300 else str(json.loads(answer)["message"])

    assert strict(path, text % ("", '"unknownField": "foo", "replicas": 100,')) == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'unknown field "spec.unknownField", duplicate field "spec.replicas"'
    )
    assert 'strict decoding error: unknown field "metadata.unknownMeta"' in strict(
        path, text % ('"unknownMeta": "foo",', "")
    )
    foo = {
        "foo": {"type": "string"},
        "ports": {
            "type": "array",
            "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
            "x-kubernetes-list-type": "map",
            "items": {
                "type": "object",
                "required": ["containerPort", "protocol"],
                "properties": {
                    "containerPort": {"type": "integer"},
                    "protocol": {"type": "string"},
                    "hostPort": {"type": "integer"},
                },
            },
        },
    }
    embedded = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"metadata": {"type": "object"}},
    }
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {**foo, "template": {"type": "object", "properties": {"template": embedded}}},
            }
        },
    }
    open_spec = {
        "type": "object",
        "properties": {
            "spec": {
                **OPEN,
                "properties": {**foo, "template": {"type": "object", "properties": {"template": embedded}}},
            }
        },
    }
    with (
        defined(wire, crd("strict.example.com", version("v1", schema, storage=True), scope="Cluster")),
        defined(wire, crd("lax.example.com", version("v1", open_spec, storage=True), scope="Cluster")),
        defined(wire, crd("none.example.com", version("v1", OPEN, storage=True), scope="Cluster")),
    ):

        def apply(group: str, spec: str, meta: str = "") -> str:
            body = (
                f"\napiVersion: {group}.example.com/v1\nkind: Foo\nmetadata:\n  name: mytest\n{meta}"
                f"  finalizers:\n  - test/finalizer\nspec:\n{spec}"
            )
            return strict(
                f"/apis/{group}.example.com/v1/foos/mytest?fieldManager=field_validation_test",
                body,
                "PATCH",
                Content_Type=APPLY,
            )

        ports = "  ports:\n  - {name: x, containerPort: 8080, protocol: TCP}\n".replace("name: x, ", "hostPort: 1, ")
        assert apply("none", "  foo: foo1\n  bar: x\n" + ports) == ""
        assert apply("strict", "  foo: foo1\n" + ports) == ""
        assert apply("lax", "  foo: foo1\n  bar: x\n" + ports) == ""
        assert "field not declared in schema" in apply("strict", "  foo: foo1\n  unknownField: x\n" + ports)
        double = apply("lax", "  foo: foo1\n  foo: foo2\n" + ports)
        assert 'key "foo" already set in map' in double and "line " in double
        for group in ("strict", "lax"):
            wrong = apply(group, "  foo: foo1\n", "  unknownMeta: unknown\n")
            assert ".metadata.unknownMeta: field not declared in schema" in wrong or "unknownMeta" in wrong
        inner = (
            "  template:\n    template:\n      apiVersion: foo/v1\n      kind: Sub\n      metadata:\n"
            "        unknownSubMeta: unknown\n        name: subobject\n"
        )
        assert "unknownSubMeta" in apply("lax", "  foo: foo1\n" + inner)
        body = {
            "apiVersion": "strict.example.com/v1",
            "kind": "Foo",
            "metadata": {"name": "p", "unknownMeta": "u"},
            "spec": {"foo": "x", "extra": 1},
        }
        wrong = strict("/apis/strict.example.com/v1/foos", json.dumps(body))
        assert 'unknown field "metadata.unknownMeta"' in wrong and 'unknown field "spec.extra"' in wrong
        for group in ("strict", "lax", "none"):
            wire.patch(f"/apis/{group}.example.com/v1/foos/mytest", {"metadata": {"finalizers": None}}, MERGE)


def deployment(name: str, replicas: int) -> Body:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }


def test_policies_judge_and_mutate_a_deployment(wire: Wire, pybernetes_namespace: str) -> None:
    here = pybernetes_namespace
    wire.patch(f"/api/v1/namespaces/{here}", {"metadata": {"labels": {"vap": here}}})
    selector = {"namespaceSelector": {"matchLabels": {"vap": here}}}
    matching = {**selector, "resourceRules": [rule("apps", "deployments")]}
    base = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": here}}
    policy = {
        "matchConstraints": matching,
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
        ],
        "validations": [
            {
                "expression": "variables.replicas > 1",
                "messageExpression": "'wants more than 1, got ' + string(variables.replicas)",
            },
            {"expression": "variables.oddReplicas"},
            {"expression": "namespaceObject.metadata.name == object.metadata.namespace"},
        ],
    }
    wire.post(f"{ADMISSION}/validatingadmissionpolicies", {**base, "kind": "ValidatingAdmissionPolicy", "spec": policy})
    binding = {"policyName": here, "validationActions": ["Deny"], "matchResources": selector}
    wire.post(
        f"{ADMISSION}/validatingadmissionpolicybindings",
        {**base, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding},
    )
    wire.until(
        f"{ADMISSION}/validatingadmissionpolicies/{here}",
        lambda p: p["status"].get("observedGeneration") == p["metadata"]["generation"],
    )
    path = f"/apis/apps/v1/namespaces/{here}/deployments"
    one = wire.refused("POST", path, deployment("one", 1))
    assert (one.code, one.reason) == (422, "Invalid") and "wants more than 1, got 1" in one.message
    assert "failed expression: variables.oddReplicas" in wire.refused("POST", path, deployment("two", 2)).message
    assert wire.post(path, deployment("three", 3))["spec"]["replicas"] == 3
    wire.delete(f"{ADMISSION}/validatingadmissionpolicybindings/{here}")
    wire.delete(f"{ADMISSION}/validatingadmissionpolicies/{here}")
    mutations = [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
        for expression in (
            "Object{spec: Object.spec{replicas: 1337}}",
            'Object{metadata: Object.metadata{annotations: {"my-foo-annotation": "myAnnotationValue"}}}',
        )
    ]
    spec = {"matchConstraints": matching, "mutations": mutations, "reinvocationPolicy": "Never"}
    wire.post(f"{ADMISSION}/mutatingadmissionpolicies", {**base, "kind": "MutatingAdmissionPolicy", "spec": spec})
    wire.post(
        f"{ADMISSION}/mutatingadmissionpolicybindings",
        {**base, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": here, "matchResources": selector}},
    )
    made = wire.call("POST", f"{path}?dryRun=All", deployment("four", 4))
    assert made["spec"]["replicas"] == 1337
    assert made["metadata"]["annotations"]["my-foo-annotation"] == "myAnnotationValue"
    wire.delete(f"{ADMISSION}/mutatingadmissionpolicybindings/{here}")
    wire.delete(f"{ADMISSION}/mutatingadmissionpolicies/{here}")


def test_webhooks(wire: Wire, pybernetes_namespace: str, tmp_path: Path) -> None:
    here = pybernetes_namespace
    maps, pods = f"/api/v1/namespaces/{here}/configmaps", f"/api/v1/namespaces/{here}/pods"
    wire.patch(f"/api/v1/namespaces/{here}", {"metadata": {"labels": {"hooked": here}}})
    only = {"namespaceSelector": {"matchLabels": {"hooked": here}}}

    def answer(path: str, request: Body) -> Body | None:
        data = (request.get("object") or {}).get("data") or {}
        if path == "/slow":
            return None
        if path == "/add1" and data.get("mutation-start") == "yes":
            return patch_of({"op": "add", "path": "/data/mutation-stage-1", "value": "yes"})
        if path == "/add2" and data.get("mutation-stage-1") == "yes":
            return patch_of({"op": "add", "path": "/data/mutation-stage-2", "value": "yes"})
        if path == "/pods":
            container = {"name": "init", "image": "i:1", "resources": {}}
            return patch_of({"op": "add", "path": "/spec/initContainers", "value": [container]})
        return {"allowed": True} if path.startswith("/add") else denied("the request is not wanted")

    configs = rule("", "configmaps", "CREATE", "UPDATE")
    with hook(tmp_path, answer) as (port, bundle):
        made = configuration("Mutating", "mutate", port, bundle, [configs], ("/add1", "/add2"), **only)
        with registered(wire, made) as one:
            data = wire.post(maps, config_map("m", **{"mutation-start": "yes"}))["data"]
            assert set(data) == {"mutation-start", "mutation-stage-1", "mutation-stage-2"}
            wire.patch(
                one, [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["UPDATE"]}], JSON_PATCH
            )
            assert len(wire.post(maps, config_map("m2", **{"mutation-start": "yes"}))["data"]) == 1
        condition = [{"name": "skip", "expression": "object.metadata.name != 'skip-me'"}]
        with registered(
            wire,
            configuration("Mutating", "skip", port, bundle, [configs], ("/add1",), matchConditions=condition, **only),
        ) as one:
            assert wire.get(one)["webhooks"][0]["matchConditions"] == condition
            assert len(wire.post(maps, config_map("skip-me", **{"mutation-start": "yes"}))["data"]) == 1
            assert len(wire.post(maps, config_map("other", **{"mutation-start": "yes"}))["data"]) == 2
        for kind in ("Mutating", "Validating"):
            bad = configuration(
                kind,
                "bad",
                port,
                bundle,
                [configs],
                matchConditions=[{"name": "invalid-expression", "expression": "... [] bad expression"}],
            )
            where = f"{ADMISSION}/{kind.lower()}webhookconfigurations"
            refused = wire.refused("POST", where, bad)
            assert refused.code == 422 and "compilation failed" in refused.message
        with registered(wire, configuration("Mutating", "pod", port, bundle, [rule("", "pods")], ("/pods",), **only)):
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "p"},
                "spec": {"containers": [{"name": "c", "image": "i:1"}]},
            }
            added = wire.post(pods, pod)["spec"]["initContainers"][0]
            assert added["name"] == "init" and added["terminationMessagePolicy"] == "File"
        rules = [configs, rule("", "pods/attach", "CONNECT")]
        with registered(wire, configuration("Validating", "deny", port, bundle, rules, ("/add", "/deny"), **only)):
            refused = wire.refused("POST", maps, config_map("no", a="b"))
            assert "denied the request: the request is not wanted" in refused.message
            assert wire.refused("PATCH", f"{maps}/m", {"data": {"x": "y"}}, Content_Type=STRATEGIC).code == 403
            attach = wire.kubectl(f"--namespace={here}", "attach", "p", "-c", "c", fails=True, timeout=30)
            assert "the request is not wanted" in attach
            elsewhere = wire.post("/api/v1/namespaces/default/configmaps", config_map("fine", a="b"))
            assert elsewhere["metadata"]["name"] == "fine"
        for seconds, policy, fails in ((1, "Fail", True), (1, "Ignore", False)):
            with registered(
                wire,
                configuration(
                    "Validating",
                    "slow",
                    port,
                    bundle,
                    [configs],
                    ("/slow",),
                    timeoutSeconds=seconds,
                    failurePolicy=policy,
                    **only,
                ),
            ):
                if fails:
                    late = wire.refused("POST", maps, config_map("late"))
                    assert "?timeout=1s" in late.message and "context deadline exceeded" in late.message
                else:
                    wire.post(maps, config_map("late"))
        closed = configuration("Validating", "closed", port, "", [configs], **only)
        with registered(wire, closed):
            assert wire.refused("POST", maps, config_map("never")).code == 500
        everything = rule("*", "*", "*", version="*")
        with registered(
            wire,
            configuration(
                "Validating",
                "self",
                port,
                bundle,
                [everything],
                failurePolicy="Fail",
                objectSelector={"matchLabels": {"e2e": "victim"}},
            ),
        ):
            with registered(wire, configuration("Mutating", "victim", port, bundle, [configs], **only)):
                pass
        with registered(
            wire,
            configuration(
                "Validating", "crds", port, bundle, [rule("apiextensions.k8s.io", "customresourcedefinitions")]
            ),
        ):
            body = crd("denied.example.com", version("v1", OPEN, storage=True))
            assert "the request is not wanted" in wire.refused("POST", CRDS, body).message


def test_webhooks_of_custom_resources_and_conversion(wire: Wire, tmp_path: Path) -> None:
    """Mutation under pruning and another stored version, lists of mixed versions, selectable fields; by a Service."""

    def answer(path: str, request: Body) -> Body | None:
        if path == "/convert":
            objects = []
            for obj in request["objects"]:
                changed = {**obj, "apiVersion": request["desiredAPIVersion"]}
                if obj["apiVersion"].endswith("/v1") and "hostPort" in obj:
                    changed["host"], changed["port"] = changed.pop("hostPort").split(":")
                elif obj["apiVersion"].endswith("/v2") and "host" in obj:
                    changed["hostPort"] = f"{changed.pop('host')}:{changed.pop('port')}"
                objects.append(changed)
            return {"convertedObjects": objects, "result": {"status": "Success"}}
        data = request["object"].get("data") or {}
        if "mutation-stage-1" in data:
            return patch_of({"op": "add", "path": "/data/mutation-stage-2", "value": "yes"})
        return patch_of({"op": "add", "path": "/data/mutation-stage-1", "value": "yes"})

    strings = {key: {"type": "string"} for key in ("mutation-start", "mutation-stage-1", "other")}
    pruned = {"type": "object", "properties": {"data": {"type": "object", "properties": strings}}}
    with hook(tmp_path, answer) as (port, bundle):
        definition = crd(
            "hooked.example.com", version("v1", pruned, storage=True), version("v2", pruned), scope="Cluster"
        )
        rules = [rule("hooked.example.com", "foos", "CREATE", "UPDATE")]
        with (
            defined(wire, definition) as one,
            registered(wire, configuration("Mutating", "crs", port, bundle, rules, ("/a", "/b"))),
        ):
            path = "/apis/hooked.example.com/{}/foos".format
            body = {
                "apiVersion": "hooked.example.com/v1",
                "kind": "Foo",
                "metadata": {"name": "a"},
                "data": {"mutation-start": "yes"},
            }
            assert set(wire.post(path("v1"), body)["data"]) == {"mutation-start", "mutation-stage-1"}
            wire.patch(one, {"spec": {"versions": [version("v1", pruned), version("v2", pruned, storage=True)]}}, MERGE)
            until(
                lambda: wire.patch(f"{path('v1')}/a", {"data": {"other": "test"}}, MERGE),
                lambda o: o["data"]["other"] == "test",
            )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            local = "127.0.0.1"
            probe.connect(("192.0.2.1", 9))  # sends nothing; says which address would be used
            local = probe.getsockname()[0]
        if local.startswith("127."):
            pytest.skip("this machine has no address that an EndpointSlice may name")
        services = "/api/v1/namespaces/default/services"
        wire.post_protobuf(
            services,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "hook"},
                "spec": {"ports": [{"protocol": "TCP", "port": 9443, "targetPort": port}]},
            },
        )
        wire.post(
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": "IPv4",
                "metadata": {"name": "hook", "labels": {"kubernetes.io/service-name": "hook"}},
                "endpoints": [{"addresses": [local], "conditions": {"ready": True}}],
                "ports": [{"port": port}],
            },
        )
        conversion = {
            "strategy": "Webhook",
            "webhook": {
                "conversionReviewVersions": ["v1", "v1beta1"],
                "clientConfig": {
                    "caBundle": bundle,
                    "service": {"namespace": "default", "name": "hook", "path": "/convert", "port": 9443},
                },
            },
        }
        schema1 = {"type": "object", "properties": {"hostPort": {"type": "string"}}}
        schema2 = {"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "string"}}}
        v1 = {**version("v1", schema1, storage=True), "selectableFields": [{"jsonPath": ".hostPort"}]}
        v2 = {**version("v2", schema2), "selectableFields": [{"jsonPath": ".host"}, {"jsonPath": ".port"}]}
        with defined(wire, crd("conv.example.com", v1, v2, conversion=conversion, scope="Cluster")) as one:
            path = "/apis/conv.example.com/{}/foos".format
            wire.post(
                path("v1"),
                {
                    "apiVersion": "conv.example.com/v1",
                    "kind": "Foo",
                    "metadata": {"name": "a"},
                    "hostPort": "localhost:8080",
                },
            )
            got = wire.get(f"{path('v2')}/a")
            assert (got["host"], got["port"]) == ("localhost", "8080")
            versions = [{**v1, "storage": False}, {**v2, "storage": True}]
            wire.patch(one, {"spec": {"versions": versions}}, MERGE)
            wire.post(
                path("v2"),
                {
                    "apiVersion": "conv.example.com/v2",
                    "kind": "Foo",
                    "metadata": {"name": "b"},
                    "host": "other",
                    "port": "80",
                },
            )
            assert {o["host"] for o in wire.get(path("v2"))["items"]} == {"localhost", "other"}
            assert {o["hostPort"] for o in wire.get(path("v1"))["items"]} == {"localhost:8080", "other:80"}
            chosen = wire.get(f"{path('v2')}?fieldSelector=host%3Dother")["items"]
            assert [o["metadata"]["name"] for o in chosen] == ["b"]
            initial, _ = wire.watch_list(f"{path('v1')}?fieldSelector=hostPort%3Dlocalhost%3A8080")
            assert [o["metadata"]["name"] for o in initial] == ["a"]
        wire.delete(f"{services}/hook")


RC = """
apiVersion: v1
kind: ReplicationController
metadata: {name: agnhost-primary}
spec:
  replicas: 1
  selector: {app: agnhost, role: primary}
  template:
    metadata: {labels: {app: agnhost, role: primary}}
    spec:
      containers: [{name: agnhost-primary, image: 'agnhost:2', ports: [{name: agnhost-server, containerPort: 6379}]}]
"""


def test_kubectl(wire: Wire, pybernetes_namespace: str) -> None:
    name = pybernetes_namespace
    here = f"--namespace={name}"
    assert "v1" in wire.kubectl("api-versions").splitlines()
    assert "Kubernetes control plane" in wire.kubectl("cluster-info") and "is running at" in wire.kubectl(
        "cluster-info"
    )
    told = json.loads(wire.kubectl("version", "-o", "json"))
    assert told["serverVersion"]["major"] == "1" and told["serverVersion"]["gitVersion"]
    assert "Server Version" in wire.kubectl("version")
    wire.kubectl(here, "create", "-f", "-", stdin=json.dumps(deployment("httpd", 1)))
    other = deployment("httpd", 1)
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:2"
    import os
    import subprocess

    done = subprocess.run(
        [
            str(Path(__file__).resolve().parents[2] / ".venv/bin/kubectl"),
            f"--kubeconfig={wire.kubeconfig}",
            here,
            "diff",
            "-f",
            "-",
        ],
        input=json.dumps(other),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(wire.kubeconfig.parent)},
    )
    assert done.returncode == 1, done.stderr
    assert "-      - image: i:1" in done.stdout and "+      - image: busybox:2" in done.stdout
    wire.kubectl(
        here, "run", "web", "--image=httpd:2.4", "--restart=Never", "--pod-running-timeout=2m", "--labels=run=web"
    )
    image = '{"spec":{"containers":[{"name": "web","image": "busybox:1"}]}}'
    wire.kubectl(here, "patch", "pod", "web", "-p", image, "--dry-run=server")
    pods = f"/api/v1/namespaces/{name}/pods"
    assert wire.get(f"{pods}/web")["spec"]["containers"][0]["image"] == "httpd:2.4"
    wire.until(f"{pods}/web", lambda p: p["status"].get("phase") == "Running")
    pod = json.loads(wire.kubectl(here, "get", "pod", "web", "-o", "json"))
    pod["spec"]["containers"][0]["image"] = "busybox:1"
    wire.kubectl(here, "replace", "-f", "-", stdin=json.dumps(pod))
    assert wire.get(f"{pods}/web")["spec"]["containers"][0]["image"] == "busybox:1"
    wire.kubectl(here, "label", "pods", "web", "testing-label=testing-label-value")
    assert "testing-label-value" in wire.kubectl(here, "get", "pod", "web", "-L", "testing-label")
    wire.kubectl(here, "label", "pods", "web", "testing-label-")
    assert "testing-label-value" not in wire.kubectl(here, "get", "pod", "web", "-L", "testing-label")
    wire.kubectl(here, "create", "-f", "-", stdin=RC)
    wire.kubectl(here, "expose", "rc", "agnhost-primary", "--name=rm2", "--port=1234", "--target-port=6379")
    wire.kubectl(here, "expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
    selector = f"{pods}?labelSelector=app%3Dagnhost"
    wire.until(selector, lambda p: p["items"] and p["items"][0]["status"].get("phase") == "Running")
    one = wire.get(selector)["items"][0]["metadata"]["name"]
    wire.kubectl(here, "patch", "pod", one, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    assert wire.get(f"{pods}/{one}")["metadata"]["annotations"]["x"] == "y"
    text = wire.kubectl(here, "describe", "pod", one)
    for word in (
        "Name:",
        "Namespace:",
        "Node:",
        "Labels:",
        "role=primary",
        "Status:",
        "Running",
        "IP:",
        "Controlled By:",
        "ReplicationController/agnhost-primary",
        "Image:",
        "State:",
        "QoS Class:",
    ):
        assert word in text, word
    text = wire.kubectl(here, "describe", "rc", "agnhost-primary")
    for word in ("Replicas:", "1 current", "1 desired", "Pods Status:", "1 Running", "Pod Template:", "Events:"):
        assert word in text, word
    text = wire.kubectl(here, "describe", "service", "rm2")
    for word in ("Selector:", "Type:", "ClusterIP", "Port:", "<unset>", "1234/TCP", "Endpoints:", "Session Affinity:"):
        assert word in text, word
    node = wire.get("/api/v1/nodes")["items"][0]["metadata"]["name"]
    text = wire.kubectl("describe", "node", node)
    for word in (
        "Labels:",
        "Annotations:",
        "CreationTimestamp:",
        "Conditions:",
        "Type",
        "Addresses:",
        "Capacity:",
        "Version:",
        "Kernel Version:",
        "OS Image:",
        "Container Runtime Version:",
        "Kubelet Version:",
        "Pods",
    ):
        assert word in text, word
    text = wire.kubectl("describe", "namespace", name)
    assert "Status:" in text and "Active" in text


def test_kubectl_proxy(wire: Wire, tmp_path: Path) -> None:
    import http.client
    import re
    import subprocess

    from .wire import KUBECTL

    for flag in ("--port=0", f"--unix-socket={tmp_path / 'proxy'}"):
        with subprocess.Popen(
            [str(KUBECTL), f"--kubeconfig={wire.kubeconfig}", "proxy", flag], stdout=subprocess.PIPE, text=True
        ) as proxy:
            try:
                assert proxy.stdout is not None
                told = proxy.stdout.readline()
                connection = http.client.HTTPConnection("localhost")
                found = re.search(r":(\d+)$", told.strip())
                if found:
                    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]))
                else:
                    connection.sock = socket.socket(socket.AF_UNIX)
                    connection.sock.connect(str(tmp_path / "proxy"))
                connection.request("GET", "/api/")
                assert json.loads(connection.getresponse().read())["versions"] == ["v1"]
                connection.close()
            finally:
                proxy.terminate()


def test_api_services_and_denied_deletions(wire: Wire, pybernetes_namespace: str, tmp_path: Path) -> None:
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    spec = {
        "group": "wardle.example.com",
        "version": "v1alpha1",
        "service": {"namespace": pybernetes_namespace, "name": "sample-api", "port": 7443},
        "groupPriorityMinimum": 2000,
        "versionPriority": 200,
        "insecureSkipTLSVerify": True,
    }
    body = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": spec}
    made = wire.post_protobuf(path, {**body, "metadata": {"name": "v1alpha1.wardle.example.com"}})
    assert made["spec"]["service"]["port"] == 7443
    one = f"{path}/v1alpha1.wardle.example.com"
    told = wire.until(f"{one}/status", lambda a: a["status"].get("conditions"))["status"]["conditions"][0]
    assert (told["type"], told["status"], told["reason"]) == ("Available", "False", "ServiceNotFound")
    assert wire.refused("GET", "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders").code == 503
    assert wire.patch(one, {"spec": {"versionPriority": 400}}, MERGE)["spec"]["versionPriority"] == 400
    new = {"type": "StatusUpdated", "status": "True", "reason": "E2E", "message": "Set by e2e test"}
    after = wire.update(f"{one}/status", lambda a: a["status"]["conditions"].append(new))
    assert [c["type"] for c in after["status"]["conditions"]] == ["Available", "StatusUpdated"]
    new = {"type": "StatusPatched", "status": "Unknown", "reason": "E2E", "message": "Set by e2e test"}
    after = wire.patch(f"{one}/status", {"status": {"conditions": [new]}}, STRATEGIC)
    assert "StatusPatched" in {c["type"] for c in after["status"]["conditions"]}
    wire.patch(one, {"metadata": {"labels": {"e2e-apiservice": "patched"}}}, MERGE)
    wire.delete(f"{path}?labelSelector=e2e-apiservice%3Dpatched")
    assert wire.raw("GET", one)[0] == 404
    with (
        hook(tmp_path, lambda at, request: denied("the custom resource is kept")) as (port, bundle),
        defined(wire, crd("kept.example.com", version("v1", OPEN, storage=True), scope="Cluster")),
    ):
        one = "/apis/kept.example.com/v1/foos/a"
        foo = {"apiVersion": "kept.example.com/v1", "kind": "Foo", "metadata": {"name": "a"}}
        wire.post(one.removesuffix("/a"), foo)
        rules = [rule("kept.example.com", "foos", "CREATE", "UPDATE", "DELETE")]
        with registered(wire, configuration("Validating", "kept", port, bundle, rules)):
            for method, change in (("DELETE", None), ("PUT", {**wire.get(one), "data": {"a": "b"}})):
                assert "the custom resource is kept" in wire.refused(method, one, change).message
            refused = wire.refused("DELETE", one.removesuffix("/a"))
            assert "the custom resource is kept" in refused.message
        wire.delete(one)


def test_an_expression_of_the_wrong_type_is_told_and_does_not_help(wire: Wire, pybernetes_namespace: str) -> None:
    here = pybernetes_namespace
    wire.patch(f"/api/v1/namespaces/{here}", {"metadata": {"labels": {"typed": here}}})
    selector = {"namespaceSelector": {"matchLabels": {"typed": here}}}
    base = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": f"{here}.policy.example.com"}}
    validation = {
        "expression": "object.spec.replicas > 1",
        "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
    }
    constraints = {**selector, "resourceRules": [rule("apps", "deployments", "CREATE", "UPDATE")]}
    policy = {"matchConstraints": constraints, "validations": [validation]}
    policies, bindings = (f"{ADMISSION}/validatingadmissionpolic{end}" for end in ("ies", "ybindings"))
    one = f"{policies}/{base['metadata']['name']}"
    wire.post_protobuf(policies, {**base, "kind": "ValidatingAdmissionPolicy", "spec": policy})
    binding = {"policyName": base["metadata"]["name"], "validationActions": ["Deny"], "matchResources": selector}
    wire.post_protobuf(bindings, {**base, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding})
    told = wire.until(one, lambda p: p["status"].get("typeChecking") is not None)["status"]["typeChecking"]
    (warning,) = told["expressionWarnings"]
    assert warning["fieldRef"] == "spec.validations[0].messageExpression"
    assert "found no matching overload for '_+_' applied to '(string, int)'" in warning["warning"]
    path = f"/apis/apps/v1/namespaces/{here}/deployments"
    refused = wire.refused("POST", path, deployment("marker", 1))
    assert (refused.code, refused.reason) == (422, "Invalid") and "failed expression:" in refused.message
    assert wire.post(path, deployment("replicated", 2))["spec"]["replicas"] == 2
    wire.delete(f"{bindings}/{base['metadata']['name']}")
    wire.delete(one)


def test_selected_custom_resources_are_followed_in_both_versions(wire: Wire, tmp_path: Path) -> None:
    """Lists, watches and deletions by selectable fields, which are looked at after the conversion."""

    def answer(_: str, request: Body) -> Body:
        objects = []
        for obj in request["objects"]:
            changed = {**obj, "apiVersion": request["desiredAPIVersion"]}
            if changed["apiVersion"].endswith("/v1") and "host" in obj:
                changed["hostPort"] = f"{changed.pop('host')}:{changed.pop('port', '')}"
            elif changed["apiVersion"].endswith("/v2") and "hostPort" in obj:
                changed["host"], _, changed["port"] = changed.pop("hostPort").partition(":")
            objects.append(changed)
        return {"convertedObjects": objects, "result": {"status": "Success"}}

    text = {"type": "string"}
    v1 = version("v1", {"type": "object", "properties": {"hostPort": text}}, storage=True)
    v2 = version("v2", {"type": "object", "properties": {"host": text, "port": text}})
    v1["selectableFields"] = [{"jsonPath": ".hostPort"}]
    v2["selectableFields"] = [{"jsonPath": ".host"}, {"jsonPath": ".port"}]
    with hook(tmp_path, answer) as (port, bundle):
        webhook = {
            "conversionReviewVersions": ["v1"],
            "clientConfig": {"url": f"https://127.0.0.1:{port}/convert", "caBundle": bundle},
        }
        conversion = {"strategy": "Webhook", "webhook": webhook}
        with defined(wire, crd("followed.example.com", v1, v2, conversion=conversion, scope="Cluster")):
            path = "/apis/followed.example.com/{}/foos".format
            by_host, by_both, by_pair = (
                f"{path('v2')}?fieldSelector=host%3Dhost1",
                f"{path('v2')}?fieldSelector=host%3Dhost1,port%3D80",
                f"{path('v1')}?fieldSelector=hostPort%3Dhost1%3A80",
            )
            start = wire.get(path("v2"))["metadata"]["resourceVersion"]
            watches = [wire.watch(f"{each}&resourceVersion={start}") for each in (by_host, by_both, by_pair)]
            for name, where in (("a", "80"), ("b", "8080"), ("c", None)):
                body: Body = {"apiVersion": "followed.example.com/v2", "kind": "Foo", "metadata": {"name": name}}
                body |= {"host": "host1", "port": where} if where else {"host": "host2"}
                wire.post(path("v2"), body)

            def names(asked: str) -> list[str]:
                return [o["metadata"]["name"] for o in wire.get(asked)["items"]]

            assert (names(by_host), names(by_both), names(by_pair)) == (["a", "b"], ["a"], ["a"])
            wire.delete(by_both, {"gracePeriodSeconds": 0})
            wire.update(f"{path('v2')}/b", lambda obj: obj.update(host="host2"))
            assert (names(by_host), names(by_both), names(by_pair)) == ([], [], [])
            wanted = [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("DELETED", "b")]
            for watch, count in zip(watches, (4, 2, 2), strict=True):
                seen = [(type_, obj["metadata"]["name"]) for _, (type_, obj) in zip(range(count), watch, strict=False)]
                assert seen == [event for event in wanted if count == 4 or event[1] == "a"]
                watch.close()  # type: ignore[attr-defined]
