"""The same object as JSON and as Go's protobuf, with all its zero values, becomes the same stored object.

Typed clients in Go write protobuf, and of a plain field they write the zero as well: what JSON leaves out must not
come back as "set to nothing", or defaults are missing and comparisons fail.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from pybernetes.machinery import protobuf

from .wire import PROTOBUF, Body, Refused, Wire, as_go_writes

TEMPLATE = """
metadata: {labels: {a: b}}
spec:
  schedulingGates: [{name: example.com/hold}]
  containers:
  - name: c
    image: web:1
    ports: [{containerPort: 80}]
    env:
    - {name: A, value: x}
    - {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: C, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
    livenessProbe: {exec: {command: [x]}}
    readinessProbe: {grpc: {port: 80}}
    volumeMounts: [{name: v, mountPath: /x}]
    resources: {limits: {cpu: '1'}}
    securityContext: {runAsUser: 0}
  volumes:
  - {name: v, emptyDir: {}}
  - {name: w, projected: {sources: [{serviceAccountToken: {path: t}}, {configMap: {name: x}}]}}
  - {name: s, secret: {secretName: x}}
  tolerations: [{key: x, operator: Exists}]
"""
OBJECTS = """
/api/v1/namespaces/{}/services: {apiVersion: v1, kind: Service, spec: {selector: {a: b}, ports: [{port: 80}]}}
/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices:
  apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  addressType: IPv4
  endpoints: [{addresses: [192.0.2.9]}]
  ports: [{port: 80}]
/api/v1/persistentvolumes:
  apiVersion: v1
  kind: PersistentVolume
  spec:
    capacity: {storage: 1Gi}
    accessModes: [ReadWriteOnce]
    csi: {driver: x.example.com, volumeHandle: y}
/apis/coordination.k8s.io/v1/namespaces/{}/leases:
  apiVersion: coordination.k8s.io/v1
  kind: Lease
  spec: {holderIdentity: h, leaseTransitions: 0, acquireTime: '2026-01-01T00:00:00.000001Z'}
/api/v1/namespaces/{}/secrets: {apiVersion: v1, kind: Secret, stringData: {a: ''}, data: {b: AAE=}}
/apis/scheduling.k8s.io/v1/priorityclasses: {apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, value: 0}
/apis/resource.k8s.io/v1/namespaces/{}/resourceclaims:
  apiVersion: resource.k8s.io/v1
  kind: ResourceClaim
  spec:
    devices:
      requests:
      - {name: r, exactly: {deviceClassName: x, tolerations: [{operator: Exists}]}}
      - {name: s, firstAvailable: [{name: t, deviceClassName: y}]}
/apis/resource.k8s.io/v1/resourceslices:
  apiVersion: resource.k8s.io/v1
  kind: ResourceSlice
  spec:
    driver: d.example.com
    pool: {name: p, generation: 0, resourceSliceCount: 1}
    nodeName: n
    devices: [{name: x, attributes: {a: {int: 0}, b: {bool: false}, c: {string: ''}}}]
/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations:
  apiVersion: flowcontrol.apiserver.k8s.io/v1
  kind: PriorityLevelConfiguration
  spec: {type: Limited, limited: {nominalConcurrencyShares: 0, limitResponse: {type: Queue, queuing: {}}}}
/api/v1/nodes: {apiVersion: v1, kind: Node, spec: {taints: [{key: k, effect: NoSchedule}]}}
"""
OWN = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "name", "clusterIP", "clusterIPs", "selfLink",
       "lastPhaseTransitionTime")  # fmt: skip


def cases() -> list[tuple[str, Body]]:
    template = yaml.safe_load(TEMPLATE)
    selector = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    found: list[tuple[str, Body]] = [
        ("/api/v1/namespaces/{}/pods", {"apiVersion": "v1", "kind": "Pod", **template}),
        ("/api/v1/namespaces/{}/podtemplates", {"apiVersion": "v1", "kind": "PodTemplate", "template": template}),
    ]
    for kind, spec in (("Deployment", {"replicas": 0}), ("StatefulSet", {"replicas": 0}), ("DaemonSet", {})):
        path = f"/apis/apps/v1/namespaces/{{}}/{kind.lower()}s"
        found.append((path, {"apiVersion": "apps/v1", "kind": kind, "spec": {**spec, **selector}}))
    return [*found, *yaml.safe_load(OBJECTS).items()]


def without_own(value: Any) -> Any:
    """The value without what differs from object to object."""
    if isinstance(value, dict):
        return {key: without_own(item) for key, item in value.items() if key not in OWN}
    return [without_own(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("path", "body"), cases(), ids=lambda value: value["kind"] if isinstance(value, dict) else "")
def test_both_forms_mean_the_same(wire: Wire, pybernetes_namespace: str, path: str, body: Body) -> None:
    path = path.format(pybernetes_namespace)
    made = {}
    for name, post in (("json", wire.post), ("protobuf", wire.post_protobuf)):
        obj = copy.deepcopy(body)
        obj.setdefault("metadata", {})["name"] = name
        made[name] = without_own(post(path, obj))
        wire.delete(f"{path}/{name}")
    assert made["json"] == made["protobuf"]


@pytest.mark.parametrize("path", ["/version", "/", "/.well-known/openid-configuration", "/openid/v1/jwks"])
def test_what_is_no_object_is_json_for_everybody(wire: Wire, path: str) -> None:
    code, headers, _ = wire.raw("GET", path, Accept=f"{PROTOBUF},application/json")
    assert code == 200 and "json" in headers["Content-Type"]


def test_what_was_read_can_be_written_back(wire: Wire) -> None:
    """Clients in Go update by writing all that they read: that changes nothing, for each kind that a cluster has."""
    versions = [v["groupVersion"] for group in wire.get("/apis")["groups"] for v in group["versions"]]
    written = set()
    for prefix in ("/api/v1", *(f"/apis/{version}" for version in versions)):
        for resource in wire.get(prefix)["resources"]:
            name = resource["name"]
            if "/" in name or not {"list", "update"} <= set(resource["verbs"]) or name in ("leases", "nodes"):
                continue
            for item in wire.get(f"{prefix}/{name}?limit=3").get("items", ()):
                metadata = item["metadata"]
                place = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
                one = f"{prefix}/{place}{name}/{metadata['name']}"
                code, _, _ = wire.raw("GET", one)
                if code == 404:  # of another test's namespace
                    continue
                before = wire.get(one)
                if not protobuf.supports(before["apiVersion"], before["kind"]):
                    continue
                try:
                    after = wire.call("PUT", one, protobuf.encode(as_go_writes(before)), Content_Type=PROTOBUF)
                except Refused as error:
                    assert error.code in (404, 409), one
                    continue
                assert without_own(after) == without_own(before), one
                written.add(before["kind"])
    assert {"APIService", "ClusterRole", "FlowSchema", "PriorityClass", "ServiceAccount", "ServiceCIDR"} <= written
