"""`pybernetes kubectl` beside the official kubectl: the same command lines against one API server, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .kubectl import OFFICIAL, OURS, assert_same, needs_official, run

pytestmark = needs_official

CLIENT = ["--dry-run=client", "-o", "yaml"]


@pytest.mark.parametrize(
    "line",
    [
        "get deploy,svc -o name",
        "get svc hello -o yaml",
        "get svc hello -o kyaml",
        "get deploy hello --subresource=scale --no-headers=false",
        "get nodes -o kyaml",
        "get nothing,cm -l app=absent -o kyaml",
        "get cm -l app=absent -o kyaml",
        "apply --prune -f examples/hello/hello.yaml",
        "apply --prune -l app=absent -f examples/hello/hello.yaml --prune-allowlist=v1/Secret",
        "get nodes -o json",
        "get nodes -o wide --no-headers",
        "get svc -o jsonpath={.items[*].metadata.name}",
        "get svc -o custom-columns=NAME:.metadata.name,PORT:.spec.ports[*].port",
        "get svc --sort-by=.metadata.name",
        "get svc -A --show-labels",
        "get nothing-like-it",
        "get pod absent",
        "get pods -l app=absent",
        "get",
        "get pods --absent",
        "get pods -o absent",
        "get svc/hello deploy/absent",
        "describe svc hello",
        "describe ns default",
        "describe clusterrole view",
        "describe pod absent",
        "api-resources",
        "api-resources -o name --namespaced=false",
        "api-versions",
        "auth can-i get pods",
        "auth can-i delete nodes --as=somebody",
        "auth whoami",
        "config view",
        "config get-contexts",
        "config current-context",
        "rollout history deploy/hello",
        "rollout undo deploy/hello",
        "rollout restart svc/hello",
        "scale deploy/hello",
        "create",
        "create deployment",
        "create ns default",
        "create -f absent.yaml",
        "apply -f absent.yaml",
        "apply -f examples/hello/hello.yaml",
        "set image deploy/hello absent=x",
        "wait --for=condition=Ready node --all --timeout=10s",
        "explain deployment",
        "exec absent -- ls",
        "logs absent",
    ],
)
def test_the_same_output(kubeconfig: Path, line: str) -> None:
    assert_same(kubeconfig, line.split())


@pytest.mark.parametrize(
    "line",
    [
        "create namespace a",
        "create deployment d --image=nginx:1 --image=b/c@sha256:0 --replicas=3 --port=80",
        "create configmap c --from-literal=a=b",
        "create secret generic s --from-literal=a=b",
        "create secret docker-registry s --docker-username=u --docker-password=p",
        "create service clusterip s --tcp=80:8080 --tcp=90",
        "create service nodeport s --tcp=80:http --node-port=30000",
        "create job j --image=a",
        "create role r --verb=get,list --resource=pods,deployments.apps --resource-name=x",
        "create rolebinding r --clusterrole=admin --user=u --group=g --serviceaccount=n:a",
        "create quota q --hard=cpu=1,pods=2",
        "create pdb p --selector=a=b --min-available=50%",
        "create ingress i --rule=foo.com/bar*=svc:80,tls=sec --class=c",
        "run p --image=nginx --port=80 --env=A=B --labels=x=y --restart=Never",
        "expose deploy hello --port=80 --target-port=8080 --name=z",
        "autoscale deploy hello --min=1 --max=5 --cpu=80%",
    ],
)
def test_generated_objects_are_the_same(kubeconfig: Path, line: str) -> None:
    arguments = [*line.split(), *CLIENT]
    assert run(OURS, kubeconfig, arguments) == run([str(OFFICIAL)], kubeconfig, arguments)


POLICIES = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: full, labels: {a: b}}
spec:
  podSelector: {matchLabels: {role: db}, matchExpressions: [{key: tier, operator: In, values: [p, q]}]}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24, 172.17.2.0/24]}
    - namespaceSelector: {matchLabels: {project: p}}
      podSelector: {matchLabels: {role: front}}
    ports: [{protocol: TCP, port: 6379}, {port: web}, {protocol: UDP}, {protocol: TCP, port: 30, endPort: 40}]
  - {}
  egress:
  - to: [{ipBlock: {cidr: 10.0.0.0/24}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {}, policyTypes: [Egress]}
"""


def test_network_policies_are_described_alike(kubeconfig: Path) -> None:
    run(OURS, kubeconfig, ["apply", "-f", "-"], POLICIES)
    assert_same(kubeconfig, ["describe", "networkpolicy"])


def test_a_life_of_an_object(kubeconfig: Path) -> None:
    """Create, label, scale, patch, apply and delete say what upstream says."""

    def ours(line: str, text: str | None = None) -> str:
        code, out, err = run(OURS, kubeconfig, line.split(), text)
        assert code == 0, err
        return out

    assert ours("create deployment life --image=a") == "deployment.apps/life created\n"
    assert ours("label deploy life tier=x") == "deployment.apps/life labeled\n"
    assert ours("label deploy life tier=x") == "deployment.apps/life not labeled\n"
    assert ours("label deploy life tier-") == "deployment.apps/life unlabeled\n"
    assert ours("annotate deploy life note=y") == "deployment.apps/life annotated\n"
    assert ours("scale deploy life --replicas=0") == "deployment.apps/life scaled\n"
    assert ours('patch deploy life -p {"spec":{"replicas":1}}') == "deployment.apps/life patched\n"
    assert ours("set image deploy/life a=b") == "deployment.apps/life image updated\n"
    assert ours("get deploy life -o jsonpath={.spec.template.spec.containers[0].image}") == "b"
    assert ours("delete deploy life") == 'deployment.apps "life" deleted from default namespace\n'


def test_apply_removes_what_the_file_no_longer_has(kubeconfig: Path) -> None:
    head = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"three-way"},"data":'
    for data, said in (('{"a":"1","b":"2"}', "created"), ('{"a":"1"}', "configured"), ('{"a":"1"}', "unchanged")):
        assert run(OURS, kubeconfig, ["apply", "-f", "-"], head + data + "}")[1] == f"configmap/three-way {said}\n"
    assert run(OURS, kubeconfig, ["get", "cm", "three-way", "-o", "jsonpath={.data}"])[1] == '{"a":"1"}'


def test_tabs_in_yaml_are_named_with_their_line(kubeconfig: Path) -> None:
    code, _, err = run(OURS, kubeconfig, ["apply", "-f", "examples/tutorial/as-printed.yaml"])
    official = run([str(OFFICIAL)], kubeconfig, ["apply", "-f", "examples/tutorial/as-printed.yaml"])
    assert code == 1
    assert err.splitlines()[0] == official[2].splitlines()[0]
    assert "spaces" in err


def test_json_documents_as_in_yaml(kubeconfig: Path) -> None:
    meta = ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in ("j1", "j2"))
    one, two = map(json.dumps, meta)
    for text in (f"{one}\n---\n{two}", f"{one}\n{two}", f"---\n{one}\n---\n{two}\n---\n"):
        assert_same(kubeconfig, ["create", "--dry-run=client", "-f", "-"], text)
