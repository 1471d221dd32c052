"""Requests as client-go puts them on the wire: exact bodies, exact headers, nothing of ours in between.

wire = Wire(cluster); wire.post(path, body) -> decoded answer, or Refused with the Status.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pybernetes.aio import clock
from pybernetes.machinery import protobuf
from pybernetes.testing.pytest_plugin import ClusterThread

Body = dict[str, Any]
KUBECTL = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "kubectl"
PROTOBUF = "application/vnd.kubernetes.protobuf"
STRATEGIC, MERGE = "application/strategic-merge-patch+json", "application/merge-patch+json"
JSON_PATCH, APPLY = "application/json-patch+json", "application/apply-patch+yaml"


class Refused(AssertionError):
    """An answer that is no success: its code, its Status."""

    def __init__(self, code: int, body: bytes) -> None:
        super().__init__(f"{code}: {body[:2000].decode(errors='replace')}")
        self.code = code
        try:
            self.status: Body = json.loads(body)
        except ValueError:
            self.status = {}
        self.message = str(self.status.get("message", body))
        self.reason = str(self.status.get("reason", ""))


class Wire:
    """One client of a served cluster, with the administrator's certificate."""

    def __init__(self, cluster: ClusterThread) -> None:
        self.kubeconfig = cluster.kubeconfig
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        self.ca = b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
        user = config["users"][0]["user"]
        self._tls = ssl.create_default_context(cadata=self.ca.decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(b64decode(user["client-certificate-data"]) + b"\n" + b64decode(user["client-key-data"]))
            pair.flush()
            self._tls.load_cert_chain(pair.name)
        self.host, port = cluster.server.removeprefix("https://").rsplit(":", 1)
        self.port = int(port)

    def open(self, timeout: float = 30) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, context=self._tls, timeout=timeout)

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Code, headers and body of any answer. Header names with underscores."""
        connection = self.open()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in named.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The decoded answer; raises Refused."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers.setdefault("Accept", "application/json")
        if data is not None:
            headers.setdefault("Content_Type", "application/json")
        code, _, answer = self.raw(method, path, data, **headers)
        if code >= 300:
            raise Refused(code, answer)
        return json.loads(answer)

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.call("POST", path, body, **headers)

    def post_protobuf(self, path: str, body: Body) -> Any:
        """As typed clients of v1.36 do: protobuf out, anything back."""
        data = protobuf.encode(as_go_writes(body))
        return self.call("POST", path, data, Content_Type=PROTOBUF, Accept="application/json")

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, body)

    def update(self, path: str, change: Callable[[Body], Any]) -> Body:
        """GET, change, PUT, again when somebody else was faster: what client-go calls RetryOnConflict."""
        for _ in range(10):
            obj = self.get(path)
            change(obj)
            try:
                return dict(self.put(path, obj))
            except Refused as error:
                if error.code != 409:
                    raise
        raise AssertionError(f"{path}: always changed by others")

    def patch(self, path: str, body: Any, kind: str = STRATEGIC, **headers: str) -> Any:
        return self.call("PATCH", path, body, Content_Type=kind, **headers)

    def delete(self, path: str, body: Any = None) -> Any:
        return self.call("DELETE", path, body)

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> Refused:
        with pytest.raises(Refused) as caught:
            self.call(method, path, body, **headers)
        return caught.value

    def watch(self, path: str, timeout: int = 20) -> Iterator[tuple[str, Body]]:
        """(type, object) of a watch until the server ends it."""
        connection = self.open(timeout + 10)
        try:
            join = "&" if "?" in path else "?"
            connection.request("GET", f"{path}{join}watch=true&timeoutSeconds={timeout}")
            answer = connection.getresponse()
            if answer.status != 200:
                raise Refused(answer.status, answer.read())
            try:
                for line in answer:
                    event = json.loads(line)
                    yield event["type"], event["object"]
            finally:
                answer.close()  # it holds the socket as well
        finally:
            connection.close()

    def watch_list(self, path: str) -> tuple[list[Body], str]:
        """What an informer gets first: all objects, and the version of the bookmark that ends them."""
        join = "&" if "?" in path else "?"
        asked = f"{path}{join}sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        found = []
        for type_, obj in self.watch(asked):
            if type_ == "BOOKMARK":
                if obj["metadata"].get("annotations", {}).get("k8s.io/initial-events-end") == "true":
                    return found, obj["metadata"]["resourceVersion"]
                continue
            assert type_ == "ADDED"
            found.append(obj)
        raise AssertionError("no bookmark ended the initial events")

    def until(self, path: str, holds: Callable[[Any], Any], seconds: float = 10) -> Any:
        """Ask again until it holds."""
        return until(lambda: self.get(path), holds, seconds)

    def kubectl(self, *arguments: str, stdin: str | None = None, fails: bool = False, timeout: float = 60) -> str:
        """Output of kubectl; with `fails`, its error output."""
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run(
                [str(KUBECTL), f"--kubeconfig={self.kubeconfig}", *arguments],
                capture_output=True, text=True, input=stdin, timeout=timeout, check=False,
                env={"HOME": home, "PATH": os.environ["PATH"]},
            )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout


def until(ask: Callable[[], Any], holds: Callable[[Any], Any], seconds: float = 10) -> Any:
    import threading

    end = clock.monotonic() + seconds
    while True:
        last: Any
        try:
            last = ask()
            if holds(last):
                return last
        except Refused as error:
            last = error
        if clock.monotonic() > end:
            raise AssertionError(f"never held; last: {last}")
        threading.Event().wait(0.05)


_PLAIN_MESSAGES = ("metadata", "spec", "status", "resources", "template")
_ZEROS: dict[str, Any] = {"s": "", "i": 0, "b": False, "d": 0.0}


def as_go_writes(body: Body) -> Body:
    """The body with the zero values of all plain fields, which Go's protobuf always carries."""

    def filled(wire: Body, message: str) -> Body:
        made = dict(wire)
        for name, type_, repeated, mapping, pointer in protobuf._message(message).values():
            value = wire.get(name)
            if not name:
                made |= filled(wire, type_)
            elif len(type_) == 1:
                plain = type_ in _ZEROS and not repeated and not mapping
                if value is None and plain and not pointer:
                    made[name] = _ZEROS[type_]
            elif repeated:
                if value:
                    made[name] = [filled(item, type_) for item in value]
            elif mapping:
                if value:
                    made[name] = {key: filled(item, type_) for key, item in value.items()}
            elif value is not None or (name in _PLAIN_MESSAGES and message != "core/v1.PodSpec"):
                made[name] = filled(value or {}, type_)
        return made

    message = protobuf.message_of(body["apiVersion"], body["kind"])
    assert message is not None
    return {**filled(body, message), "apiVersion": body["apiVersion"], "kind": body["kind"]}


def life(
    wire: Wire, collection: str, make: Callable[[str], Body], *, status: Body | None = None,
    change: Callable[[Body], Any] | None = None,
) -> None:  # fmt: skip
    """Every operation that the `API operations` tests do on a kind: discovery, CRUD, watches, patches, status.

    `collection` is the path of a namespace's or the cluster's objects; `make(name)` an object; `status` a merge patch.
    """
    prefix, resource = collection.rsplit("/", 1)
    version_path = re.sub(r"/namespaces/[^/]+$", "", prefix)
    listed = {r["name"]: r for r in wire.get(version_path)["resources"]}
    needed = {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"}
    assert needed <= set(listed[resource]["verbs"]), listed[resource]
    start = wire.get(collection)["metadata"]["resourceVersion"]
    label = "special-label=conformance"
    names = [f"conformance-{resource}-{i}" for i in range(3)]
    for name in names:
        obj = make(name)
        obj.setdefault("metadata", {}).update(name=name, labels={"special-label": "conformance"})
        made = (wire.post if name == names[0] else wire.post_protobuf)(collection, obj)
        assert made["metadata"]["name"] == name and made["metadata"]["uid"]
        assert made["kind"] == obj["kind"]
    one = f"{collection}/{names[0]}"
    assert wire.refused("POST", collection, {**make(names[0]), "metadata": {"name": names[0]}}).code == 409
    got = wire.get(one)
    assert {o["metadata"]["name"] for o in wire.get(f"{collection}?labelSelector={label}")["items"]} == set(names)
    assert len(wire.get(f"{version_path}/{resource}?labelSelector={label}")["items"]) >= 3
    assert len(wire.get(f"{collection}?fieldSelector=metadata.name%3D{names[1]}")["items"]) == 1
    initial, version = wire.watch_list(f"{version_path}/{resource}?labelSelector={label}")
    assert len(initial) == 3 and int(version) >= int(got["metadata"]["resourceVersion"])
    patched = wire.patch(one, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
    assert patched["metadata"]["annotations"]["patched"] == "true"
    patched = wire.patch(one, {"metadata": {"labels": {"strategic": "yes"}}}, STRATEGIC)
    assert patched["metadata"]["labels"] == {"special-label": "conformance", "strategic": "yes"}
    operations = [{"op": "add", "path": "/metadata/annotations/json", "value": "yes"}]
    assert wire.patch(one, operations, JSON_PATCH)["metadata"]["annotations"]["json"] == "yes"
    applied = {k: got[k] for k in ("apiVersion", "kind")} | {
        "metadata": {"name": names[0], "annotations": {"applied": "yes"}}
    }
    fresh = wire.patch(f"{one}?fieldManager=tester&force=true", applied, APPLY)
    assert fresh["metadata"]["annotations"]["applied"] == "yes"
    assert any(m["manager"] == "tester" and m["operation"] == "Apply" for m in fresh["metadata"]["managedFields"])

    def updating(obj: Body) -> None:
        obj["metadata"]["annotations"]["updated"] = "true"
        if change is not None:
            change(obj)

    updated = wire.update(one, updating)
    assert updated["metadata"]["annotations"]["updated"] == "true"
    assert int(updated["metadata"]["resourceVersion"]) > int(fresh["metadata"]["resourceVersion"])
    stale = wire.refused("PUT", one, {**updated, "metadata": {**updated["metadata"], "resourceVersion": start}})
    assert stale.code == 409 and "the object has been modified" in stale.message
    if status is not None:
        assert f"{resource}/status" in listed
        body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status}
        after = wire.patch(f"{one}/status", body, MERGE)
        assert after["metadata"]["annotations"]["patchedstatus"] == "true", after["metadata"]
        _within(status, after["status"])
        _within(status, wire.get(f"{one}/status")["status"])
        again = wire.update(f"{one}/status", lambda obj: obj["metadata"]["annotations"].update(updatedstatus="true"))
        assert again["metadata"]["annotations"]["updatedstatus"] == "true"
        _within(status, wire.patch(f"{one}/status", body, STRATEGIC)["status"])
        applied = {k: got[k] for k in ("apiVersion", "kind")} | {"metadata": {"name": names[0]}, "status": status}
        query = "fieldManager=test-apply&force=true&fieldValidation=Strict"
        _within(status, wire.patch(f"{one}/status?{query}", applied, APPLY)["status"])
        operations = [{"op": "replace", "path": f"/status/{key}", "value": value} for key, value in status.items()]
        _within(status, wire.patch(f"{one}/status?fieldValidation=Strict", operations, JSON_PATCH)["status"])
    assert wire.refused("DELETE", one, {"preconditions": {"uid": "other"}}).code == 409
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    wire.call("DELETE", one, protobuf.encode(options), Content_Type=PROTOBUF)

    def alive(name: str) -> bool:
        code, _, answer = wire.raw("GET", f"{collection}/{name}")
        assert code in (200, 404), answer
        return code == 200 and not json.loads(answer)["metadata"].get("finalizers")

    until(lambda: alive(names[0]), lambda there: not there)
    wire.delete(f"{collection}?labelSelector={label}", {"gracePeriodSeconds": 0})
    until(lambda: wire.get(f"{collection}?labelSelector={label}")["items"], lambda items: not items, 15)
    seen = []
    for type_, obj in wire.watch(f"{collection}?resourceVersion={start}&labelSelector={label}"):
        if obj["metadata"]["name"] == names[2]:
            seen.append(type_)
            if type_ == "DELETED":
                break
    assert seen[0] == "ADDED" and seen[-1] == "DELETED"


def _within(part: Any, whole: Any) -> None:
    if isinstance(part, dict):
        for key, value in part.items():
            assert key in whole, (key, whole)
            _within(value, whole[key])
    elif isinstance(part, list):
        for mine, theirs in zip(part, whole, strict=False):  # controllers add conditions of their own
            _within(mine, theirs)
    else:
        assert part == whole
