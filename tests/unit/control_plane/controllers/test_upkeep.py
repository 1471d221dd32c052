"""Smaller controllers against the real API server: budgets, quotas, roles, accounts, tokens, volumes."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from pybernetes.aio import clock
from pybernetes.api.apps_v1 import ReplicaSet
from pybernetes.api.core_v1 import (
    ConfigMap,
    Namespace,
    ObjectReference,
    PersistentVolumeClaim,
    Pod,
    ResourceQuota,
    Secret,
    ServiceAccount,
)
from pybernetes.api.policy_v1 import PodDisruptionBudget
from pybernetes.api.rbac_v1 import ClusterRole
from pybernetes.control_plane.controllers import bootstrap_tokens, legacy_tokens, resource_quota, serviceaccount_tokens
from pybernetes.machinery import codec, quantity
from pybernetes.machinery.errors import StatusError

from .world import World, template, wire

LABELS = {"app": "web"}


async def test_a_budget_allows_what_is_left_over() -> None:
    async with World("disruption-controller", "replicaset-controller") as world:
        spec = {"replicas": 4, "selector": {"matchLabels": LABELS}, "template": template(LABELS)}
        await world.create(wire(ReplicaSet, "rs", spec))
        budget = {"maxUnavailable": "25%", "selector": {"matchLabels": LABELS}}
        await world.create(wire(PodDisruptionBudget, "b", budget))
        done = await world.until(PodDisruptionBudget, "b", lambda b: b.status.current_healthy == 4)
        assert (done.status.expected_pods, done.status.desired_healthy, done.status.disruptions_allowed) == (4, 3, 1)
        [c] = done.status.conditions or []
        assert (c.type, c.status, c.reason) == ("DisruptionAllowed", "True", "SufficientPods")
        world.ready = lambda pod: False
        await world.client.resource(Pod).delete((await world.list(Pod))[0].metadata.name, "default")
        short = await world.until(PodDisruptionBudget, "b", lambda b: b.status.disruptions_allowed == 0)
        assert (short.status.conditions or [])[0].reason == "InsufficientPods"


def usage(group: str, resource: str, obj: Any, around: Any) -> resource_quota.Usage:
    return {resource: quantity.parse("1")}


async def test_quotas_are_recounted_after_deletions() -> None:
    counting = resource_quota.Config(usage=usage, around=lambda *known: known, in_scopes=lambda quota, pod: True)
    async with World("resourcequota-controller", resource_quota=counting) as world:
        await world.create(wire(ResourceQuota, "q", {"hard": {"configmaps": "5", "pods": "3"}}))
        await world.until(ResourceQuota, "q", lambda q: q.status.used == {"configmaps": "0", "pods": "0"})
        await world.create(wire(ConfigMap, "a"))
        await world.create(wire(ConfigMap, "b"))
        await world.until(ResourceQuota, "q", lambda q: (q.status.used or {}).get("configmaps") == "2")
        await world.client.resource(ConfigMap).delete("a", "default")
        await world.until(ResourceQuota, "q", lambda q: (q.status.used or {}).get("configmaps") == "1")


async def test_roles_aggregate() -> None:
    async with World("clusterrole-aggregation-controller") as world:

        def role(name: str, **rest: Any) -> ClusterRole:
            return codec.from_dict(ClusterRole, {"metadata": {"name": name, **rest.pop("metadata", {})}, **rest})

        selector = {"clusterRoleSelectors": [{"matchLabels": {"to-all": "true"}}]}
        await world.create(role("all", aggregationRule=selector))
        rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
        await world.create(role("part", metadata={"labels": {"to-all": "true"}}, rules=[rule]))
        roles = world.informers.informer(ClusterRole)
        await roles.synced()
        assert await roles.until(lambda: bool((found := roles.get("", "all")) and found.rules))
        assert codec.to_dict(roles.get("", "all"))["rules"] == [rule]


async def test_each_namespace_has_an_account_and_the_root_certificate() -> None:
    async with World("root-ca-certificate-publisher-controller", root_ca="PEM") as world:
        await world.client.resource(Namespace).create(codec.from_dict(Namespace, {"metadata": {"name": "n"}}))
        await world.until(ServiceAccount, "default", lambda a: True, namespace="n")
        published = await world.until(ConfigMap, "kube-root-ca.crt", lambda c: True, namespace="n")
        assert published.data == {"ca.crt": "PEM"}
        await world.client.resource(ServiceAccount).delete("default", "n")
        await world.client.resource(ConfigMap).patch("kube-root-ca.crt", "n", {"data": {"ca.crt": "other"}})
        await world.settle()
        assert (await world.get(ConfigMap, "kube-root-ca.crt", "n")).data == {"ca.crt": "PEM"}
        assert await world.get(ServiceAccount, "default", "n")


async def test_token_secrets_are_filled_and_go_with_their_account() -> None:
    signing = serviceaccount_tokens.Config(sign=lambda account, secret: f"t-{account.metadata.name}", root_ca="PEM")
    async with World("serviceaccount-token-controller", serviceaccount_tokens=signing) as world:
        await world.create(wire(ServiceAccount, "robot"))
        secret = wire(Secret, "token", annotations={serviceaccount_tokens.NAME: "robot"})
        secret.type = serviceaccount_tokens.TYPE
        await world.create(secret)
        filled = await world.until(Secret, "token", lambda s: s.data)
        assert base64.b64decode((filled.data or {})["token"]) == b"t-robot"
        assert set(filled.data or {}) == {"ca.crt", "namespace", "token"}
        await world.client.resource(ServiceAccount).delete("robot", "default")
        await world.gone(Secret, "token")


async def test_claims_in_use_are_not_deleted() -> None:
    async with World("persistentvolumeclaim-protection-controller") as world:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await world.create(wire(PersistentVolumeClaim, "c", spec))
        body = {
            **template({})["spec"],
            "nodeName": "n",
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
        }
        await world.create(wire(Pod, "p", body))
        await world.client.resource(PersistentVolumeClaim).delete("c", "default")
        await world.settle(30)
        assert (await world.get(PersistentVolumeClaim, "c")).metadata.deletion_timestamp
        await world.client.resource(Pod).delete("p", "default", grace_period=0)
        await world.gone(PersistentVolumeClaim, "c")


async def test_bootstrap_tokens_sign_and_expire() -> None:
    async with World("bootstrap-signer-controller", "token-cleaner-controller") as world:
        info = wire(ConfigMap, "cluster-info", namespace="kube-public")
        info.data = {"kubeconfig": "K"}
        await world.create(info)
        secret = wire(Secret, "bootstrap-token-abcdef", namespace="kube-system")
        secret.type = bootstrap_tokens.TYPE
        secret.string_data = {
            "token-id": "abcdef",
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-signing": "true",
            "expiration": clock.format_rfc3339(clock.timestamp() + 600),
        }
        await world.create(secret)
        signed = await world.until(ConfigMap, "cluster-info", lambda c: len(c.data or {}) == 2, namespace="kube-public")
        header, _, signature = (signed.data or {})["jws-kubeconfig-abcdef"].partition("..")
        payload = base64.urlsafe_b64encode(b"K").rstrip(b"=").decode()
        expected = hmac.new(b"0123456789abcdef", f"{header}.{payload}".encode(), hashlib.sha256).digest()
        assert base64.urlsafe_b64decode(signature + "=") == expected
        await world.gone(Secret, "bootstrap-token-abcdef", "kube-system", timeout=700)
        await world.until(ConfigMap, "cluster-info", lambda c: len(c.data or {}) == 1, namespace="kube-public")


DAY = 86400.0
INVALID = "kubernetes.io/legacy-token-invalid-since"


def generated(name: str, **labels: str) -> Secret:
    annotations = {serviceaccount_tokens.NAME: "robot"}
    secret = wire(Secret, name, annotations=annotations, labels=labels or None)
    secret.type = serviceaccount_tokens.TYPE
    return secret


async def test_generated_tokens_that_nobody_uses_are_marked_and_then_go() -> None:
    cleaner = legacy_tokens.LegacyTokenCleaner.name
    async with World(cleaner, legacy_tokens=legacy_tokens.Config(clean_up_period=2 * DAY)) as world:
        names = ["old", "used", "mounted", "strange"]
        account = wire(ServiceAccount, "robot")
        account.secrets = [ObjectReference(name=name) for name in names]
        await world.create(account)
        far = clock.format_rfc3339(clock.timestamp() + 3000 * DAY)[:10]
        last_used = {"used": far, "strange": "yesterday"}
        for name in [*names, "manual"]:
            labels = {legacy_tokens.LAST_USED: last_used[name]} if name in last_used else {}
            await world.create(generated(name, **labels))
        spec = {
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "secret": {"secretName": "mounted"}}],
        }
        await world.create(wire(Pod, "user", spec))
        began = clock.timestamp()
        today = clock.format_rfc3339(began)[:10]
        tracking = await world.client.resource(ConfigMap).get(
            "kube-apiserver-legacy-service-account-token-tracking", "kube-system"
        )
        assert tracking.data == {"since": today}
        await clock.sleep(2.5 * DAY)
        assert not any(INVALID in (s.metadata.labels or {}) for s in await world.list(Secret))
        await clock.sleep(DAY)
        marked = [s for s in await world.list(Secret) if INVALID in (s.metadata.labels or {})]
        assert [s.metadata.name for s in marked] == ["old"]
        since = (marked[0].metadata.labels or {})[INVALID]
        assert clock.is_day(since) and since > today
        await clock.sleep(2 * DAY)
        assert {s.metadata.name for s in await world.list(Secret)} == {*names, "manual"}
        await clock.sleep(DAY)
        assert {s.metadata.name for s in await world.list(Secret)} == {"used", "mounted", "strange", "manual"}


async def test_the_day_of_tracking_is_kept_and_mended() -> None:
    async with World() as world:
        maps = world.client.resource(ConfigMap)
        name = "kube-apiserver-legacy-service-account-token-tracking", "kube-system"
        today = clock.format_rfc3339(clock.timestamp())[:10]
        await maps.patch(*name, {"data": {"since": "2020-01-02", "other": "x"}})
        await clock.sleep(10)
        assert (await maps.get(*name)).data == {"since": "2020-01-02", "other": "x"}
        await maps.patch(*name, {"data": {"since": "long ago"}})
        await clock.sleep(10)
        assert (await maps.get(*name)).data == {"since": today, "other": "x"}
        await maps.delete(*name)
        await clock.sleep(60)
        with pytest.raises(StatusError):
            await maps.get(*name)
        await clock.sleep(1800)
        assert (await maps.get(*name)).data == {"since": today}
