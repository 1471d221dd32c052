"""Which rule of an audit policy is about which request."""

from __future__ import annotations

import pytest

from pybernetes.control_plane.apiserver import requestinfo
from pybernetes.control_plane.apiserver.audit.policy import Rules, load
from pybernetes.control_plane.apiserver.authentication.user import User

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [system:kube-proxy], verbs: [watch], resources: [{group: '', resources: [endpoints]}]}
- {level: None, nonResourceURLs: ['/healthz*', /version]}
- {level: Metadata, resources: [{group: '', resources: [secrets], resourceNames: [one]}], omitStages: [Panic]}
- {level: Request, resources: [{group: '', resources: [pods/*, '*/scale']}]}
- {level: Request, resources: [{group: apps}], namespaces: [team]}
- {level: RequestResponse, userGroups: [robots], omitManagedFields: true}
- {level: Metadata, resources: [{group: '', resources: [pods]}]}
"""
ANNA, PROXY, ROBOT = User("anna"), User("system:kube-proxy"), User("r2", "", ("robots",))


@pytest.mark.parametrize(
    ("user", "method", "path", "level"),
    [
        (PROXY, "GET", "/api/v1/endpoints?watch=1", "None"),
        (PROXY, "GET", "/api/v1/endpoints", "None"),
        (ANNA, "GET", "/healthz/ping", "None"),
        (ANNA, "GET", "/version", "None"),
        (ROBOT, "GET", "/versions", "RequestResponse"),
        (ANNA, "GET", "/api/v1/namespaces/x/secrets/one", "Metadata"),
        (ANNA, "GET", "/api/v1/namespaces/x/secrets/two", "None"),
        (ROBOT, "GET", "/api/v1/namespaces/x/secrets/two", "RequestResponse"),
        (ANNA, "GET", "/api/v1/namespaces/x/pods/p/log", "Request"),
        (ANNA, "GET", "/api/v1/namespaces/x/pods/p", "Metadata"),
        (ANNA, "PUT", "/api/v1/namespaces/x/replicationcontrollers/p/scale", "Request"),
        (ANNA, "GET", "/apis/apps/v1/namespaces/team/deployments", "Request"),
        (ANNA, "GET", "/apis/apps/v1/namespaces/other/deployments", "None"),
        (None, "GET", "/apis/apps/v1/namespaces/team/deployments", "Request"),
    ],
)
def test_the_first_rule_that_fits_decides(user: User | None, method: str, path: str, level: str) -> None:
    path, _, query = path.partition("?")
    info = requestinfo.parse(method, path, {"watch": ["1"]} if query else {})
    assert Rules(load(POLICY)).decide(user, info).level == level


def test_what_goes_with_a_rule() -> None:
    rules = Rules(load(POLICY))
    info = requestinfo.parse("GET", "/api/v1/namespaces/x/secrets/one", {})
    assert rules.decide(ANNA, info).omit_stages == {"RequestReceived", "Panic"}
    assert not rules.decide(ANNA, info).omit_managed_fields
    assert rules.decide(ROBOT, requestinfo.parse("GET", "/", {})).omit_managed_fields


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("[]", "0 rules"),
        ("[{level: Everything}]", 'rules[0].level: Unsupported value: "Everything"'),
        ("[{level: None, verb: [get]}]", "unknown field `verb`"),
        ("[{level: None, nonResourceURLs: [healthz]}]", "must begin with a '/'"),
        ("[{level: None, nonResourceURLs: ['/a*b']}]", "must be the final character"),
        ("[{level: None, nonResourceURLs: [/a], namespaces: [b]}]", "cannot apply to both"),
        ("[{level: None, resources: [{resourceNames: [b]}]}]", "requires at least one resource"),
        ("[{level: None, omitStages: [Never]}]", 'rules[0].omitStages: Unsupported value: "Never"'),
    ],
)
def test_a_wrong_policy_is_refused(rules: str, said: str) -> None:
    with pytest.raises(ValueError, match="audit policy") as caught:
        load(f"{{apiVersion: audit.k8s.io/v1, kind: Policy, rules: {rules}}}")
    assert said in str(caught.value)
