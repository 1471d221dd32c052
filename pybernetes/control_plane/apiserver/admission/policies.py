"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy: rules in CEL that are bound to what they shall judge.

A policy says what; its bindings say where, and with which parameters. Both are read from the cache with every request;
compiled expressions are kept by their text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import msgspec

from pybernetes.api.admissionregistration_v1 import (
    MatchResources,
    MutatingAdmissionPolicyBinding,
    Mutation,
    ParamKind,
    ParamRef,
    ValidatingAdmissionPolicyBinding,
    Validation,
)
from pybernetes.api.admissionregistration_v1 import MutatingAdmissionPolicy as MutatingPolicy
from pybernetes.api.admissionregistration_v1 import ValidatingAdmissionPolicy as ValidatingPolicy
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.matching import (
    Hit,
    exempt,
    match,
    match_rules,
    selects_namespace,
    selects_object,
)
from pybernetes.machinery import cel, errors, labels
from pybernetes.machinery.meta import StatusCause
from pybernetes.machinery.schema import Schema

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core

GROUP = "admissionregistration.k8s.io"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}
_NO_PARAMS = object()


class Refusal(Exception):
    """Why a policy does not let a request pass: the text, and the reason of the Status."""

    def __init__(self, text: str, reason: str = "Invalid") -> None:
        super().__init__(text)
        self.reason = reason
        #: Which of the policy's validations it comes from.
        self.index = 0


class _Variables:
    """`variables.x`: evaluated when it is first asked for."""

    def __init__(self, declared: dict[str, str], values: dict[str, Any]) -> None:
        self._declared = declared
        self._values = values
        self._done: dict[str, Any] = {}

    def cel_field(self, name: str) -> Any:
        from pybernetes.control_plane.apiserver.admission.expressions import program

        if name not in self._done:
            if name not in self._declared:
                raise cel.CelError(f"no such key: {name}")
            try:
                self._done[name] = program(self._declared[name], "", True)(self._values)
            except cel.CelError as error:
                raise cel.CelError(f"composited variable {name!r} fails to evaluate: {error}") from None
        return self._done[name]


class _Policies(Plugin):
    policies = ""
    bindings = ""
    kind = ""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._policies = core.cache.storage(GROUP, self.policies)
        self._bindings = core.cache.storage(GROUP, self.bindings)

    def handles(self, attributes: Attributes) -> bool:
        return bool(self._bindings.items) and bool(self._policies.items) and not exempt(attributes)

    def _bound(self, attributes: Attributes) -> Iterator[tuple[Any, Any, Hit]]:
        """(policy, binding, hit) of everything that is about a request."""
        for item in self._bindings.list():
            binding = cast("ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding", item.obj)
            found = self._policies.items.get(f"{self._policies.prefix}{binding.spec.policy_name}")
            if found is None:
                continue
            policy = cast("ValidatingPolicy | MutatingPolicy", found.obj)
            constraints = policy.spec.match_constraints
            hit = self._match(attributes, constraints, None) if constraints is not None else None
            if hit is None:
                continue
            narrower = binding.spec.match_resources
            if narrower is not None and self._match(attributes, narrower, hit) is None:
                continue
            yield policy, binding, hit

    def _match(self, attributes: Attributes, wanted: MatchResources, hit: Hit | None) -> Hit | None:
        equivalent = wanted.match_policy != "Exact"
        excluded = wanted.exclude_resource_rules or []
        if excluded and match_rules(self._core, attributes, excluded, equivalent) is not None:
            return None
        rules = wanted.resource_rules
        if rules is None and hit is not None:  # a binding without rules takes the policy's
            fits = selects_namespace(self._core, attributes, wanted.namespace_selector) and selects_object(
                attributes, wanted.object_selector
            )
            return hit if fits else None
        return match(self._core, attributes, rules or [], wanted.namespace_selector, wanted.object_selector, equivalent)

    def _activation(self, attributes: Attributes, policy: Any, hit: Hit, params: Any) -> dict[str, Any]:
        from pybernetes.control_plane.apiserver.admission.expressions import activation

        values = activation(self._core, attributes, hit)
        values["params"] = None if params is _NO_PARAMS else params
        declared = {variable.name: variable.expression for variable in policy.spec.variables or ()}
        values["variables"] = _Variables(declared, values)
        return values

    def _conditions(self, policy: Any, values: dict[str, Any]) -> bool:
        """Whether the policy's match conditions hold. Raises Refusal."""
        from pybernetes.control_plane.apiserver.admission.expressions import program

        failure = ""
        for condition in policy.spec.match_conditions or ():
            try:
                if program(condition.expression, "bool", True)(values) is False:
                    return False
            except cel.CelError as error:
                failure = f"matchCondition '{condition.name}' resulted in error: {error}"
        if failure:
            raise Refusal(failure)
        return True

    def _params(self, attributes: Attributes, kind: ParamKind | None, ref: ParamRef | None) -> list[Any]:
        """The parameters to judge with, in wire form; one that is no parameter when none are asked for."""
        if kind is None or ref is None:
            return [_NO_PARAMS]
        resource = self._core.registry.by_kind(kind.api_version or "", kind.kind or "")
        if resource is None or resource.storage is None:
            asked = f"{kind.api_version}, Kind={kind.kind}"
            raise Refusal(f"failed to configure policy: failed to find resource referenced by paramKind: '{asked}'")
        namespace = ""
        if resource.kind.namespaced:
            namespace = ref.namespace or attributes.namespace
            if not namespace:
                text = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                raise Refusal(f"failed to configure binding: {text}")
        if ref.name:
            item = resource.storage.items.get(resource.key(namespace, ref.name))
            items = [item] if item is not None else []
        else:
            selector = labels.from_struct(ref.selector) if ref.selector is not None else labels.EVERYTHING
            items = [i for i in resource.storage.list(namespace) if selector.matches(i.obj.metadata.labels)]
        if not items and ref.parameter_not_found_action != "Allow":
            text = "no params found for policy binding with `Deny` parameterNotFoundAction"
            raise Refusal(f"failed to configure binding: {text}")
        return [resource.codec.to_wire(item.obj) for item in items]


def _note(attributes: Attributes, policy: Any, values: dict[str, Any], fails: bool) -> list[Refusal]:
    """The policy's audit annotations; what is wrong with them."""
    from pybernetes.control_plane.apiserver.admission.expressions import program

    found = []
    for note in policy.spec.audit_annotations or ():
        try:
            value = program(note.value_expression, "", True)(values)
        except cel.CelError as error:
            found.append(Refusal(f"auditAnnotation '{note.key}' resulted in error: {error}"))
            continue
        if value is not None:
            attributes.annotate(f"{policy.metadata.name}/{note.key}", str(value))
    return found if fails else []


class ValidatingAdmissionPolicy(_Policies):
    name = "ValidatingAdmissionPolicy"
    validates = True
    policies = "validatingadmissionpolicies"
    bindings = "validatingadmissionpolicybindings"

    async def validate(self, attributes: Attributes) -> None:
        denied: list[tuple[str, str]] = []
        failures: list[dict[str, Any]] = []
        for policy, binding, hit in self._bound(attributes):
            head = f"ValidatingAdmissionPolicy '{policy.metadata.name}' with binding '{binding.metadata.name}'"
            for refusal in self._judge(attributes, policy, binding, hit):
                actions = binding.spec.validation_actions or ["Deny"]
                if "Deny" in actions:
                    denied.append((f"{head} denied request: {refusal}", refusal.reason))
                if "Warn" in actions:
                    attributes.warn(f"Validation failed for {head}: {refusal}")
                if "Audit" in actions:
                    failures.append(
                        {
                            "message": str(refusal),
                            "policy": policy.metadata.name,
                            "binding": binding.metadata.name,
                            "expressionIndex": refusal.index,
                            "validationActions": actions,
                        }
                    )
        if failures and attributes.annotations is not None:
            text = msgspec.json.encode(failures).decode()
            attributes.annotate("validation.policy.admission.k8s.io/validation_failure", text)
        if not denied:
            return
        text, reason = denied[0]
        error = errors.forbidden(attributes.resource.group_resource, attributes.name, text)
        error.reason, error.code = reason, _CODES.get(reason, 422)
        if error.details is not None:
            error.details.causes = [StatusCause(message=message) for message, _ in denied]
        raise error

    def _judge(self, attributes: Attributes, policy: Any, binding: Any, hit: Hit) -> list[Refusal]:
        """Every reason against a request that one policy in one binding has."""
        fails = policy.spec.failure_policy != "Ignore"
        try:
            found: list[Refusal] = []
            for params in self._params(attributes, policy.spec.param_kind, binding.spec.param_ref):
                values = self._activation(attributes, policy, hit, params)
                if not self._conditions(policy, values):
                    continue
                for index, validation in enumerate(policy.spec.validations or ()):
                    refusal = _validate(validation, values, fails)
                    if refusal is not None:
                        refusal.index = index
                        found.append(refusal)
                if attributes.annotations is not None:
                    found += _note(attributes, policy, values, fails)
            return found
        except Refusal as refusal:
            return [refusal] if fails else []


def _validate(validation: Validation, values: dict[str, Any], fails: bool) -> Refusal | None:
    from pybernetes.control_plane.apiserver.admission.expressions import program

    try:
        holds = program(validation.expression, "bool", True)(values)
    except cel.CelError as error:
        text = f"expression '{validation.expression.strip()}' resulted in error: {error}"
        return Refusal(text) if fails else None
    if holds is True:
        return None
    message = ""
    if validation.message_expression:
        try:
            message = str(program(validation.message_expression, "string", True)(values)).strip()
        except cel.CelError:
            message = ""
        if "\n" in message:
            message = ""
    text = message or (validation.message or "").strip() or f"failed expression: {validation.expression.strip()}"
    return Refusal(text, validation.reason or "Invalid")


class MutatingAdmissionPolicy(_Policies):
    name = "MutatingAdmissionPolicy"
    mutates = True
    policies = "mutatingadmissionpolicies"
    bindings = "mutatingadmissionpolicybindings"

    def handles(self, attributes: Attributes) -> bool:
        return super().handles(attributes) and attributes.operation in ("CREATE", "UPDATE", "CONNECT")

    async def admit(self, attributes: Attributes) -> None:
        from pybernetes.control_plane.apiserver.admission.webhooks import shown

        if attributes.obj is None:
            return
        asked = attributes.asked_by(self.name)
        if attributes.again:
            asked.enter(lambda: shown(self._core, attributes))
        for policy, binding, hit in self._bound(attributes):
            key = (policy.metadata.name, binding.metadata.name)
            if asked.skips(key, attributes.again):
                continue
            changed = self._mutate(attributes, policy, binding, hit)
            asked.note(key, policy.spec.reinvocation_policy == "IfNeeded", changed)
            attributes.mutated = attributes.mutated or changed
        asked.leave(lambda: shown(self._core, attributes))

    def _mutate(self, attributes: Attributes, policy: Any, binding: Any, hit: Hit) -> bool:
        from pybernetes.control_plane.apiserver.admission.webhooks import read_back, wire_of

        try:
            changed = False
            for params in self._params(attributes, policy.spec.param_kind, binding.spec.param_ref):
                values = self._activation(attributes, policy, hit, params)
                if not self._conditions(policy, values):
                    continue
                for mutation in policy.spec.mutations or ():
                    before = wire_of(self._core, attributes, attributes.obj, hit)
                    assert before is not None
                    after = _mutated(mutation, before, values, attributes.resource.codec.schema)
                    if after != before:
                        attributes.obj = read_back(self._core, attributes, after, hit)
                        changed = True
                        values = self._activation(attributes, policy, hit, params)
            return changed
        except Refusal as refusal:
            if policy.spec.failure_policy == "Ignore":
                return False
            head = f"policy '{policy.metadata.name}' with binding '{binding.metadata.name}' denied request"
            raise errors.forbidden(attributes.resource.group_resource, attributes.name, f"{head}: {refusal}") from None


def _mutated(mutation: Mutation, before: dict[str, Any], values: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """The object that one mutation makes. Raises Refusal."""
    from pybernetes.control_plane.apiserver.admission.expressions import program
    from pybernetes.machinery import apply, codec
    from pybernetes.machinery import patch as patches

    try:
        if mutation.patch_type == "JSONPatch" and mutation.json_patch is not None:
            operations = program(mutation.json_patch.expression or "", "", True)(values)
            return cast("dict[str, Any]", patches.json_patch(codec.copy(before), operations))
        if mutation.patch_type == "ApplyConfiguration" and mutation.apply_configuration is not None:
            applied = program(mutation.apply_configuration.expression or "", "", True)(values)
            if not isinstance(applied, dict):
                raise Refusal(f"unexpected type of an apply configuration: {type(applied).__name__}")
            if unknown := apply.undeclared(applied, schema):
                raise Refusal(f"failed to convert patch object to typed object: {unknown}")
            return cast("dict[str, Any]", merged(before, applied, schema))
    except ValueError as error:
        raise Refusal(str(error)) from None
    raise Refusal(f"unsupported patchType {mutation.patch_type}")


def merged(old: Any, applied: Any, schema: Schema | None) -> Any:
    """An apply configuration merged into an object: maps by key, lists by their type. New values all the way."""
    if isinstance(old, dict) and isinstance(applied, dict) and (schema is None or schema.map_type != "atomic"):
        out = dict(old)
        for key, value in applied.items():
            child = schema.child(key) if schema is not None else None
            out[key] = merged(old[key], value, child) if key in old else value
        return out
    if isinstance(old, list) and isinstance(applied, list) and schema is not None:
        if schema.list_type == "map":
            keys = schema.list_map_keys
            listed = list(old)
            where = {tuple(item.get(k) for k in keys): i for i, item in enumerate(listed) if isinstance(item, dict)}
            for item in applied:
                at = where.get(tuple(item.get(k) for k in keys))
                if at is None:
                    listed.append(item)
                else:
                    listed[at] = merged(listed[at], item, schema.items)
            return listed
        if schema.list_type == "set":
            return [*old, *(item for item in applied if item not in old)]
    return applied
