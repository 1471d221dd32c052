"""Who creates an object owns what it says, with the defaults, and nothing that the cluster adds.

A `.` is owned only where the item itself is new: of an empty Deployment there is `strategy` and `template.spec`, but no
`rollingUpdate` in it.
"""

from __future__ import annotations

from typing import Any

from pybernetes.api.apps_v1 import Deployment, DeploymentSpec
from pybernetes.api.core_v1 import Container, Pod, PodSpec, PodTemplateSpec, ServiceAccount
from pybernetes.machinery.meta import LabelSelector, ObjectMeta
from tests.suites.api_server import client_of, running

CONTAINER: dict[str, Any] = {
    ".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {}, "f:terminationMessagePath": {},
    "f:terminationMessagePolicy": {},
}  # fmt: skip
POD: dict[str, Any] = {
    "f:containers": {'k:{"name":"c"}': CONTAINER}, "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {},
    "f:securityContext": {}, "f:terminationGracePeriodSeconds": {},
}  # fmt: skip


async def test_what_the_creator_owns() -> None:
    spec = PodSpec(containers=[Container(name="c", image="i:1")])
    labels = {"app": "x"}
    async with running() as server:
        client = client_of(server)
        deployment = await client.resource(Deployment).create(
            Deployment(
                metadata=ObjectMeta(name="d", namespace="default"),
                spec=DeploymentSpec(
                    selector=LabelSelector(match_labels=labels),
                    template=PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=spec),
                ),
            )
        )
        [entry] = deployment.metadata.managed_fields or []
        assert entry.fields_v1 == {
            "f:spec": {
                "f:progressDeadlineSeconds": {},
                "f:replicas": {},
                "f:revisionHistoryLimit": {},
                "f:selector": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
                "f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": POD},
            }
        }
        account = ServiceAccount(metadata=ObjectMeta(name="default", namespace="default"))
        await client.resource(ServiceAccount).create(account)
        pod = await client.resource(Pod).create(Pod(metadata=ObjectMeta(name="p", namespace="default"), spec=spec))
        assert pod.spec.tolerations and pod.spec.priority == 0
        [entry] = pod.metadata.managed_fields or []
        assert entry.fields_v1 == {"f:spec": POD | {"f:enableServiceLinks": {}}}
