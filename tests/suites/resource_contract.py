"""What every stored kind must do, judged over a client: create, get, list, watch, update, patch, apply, tables, delete.

`SAMPLES` has a minimal valid object per kind (wire form, metadata added by the test). A kind that is added to the table
of kinds must get a sample here: `test_every_kind_has_a_sample` says so.
"""

from __future__ import annotations

from typing import Any

import yaml

_POD = {"containers": [{"name": "c", "image": "registry.example/app:1"}]}
_TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": _POD}
_SELECTOR = {"matchLabels": {"app": "a"}}
_JOB = {"template": {"spec": {**_POD, "restartPolicy": "Never"}}}
_RULE = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
_MATCH = {"resourceRules": [_RULE]}

SAMPLES: dict[str, dict[str, Any]] = {
    "v1 ConfigMap": {"data": {"a": "b"}},
    "v1 Endpoints": {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]},
    "v1 Event": {
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started",
        "message": "m",
        "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
        "source": {"component": "test"},
    },
    "v1 LimitRange": {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "2"}}]}},
    "v1 Namespace": {},
    "v1 Node": {},
    "v1 PersistentVolume": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/x"}}
    },
    "v1 PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "v1 Pod": {"spec": _POD},
    "v1 PodTemplate": {"template": _TEMPLATE},
    "v1 ReplicationController": {"spec": {"selector": {"app": "a"}, "template": _TEMPLATE}},
    "v1 ResourceQuota": {"spec": {"hard": {"pods": "1000"}}},
    "v1 Secret": {"data": {"a": "Yg=="}},
    "v1 Service": {"spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}},
    "v1 ServiceAccount": {},
    "apps/v1 ControllerRevision": {"revision": 1, "data": {"a": 1}},
    "apps/v1 DaemonSet": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "apps/v1 Deployment": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "apps/v1 ReplicaSet": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "apps/v1 StatefulSet": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE, "serviceName": "s"}},
    "events.k8s.io/v1 Event": {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reportingController": "example.com/c",
        "reportingInstance": "i",
        "action": "a",
        "reason": "r",
        "type": "Normal",
    },
    "autoscaling/v1 HorizontalPodAutoscaler": {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 2}
    },
    "autoscaling/v2 HorizontalPodAutoscaler": {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 2}
    },
    "batch/v1 CronJob": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": _JOB}}},
    "batch/v1 Job": {"spec": _JOB},
    "networking.k8s.io/v1 Ingress": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    "networking.k8s.io/v1 IngressClass": {"spec": {"controller": "example.com/c"}},
    "networking.k8s.io/v1 NetworkPolicy": {"spec": {"podSelector": {}}},
    "networking.k8s.io/v1 ServiceCIDR": {"spec": {"cidrs": ["10.200.0.0/16"]}},
    "policy/v1 PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": _SELECTOR}},
    "rbac.authorization.k8s.io/v1 ClusterRole": {
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    },
    "rbac.authorization.k8s.io/v1 Role": {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
    "rbac.authorization.k8s.io/v1 ClusterRoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    },
    "rbac.authorization.k8s.io/v1 RoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    },
    "storage.k8s.io/v1 CSIDriver": {"spec": {}},
    "storage.k8s.io/v1 CSINode": {"spec": {"drivers": []}},
    "storage.k8s.io/v1 CSIStorageCapacity": {"storageClassName": "s", "capacity": "1Gi"},
    "storage.k8s.io/v1 StorageClass": {"provisioner": "example.com/p"},
    "storage.k8s.io/v1 VolumeAttachment": {
        "spec": {"attacher": "example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    },
    "storage.k8s.io/v1 VolumeAttributesClass": {"driverName": "example.com", "parameters": {"a": "b"}},
    "admissionregistration.k8s.io/v1 MutatingWebhookConfiguration": {"webhooks": []},
    "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration": {"webhooks": []},
    "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy": {
        "spec": {
            "failurePolicy": "Ignore",
            "matchConstraints": {"resourceRules": [{**_RULE, "resourceNames": ["never"]}]},
            "validations": [{"expression": "true"}],
        }
    },
    "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding": {
        "spec": {"policyName": "p", "validationActions": ["Deny"]}
    },
    "scheduling.k8s.io/v1 PriorityClass": {"value": 5},
    "coordination.k8s.io/v1 Lease": {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 5}},
    "node.k8s.io/v1 RuntimeClass": {"handler": "h"},
    "discovery.k8s.io/v1 EndpointSlice": {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"]}],
        "ports": [{"name": "http", "port": 80}],
    },
    "resource.k8s.io/v1 DeviceClass": {"spec": {}},
    "resource.k8s.io/v1 ResourceClaim": {"spec": {}},
    "resource.k8s.io/v1 ResourceClaimTemplate": {"spec": {"spec": {}}},
}

#: Kinds whose objects are more than a contract test wants to make: they have tests of their own.
ELSEWHERE = {
    "v1 ComponentStatus",
    "networking.k8s.io/v1 IPAddress",
    "apiregistration.k8s.io/v1 APIService",
    "apiextensions.k8s.io/v1 CustomResourceDefinition",
    "certificates.k8s.io/v1 CertificateSigningRequest",
    "flowcontrol.apiserver.k8s.io/v1 FlowSchema",
    "flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration",
    "resource.k8s.io/v1 ResourceSlice",
    "admissionregistration.k8s.io/v1 MutatingAdmissionPolicy",
    "admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding",
}


def sample(key: str, name: str, namespace: str) -> dict[str, Any]:
    """The sample of `apps/v1 Deployment` as a whole object."""
    api_version, kind = key.split()
    metadata: dict[str, Any] = {"name": name, "labels": {"suite": "contract"}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **SAMPLES[key]}


def manifest(key: str, name: str, namespace: str) -> bytes:
    """The same as YAML."""
    return str(yaml.safe_dump(sample(key, name, namespace))).encode()
