"""Validation of ResourceQuotas and LimitRanges."""

from __future__ import annotations

from pybernetes.api import meta_validation as meta
from pybernetes.api.core_v1.objects import LimitRange, LimitRangeItem, ResourceQuota, ResourceQuotaSpec
from pybernetes.api.core_v1.resource_validation import amount
from pybernetes.machinery import field, names, quantity
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)
STANDARD = frozenset(
    {
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
        "services.nodeports",
        "services.loadbalancers",
    }
)
_COMPUTE = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})


def _quota_name(name: str, path: Path, errors: list[FieldError]) -> None:
    for text in names.qualified_name(name):
        errors.append(field.invalid(path, name, text))
    if "/" not in name and name not in STANDARD and not name.startswith(("hugepages-", "requests.hugepages-")):
        errors.append(field.invalid(path, name, "must be a standard resource type or fully qualified"))
        errors.append(field.invalid(path, name, "must be a standard resource for quota"))


def validate_resource_quota(quota: ResourceQuota) -> list[FieldError]:
    errors = meta.object_meta(quota.metadata, True)
    _quota_spec(quota.spec, errors)
    _quota_lists(quota, errors)
    return errors


def _quota_spec(spec: ResourceQuotaSpec, errors: list[FieldError]) -> None:
    for name, text in (spec.hard or {}).items():
        at = SPEC.child("hard").key(name)
        _quota_name(name, at, errors)
        _quota_amount(name, text, at, errors)
    scopes = list(spec.scopes or ())
    if spec.scopes:
        for scope in scopes:
            if scope not in SCOPES:
                errors.append(field.invalid(SPEC.child("scopes"), scope, "unsupported scope"))
        for one, two in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
            if one in scopes and two in scopes:
                errors.append(field.invalid(SPEC.child("scopes"), scopes, "conflicting scopes"))
        if "BestEffort" in scopes:
            for name in spec.hard or {}:
                if name != "pods":
                    text = "unsupported scope applied to resource"
                    errors.append(field.invalid(SPEC.child("scopes"), scopes, text))
    if spec.scope_selector is not None:
        for i, requirement in enumerate(spec.scope_selector.match_expressions or ()):
            at = SPEC.child("scopeSelector", "matchExpressions").index(i)
            if requirement.scope_name not in SCOPES:
                errors.append(field.invalid(at.child("scopeName"), requirement.scope_name, "unsupported scope"))
            if requirement.operator in ("In", "NotIn"):
                if not requirement.values:
                    text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                    errors.append(field.required(at.child("values"), text))
            elif requirement.operator in ("Exists", "DoesNotExist"):
                if requirement.values:
                    text = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
                    errors.append(field.invalid(at.child("values"), requirement.values, text))
            else:
                text = "not a valid selector operator"
                errors.append(field.invalid(at.child("operator"), requirement.operator, text))


def _quota_amount(name: str, text: str, path: Path, errors: list[FieldError]) -> None:
    amount("pods" if name.startswith("count/") else name, text, path, errors)


def _quota_lists(quota: ResourceQuota, errors: list[FieldError]) -> None:
    for what, listed in (("hard", quota.status.hard), ("used", quota.status.used)):
        for name, text in (listed or {}).items():
            at = Path("status", what).key(name)
            _quota_name(name, at, errors)
            _quota_amount(name, text, at, errors)


def validate_resource_quota_update(new: ResourceQuota, old: ResourceQuota) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _quota_spec(new.spec, errors)
    if set(new.spec.scopes or ()) != set(old.spec.scopes or ()):
        errors.append(field.invalid("scopes", new.spec.scopes, meta.IMMUTABLE))
    return errors


def validate_resource_quota_status_update(new: ResourceQuota, old: ResourceQuota) -> list[FieldError]:
    errors = meta.object_meta_update(new.metadata, old.metadata)
    _quota_lists(new, errors)
    return errors


def validate_limit_range(limit_range: LimitRange) -> list[FieldError]:
    errors = meta.object_meta(limit_range.metadata, True)
    seen: set[str] = set()
    for i, item in enumerate(limit_range.spec.limits):
        at = SPEC.child("limits").index(i)
        if not item.type:
            errors.append(field.required(at.child("type")))
        elif item.type not in ("Container", "PersistentVolumeClaim", "Pod") and "/" not in item.type:
            text = "must be a standard limit type or fully qualified"
            errors.append(field.invalid(at.child("type"), item.type, text))
        if item.type in seen:
            errors.append(field.duplicate(at.child("type"), item.type))
        seen.add(item.type)
        _limit_item(item, at, errors)
    return errors


def _limit_item(item: LimitRangeItem, path: Path, errors: list[FieldError]) -> None:
    parsed: dict[str, dict[str, quantity.Quantity]] = {}
    for what, listed in (
        ("max", item.max),
        ("min", item.min),
        ("default", item.default),
        ("defaultRequest", item.default_request),
        ("maxLimitRequestRatio", item.max_limit_request_ratio),
    ):
        parsed[what] = {}
        for name, text in (listed or {}).items():
            at = path.child(what).key(name)
            for message in names.qualified_name(name):
                errors.append(field.invalid(at, name, message))
            value = amount("", text, at, errors)
            if value is not None:
                parsed[what][name] = value
    if item.type == "Pod":
        if item.default:
            errors.append(field.forbidden(path.child("default"), "may not be specified when `type` is 'Pod'"))
        if item.default_request:
            text = "may not be specified when `type` is 'Pod'"
            errors.append(field.forbidden(path.child("defaultRequest"), text))
    if item.type == "PersistentVolumeClaim" and "storage" not in parsed["min"] and "storage" not in parsed["max"]:
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(field.required(path.child("limits"), text))
    for name in {n for listed in parsed.values() for n in listed}:
        low, high = parsed["min"].get(name), parsed["max"].get(name)
        default, request = parsed["default"].get(name), parsed["defaultRequest"].get(name)
        ratio = parsed["maxLimitRequestRatio"].get(name)
        at = path.child("min").key(name)
        if low is not None and high is not None and low > high:
            errors.append(field.invalid(at, str(low), f"min value {low} is greater than max value {high}"))
        for what, one, relation, bound_name, bound in (
            ("defaultRequest", request, "less", "min", low),
            ("defaultRequest", request, "greater", "max", high),
            ("defaultRequest", request, "greater", "default limit", default),
            ("default", default, "less", "min", low),
            ("default", default, "greater", "max", high),
        ):
            if one is None or bound is None:
                continue
            wrong = one < bound if relation == "less" else one > bound
            if wrong:
                said = "default request" if what == "defaultRequest" else "default"
                text = f"{said} value {one} is {relation} than {bound_name} value {bound}"
                errors.append(field.invalid(path.child(what).key(name), str(one), text))
        if ratio is not None and ratio < quantity.parse("1"):
            text = f"ratio {ratio} is less than 1"
            errors.append(field.invalid(path.child("maxLimitRequestRatio").key(name), str(ratio), text))
        if (
            ratio is not None
            and low is not None
            and high is not None
            and low.nano
            and high.nano / low.nano < float(ratio)
        ):
            text = f"ratio {ratio} is greater than max/min = {high.nano / low.nano:f}"
            errors.append(field.invalid(path.child("maxLimitRequestRatio").key(name), str(ratio), text))
