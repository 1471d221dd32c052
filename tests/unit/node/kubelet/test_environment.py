"""Environment, fields of the downward API, and names inside a pod."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pybernetes.api.core_v1 import ConfigMap, Pod, Secret, Service
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.node.kubelet import hosts
from pybernetes.node.kubelet.environment import ConfigError, References, build, expand, names_in, parse_env_file
from pybernetes.node.kubelet.fields import field_value, resource_value
from tests.unit.node.kubelet.world import pod


def service(name: str, ip: str, *ports: dict[str, Any], namespace: str = "default") -> Service:
    wire = {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": list(ports)}}
    return codec.from_dict(Service, wire)


def environment(container: dict[str, Any], services: tuple[Service, ...] = (), **spec: Any) -> dict[str, str]:
    one = pod("p", {"name": "main", **container}, **spec)
    maps = {"cfg": ConfigMap(metadata=ObjectMeta(name="cfg"), data={"a": "1", "b.c": "2"})}
    secrets = {"s": Secret(metadata=ObjectMeta(name="s"), data={"pw": base64.b64encode(b"geheim").decode()})}
    references = References(
        maps.get, secrets.get, services, ("10.0.0.1",), ("10.244.0.5",), {"cpu": "4", "memory": "8Gi"}
    )
    return build(one, one.spec.containers[0], references)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(NO) $(A", "$(NO) $(A"),
        ("$A $", "$A $"),
        ("$(A)$(A)", "11"),
    ],
)
def test_expand(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == result


def test_names_in() -> None:
    assert names_in("$(A)/$$(B)/$(C)") == {"A", "C"}


def test_order_and_sources() -> None:
    env = [
        {"name": "X", "value": "x"},
        {"name": "Y", "value": "$(X)-$(a)-$(Z)"},
        {"name": "a", "value": "own"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
        {"name": "OPT", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "x", "optional": True}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
    ]
    sources = [{"configMapRef": {"name": "cfg"}}, {"prefix": "S_", "secretRef": {"name": "s"}}]
    found = environment({"env": env, "envFrom": sources, "resources": {"requests": {"memory": "33Mi"}}})
    assert found == {
        "a": "own", "b.c": "2", "S_pw": "geheim", "X": "x", "Y": "x-1-$(Z)", "IP": "10.244.0.5", "PW": "geheim",
        "CPU": "4", "MEM": "33",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "x"}}, 'configmap "no" not found'),
        ({"configMapKeyRef": {"name": "cfg", "key": "x"}}, "couldn't find key x in ConfigMap default/cfg"),
        ({"secretKeyRef": {"name": "s", "key": "x"}}, "couldn't find key x in Secret default/s"),
        ({"fieldRef": {"fieldPath": "status.phase"}}, "unsupported fieldPath: status.phase"),
    ],
)
def test_errors(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        environment({"env": [{"name": "A", "valueFrom": source}]})


def test_service_variables() -> None:
    services = (
        service("kubernetes", "10.96.0.1", {"name": "https", "port": 443, "protocol": "TCP"}),
        service("my-db", "10.96.0.7", {"port": 5432}, {"name": "admin-ui", "port": 80, "protocol": "UDP"}),
        service("headless", "None", {"port": 1}),
        service("elsewhere", "10.96.0.9", {"port": 1}, namespace="other"),
    )
    found = environment({}, services)
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1" and found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert found["MY_DB_SERVICE_HOST"] == "10.96.0.7" and found["MY_DB_SERVICE_PORT"] == "5432"
    assert found["MY_DB_PORT"] == "tcp://10.96.0.7:5432" and found["MY_DB_SERVICE_PORT_ADMIN_UI"] == "80"
    assert found["MY_DB_PORT_80_UDP_ADDR"] == "10.96.0.7" and found["MY_DB_PORT_5432_TCP_PROTO"] == "tcp"
    assert not any(key.startswith(("HEADLESS", "ELSEWHERE")) for key in found)
    assert {key.partition("_")[0] for key in environment({}, services, enableServiceLinks=False)} == {"KUBERNETES"}


def test_env_file() -> None:
    assert parse_env_file("# no\nA=1\n\nB='x y'\nC=\"z\"\n") == {"A": "1", "B": "x y", "C": "z"}


def test_fields() -> None:
    one = pod("p", metadata={"labels": {"b": 'say "hi"', "a": "1"}, "annotations": {"k/x": "v"}, "uid": "u"})
    assert field_value(one, "metadata.labels") == 'a="1"\nb="say \\"hi\\""'
    assert field_value(one, "metadata.annotations['k/x']") == "v" and field_value(one, "metadata.labels['no']") == ""
    assert field_value(one, "status.hostIPs", ("1.1.1.1", "fd00::1")) == "1.1.1.1,fd00::1"
    assert resource_value(one.spec.containers[0], "limits.memory", "1Gi", {"memory": "8Gi"}) == "8"
    assert resource_value(one.spec.containers[0], "requests.cpu", None, {}) == "0"
    with pytest.raises(ValueError, match="Unsupported"):
        resource_value(one.spec.containers[0], "limits.gpu", None, {})


NODE_CONF = hosts.parse_resolv_conf("nameserver 9.9.9.9\nsearch corp.example. lan\noptions timeout:1 rotate\n")


def resolver(**spec: Any) -> hosts.Resolver:
    return hosts.resolver(pod("p", **spec), NODE_CONF, ("10.96.0.10",), "cluster.local")


def test_resolver() -> None:
    cluster = resolver()
    assert cluster.servers == ["10.96.0.10"] and cluster.options == ["ndots:5"]
    assert cluster.searches == [
        "default.svc.cluster.local",
        "svc.cluster.local",
        "cluster.local",
        "corp.example",
        "lan",
    ]
    assert resolver(hostNetwork=True) == NODE_CONF and resolver(dnsPolicy="Default") == NODE_CONF
    assert resolver(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet") == cluster
    own = {
        "nameservers": ["1.1.1.1"],
        "searches": ["x.y"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    assert resolver(dnsPolicy="None", dnsConfig=own) == (["1.1.1.1"], ["x.y"], ["ndots:2", "edns0"])
    assert resolver(dnsConfig=own).options == ["ndots:2", "edns0"]


def test_hosts_and_hostname() -> None:
    text = hosts.hosts_file(pod("web"), ["10.244.0.5"], "web", "cluster.local")
    assert text.startswith(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    )
    assert text.endswith("fe00::2\tip6-allrouters\n10.244.0.5\tweb\n")
    override = pod("web", subdomain="s", hostname="h", hostnameOverride="other.example")
    assert hosts.hosts_file(override, ["10.0.0.5"], "other.example", "cluster.local").endswith(
        "\n10.0.0.5\tother.example\n"
    )
    fqdn = pod("web", subdomain="s", setHostnameAsFQDN=True, hostname="h")
    assert hosts.hostname(fqdn, "cluster.local") == "h.s.default.svc.cluster.local"
    with pytest.raises(ValueError, match=r"FQDN .* is too long"):
        hosts.hostname(pod("x" * 60, subdomain="s", setHostnameAsFQDN=True), "cluster.local")
    assert len(hosts.hostname(pod("x" * 62 + ".y"), "cluster.local")) == 62


def test_pod_without_spec_changes_is_no_problem() -> None:
    assert hosts.pod_domain(Pod(), "cluster.local") == ""
