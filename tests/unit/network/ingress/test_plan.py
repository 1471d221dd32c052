"""Which request goes where, and what an Ingress is told about the rest."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.api.networking_v1 import IngressBackend, IngressClass
from pybernetes.bootstrap import pki
from pybernetes.machinery import codec
from pybernetes.network.ingress import plan as planning
from pybernetes.network.ingress.backends import Backend, Problem, resolve, servers

from .objects import backend, certificate, ingress, path, piece, planned, rule, secret, service


def told(plan: planning.Plan, name: str = "i") -> list[tuple[str, str]]:
    return [(problem.reason, problem.message) for problem in plan.problems[f"ns/{name}"]]


def test_hosts_and_paths() -> None:
    plan = planned(
        ingress(
            "i",
            rule("A.example", path("/", "a"), path("/x/", "b"), path("/x", "c", "Exact"), path("/y", "d")),
            rule("*.example", path("", "e", "ImplementationSpecific")),
            rule("", path("/", "a")),
        )
    )
    assert plan.exact == {("a.example", "/x"): "ns_c_80"}
    assert plan.prefix == {
        ("a.example", "/"): "ns_a_80",
        ("a.example", "/x/"): "ns_b_80",
        ("a.example", "/y/"): "ns_d_80",
        ("*.example", "/"): "ns_e_80",
        ("", "/"): "ns_a_80",
    }
    assert told(plan) == [] and plan.default == ""
    assert plan.backends["ns_a_80"].servers == (("10.0.0.1", 8080),)


def test_the_older_has_the_path() -> None:
    plan = planned(
        ingress("i", rule("h.example", path("/", "a"))),
        ingress("j", rule("h.example", path("/", "b"), path("/own", "b")), age=1),
    )
    assert plan.prefix == {("h.example", "/"): "ns_a_80", ("h.example", "/own/"): "ns_b_80"}
    assert told(plan, "j") == [("PathTaken", "host 'h.example' path '/' belongs to the older Ingress ns/i")]


def test_default_backends() -> None:
    rules = ingress("i", rule("h.example", path("/x", "a")), defaultBackend=backend("b"))
    bare = ingress("j", defaultBackend=backend("c"), age=1)
    late = ingress("k", defaultBackend=backend("d"), age=2)
    alone = planned(rules)
    assert alone.default == "ns_b_80" and alone.prefix[("h.example", "/")] == "ns_b_80"
    # Who has no rules wants all the rest; who has some only offers to take it.
    both = planned(rules, bare, late)
    assert both.default == "ns_c_80" and both.prefix[("h.example", "/")] == "ns_b_80"
    assert told(both) == [] and told(both, "j") == []
    assert told(both, "k") == [("PathTaken", "the default backend belongs to the older Ingress ns/j")]
    # A rule for / goes before the default backend of its own Ingress.
    owned = planned(ingress("i", rule("h.example", path("/", "a")), defaultBackend=backend("b")))
    assert owned.prefix[("h.example", "/")] == "ns_a_80"


def test_what_is_missing_is_told_and_answers_503() -> None:
    plan = planned(
        ingress(
            "i",
            rule("h.example", path("/", "nobody"), {**path("/p", "a"), "backend": backend("a", 81)}),
            tls=[{"hosts": ["h.example"], "secretName": "none"}, {"secretName": "opaque"}, {"secretName": "odd"}],
            annotations={"nginx.ingress.kubernetes.io/rewrite-target": "/", "example.com/note": "x"},
        ),
        secrets=(
            secret("opaque", type_="Opaque"),
            secret("odd", certificate("x.example")._replace(key=certificate("y.example").key)),
        ),
    )
    assert set(plan.prefix.values()) == {planning.MISSING} and plan.certificates == {}
    assert told(plan) == [
        (
            "UnsupportedAnnotation",
            "annotation nginx.ingress.kubernetes.io/rewrite-target is not supported and has no effect",
        ),
        ("MissingSecret", "Secret ns/none of type kubernetes.io/tls does not exist"),
        ("MissingSecret", "Secret ns/opaque of type kubernetes.io/tls does not exist"),
        ("InvalidCertificate", "Secret ns/odd cannot be used: the key does not belong to the certificate"),
        ("MissingService", "Service ns/nobody of a backend does not exist"),
        ("MissingPort", "Service ns/a of a backend has no port 81"),
    ]


def test_a_certificate_that_openssl_refuses_costs_only_its_hosts() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    short = rsa.generate_private_key(65537, 1024)  # OpenSSL's security level wants 2048
    authority = pki.create_authority("short")
    pem = short.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair = pki.KeyPair(signed(authority, short.public_key()), pem)
    tls = [{"hosts": ["a.example"], "secretName": "short"}, {"hosts": ["b.example"], "secretName": "good"}]
    plan = planned(
        ingress("i", defaultBackend=backend("a"), tls=tls),
        secrets=(secret("short", pair), secret("good", certificate("b.example"))),
    )
    assert [*plan.certificates] == ["ns_good"]
    assert [reason for reason, _ in told(plan)] == ["InvalidCertificate"]


def signed(authority: pki.KeyPair, key: Any) -> bytes:
    """A certificate for a key of the caller's."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
    builder = x509.CertificateBuilder(name, name, key, x509.random_serial_number(), now, now + datetime.timedelta(1))
    issuer = serialization.load_pem_private_key(authority.key, None)
    return builder.sign(issuer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


def test_certificates_of_several_ingresses_are_one() -> None:
    plan = planned(
        ingress("i", tls=[{"hosts": ["a.example"], "secretName": "t"}], defaultBackend=backend("a")),
        ingress("j", tls=[{"hosts": ["B.example", "a.example"], "secretName": "t"}], defaultBackend=backend("a")),
        secrets=(secret("t"),),
    )
    ((hosts, pem),) = plan.certificates.values()
    assert hosts == ("a.example", "b.example")
    assert pem.count(b"BEGIN CERTIFICATE") == 1 and b"PRIVATE KEY" in pem


@pytest.mark.parametrize("port", [80, "http"])
def test_ports_by_number_and_name(port: int | str) -> None:
    wanted = codec.from_dict(IngressBackend, backend("a", port))
    found = resolve("ns", wanted, lambda *_: service("a"), lambda *_: [piece("10.0.0.2", "10.0.0.1", port=9)])
    assert found == Backend("ns_a_80", (("10.0.0.1", 9), ("10.0.0.2", 9)))


def test_services_that_say_more() -> None:
    wanted = codec.from_dict(IngressBackend, backend("a"))
    sticky = service("a", sessionAffinity="ClientIP", ports=[{"port": 80, "appProtocol": "kubernetes.io/h2c"}])
    assert resolve("ns", wanted, lambda *_: sticky, lambda *_: []) == Backend("ns_a_80", (), True, "proto h2")
    outside = service("a", type="ExternalName", externalName="x.example")
    found = resolve("ns", wanted, lambda *_: outside, lambda *_: [])
    assert isinstance(found, Problem) and "ExternalName, which is unsupported" in found.message
    resource = codec.from_dict(IngressBackend, {"resource": {"kind": "Bucket", "name": "b", "apiGroup": "x"}})
    found = resolve("ns", resource, lambda *_: None, lambda *_: [])
    assert found == Problem("UnsupportedBackend", "a backend is Bucket b: only Services are supported")


def test_endpoints_that_leave_serve_only_when_nobody_else_does() -> None:
    leaving = piece("10.0.0.9", ready=False, serving=True, terminating=True)
    dead = piece("10.0.0.8", ready=False, serving=False, terminating=True)
    assert servers([piece("10.0.0.1", ready=True), leaving, dead], "http") == (("10.0.0.1", 8080),)
    assert servers([leaving, dead], "http") == (("10.0.0.9", 8080),)
    assert servers([piece("10.0.0.1", name="other")], "http") == ()


def test_whose_an_ingress_is() -> None:
    def of(name: str, controller: str) -> IngressClass:
        return codec.from_dict(IngressClass, {"metadata": {"name": name}, "spec": {"controller": controller}})

    classes = [of("pybernetes", "ours"), of("internal", "ours"), of("nginx", "theirs")]
    legacy = ingress("c", ingressClassName=None, annotations={planning.CLASS_ANNOTATION: "internal"}, age=1)
    found = planning.mine(
        [
            ingress("a", ingressClassName="nginx"),
            ingress("b", ingressClassName=None),
            legacy,
            ingress("d"),
        ],
        classes,
        "ours",
    )
    assert [one.metadata.name for one in found] == ["d", "c"]


def test_https_only() -> None:
    tls = [{"hosts": ["a.example", "*.sub.example"]}]
    rules = [rule(host, path("/", "a")) for host in ("a.example", "b.example", "x.sub.example")]

    def secure(annotations: dict[str, str], **spec: Any) -> list[str]:
        found = planned(ingress("i", *rules, tls=tls, annotations=annotations, **spec))
        assert told(found) == []
        return sorted({host for _, (host, _) in found.secure})

    assert secure({}) == secure({planning.REDIRECT: "false"}) == []
    assert secure({planning.REDIRECT: "true"}) == ["a.example", "x.sub.example"]
    assert secure({planning.FORCE_REDIRECT: "true"}) == ["a.example", "b.example", "x.sub.example"]
    wrong = planned(ingress("i", *rules, annotations={planning.REDIRECT: "yes"}))
    assert [reason for reason, _ in told(wrong)] == ["UnsupportedAnnotation"] and not wrong.secure
