"""Decoding, what it forgives and what it reports; canonical scalars; copies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.apps_v1 import Deployment
from pybernetes.api.coordination_v1 import Lease
from pybernetes.api.core_v1 import ConfigMap, Pod, Secret
from pybernetes.machinery import codec, errors
from pybernetes.machinery.normalise import base64_text, micro_time, time

HEAD = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}


def body(**spec: Any) -> bytes:
    return json.dumps({**HEAD, "spec": spec}).encode()


def pod(**container: Any) -> bytes:
    spec = {"containers": [{"name": "c", **container}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}).encode()


def test_unknown_fields_and_nulls_are_dropped_and_reported() -> None:
    problems: list[str] = []
    data = body(replicas=None, foo=1, template={"spec": {"containers": [{"name": "a", "bar": {"x": 1}}]}})
    obj = codec.decode(Deployment, data, problems)
    assert problems == ['unknown field "spec.foo"', 'unknown field "spec.template.spec.containers[0].bar"']
    assert obj.spec.replicas is None
    assert obj.spec.template.spec is not None
    assert obj.spec.template.spec.containers[0].name == "a"
    text = str(codec.strict_error(obj, Deployment, problems[:1]))
    assert text == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.foo"'
    )


def test_null_in_a_map_of_strings_is_the_empty_string() -> None:
    obj = codec.decode(ConfigMap, b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"a":null}}}')
    assert obj.metadata.labels == {"a": ""}


def test_repeated_fields_are_found_when_asked() -> None:
    data = (
        b'{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":1,"replicas":2,"template":{"spec":{'
        b'"containers":[{"name":"a","name":"b"}]}}}}'
    )
    problems: list[str] = []
    assert codec.decode(Deployment, data, problems, duplicates=True).spec.replicas == 2
    assert problems == ['duplicate field "spec.replicas"', 'duplicate field "spec.template.spec.containers[0].name"']
    problems.clear()
    codec.decode(Deployment, data, problems)
    assert problems == []


PREFIX = 'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal '


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (body(replicas="3"), PREFIX + "string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (
            body(template={"spec": {"containers": [{"name": 1}]}}),
            PREFIX + "number into Go struct field Container.spec.template.spec.containers.name of type string",
        ),
        (
            body(template={"spec": {"containers": {}}}),
            PREFIX + "object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            json.dumps({**HEAD, "metadata": {"labels": {"a": "x", "b": 5}}}).encode(),
            PREFIX + "number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (b"[1]", "json: cannot unmarshal array into Go value of type Deployment"),
        (b"", 'the object provided is unrecognized (must be of type Deployment): EOF ("")'),
        (b'{"a":', 'the object provided is unrecognized (must be of type Deployment): unexpected EOF ("{\\"a\\":")'),
    ],
)
def test_errors_of_shape(data: bytes, text: str) -> None:
    with pytest.raises(errors.StatusError) as caught:
        codec.decode(Deployment, data)
    assert caught.value.code == 400
    assert str(caught.value) == text


def test_scalars_become_canonical() -> None:
    obj = codec.decode(Pod, pod(resources={"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 0.5}}))
    obj.metadata.creation_timestamp = "2026-01-02T03:04:05.678+01:00"
    codec.normalise(obj)
    resources = obj.spec.containers[0].resources
    assert resources is not None
    assert (resources.limits, resources.requests) == ({"cpu": "1", "memory": "1Gi"}, {"cpu": "500m"})
    assert obj.metadata.creation_timestamp == "2026-01-02T02:04:05Z"
    lease = codec.from_dict(
        Lease, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"renewTime": "2026-01-02T03:04:05Z"}}
    )
    codec.normalise(lease)
    assert lease.spec.renew_time == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (codec.decode(Pod, pod(resources={"limits": {"cpu": "x"}})), "quantities must match the regular expression"),
        (Secret(data={"a": "%%"}), "illegal base64 data at input byte 0"),
    ],
)
def test_bad_scalars(obj: Any, text: str) -> None:
    with pytest.raises(errors.StatusError, match=text) as caught:
        codec.normalise(obj)
    assert caught.value.code == 400


def test_times() -> None:
    assert time("2026-12-31T23:59:59-01:30") == "2027-01-01T01:29:59Z"
    assert micro_time("2026-01-02T03:04:05.1234567Z") == "2026-01-02T03:04:05.123456Z"
    for bad in ("", "yesterday", "2026-01-02", "2026-13-02T03:04:05Z", "2026-01-02T03:04:05"):
        with pytest.raises(ValueError, match="parsing time"):
            time(bad)


def test_base64() -> None:
    assert base64_text("YWJj\nZGVm") == "YWJjZGVm"
    for bad in ("YWJ", "Y%Jj", "YWJj="):
        with pytest.raises(ValueError, match="illegal base64 data at input byte"):
            base64_text(bad)


def test_copies_share_nothing() -> None:
    obj = codec.decode(Pod, pod(args=["a"]))
    other = codec.copy(obj)
    assert other == obj
    other.spec.containers[0].args.append("b")
    other.metadata.name = "q"
    assert obj.spec.containers[0].args == ["a"]
    assert obj.metadata.name == "p"
    wire = codec.to_dict(obj)
    twin = codec.copy(wire)
    twin["spec"]["containers"][0]["args"].append("b")
    assert wire["spec"]["containers"][0]["args"] == ["a"]


def test_dicts_are_encoded_head_first() -> None:
    data = codec.encode({"spec": {}, "metadata": {"name": "x"}, "kind": "W", "apiVersion": "x/v1"})
    assert data == b'{"apiVersion":"x/v1","kind":"W","metadata":{"name":"x"},"spec":{}}'


def test_from_dict_leaves_its_argument_alone() -> None:
    wire = {**HEAD, "spec": {"foo": 1, "replicas": None}}
    codec.from_dict(Deployment, wire)
    assert wire["spec"] == {"foo": 1, "replicas": None}


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["spec", "metadata", "name", "containers", "labels", "x", "replicas"]), inner),
    ),
    max_leaves=15,
)


@given(values)
def test_any_json_is_an_object_or_a_bad_request(value: Any) -> None:
    try:
        first = codec.decode(Deployment, json.dumps(value).encode(), [], duplicates=True)
    except errors.StatusError as error:
        assert error.code == 400
        return
    assert codec.decode(Deployment, codec.encode(first)) == first


@given(st.binary(max_size=40))
def test_any_bytes_are_an_object_or_a_bad_request(data: bytes) -> None:
    try:
        codec.decode(Pod, data, [], duplicates=True)
    except errors.StatusError as error:
        assert error.code == 400
