"""The file that says who decides: what it may say, and what a server does with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pybernetes.control_plane.apiserver.authentication.user import User
from pybernetes.control_plane.apiserver.authorization import configuration
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes
from pybernetes.control_plane.apiserver.authorization.webhook import Conditions, review
from pybernetes.machinery.cel import CelError
from tests.suites.api_server import running
from tests.suites.remote_hook import answering
from tests.unit.control_plane.apiserver.audit.test_audit import ask

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n"
HOOK = """
- type: Webhook
  name: hook.example.com
  webhook:
    timeout: 3s
    unauthorizedTTL: 10s
    subjectAccessReviewVersion: v1beta1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: FILE}
    matchConditions:
    - expression: has(request.resourceAttributes)
    - expression: request.resourceAttributes.namespace == 'guarded'
- {type: RBAC, name: rbac}
"""
TWICE = HOOK.replace("has(request.resourceAttributes)", "request.resourceAttributes.namespace == 'guarded'")
ANNA = User("anna", "7", ("staff",), {"k": ("v",)})


def test_all_of_it(tmp_path: Path) -> None:
    file = tmp_path / "hook.kubeconfig"
    file.write_text("{}")
    hook, mode = configuration.load(HEAD + HOOK.replace("FILE", str(file))).authorizers
    assert isinstance(hook, configuration.Webhook) and mode == "RBAC"
    assert (hook.authorized_ttl, hook.unauthorized_ttl, hook.timeout) == (300, 10, 3)
    assert (hook.kubeconfig, hook.version, hook.deny_on_failure, len(hook.conditions)) == (file, "v1beta1", True, 2)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[]", "at least one authorization mode must be defined"),
        ("- {name: x}", r"authorizers\[0\].type: Required value"),
        ("- {type: RBAC}", r"authorizers\[0\].name: Required value"),
        ("- {type: RBAC, name: a}\n- {type: RBAC, name: b}", r'authorizers\[1\].type: Duplicate value: "RBAC"'),
        ("- {type: RBAC, name: a}\n- {type: Node, name: a}", r'authorizers\[1\].name: Duplicate value: "a"'),
        ("- {type: RBAC, name: A_}", "authorizer name is invalid"),
        ("- {type: ABAC, name: a}", "ABAC is not supported"),
        ("- {type: Maybe, name: a}", 'Unsupported value: "Maybe": supported values: "AlwaysAllow"'),
        ("- {type: Webhook, name: a}", "required when type=Webhook"),
        ("- {type: RBAC, name: a, webhook: {}}", "may only be specified when type=Webhook"),
        ("- {type: RBAC, name: a, colour: red}", "colour"),
        (HOOK, r'kubeConfigFile: Invalid value: "FILE": must be an absolute path'),
        (HOOK.replace("FILE", "/nowhere"), "must be a regular file"),
        (HOOK.replace("3s", "31s"), "must be <= 30s"),
        (HOOK.replace("3s", "soon"), 'timeout: Invalid value: "soon"'),
        (HOOK.replace("timeout: 3s", ""), "timeout: Required value"),
        (HOOK.replace("10s", "-1s"), "unauthorizedTTL: Invalid value"),
        (HOOK.replace("v1beta1", "v2"), 'subjectAccessReviewVersion: Unsupported value: "v2"'),
        (HOOK.replace("KubeConfigFile,", "InClusterConfig,"), "connectionInfo.type: Unsupported value"),
        (TWICE, "Duplicate"),
    ],
)  # fmt: skip
def test_what_it_cannot_say(body: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        configuration.load(HEAD + body if body != "[]" else HEAD.rstrip("\n") + " []")


def test_another_kind() -> None:
    with pytest.raises(ValueError, match="no such kind"):
        configuration.load("{apiVersion: apiserver.config.k8s.io/v2, kind: AuthorizationConfiguration}")


def test_conditions() -> None:
    secrets = Attributes("list", "", "secrets", "x", field_selector="metadata.name=a", label_selector="a in (b,c),!d")
    path = Attributes("get", path="/metrics")
    assert Conditions(["request.user == 'anna'", "'staff' in request.groups", "request.extra['k'] == ['v']"]).hold(
        ANNA, secrets
    )
    assert Conditions(["request.resourceAttributes.subresource == ''"]).hold(ANNA, secrets)
    assert Conditions(["!has(request.resourceAttributes) && request.nonResourceAttributes.path == '/metrics'"]).hold(
        ANNA, path
    )
    broken = "request.resourceAttributes.verb == 'get'"
    with pytest.raises(CelError):
        Conditions([broken]).hold(ANNA, path)
    assert not Conditions([broken, "false"]).hold(ANNA, path)
    with pytest.raises(ValueError, match="compilation failed"):
        Conditions(["request."])


def test_selectors_are_sent_as_requirements() -> None:
    asked = Attributes("list", "", "pods", "x", field_selector="spec.nodeName!=n", label_selector="a in (b,c),!d,e>1")
    sent = review(ANNA, asked)["spec"]["resourceAttributes"]
    assert sent["fieldSelector"] == {"requirements": [{"key": "spec.nodeName", "operator": "NotIn", "values": ["n"]}]}
    found = {each["key"]: each for each in sent["labelSelector"]["requirements"]}
    assert found == {
        "a": {"key": "a", "operator": "In", "values": ["b", "c"]},
        "d": {"key": "d", "operator": "DoesNotExist"},
    }


def test_a_server_asks_where_the_conditions_hold(tmp_path: Path) -> None:
    asked: list[Any] = []

    def answer(sent: dict[str, Any]) -> Any:
        asked.append((sent["apiVersion"], sent["spec"]["group"][0]))
        return 500 if sent["spec"]["resourceAttributes"]["resource"] == "pods" else {"status": {"allowed": True}}

    async def main() -> None:
        async with answering(tmp_path, answer) as hook:
            rules = configuration.load(HEAD + HOOK.replace("FILE", str(hook)))
            rules = configuration.Config((*rules.authorizers[:1], "AlwaysAllow"))
            async with running(authorization=rules, static_tokens={"anna": ANNA}, listen=True) as server:
                _, port = await server.ready.wait()

                async def code(path: str) -> int:
                    return (await ask(port, "GET", path, Authorization="Bearer anna"))[0]

                assert await code("/api/v1/nodes") == 200 and await code("/version") == 200 and not asked
                assert await code("/api/v1/namespaces/guarded/configmaps") == 200
                assert asked == [("authorization.k8s.io/v1beta1", "staff")]
                assert await code("/api/v1/namespaces/guarded/pods") == 403
                assert await code("/api/v1/namespaces/other/pods") == 200

    asyncio.run(asyncio.wait_for(main(), 60))
