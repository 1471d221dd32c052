"""`debug` makes what the official kubectl makes: containers, copies of Pods, and Pods on nodes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .kubectl import OFFICIAL, OURS, assert_same, needs_official, ours, run

pytestmark = needs_official

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {a: b}, annotations: {c: d}}
spec:
  initContainers: [{name: i, image: init}]
  containers:
  - name: m
    image: main
    args: [x]
    livenessProbe: {httpGet: {port: 80}, initialDelaySeconds: 1000}
    readinessProbe: {exec: {command: [a]}}
    securityContext: {capabilities: {add: [SYS_TIME], drop: [ALL]}}
  - {name: s, image: side}
"""
_RANDOM = re.compile(r"\b(debugger-(?:fake-0-)?)[a-z0-9]{5}\b|kube-api-access-\w+")


def _spec(kubeconfig: Path, *what: str) -> dict[str, Any]:
    pod = json.loads(_RANDOM.sub(r"\1X", ours(kubeconfig, "get", "pod", *what, "-o", "json")))
    pod = pod["items"][0] if "items" in pod else pod
    metadata = {k: v for k, v in pod["metadata"].items() if k in ("labels", "annotations")}
    return {
        "metadata": metadata,
        "spec": {k: v for k, v in pod["spec"].items() if k not in ("nodeName", "tolerations")},
    }


def _both(kubeconfig: Path, make: Any) -> None:
    mine, theirs = make("ours", OURS), make("theirs", [str(OFFICIAL)])
    assert mine == theirs


@pytest.mark.parametrize(
    "line",
    [
        "--image=x --profile=general",
        "--image=x --copy-to=c",
        "--copy-to=c --set-image=m=y,s=z -c m -- sh",
        "--image=x -c dd --target=m --env=A=B --image-pull-policy=Never -q -- ls -l",
        *(
            pytest.param(line, marks=pytest.mark.slow)
            for line in (
                *(f"--image=x --profile={p}" for p in ("legacy", "netadmin", "restricted", "sysadmin")),
                "--image=x --copy-to=c --profile=legacy",
                "--image=x --copy-to=c --keep-labels --keep-liveness --keep-init-containers=false "
                "--share-processes=false",
                "--copy-to=c --set-image=*=y",
            )
        ),
    ],
)
def test_pods(kubeconfig: Path, line: str) -> None:
    def make(name: str, program: list[str]) -> Any:
        ours(kubeconfig, "delete", "pods", "--all", "--now")
        assert run(OURS, kubeconfig, ["create", "-f", "-"], POD % name)[0] == 0
        said = run(program, kubeconfig, ["debug", name, *line.split()])
        made = _spec(kubeconfig, "c" if "--copy-to" in line else name)
        return [_RANDOM.sub(r"\1X", str(part)).replace(name, "NAME") for part in said], made

    _both(kubeconfig, make)


def test_containers_stay_in_the_order_of_their_making(kubeconfig: Path) -> None:
    def make(name: str, program: list[str]) -> list[str]:
        ours(kubeconfig, "apply", "-f", "-", text=POD % f"order-{name}")
        for container in ("z", "a", "k"):
            run(program, kubeconfig, ["debug", f"order-{name}", "--image=x", "-c", container, "--profile=general"])
        path = "jsonpath={.spec.ephemeralContainers[*].name}"
        names = ours(kubeconfig, "get", "pod", f"order-{name}", "-o", path).split()
        ours(kubeconfig, "delete", "pod", f"order-{name}", "--now")
        return names

    assert make("ours", OURS) == make("theirs", [str(OFFICIAL)]) == ["z", "a", "k"]


@pytest.mark.parametrize("line", ["--image=x", "--image=x --profile=restricted -c cc -- ls"])
def test_nodes(kubeconfig: Path, line: str) -> None:
    def make(name: str, program: list[str]) -> Any:
        label = "app.kubernetes.io/managed-by=kubectl-debug"
        ours(kubeconfig, "delete", "pods", "-l", label, "--now")
        said = run(program, kubeconfig, ["debug", "node/fake-0", *line.split()])
        return [_RANDOM.sub(r"\1X", str(part)) for part in said], _spec(kubeconfig, "-l", label)

    _both(kubeconfig, make)


@pytest.mark.parametrize(
    "line", ["debug", "debug absent --image=x", "debug x --image=x --profile=y", "debug x --image=x --same-node"]
)
def test_what_is_wrong(kubeconfig: Path, line: str) -> None:
    assert_same(kubeconfig, line.split())
