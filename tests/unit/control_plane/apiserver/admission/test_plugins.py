"""What admission does to requests, in a real server."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.client.client import Client
from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.machinery import errors
from tests.suites.api_server import client_of, running

ADMISSION = "admissionregistration.k8s.io/v1"
POD: dict[str, Any] = {"containers": [{"name": "c", "image": "x:1"}]}


async def create(client: Client, api_version: str, kind: str, name: str, namespace: str = "", **fields: Any) -> Any:
    meta: dict[str, Any] = {"name": name, **fields.pop("metadata", {})}
    if namespace:
        meta["namespace"] = namespace
    obj = {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}
    return await client.dynamic(api_version, kind).create(obj)


async def default_account(client: Client) -> None:
    await create(client, "v1", "ServiceAccount", "default", "default")


async def pod(client: Client, name: str = "p", **spec: Any) -> Any:
    return await create(client, "v1", "Pod", name, "default", spec={**POD, **spec})


async def refused(work: Any) -> str:
    with pytest.raises(errors.StatusError) as caught:
        await work
    return caught.value.message


async def test_a_pod_needs_its_account_and_mounts_its_token() -> None:
    async with running() as server:
        client = client_of(server)
        assert await refused(pod(client)) == (
            'pods "p" is forbidden: error looking up service account default/default: '
            'serviceaccount "default" not found'
        )
        await default_account(client)
        made = await pod(client)
        volume = made["spec"]["volumes"][0]
        assert volume["name"].startswith("kube-api-access-") and len(volume["name"]) == 21
        assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
            "serviceAccountToken",
            "configMap",
            "downwardAPI",
        ]
        assert made["spec"]["containers"][0]["volumeMounts"] == [
            {
                "name": volume["name"],
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ]
        bare = await pod(client, "q", automountServiceAccountToken=False)
        assert "volumes" not in bare["spec"]


async def test_priority_tolerations_and_their_refusals() -> None:
    async with running() as server:
        client = client_of(server)
        await default_account(client)
        await create(client, "scheduling.k8s.io/v1", "PriorityClass", "high", value=1000, preemptionPolicy="Never")
        made = await pod(client, priorityClassName="high")
        assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (1000, "Never")
        assert [t["key"] for t in made["spec"]["tolerations"]] == [
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        ]
        assert "no PriorityClass with name low was found" in await refused(pod(client, "q", priorityClassName="low"))
        assert "must not be provided in pod spec" in await refused(pod(client, "q", priority=7))
        await create(client, "scheduling.k8s.io/v1", "PriorityClass", "one", value=1, globalDefault=True)
        two = create(client, "scheduling.k8s.io/v1", "PriorityClass", "two", value=2, globalDefault=True)
        assert "is already marked as default" in await refused(two)
        assert (await pod(client, "r"))["spec"]["priorityClassName"] == "one"


async def test_limit_ranges_fill_in_and_bound() -> None:
    async with running() as server:
        client = client_of(server)
        await default_account(client)
        limit = {"type": "Container", "max": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}
        await create(client, "v1", "LimitRange", "l", "default", spec={"limits": [limit]})
        made = await pod(client)
        assert made["spec"]["containers"][0]["resources"] == {
            "limits": {"cpu": "500m"},
            "requests": {"cpu": "100m"},
        }
        assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
            "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
        )
        large = [{"name": "c", "image": "x:1", "resources": {"limits": {"cpu": "2"}}}]
        text = await refused(pod(client, "q", containers=large))
        assert "maximum cpu usage per Container is 500m, but limit is 2" in text


async def unused_quota(client: Client, resource: str) -> Any:
    """A quota "q" of one, as its controller would have left it; returns the quotas."""
    quotas = client.dynamic("v1", "ResourceQuota")
    quota = await create(client, "v1", "ResourceQuota", "q", "default", spec={"hard": {resource: "1"}})
    quota["status"] = {"hard": {resource: "1"}, "used": {resource: "0"}}
    await quotas.update_status(quota)
    return quotas


async def test_quota_reserves_and_refuses() -> None:
    async with running() as server:
        client = client_of(server)
        await default_account(client)
        quotas = await unused_quota(client, "pods")
        await pod(client)
        assert (await quotas.get("q", "default"))["status"]["used"] == {"pods": "1"}
        assert await refused(pod(client, "p2")) == (
            'pods "p2" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
        )


async def test_quota_of_a_resize() -> None:
    async with running() as server:
        client = client_of(server)
        await default_account(client)
        quotas = await unused_quota(client, "requests.cpu")

        def asking(cpu: str) -> list[dict[str, Any]]:
            return [{"name": "c", "image": "x:1", "resources": {"requests": {"cpu": cpu}}}]

        async def resize(cpu: str) -> None:
            body = {"spec": {"containers": asking(cpu)}}
            await client.dynamic("v1", "Pod").patch("p", "default", body, type="strategic", subresource="resize")

        await pod(client, containers=asking("200m"))
        await resize("800m")
        assert (await quotas.get("q", "default"))["status"]["used"] == {"requests.cpu": "800m"}
        assert "requested: requests.cpu=400m, used: requests.cpu=800m, limited: requests.cpu=1" in await refused(
            resize("1200m")
        )


async def test_quota_demands_what_it_counts() -> None:
    async with running() as server:
        client = client_of(server)
        await default_account(client)
        quota = await create(client, "v1", "ResourceQuota", "q", "default", spec={"hard": {"limits.cpu": "1"}})
        quota["status"] = {"hard": {"limits.cpu": "1"}, "used": {"limits.cpu": "0"}}
        await client.dynamic("v1", "ResourceQuota").update_status(quota)
        assert "failed quota: q: must specify limits.cpu for: c" in await refused(pod(client))


async def test_pod_security_enforces_and_warns() -> None:
    async with running() as server:
        client = client_of(server)
        await default_account(client)
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        await client.dynamic("v1", "Namespace").patch("default", "", {"metadata": {"labels": labels}})
        assert await refused(pod(client)) == (
            'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false '
            '(container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities '
            '(container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or '
            'container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set '
            'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
        )
        context = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        await pod(client, containers=[{"name": "c", "image": "x:1", "securityContext": context}])


async def test_some_namespaces_are_never_deleted() -> None:
    async with running() as server:
        work = client_of(server).dynamic("v1", "Namespace").delete("default")
        assert "this namespace may not be deleted" in await refused(work)


async def test_a_kubelet_writes_only_its_own_node() -> None:
    async with running() as server:
        kubelet = client_of(server, User("system:node:n1", "", ("system:nodes", "system:masters")))
        await create(kubelet, "v1", "Node", "n1")
        assert 'is not allowed to modify node "n2"' in await refused(create(kubelet, "v1", "Node", "n2"))
        await default_account(client_of(server))
        text = await refused(pod(kubelet))
        assert 'node "n1" can only create mirror pods' in text


async def test_storage_defaults_and_finalizers() -> None:
    async with running() as server:
        client = client_of(server)
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        await create(
            client, "storage.k8s.io/v1", "StorageClass", "fast", metadata={"annotations": annotations},
            provisioner="example.com/x",
        )  # fmt: skip
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = await create(client, "v1", "PersistentVolumeClaim", "c", "default", spec=spec)
        assert claim["spec"]["storageClassName"] == "fast"
        assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


def match(*resources: str) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": list(resources)}
    return {"resourceRules": [rule]}


async def test_validating_policies_deny_with_their_words() -> None:
    async with running() as server:
        client = client_of(server)
        spec = {
            "matchConstraints": match("configmaps"),
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "variables": [{"name": "size", "expression": "object.data.size()"}],
            "validations": [
                {
                    "expression": "variables.size <= int(params.data.max)",
                    "messageExpression": "'at most ' + params.data.max",
                }
            ],
        }
        await create(client, "v1", "ConfigMap", "limit", "default", data={"max": "1"})
        await create(client, ADMISSION, "ValidatingAdmissionPolicy", "small", spec=spec)
        await create(
            client, ADMISSION, "ValidatingAdmissionPolicyBinding", "here",
            spec={"policyName": "small", "validationActions": ["Deny"], "paramRef": {
                "name": "limit", "namespace": "default", "parameterNotFoundAction": "Deny"}},
        )  # fmt: skip
        text = await refused(create(client, "v1", "ConfigMap", "big", "default", data={"a": "1", "b": "2"}))
        assert text == (
            "configmaps \"big\" is forbidden: ValidatingAdmissionPolicy 'small' with binding 'here' denied request: "
            "at most 1"
        )
        await create(client, "v1", "ConfigMap", "tiny", "default", data={"a": "1"})


async def test_mutating_policies_change_objects() -> None:
    async with running() as server:
        client = client_of(server)
        spec = {
            "matchConstraints": match("configmaps"),
            "reinvocationPolicy": "Never",
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": "Object{metadata: Object.metadata{labels: {'a': 'b'}}}"},
                },
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/data/n', value: object.metadata.name}]"},
                },
            ],
        }
        await create(client, ADMISSION, "MutatingAdmissionPolicy", "mark", spec=spec)
        await create(client, ADMISSION, "MutatingAdmissionPolicyBinding", "here", spec={"policyName": "mark"})
        made = await create(client, "v1", "ConfigMap", "c", "default", data={"x": "1"})
        assert made["metadata"]["labels"] == {"a": "b"}
        assert made["data"] == {"x": "1", "n": "c"}


async def test_a_mutating_policy_names_fields_that_there_are_not_and_escapes_keys() -> None:
    async with running() as server:
        client = client_of(server)
        path = "'/metadata/labels/' + jsonpatch.escapeKey('example.com/a')"
        for name, mutation in (
            ("escape", {"patchType": "JSONPatch", "jsonPatch": {"expression": (
                "[JSONPatch{op: 'add', path: '/metadata/labels', value: {}}, "
                f"JSONPatch{{op: 'add', path: {path}, value: 'c'}}]")}}),
            ("unknown", {"patchType": "ApplyConfiguration", "applyConfiguration": {
                "expression": "Object{nope: 'x'}"}}),
        ):  # fmt: skip
            spec = {"matchConstraints": match("configmaps"), "reinvocationPolicy": "Never", "mutations": [mutation]}
            await create(client, ADMISSION, "MutatingAdmissionPolicy", name, spec=spec)
        await create(client, ADMISSION, "MutatingAdmissionPolicyBinding", "escape", spec={"policyName": "escape"})
        made = await create(client, "v1", "ConfigMap", "c", "default", data={"x": "1"})
        assert made["metadata"]["labels"] == {"example.com/a": "c"}
        await create(client, ADMISSION, "MutatingAdmissionPolicyBinding", "unknown", spec={"policyName": "unknown"})
        text = await refused(create(client, "v1", "ConfigMap", "d", "default", data={"x": "1"}))
        assert text.endswith("failed to convert patch object to typed object: .nope: field not declared in schema")


async def test_a_bound_pod_tells_the_zone_and_the_region_of_its_node() -> None:
    zone, region = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
    async with running() as server:
        client = client_of(server)
        await default_account(client)
        await create(client, "v1", "Node", "n", metadata={"labels": {zone: "a", region: "r", "disk": "ssd"}})
        pods = client.dynamic("v1", "Pod")

        async def bind(name: str, /, **target: str) -> None:
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
            await pods.create_subresource(name, "default", "binding", body)

        await create(client, "v1", "Pod", "p", "default", metadata={"labels": {zone: "own", "app": "x"}}, spec=POD)
        await bind("p", kind="Node", name="n")
        await pod(client, "of-no-kind")
        await bind("of-no-kind", name="n")
        await pod(client, "elsewhere")
        await bind("elsewhere", kind="Node", name="unknown")
        placed = await pod(client, "placed", nodeName="n")

        assert placed["metadata"]["labels"] == {zone: "a", region: "r"}
        # What the Binding brings wins over what the Pod had, as with all labels of a Binding.
        assert (await pods.get("p", "default"))["metadata"]["labels"] == {zone: "a", region: "r", "app": "x"}
        for name in ("of-no-kind", "elsewhere"):
            assert "labels" not in (await pods.get(name, "default"))["metadata"]


async def test_a_resize_that_the_nodes_kubelet_does_not_declare() -> None:
    async with running() as server:
        client = client_of(server)
        await default_account(client)
        pods, nodes = client.dynamic("v1", "Pod"), client.dynamic("v1", "Node")

        async def resize(cpu: str) -> None:
            asked = {"cpu": cpu, "memory": "1Gi"}
            containers = [{"name": "c", "resources": {"requests": asked, "limits": asked}}]
            body = {"spec": {"containers": containers}}
            await pods.patch("p", "default", body, type="strategic", subresource="resize")

        both = {"cpu": "1", "memory": "1Gi"}
        container = {"name": "c", "image": "x:1", "resources": {"requests": both, "limits": both}}
        await pod(client, containers=[container], nodeName="n")
        assert await refused(resize("2")) == 'pods "p" is forbidden: node "n" not found'
        await create(client, "v1", "Node", "n")
        assert await refused(resize("2")) == (
            'pods "p" is forbidden: pod update requires features GuaranteedQoSPodCPUResize which are not available on '
            'node "n"'
        )
        status: dict[str, Any] = {"status": {"declaredFeatures": ["GuaranteedQoSPodCPUResize"]}}
        await nodes.patch("n", "", status, subresource="status")
        await resize("2")
