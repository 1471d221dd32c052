"""What extends a cluster from inside: admission and conversion webhooks and an aggregated API, in a Pod. Standard
library only; the certificate is /certs/tls.crt and .key.

As an aggregated server it does what every one of them does: it reads in kube-system whom to trust as front proxy, and
asks the API server whether the user that the front proxy names may do what it asks for.
"""

from __future__ import annotations

import base64
import encodings.idna  # noqa: F401 - the resolver wants it
import http.client
import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
GROUP, VERSION = "wardle.example.com", "v1alpha1"
FLUNDERS: dict[str, Any] = {}


def api(method: str, path: str, body: Any = None) -> Any:
    """A request to the API server as this Pod's account."""
    with open(f"{ACCOUNT}/token", encoding="ascii") as file:
        token = file.read()
    context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
    connection = http.client.HTTPSConnection("kubernetes.default.svc", context=context, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status < 300, data
        return json.loads(data)
    finally:
        connection.close()


def admission(path: str, request: Any) -> Any:
    """The response to an AdmissionReview."""
    data = (request.get("object") or {}).get("data") or {}
    if path == "/mutate" and data.get("mutation-start") == "yes":
        patch = [{"op": "add", "path": "/data/mutation-stage-1", "value": "yes"}]
        return {
            "allowed": True,
            "patchType": "JSONPatch",
            "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
        }
    if path == "/deny" and data.get("webhook-e2e-test") == "webhook-disallow":
        return {"allowed": False, "status": {"message": "the configmap contains unwanted key and value"}}
    if path == "/attach" and request["object"].get("stdin"):
        return {"allowed": False, "status": {"message": f"attaching to pod '{request['name']}' is not allowed"}}
    if path == "/hang":
        threading.Event().wait(60)
    return {"allowed": True}


def conversion(request: Any) -> Any:
    """The response to a ConversionReview: v1 has `hostPort`, v2 `host` and `port`."""
    converted = []
    for given in request["objects"]:
        obj = {**given, "apiVersion": request["desiredAPIVersion"]}
        if obj["apiVersion"].endswith("/v2") and "hostPort" in obj:
            obj["host"], obj["port"] = obj.pop("hostPort").split(":")
        elif obj["apiVersion"].endswith("/v1") and "host" in obj:
            obj["hostPort"] = f"{obj.pop('host')}:{obj.pop('port')}"
        converted.append(obj)
    return {"convertedObjects": converted, "result": {"status": "Success"}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _say(self, value: Any, code: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/apis/"):
            return self._flunders("create", path)
        review = self._body()
        request = review["request"]
        answer = conversion(request) if review["kind"] == "ConversionReview" else admission(path, request)
        about = {"apiVersion": review["apiVersion"], "kind": review["kind"]}
        self._say({**about, "response": {"uid": request["uid"], **answer}})
        return None

    def do_DELETE(self) -> None:
        self._flunders("delete", urlsplit(self.path).path)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/readyz":
            return self._say("ok")
        if path == f"/apis/{GROUP}/{VERSION}":
            row = {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder"}
            verbs = ["create", "delete", "get", "list"]
            about = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}"}
            return self._say({**about, "resources": [{**row, "verbs": verbs}]})
        return self._flunders("list" if path.endswith("/flunders") else "get", path)

    def _flunders(self, verb: str, path: str) -> None:
        place, _, name = path.partition("/flunders")
        namespace, name = place.rpartition("/")[2], name.strip("/")
        if not self._may(verb, namespace):
            about = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403}
            return self._say({**about, "message": f"flunders is forbidden to {self.headers['X-Remote-User']}"}, 403)
        if verb == "create":
            made = self._body()
            FLUNDERS[namespace, made["metadata"]["name"]] = made
            return self._say(made, 201)
        if verb == "list":
            items = [obj for (where, _), obj in FLUNDERS.items() if where == namespace]
            about = {"kind": "FlunderList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {"resourceVersion": "1"}}
            return self._say({**about, "items": items})
        found = FLUNDERS.pop((namespace, name), None) if verb == "delete" else FLUNDERS.get((namespace, name))
        if found is None:
            about = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            return self._say({**about, "message": f'flunders "{name}" not found'}, 404)
        return self._say(found)

    def _may(self, verb: str, namespace: str) -> bool:
        """Whether the user of the front proxy may; nobody else is believed."""
        assert isinstance(self.connection, ssl.SSLSocket)
        shown = self.connection.getpeercert() or {}
        names = [value for part in shown.get("subject", ()) for key, value in part if key == "commonName"]
        if names != self.server.proxies:  # type: ignore[attr-defined]
            return False
        what = {"group": GROUP, "resource": "flunders", "verb": verb, "namespace": namespace}
        user = {"user": self.headers["X-Remote-User"], "groups": self.headers.get_all("X-Remote-Group")}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(api("POST", path, {**review, "spec": {**user, "resourceAttributes": what}})["status"]["allowed"])


def main() -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    trust = api("GET", path)["data"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/certs/tls.crt", "/certs/tls.key")
    context.load_verify_locations(cadata=trust["requestheader-client-ca-file"])
    context.verify_mode = ssl.CERT_OPTIONAL  # webhooks are called without a certificate
    server = ThreadingHTTPServer(("", 8444), Handler)
    server.proxies = json.loads(trust["requestheader-allowed-names"])  # type: ignore[attr-defined]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:] == ["--modules"]:
        names = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        print("\n".join(name for name in names if name))
    else:
        main()
