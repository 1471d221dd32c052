"""The HorizontalPodAutoscaler controller: sizes what can be scaled by what its Pods use.

Metrics come from the aggregated APIs: `metrics.k8s.io` for resources, `custom.metrics.k8s.io` and
`external.metrics.k8s.io` for the rest. They cannot be watched, so each autoscaler is looked at every 15 seconds; a
cluster without autoscalers pays nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from pybernetes.aio import clock
from pybernetes.api.autoscaling_v2 import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus,
    MetricSpec,
    MetricStatus,
    MetricTarget,
)
from pybernetes.api.core_v1 import Pod
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter, key_of, split_key
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.transport import Request
from pybernetes.control_plane.controllers import autoscaling_plan as plan
from pybernetes.machinery import codec, labels, quantity
from pybernetes.machinery.errors import StatusError

_PERIOD = 15.0


class _Unknown(Exception):
    """A metric that cannot be had: reason, and message as it stands behind what was tried (`failed to get ...`)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class HorizontalPodAutoscalerController(Controller):
    """Keys are autoscalers."""

    name = "horizontal-pod-autoscaler-controller"
    component = "horizontal-pod-autoscaler"

    def __init__(self, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._history: dict[str, plan.History] = {}

    def setup(self) -> None:
        """Autoscalers, and the Pods whose metrics count."""
        self.autoscalers = self.informers.informer(HorizontalPodAutoscaler)
        self.pods = self.informers.informer(Pod)
        self.autoscalers.on(self.enqueue, self._updated, lambda hpa: self._history.pop(key_of(hpa), None))
        self._autoscalers = self.client.resource(HorizontalPodAutoscaler)

    def _updated(self, old: HorizontalPodAutoscaler, new: HorizontalPodAutoscaler) -> None:
        if old.spec != new.spec:
            self.enqueue(new)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Measure, decide, scale, and write the status."""
        hpa = self.autoscalers.get(*split_key(key))
        if hpa is None:
            return None
        status: HorizontalPodAutoscalerStatus = codec.copy(hpa.status)
        try:
            await self._autoscale(hpa, status)
        finally:
            status.observed_generation = hpa.metadata.generation
            if status != hpa.status:
                changed = codec.copy(hpa)
                changed.status = status
                await self.autoscalers.caught_up(await self._autoscalers.update_status(changed))
        return RequeueAfter(_PERIOD)

    async def _autoscale(self, hpa: HorizontalPodAutoscaler, status: HorizontalPodAutoscalerStatus) -> None:
        reference, namespace = hpa.spec.scale_target_ref, hpa.metadata.namespace
        resource = self.client.dynamic(reference.api_version or "v1", reference.kind)
        try:
            scale = _wire(await resource.get_subresource(reference.name, namespace, "scale"))
        except StatusError as error:
            message = f"the HPA controller was unable to get the target's current scale: {error}"
            _set(status, "AbleToScale", "False", "FailedGetScale", message)
            self.events.event(hpa, "Warning", "FailedGetScale", str(error))
            return
        _set(
            status,
            "AbleToScale",
            "True",
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        )
        current = int(scale.get("spec", {}).get("replicas", 0))
        status.current_replicas = int(scale.get("status", {}).get("replicas", 0))
        minimum = 1 if hpa.spec.min_replicas is None else hpa.spec.min_replicas
        reason = ""
        if current == 0 and minimum != 0:
            message = "scaling is disabled since the replica count of the target is zero"
            _set(status, "ScalingActive", "False", "ScalingDisabled", message)
            status.desired_replicas = 0
            return
        if current > hpa.spec.max_replicas:
            wanted, reason = hpa.spec.max_replicas, "Current number of replicas above Spec.MaxReplicas"
        elif current < minimum:
            wanted, reason = minimum, "Current number of replicas below Spec.MinReplicas"
        else:
            proposal = await self._propose(hpa, status, scale, current)
            if proposal is None:
                return
            history = self._history.setdefault(key_of(hpa), plan.History())
            wanted, why, message = plan.bound(hpa, current, proposal.replicas, history, clock.monotonic())
            _set(status, "ScalingLimited", "False" if why == "DesiredWithinRange" else "True", why, message)
            direction = "above" if wanted > current else "below"
            reason = f"{proposal.text} {direction} target" if wanted > current else "All metrics below target"
            if proposal.replicas == current and wanted == current:
                text = "recommended size matches current size"
                _set(status, "AbleToScale", "True", "ReadyForNewScale", text)
        status.desired_replicas = wanted
        if wanted == current:
            return
        scale["spec"] = {**scale.get("spec", {}), "replicas": wanted}
        try:
            await resource.update_subresource(reference.name, namespace, "scale", scale)
        except StatusError as error:
            text = f"the HPA controller was unable to update the target scale: {error}"
            _set(status, "AbleToScale", "False", "FailedUpdateScale", text)
            self.events.event(hpa, "Warning", "FailedRescale", f"New size: {wanted}; reason: {reason}; error: {error}")
            raise
        text = f"the HPA controller was able to update the target scale to {wanted}"
        _set(status, "AbleToScale", "True", "SucceededRescale", text)
        self.events.event(hpa, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {reason}")
        history = self._history.setdefault(key_of(hpa), plan.History())
        (history.ups if wanted > current else history.downs).append((clock.monotonic(), abs(wanted - current)))
        status.last_scale_time = clock.rfc3339()

    async def _propose(
        self, hpa: HorizontalPodAutoscaler, status: HorizontalPodAutoscalerStatus, scale: dict[str, Any], current: int
    ) -> plan.Proposal | None:
        """The largest of what the metrics ask for; None when nothing can be said."""
        proposals: list[plan.Proposal] = []
        measured: list[MetricStatus] = []
        failure: _Unknown | None = None
        missing, first = 0, ""
        for metric in hpa.spec.metrics or ():
            try:
                proposal, one = await self._measure(hpa, metric, scale, current)
            except _Unknown as error:
                failure, first = (failure, first) if failure else (error, f"{_tried(metric)}: {error}")
                missing += 1
                self.events.event(hpa, "Warning", error.reason, str(error))
                continue
            proposals.append(proposal)
            measured.append(one)
        status.current_metrics = measured or None
        best = max(proposals, key=lambda p: p.replicas, default=None)
        if best is None or (failure is not None and best.replicas < current):
            # With a metric unknown it is not safe to give anything up.
            if failure is not None:
                message = f"the HPA was unable to compute the replica count: {failure}"
                _set(status, "ScalingActive", "False", failure.reason, message)
                total = len(hpa.spec.metrics or ())
                text = f"invalid metrics ({missing} invalid out of {total}), first error is: {first}"
                self.events.event(hpa, "Warning", "FailedComputeMetricsReplicas", text)
            return None
        message = f"the HPA was able to successfully calculate a replica count from {best.text}"
        _set(status, "ScalingActive", "True", "ValidMetricFound", message)
        return best

    async def _measure(
        self, hpa: HorizontalPodAutoscaler, metric: MetricSpec, scale: dict[str, Any], current: int
    ) -> tuple[plan.Proposal, MetricStatus]:
        source: Any = metric.resource or metric.container_resource or metric.pods or metric.object or metric.external
        selector = str(scale.get("status", {}).get("selector", ""))
        namespace = hpa.metadata.namespace
        target: MetricTarget = source.target
        wire = codec.to_dict(metric)
        shown = wire[metric.type[0].lower() + metric.type[1:]]
        shown.pop("target", None)
        if metric.resource is not None or metric.container_resource is not None:
            container = metric.container_resource.container if metric.container_resource else ""
            text = f"{source.name} {'container ' if container else ''}resource utilization (percentage of request)"
            unknown = partial(_Unknown, f"FailedGet{'Container' if container else ''}ResourceMetric")
            what = "usage" if target.average_utilization is None else "utilization"
            failed = f"failed to get {source.name} {what}"
            try:
                values = await self._resource_metrics(namespace, selector, source.name, container)
            except LookupError as error:
                raise unknown(f"{failed}: unable to get metrics for resource {source.name}: {error}") from None
            pods = self.pods.list(namespace, labels.parse(selector))
            if not pods:
                raise unknown(f"{failed}: no pods returned by selector while calculating replica count")
            groups = plan.group(pods, values, source.name, clock.timestamp())
            if not groups.ready:
                raise unknown(f"{failed}: did not receive metrics for targeted pods (pods might be unready)")
            average = sum(values[n] for n in groups.ready) // len(groups.ready)
            shown["current"] = {"averageValue": str(quantity.of_milli(average))}
            if target.average_utilization is None:
                wanted = quantity.milli(target.average_value or "0")
                replicas, value = plan.by_average(current, groups, values, wanted, plan.TOLERANCE)
                text = f"{source.name} resource"
            else:
                requests = {}
                for pod in pods:
                    amount = plan.request_of(pod, source.name, container)
                    if isinstance(amount, str):
                        where = f"container {amount} of Pod {pod.metadata.name}"
                        raise unknown(f"{failed}: missing request for {source.name} in {where}")
                    requests[pod.metadata.name] = amount
                percent = target.average_utilization
                replicas, value = plan.by_utilization(current, groups, values, requests, percent, plan.TOLERANCE)
                shown["current"]["averageUtilization"] = value
        else:
            text, replicas, value = await self._other(hpa, metric, selector, current)
            shown["current"] = {"value": str(quantity.of_milli(value))}
            if metric.pods is not None or target.type == "AverageValue":
                shown["current"] = {"averageValue": str(quantity.of_milli(value))}
        return plan.Proposal(replicas, value, text), codec.from_dict(MetricStatus, wire)

    async def _other(
        self, hpa: HorizontalPodAutoscaler, metric: MetricSpec, selector: str, current: int
    ) -> tuple[str, int, int]:
        """(name, replicas, value in thousandths) of a metric that is not of resources."""
        namespace = hpa.metadata.namespace
        if metric.pods is not None:
            name = metric.pods.metric.name
            path = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/*/{name}"
            items = await self._fetch(path, {"labelSelector": selector}, "FailedGetPodsMetric", name)
            values = {i["describedObject"]["name"]: quantity.milli(i["value"]) for i in items}
            groups = plan.group(self.pods.list(namespace, labels.parse(selector)), values, "", clock.timestamp())
            if not groups.ready:
                raise _Unknown(
                    "FailedGetPodsMetric", "did not receive metrics for targeted pods (pods might be unready)"
                )
            wanted = quantity.milli(metric.pods.target.average_value or "0")
            replicas, value = plan.by_average(current, groups, values, wanted, plan.TOLERANCE)
            return f"pods metric {name}", replicas, value
        if metric.object is not None:
            name, about, target = metric.object.metric.name, metric.object.described_object, metric.object.target
            kind = await self.client.find(about.api_version or "v1", about.kind)
            resource = f"{kind.resource}.{kind.group}" if kind.group else kind.resource
            path = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{namespace}/{resource}/{about.name}/{name}"
            items = await self._fetch(path, {}, "FailedGetObjectMetric", name)
            text = f"{about.kind} metric {name}"
        elif metric.external is not None:
            name, target = metric.external.metric.name, metric.external.target
            path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{name}"
            chosen = metric.external.metric.selector
            query = {"labelSelector": str(labels.from_struct(chosen))} if chosen is not None else {}
            items = await self._fetch(path, query, "FailedGetExternalMetric", name)
            text = f"external metric {name}"
        else:
            raise _Unknown("InvalidMetricSourceType", f"unknown metric source type {metric.type!r}")
        value = sum(quantity.milli(item["value"]) for item in items)
        if target.type == "AverageValue":
            wanted = quantity.milli(target.average_value or "0")
            used = value / (wanted * current) if current else math.inf
            replicas = current if abs(used - 1) <= plan.TOLERANCE else math.ceil(value / wanted)
            return text, replicas, math.ceil(value / max(1, current))
        used = value / max(1, quantity.milli(target.value or "0"))
        return text, current if abs(used - 1) <= plan.TOLERANCE else math.ceil(used * current), value

    async def _resource_metrics(
        self, namespace: str, selector: str, resource: str, container: str
    ) -> Mapping[str, int]:
        """Thousandths by Pod. Raises LookupError."""
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        found: dict[str, int] = {}
        try:
            items = await self._get(path, {"labelSelector": selector})
        except StatusError as error:
            raise LookupError(f"unable to fetch metrics from resource metrics API: {error}") from None
        if not items:
            raise LookupError("no metrics returned from resource metrics API")
        for item in items:
            parts = [
                one["usage"].get(resource)
                for one in item.get("containers") or ()
                if not container or one.get("name") == container
            ]
            if parts and all(part is not None for part in parts):
                found[item["metadata"]["name"]] = sum(map(quantity.milli, parts))
        return found

    async def _fetch(self, path: str, query: dict[str, str], reason: str, name: str) -> list[Any]:
        try:
            return await self._get(path, query)
        except StatusError as error:
            raise _Unknown(reason, f"unable to get metric {name}: {error}") from None

    async def _get(self, path: str, query: dict[str, str]) -> list[Any]:
        answer = await self.client.transport.request(Request("GET", path, query, headers=self.client.headers))
        body = answer.body
        wire = msgspec.json.decode(body) if isinstance(body, bytes) else _wire(body)
        return list(wire.get("items") or ())


def _tried(metric: MetricSpec) -> str:
    """What was to be had of a metric."""
    if metric.resource is not None:
        return f"failed to get {metric.resource.name} resource metric value"
    if metric.container_resource is not None:
        return f"failed to get {metric.container_resource.name} container metric value"
    return f"failed to get {metric.type.lower()} metric value"


def _wire(obj: Any) -> dict[str, Any]:
    return dict(obj) if isinstance(obj, dict) else codec.to_dict(obj)


def _set(status: HorizontalPodAutoscalerStatus, type_: str, value: str, reason: str, message: str) -> None:
    present = next((c for c in status.conditions or () if c.type == type_), None)
    same = present is not None and present.status == value
    condition = HorizontalPodAutoscalerCondition(
        type=type_,
        status=value,
        reason=reason,
        message=message,
        last_transition_time=present.last_transition_time if present is not None and same else clock.rfc3339(),
    )
    others = [c for c in status.conditions or () if c.type != type_]
    status.conditions = sorted([*others, condition], key=lambda c: c.type)
