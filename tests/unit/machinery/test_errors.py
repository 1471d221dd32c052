"""Errors and paths: the texts that clients compare."""

from __future__ import annotations

import random

import pytest

from pybernetes.machinery import codec, errors, field, names
from pybernetes.machinery.field import Path
from pybernetes.machinery.meta import Status

PODS = ("", "pods")
DEPLOYMENTS = ("apps", "deployments")


@pytest.mark.parametrize(
    ("error", "code", "reason", "text"),
    [
        (errors.not_found(PODS, "x"), 404, "NotFound", 'pods "x" not found'),
        (errors.already_exists(DEPLOYMENTS, "x"), 409, "AlreadyExists", 'deployments.apps "x" already exists'),
        (
            errors.conflict(PODS, "x"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on pods "x": the object has been modified; '
            "please apply your changes to the latest version and try again",
        ),
        (errors.forbidden(PODS, "x", "no"), 403, "Forbidden", 'pods "x" is forbidden: no'),
        (errors.forbidden(PODS, "", "no"), 403, "Forbidden", "pods is forbidden: no"),
        (errors.forbidden(("", ""), "", "no"), 403, "Forbidden", "forbidden: no"),
        (errors.unauthorized(), 401, "Unauthorized", "Unauthorized"),
        (errors.expired("too old"), 410, "Expired", "too old"),
        (
            errors.method_not_allowed(PODS, "patch"),
            405,
            "MethodNotAllowed",
            'patch is not supported on resources of kind "pods"',
        ),
        (errors.internal("x"), 500, "InternalError", "Internal error occurred: x"),
        (errors.timeout("slow"), 504, "Timeout", "Timeout: slow"),
        (errors.too_large("limit is 1"), 413, "RequestEntityTooLarge", "Request entity too large: limit is 1"),
        (
            errors.server_timeout(PODS, "list", 2),
            500,
            "ServerTimeout",
            "The list operation against pods could not be completed at this time, please try again.",
        ),
        (
            errors.not_acceptable(["application/json"]),
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json",
        ),
    ],
)
def test_texts(error: errors.StatusError, code: int, reason: str, text: str) -> None:
    assert (error.code, error.reason, str(error)) == (code, reason, text)
    again = errors.StatusError.of(codec.decode(Status, codec.encode(error.status)))
    assert (again.code, again.reason, str(again), again.details) == (code, reason, text, error.details)
    assert error.status.status == "Failure"


def test_invalid_lists_its_causes() -> None:
    path = Path("spec").child("containers").index(0)
    found = [
        field.required(path.child("name")),
        field.not_supported(path.child("x"), "Z", ["A", "B"]),
        field.required(path.child("name")),
    ]
    error = errors.invalid("", "Pod", "x", found)
    assert str(error) == (
        'Pod "x" is invalid: [spec.containers[0].name: Required value, '
        'spec.containers[0].x: Unsupported value: "Z": supported values: "A", "B"]'
    )
    assert [(c.reason, c.message, c.field_) for c in error.causes][1] == (
        "FieldValueNotSupported",
        'Unsupported value: "Z": supported values: "A", "B"',
        "spec.containers[0].x",
    )
    assert str(errors.invalid("apps", "Deployment", "x", found[:1])) == (
        'Deployment.apps "x" is invalid: spec.containers[0].name: Required value'
    )


def test_predicates() -> None:
    assert errors.is_not_found(errors.not_found(PODS, "x"))
    assert not errors.is_not_found(errors.conflict(PODS, "x"))
    assert not errors.is_not_found(None)
    assert errors.is_conflict(errors.conflict(PODS, "x"))
    assert not errors.is_conflict(errors.already_exists(PODS, "x"))
    assert errors.is_expired(errors.gone("x"))
    assert errors.too_many_requests("wait", 7).retry_after == 7
    assert errors.has_cause(errors.eviction_blocked("x", "y"), "DisruptionBudget")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (field.invalid("a", "x", "must be y"), 'a: Invalid value: "x": must be y'),
        (field.invalid("a", 5, "must be y"), "a: Invalid value: 5: must be y"),
        (field.invalid("a", True, ""), "a: Invalid value: true"),
        (field.invalid("a", None, "z"), 'a: Invalid value: "null": z'),
        (field.invalid("a", {"b": "c"}, "z"), 'a: Invalid value: {"b":"c"}: z'),
        (field.invalid(None, 'q"\n', ""), '<nil>: Invalid value: "q\\"\\n"'),
        (field.forbidden("a", "no"), "a: Forbidden: no"),
        (field.duplicate("a", "x"), 'a: Duplicate value: "x"'),
        (field.too_long("a", "xxx", 2), "a: Too long: may not be more than 2 bytes"),
        (field.too_many("a", 3, 2), "a: Too many: 3: must have at most 2 items"),
        (field.not_found("a", "x"), 'a: Not found: "x"'),
        (field.internal("a", "boom"), "a: Internal error: boom"),
    ],
)
def test_field_errors(error: field.FieldError, text: str) -> None:
    assert str(error) == text


def test_paths() -> None:
    assert str(Path("spec", "template").child("a", "b").index(3).key("k/x").child("c")) == "spec.template.a.b[3][k/x].c"


def test_names() -> None:
    assert names.dns1123_label("a-b1") == []
    assert names.dns1123_label("a.b") == ["must not contain dots"]
    assert names.dns1123_label("A") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]
    assert names.dns1123_subdomain("x" * 254) == ["must be no more than 253 bytes"]
    assert names.dns1035_label("1a") != []
    assert names.qualified_name("example.com/x") == []
    assert names.qualified_name("/x") == ["prefix part must be non-empty"]
    assert names.qualified_name("a/b/c")[0].startswith("a valid label key must consist")
    assert names.label_value("") == names.label_value("a.B_c") == []
    assert names.port_name("http") == []
    assert names.port_name("8080") == ["must contain at least one letter (a-z)"]
    assert names.config_map_key("..a") == ["must not start with '..'"]
    assert names.path_segment("a/b") == ["may not contain '/'"]
    assert names.ip("::1") == names.ip("10.0.0.1") == []
    assert names.ip("010.0.0.1") != [] and names.ip("fe80::1%eth0") != []
    assert names.cidr("10.0.0.1/24") == [] and names.cidr("10.0.0.0/33") != []
    assert names.env_var_name("a b") == [] and names.env_var_name("a=b") != []


def test_generated_names() -> None:
    rng = random.Random(1)
    made = names.generate("web-", rng)
    assert made.startswith("web-") and len(made) == 9
    assert len(names.generate("x" * 80, rng)) == 63
    assert names.dns1123_label(made) == []
    assert names.generate("web-", random.Random(1)) == made
