"""`apply --applyset --prune`: ours and the official kubectl say and store the same, command by command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .kubectl import OFFICIAL, OURS, needs_official, run

pytestmark = needs_official
ALPHA = {"KUBECTL_APPLYSET": "true"}


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def text(*objects: dict[str, Any]) -> str:
    return "\n---\n".join(map(json.dumps, objects))


ONE, TWO = config_map("one"), config_map("two")
ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": []}
PARENTS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "sets.applyset.example", "labels": {"applyset.kubernetes.io/is-parent-type": "true"}},
    "spec": {
        "group": "applyset.example",
        "scope": "Cluster",
        "names": {"plural": "sets", "singular": "set", "kind": "Set"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}
TOP = {"apiVersion": "applyset.example/v1", "kind": "Set", "metadata": {"name": "top"}}
TOOLING, KINDS = "applyset.kubernetes.io/tooling", "applyset.kubernetes.io/contains-group-kinds"


class Both:
    """The two programs, each in a namespace of its own name."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def same(self, objects: str, *arguments: str, **environment: str) -> list[str]:
        """What both say to `apply -f - ARGUMENTS`, line by line, the pruned ones by name."""
        told = []
        for name, program in (("ours", OURS), ("theirs", [str(OFFICIAL)])):
            words = [argument.replace("@", f"applyset-{name}") for argument in arguments]
            given = objects.replace("@", f"applyset-{name}")
            code, out, err = run(
                program, self.kubeconfig, ["apply", "-f", "-", *words], given, **(environment or ALPHA)
            )
            shown = re.sub(r"applyset-[\w-]{43}-v1", "ID", (out + err).replace(f"applyset-{name}", "@"))
            shown = re.sub(r"^W\d{4} .*\] (?=WARNING)", "", shown, flags=re.MULTILINE)
            told.append([*sorted(shown.splitlines(), key=lambda line: line if "pruned" in line else ""), str(code)])
        assert told[0] == told[1]
        return told[0]

    def kubectl(self, *arguments: str, given: str | None = None) -> None:
        for name in ("ours", "theirs"):
            words = [argument.replace("@", f"applyset-{name}") for argument in arguments]
            code, _, err = run(
                [str(OFFICIAL)], self.kubeconfig, words, given and given.replace("@", f"applyset-{name}")
            )
            assert code == 0, err

    def stored(self, *what: str) -> Any:
        """The metadata of an object of both, without what is each one's own."""
        found = []
        for name in ("ours", "theirs"):
            words = [word.replace("@", f"applyset-{name}") for word in what]
            _, out, err = run([str(OFFICIAL)], self.kubeconfig, ["get", *words, "-o", "json", "--show-managed-fields"])
            assert out, err
            out = re.sub(r"applyset-[\w-]{43}-v1", "ID", out.replace(f"applyset-{name}", "@"))
            metadata = json.loads(re.sub(r"kubectl/v[\d.]+", "kubectl/V", out))["metadata"]
            kept = ("name", "labels", "annotations", "managedFields")
            for entry in metadata["managedFields"]:
                entry.pop("time")
            found.append({key: value for key, value in metadata.items() if key in kept})
        assert found[0] == found[1]
        return found[0]


@pytest.fixture(scope="module")
def both(kubeconfig: Path) -> Both:
    made = Both(kubeconfig)
    made.kubectl("create", "namespace", "@")
    return made


def test_what_is_refused(both: Both) -> None:
    one = text(ONE)
    assert both.same(one, "--applyset=s", "--prune", "-n", "@", KUBECTL_APPLYSET="false")[0].endswith("--applyset")
    assert both.same(one, "--applyset=s") == ["error: --applyset requires --prune", "1"]
    both.same(one, "--applyset=s", "--prune")
    for more in ("--all", "-lx=y", "--prune-allowlist=core/v1/ConfigMap", "--force"):
        assert both.same(one, "--applyset=s", "--prune", "-n", "@", more)[-1] == "1"
    for parent in ("nope/s", "nope.example/s", "deployments/s", "namespaces/s", "a/b/c", ""):
        assert both.same(one, f"--applyset={parent}", "--prune", "-n", "@")[-1] == "1"
    labelled = config_map("one", labels={"applyset.kubernetes.io/part-of": "x"})
    assert "already set in input data" in both.same(text(labelled), "--applyset=s", "--prune", "-n", "@")[0]
    both.same(one, "--prune", "--all", "-l", "a=b")
    both.same(one, "--prune", "--all", "--force")


def test_members_come_and_go(both: Both) -> None:
    here = ("--applyset=life", "--prune", "-n", "@")
    assert both.same(text(ONE, TWO, ROLE), *here, "--dry-run=server")[0] == "configmap/one created (server dry run)"
    both.same(text(ONE, TWO, ROLE), *here, "--dry-run=client")
    assert both.same(text(ONE, TWO, ROLE), *here)[-1] == "0"
    parent = both.stored("secret", "life", "-n", "@")
    assert parent["annotations"][KINDS] == "ConfigMap,Role.rbac.authorization.k8s.io"
    assert both.stored("configmap", "one", "-n", "@")["labels"] == {"applyset.kubernetes.io/part-of": "ID"}
    pruned = ["configmap/two pruned", "role.rbac.authorization.k8s.io/r pruned"]
    assert both.same(text(ONE), *here, "--dry-run=server")[1:-1] == [f"{one} (server dry run)" for one in pruned]
    assert both.same(text(ONE), *here) == ["configmap/one unchanged", *pruned, "0"]
    assert both.stored("secret", "life", "-n", "@")["annotations"][KINDS] == "ConfigMap"
    assert both.same(text(TWO), *here, "--server-side")[:-1] == [
        "configmap/two serverside-applied",
        "configmap/one pruned",
    ]
    both.same(text(TWO), "--applyset=configmap/other", "--prune", "-n", "@")
    both.stored("configmap", "other", "-n", "@")


def test_a_parent_that_is_not_as_it_should_be(both: Both) -> None:
    here = ("--applyset=wrong", "--prune", "-n", "@")
    both.kubectl("create", "secret", "generic", "wrong", "-n", "@")
    assert "is missing required annotation" in both.same(text(ONE), *here)[0]
    both.kubectl("delete", "secret", "wrong", "-n", "@")
    both.same(text(ONE), *here)
    for tooling in ("helm/v3", "kubectl", "kubectl/v1.0.0"):
        both.kubectl("annotate", "--overwrite", "secret", "wrong", "-n", "@", f"{TOOLING}={tooling}")
        both.same(text(ONE), *here)
    for kinds in (f"{KINDS}-", f"{KINDS}=Nope.x,ConfigMap", f"{KINDS}="):
        both.kubectl("annotate", "--overwrite", "secret", "wrong", "-n", "@", kinds)
        both.same(text(ONE), *here)
    both.kubectl("annotate", "secret", "wrong", "-n", "@", f"{KINDS}-")
    both.kubectl("annotate", "secret", "wrong", "-n", "@", "applyset.kubernetes.io/contains-group-resources=configmaps")
    both.same(text(ONE), *here)
    for label in ("=x", "-"):
        both.kubectl("label", "--overwrite", "secret", "wrong", "-n", "@", f"applyset.kubernetes.io/id{label}")
        assert both.same(text(ONE), *here)[-1] == "1"
    both.same(text(ONE), "--applyset=s", "--prune", "-n", "not-there")


def test_a_set_over_namespaces_has_a_parent_outside_of_them(both: Both, kubeconfig: Path) -> None:
    code, _, err = run([str(OFFICIAL)], kubeconfig, ["apply", "-f", "-"], json.dumps(PARENTS))
    assert code == 0, err
    run([str(OFFICIAL)], kubeconfig, ["wait", "--for=condition=Established", "crd/sets.applyset.example"])
    everywhere = text(config_map("x", namespace="default"), config_map("x", namespace="@"))
    over = ("--applyset=sets.applyset.example/@", "--prune")
    assert both.same(everywhere, *over)[0] == (
        "error: custom resource ApplySet parents cannot be created automatically"
    )
    both.kubectl("create", "-f", "-", given=json.dumps({**TOP, "metadata": {"name": "@"}}))
    assert "is missing required annotation" in both.same(everywhere, *over)[0]
