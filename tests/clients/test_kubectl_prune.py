"""What our kubectl does beyond one object at a time: prune, dump, edit before creating, diffs of many, KYAML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pybernetes.machinery import yaml

from .kubectl import OFFICIAL, OURS, needs_official, ours, run

MANY = "---\n".join(
    f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: pruned-{i}, labels: {{prune: here}}}}\n" for i in range(4)
)
ONE = MANY.split("---\n")[0]
BY_LABEL = ["--prune", "-l", "prune=here", "-f", "-"]


@pytest.mark.parametrize("program", [OURS, pytest.param([str(OFFICIAL)], marks=needs_official)], ids=["ours", "theirs"])
def test_prune(kubeconfig: Path, program: list[str]) -> None:
    """What is in no file any more goes, if it was applied and is selected; nothing else does."""

    def said(arguments: list[str], text: str | None = None) -> str:
        code, out, err = run(program, kubeconfig, arguments, text)
        assert code == 0, err
        return out

    said(["create", "configmap", "pruned-not-applied"])
    said(["label", "configmap", "pruned-not-applied", "prune=here"])
    said(["apply", "-f", "-"], MANY)
    gone = [f"configmap/pruned-{i} pruned" for i in (1, 2, 3)]
    dry = said(["apply", *BY_LABEL, "--dry-run=server"], ONE).splitlines()
    assert dry[1:] == [f"{line} (server dry run)" for line in gone]
    kept = said(["apply", *BY_LABEL, "--prune-allowlist=core/v1/Secret"], ONE)
    assert kept == "configmap/pruned-0 unchanged\n"
    code, out, _ = run(program, kubeconfig, ["diff", *BY_LABEL], ONE)
    assert code == 1 and all(f"-  name: pruned-{i}\n" in out for i in (1, 2, 3)) and "pruned-0" not in out
    assert said(["apply", *BY_LABEL], ONE).splitlines() == ["configmap/pruned-0 unchanged", *gone]
    left = said(["get", "configmap", "-l", "prune=here", "-o", "name"]).split()
    assert left == ["configmap/pruned-0", "configmap/pruned-not-applied"]
    said(["delete", "configmap", "-l", "prune=here"])


def test_diffs_of_several_at_a_time(kubeconfig: Path) -> None:
    one = run(OURS, kubeconfig, ["diff", "-f", "-"], MANY)
    four = run(OURS, kubeconfig, ["diff", "--concurrency=4", "-f", "-"], MANY)
    assert one[0] == four[0] == 1
    names = [line for line in four[1].splitlines() if line.startswith("+  name:")]
    assert names == [f"+  name: pruned-{i}" for i in range(4)]


def test_dump(kubeconfig: Path, tmp_path: Path) -> None:
    said = ours(kubeconfig, "cluster-info", "dump", f"--output-directory={tmp_path / 'dump'}")
    assert said == f"Cluster info dumped to {tmp_path / 'dump'}\n"
    found = {str(path.relative_to(tmp_path / "dump")) for path in (tmp_path / "dump").rglob("*.json")}
    names = ("daemonsets", "deployments", "events", "pods", "replicasets", "replication-controllers", "services")
    assert found == {"nodes.json", *(f"{ns}/{name}.json" for ns in ("default", "kube-system") for name in names)}
    services = json.loads((tmp_path / "dump" / "default" / "services.json").read_text())
    assert services["kind"] == "ServiceList" and "hello" in [s["metadata"]["name"] for s in services["items"]]
    pods = json.loads((tmp_path / "dump" / "default" / "pods.json").read_text())["items"]
    log = (tmp_path / "dump" / "default" / pods[0]["metadata"]["name"] / "logs.txt").read_text()
    assert log.startswith("==== START logs for container ")
    assert ours(kubeconfig, "cluster-info", "dump", "--namespaces=default").count('"kind": "PodList"') == 1


def test_editing_before_creating(kubeconfig: Path) -> None:
    create = ["create", "--edit", "-f", "-"]
    edited = run(OURS, kubeconfig, create, ONE, KUBE_EDITOR="sed -i s/pruned-0/edited/")
    assert edited == (0, "configmap/edited created\n", "")
    again = run(OURS, kubeconfig, create, ONE, KUBE_EDITOR="sed -i s/pruned-0/edited/")
    assert again[0] == 1 and 'configmaps "edited" already exists' in again[2]
    assert run(OURS, kubeconfig, create, ONE, KUBE_EDITOR="true") == (0, "", "Edit cancelled, no changes made.\n")
    ours(kubeconfig, "delete", "configmap", "edited")


ODD = {
    "keys": dict.fromkeys(
        ["a-b", "a.b/c", "a_", "_1", "1x", "1-2", "0x1", "1_0.5", "1e3", "2006-1-2", "y", "oFf", "T", "null", "a b",
         "a/", "-a", "~", "é", "1.2.3", "12:30", "inf"], 1,
    ),
    "lists": [[[1, 2], []], [{"a": "x\ny"}, {"b": ["m\n", "s"]}], [{}, 1, None, True, 1.5, 2.0], [], {}],
    "texts": ["", " a", "a\n  b\n\nc", "x\n", "\n", '"\\', "a\tb\r",
              "\xa0\xad\u2028é😀\U0010ffff\u3000", " x\n\ty", "<&>"],
}  # fmt: skip


@needs_official
def test_kyaml_of_odd_things(kubeconfig: Path) -> None:
    """Byte for byte as upstream's, and read back as what it was."""
    manifest = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"}})
    line = ["patch", "--local", "-f", "-", "--type=merge", "-o", "kyaml", "-p", json.dumps(ODD)]
    mine, theirs = run(OURS, kubeconfig, line, manifest), run([str(OFFICIAL)], kubeconfig, line, manifest)
    assert mine[1] == theirs[1]
    shown = yaml.load(mine[1])
    assert {key: shown[key] for key in ODD} == ODD
