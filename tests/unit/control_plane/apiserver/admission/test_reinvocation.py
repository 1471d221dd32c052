"""Who is asked again when the object changes under way: webhooks, policies, and the plugins built in."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.suites.api_server import client_of, running

from .test_webhooks import GROUP, config_map, configuration, webhook

pytestmark = pytest.mark.real_time
KIND = "MutatingWebhookConfiguration"


def adding(*operations: dict[str, Any]) -> dict[str, Any]:
    patch = b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": patch}


def hooks(port: int, bundle: str, *each: dict[str, Any]) -> dict[str, Any]:
    made = configuration(KIND, port, bundle)
    (template,) = made["webhooks"]
    made["webhooks"] = [{**template, "name": f"h{i}.example.com", **more} for i, more in enumerate(each)]
    return made


async def test_the_earlier_are_asked_again_and_the_later_select_what_was_added(tmp_path: Path) -> None:
    """The second webhook selects by the label that the first adds, and changes the data once, which the first sees."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        metadata, data = request["object"]["metadata"], request["object"]["data"]
        if "labels" not in metadata:
            return adding({"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}})
        if "more" not in data:
            return adding({"op": "add", "path": "/data/more", "value": "yes"})
        return {"allowed": True}

    async with webhook(tmp_path, answer) as (port, bundle, seen), running() as server:
        client = client_of(server)
        selecting = {"objectSelector": {"matchLabels": {"seen": "yes"}}}
        both = hooks(port, bundle, {"reinvocationPolicy": "IfNeeded"}, selecting)
        await client.dynamic(GROUP, KIND).create(both)
        made = await client.dynamic("v1", "ConfigMap").create(config_map("a", x="1"))
    assert made["metadata"]["labels"] == {"seen": "yes"} and made["data"] == {"x": "1", "more": "yes"}
    assert [sorted(review["request"]["object"]["data"]) for review in seen] == [["x"], ["x"], ["more", "x"]]


async def test_nobody_is_asked_again_who_saw_the_end_or_does_not_want_to(tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if "more" not in request["object"]["data"]:
            return adding({"op": "add", "path": "/data/more", "value": "yes"})
        return {"allowed": True}

    async with webhook(tmp_path, answer) as (port, bundle, seen), running() as server:
        client = client_of(server)
        await client.dynamic(GROUP, KIND).create(hooks(port, bundle, {}, {"reinvocationPolicy": "IfNeeded"}))
        await client.dynamic("v1", "ConfigMap").create(config_map("a", x="1"))
    assert len(seen) == 2


async def test_a_container_that_a_webhook_adds_gets_the_token_and_the_limits_too(tmp_path: Path) -> None:
    sidecar = {"name": "sidecar", "image": "s:1"}
    answer = adding({"op": "add", "path": "/spec/containers/-", "value": sidecar})
    async with webhook(tmp_path, lambda request: answer) as (port, bundle, seen), running() as server:
        client = client_of(server)
        here = {"namespace": "default"}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", **here}}
        await client.dynamic("v1", "ServiceAccount").create(account)
        limits = [{"type": "Container", "default": {"cpu": "1"}}]
        await client.dynamic("v1", "LimitRange").create(
            {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", **here}, "spec": {"limits": limits}}
        )
        rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
        await client.dynamic(GROUP, KIND).create(hooks(port, bundle, {"rules": rules}))
        spec = {"containers": [{"name": "c", "image": "c:1"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **here}, "spec": spec}
        made = await client.dynamic("v1", "Pod").create(pod)
    first, second = made["spec"]["containers"]
    assert second["name"] == "sidecar" and len(seen) == 1
    assert second["volumeMounts"] == first["volumeMounts"] and second["resources"] == first["resources"]
    assert len(made["spec"]["volumes"]) == 1


async def test_a_policy_is_asked_again_after_a_webhook(tmp_path: Path) -> None:
    answer = adding({"op": "add", "path": "/data/more", "value": "yes"})
    async with webhook(tmp_path, lambda request: answer) as (port, bundle, _), running() as server:
        client = client_of(server)
        await client.dynamic(GROUP, KIND).create(hooks(port, bundle, {}))
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
        expression = 'Object{metadata: Object.metadata{labels: {"fields": string(size(object.data))}}}'
        for name in ("IfNeeded", "Never"):
            key = name.lower()
            text = expression.replace('"fields"', f'"{key}"')
            spec = {
                "matchConstraints": {"resourceRules": [rule]},
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}],
                "reinvocationPolicy": name,
            }
            base = {"apiVersion": GROUP, "metadata": {"name": key}}
            policies = client.dynamic(GROUP, "MutatingAdmissionPolicy")
            await policies.create({**base, "kind": "MutatingAdmissionPolicy", "spec": spec})
            binding = {**base, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": key}}
            await client.dynamic(GROUP, "MutatingAdmissionPolicyBinding").create(binding)
        made = await client.dynamic("v1", "ConfigMap").create(config_map("a", x="1"))
    assert made["metadata"]["labels"] == {"ifneeded": "2", "never": "1"}
