"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: ask servers of the cluster what they think of a request.

Mutating webhooks are asked one after the other, each seeing what those before it changed (`reinvocation` tells who is
asked again). Validating webhooks are asked all at once. The configurations are read from
the cache with every request and compiled once per revision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from pybernetes.aio import clock
from pybernetes.api.admissionregistration_v1 import (
    MutatingWebhook,
    MutatingWebhookConfiguration,
    ValidatingWebhook,
    ValidatingWebhookConfiguration,
)
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.matching import Hit, exempt, match
from pybernetes.control_plane.apiserver.admission.webhook_client import WebhookClient, WebhookError
from pybernetes.control_plane.apiserver.http.calls import ensure_task
from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core

GROUP = "admissionregistration.k8s.io"
DEFAULT_SECONDS = 10.0

Hook = MutatingWebhook | ValidatingWebhook


class _Webhooks(Plugin):
    """What both kinds share. `resource`: where their configurations are."""

    resource = ""
    kind = ""

    def __init__(self, core: Core, client: WebhookClient) -> None:
        self._core = core
        self._client = client
        self._storage = core.cache.storage(GROUP, self.resource)

    def handles(self, attributes: Attributes) -> bool:
        return bool(self._storage.items) and not exempt(attributes)

    def _matching(self, attributes: Attributes) -> Iterator[tuple[str, Hook, Hit]]:
        """Webhooks that are about a request, by configuration name and then in their order.

        Each is looked at when it is its turn: those before it may have changed the object that it selects by.
        """
        for item in self._storage.list():
            configuration = cast("MutatingWebhookConfiguration | ValidatingWebhookConfiguration", item.obj)
            for hook in configuration.webhooks or ():
                hit = match(
                    self._core,
                    attributes,
                    hook.rules or [],
                    hook.namespace_selector,
                    hook.object_selector,
                    hook.match_policy != "Exact",
                )
                if hit is not None and self._conditions(attributes, hook):
                    yield item.name, hook, hit

    def _conditions(self, attributes: Attributes, hook: Hook) -> bool:
        """Whether the match conditions hold. Raises 403 when one cannot be told and the policy is Fail."""
        if not hook.match_conditions:
            return True
        from pybernetes.control_plane.apiserver.admission.expressions import conditions_hold

        try:
            return conditions_hold(self._core, attributes, hook.match_conditions)
        except ValueError as error:
            if hook.failure_policy == "Ignore":
                return False
            text = f'failed to evaluate match conditions of webhook "{hook.name}": {error}'
            raise errors.forbidden(attributes.resource.group_resource, attributes.name, text) from None

    async def _ask(self, attributes: Attributes, hook: Hook, hit: Hit) -> dict[str, Any] | None:
        """The response of one webhook; None when it failed and may be ignored. Raises StatusError."""
        seconds = float(hook.timeout_seconds or DEFAULT_SECONDS)
        review = request_of(self._core, attributes, hit)
        version = next((_VERSIONS[v] for v in hook.admission_review_versions if v in _VERSIONS), V1)
        review["apiVersion"] = version
        uid = review["request"]["uid"]
        if attributes.dry_run and hook.side_effects not in ("None", "NoneOnDryRun"):
            raise errors.bad_request(f'admission webhook "{hook.name}" does not support dry run')
        try:
            answer = await self._client.post(hook.client_config, review, seconds)
            response = answer.get("response")
            if not isinstance(response, dict):
                raise WebhookError("webhook response was absent")
            if version != V1:
                response.setdefault("patchType", "JSONPatch")  # v1beta1 demanded less of an answer
            elif response.get("uid") != uid:
                text = f'expected response.uid="{uid}", got "{response.get("uid", "")}"'
                raise WebhookError(text)
            if version == V1 and (answer.get("kind") != "AdmissionReview" or answer.get("apiVersion") != V1):
                got = f"{answer.get('apiVersion')}, Kind={answer.get('kind')}"
                raise WebhookError(f"expected webhook response of {V1}, Kind=AdmissionReview, got {got}")
        except WebhookError as error:
            text = f'failed calling webhook "{hook.name}": failed to call webhook: {error}'
            if hook.failure_policy == "Ignore":
                return None
            raise errors.internal(text) from None
        for warning in response.get("warnings") or ():
            attributes.warn(str(warning))
        for key, value in (response.get("auditAnnotations") or {}).items():
            attributes.annotate(f"{hook.name}/{key}", str(value))
        if not response.get("allowed"):
            raise denied(hook.name, response.get("status") or {})
        return response


V1 = "admission.k8s.io/v1"
#: The reviews that we can send; the first of a hook's versions that is among them is taken.
_VERSIONS = {"v1": V1, "v1beta1": "admission.k8s.io/v1beta1"}


def denied(name: str, status: dict[str, Any]) -> StatusError:
    """The error of a refusal by a webhook: its own code and reason, its message behind upstream's words."""
    text = f'admission webhook "{name}" denied the request'
    message, reason = status.get("message"), status.get("reason")
    if message:
        text = f"{text}: {message}"
    elif reason:
        text = f"{text}: {reason}"
    else:
        text = f"{text} without explanation"
    code = status.get("code") or 0
    return StatusError(code if code >= 400 else 400, reason or "", text)


def request_of(core: Core, attributes: Attributes, hit: Hit) -> dict[str, Any]:
    """The AdmissionReview that a webhook is sent."""
    import uuid

    user = attributes.user
    kind = attributes.resource.kind
    request: dict[str, Any] = {
        "uid": str(uuid.UUID(int=clock.rng.getrandbits(128), version=4)),
        "kind": _gvk(hit, attributes),
        "resource": {"group": hit.group, "version": hit.version, "resource": hit.resource},
        "requestKind": _own(attributes),
        "requestResource": {"group": kind.group, "version": kind.version, "resource": kind.resource},
        "operation": attributes.operation,
        "userInfo": _user(user),
        "object": wire_of(core, attributes, attributes.obj, hit),
        "oldObject": wire_of(core, attributes, attributes.old_obj, hit),
        "dryRun": attributes.dry_run,
        "options": attributes.options or None,
    }
    if attributes.name:
        request["name"] = attributes.name
    if attributes.namespace:
        request["namespace"] = attributes.namespace
    if attributes.subresource:
        request["subResource"] = attributes.subresource
        request["requestSubResource"] = attributes.subresource
    return {"kind": "AdmissionReview", "apiVersion": V1, "request": request}


def _own(attributes: Attributes) -> dict[str, str]:
    group, _, version = attributes.api_version.rpartition("/")
    return {"group": group, "version": version, "kind": attributes.kind}


def _gvk(hit: Hit, attributes: Attributes) -> dict[str, str]:
    kind = attributes.resource.kind
    if (hit.group, hit.version) == (kind.group, kind.version):
        return _own(attributes)
    return {"group": hit.group, "version": hit.version, "kind": hit.kind}


def _user(user: Any) -> dict[str, Any]:
    if user is None:
        return {}
    out: dict[str, Any] = {"username": user.name}
    if user.uid:
        out["uid"] = user.uid
    if user.groups:
        out["groups"] = list(user.groups)
    if user.extra:
        out["extra"] = {key: list(values) for key, values in user.extra.items()}
    return out


def shown(core: Core, attributes: Attributes) -> Any:
    """The object as it is now, in the version of the request; None without one."""
    kind = attributes.resource.kind
    return wire_of(core, attributes, attributes.obj, Hit(kind.group, kind.version, kind.resource, kind.kind))


def wire_of(core: Core, attributes: Attributes, obj: Any, hit: Hit) -> dict[str, Any] | None:
    """An object in wire form, in the version that the rule asked for."""
    if obj is None:
        return None
    import msgspec

    kind = attributes.resource.kind
    if (hit.group, hit.version) != (kind.group, kind.version):
        other = core.registry.get(hit.group, hit.version, hit.resource)
        if other is not None and not attributes.subresource:
            stored = attributes.resource.stored(obj) if attributes.resource.stored is not None else obj
            obj = other.served(stored) if other.served is not None else stored
            return other.codec.to_wire(obj)
    if hasattr(obj, "to_wire") or not attributes.subresource:
        return attributes.resource.codec.to_wire(obj)
    return cast("dict[str, Any]", msgspec.to_builtins(obj))


class MutatingAdmissionWebhook(_Webhooks):
    name = "MutatingAdmissionWebhook"
    mutates = True
    resource = "mutatingwebhookconfigurations"

    async def admit(self, attributes: Attributes) -> None:
        asked = attributes.asked_by(self.name)
        if attributes.again:
            asked.enter(lambda: shown(self._core, attributes))
        for configuration, hook, hit in self._matching(attributes):
            key = (configuration, hook.name)
            if asked.skips(key, attributes.again):
                continue
            changed = await self._apply(attributes, hook, hit)
            asked.note(key, cast(MutatingWebhook, hook).reinvocation_policy == "IfNeeded", changed)
            attributes.mutated = attributes.mutated or changed
        asked.leave(lambda: shown(self._core, attributes))

    async def _apply(self, attributes: Attributes, hook: Hook, hit: Hit) -> bool:
        """Ask and apply the patch; whether anything changed."""
        response = await self._ask(attributes, hook, hit)
        if response is None or not response.get("patch"):
            return False
        if attributes.obj is None:
            text = "attempted to modify the object, which is not supported for this operation"
            raise errors.internal(f'admission webhook "{hook.name}" {text}')
        from base64 import b64decode

        import msgspec

        from pybernetes.machinery import patch as patches

        if response.get("patchType") != "JSONPatch":
            raise errors.internal(f'webhook "{hook.name}" returned an unsupported patch type')
        before = wire_of(self._core, attributes, attributes.obj, hit)
        try:
            operations = msgspec.json.decode(b64decode(response["patch"]))
            after = patches.json_patch(before, operations)
        except (ValueError, StatusError) as error:
            raise errors.internal(f'webhook "{hook.name}" returned a patch that does not apply: {error}') from None
        if after == before:
            return False
        attributes.obj = read_back(self._core, attributes, after, hit)
        return True


def read_back(core: Core, attributes: Attributes, wire: dict[str, Any], hit: Hit) -> Any:
    """An object out of its changed wire form, in the request's version, with its defaults."""
    resource = attributes.resource
    kind = resource.kind
    if attributes.subresource and not isinstance(attributes.obj, type(attributes.old_obj)):
        import msgspec

        return msgspec.convert(wire, type(attributes.obj))
    if (hit.group, hit.version) != (kind.group, kind.version):
        other = core.registry.get(hit.group, hit.version, hit.resource)
        if other is not None:
            obj = other.codec.convert(wire, None)
            stored: Callable[[Any], Any] | None = other.stored
            obj = stored(obj) if stored is not None else obj
            return resource.served(obj) if resource.served is not None else obj
    obj = resource.codec.convert(wire, None)
    resource.strategy.set_defaults(obj)
    return obj


class ValidatingAdmissionWebhook(_Webhooks):
    name = "ValidatingAdmissionWebhook"
    validates = True
    resource = "validatingwebhookconfigurations"

    async def validate(self, attributes: Attributes) -> None:
        found = list(self._matching(attributes))
        if not found:
            return
        if len(found) == 1:
            await self._ask(attributes, found[0][1], found[0][2])
            return
        failures: list[StatusError] = []

        async def one(hook: Hook, hit: Hit) -> None:
            try:
                await self._ask(attributes, hook, hit)
            except StatusError as error:
                failures.append(error)

        await ensure_task()
        async with asyncio.TaskGroup() as group:
            for _, hook, hit in found:
                group.create_task(one(hook, hit), name=f"webhook/{hook.name}")
        if failures:
            raise failures[0]
