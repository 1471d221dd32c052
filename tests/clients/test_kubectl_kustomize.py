"""Kustomizations built by ours and by the official kubectl: the same objects, and the same words for what is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .kubectl import OURS, ROOT, assert_same, needs_official, run

pytestmark = needs_official

DATA = ROOT / "tests" / "clients" / "kustomization"


@pytest.mark.parametrize("layer", ["base", "overlay"])
def test_layers(kubeconfig: Path, layer: str) -> None:
    code, out, _ = assert_same(kubeconfig, ["kustomize", str(DATA / layer)])
    assert (code, "kind: CronJob" in out) == (0, True)


PATCH = """
resources: [dep.yaml]
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, finalizers: [b, a], annotations: {q: 1}}
    spec:
      selector: {$patch: replace, matchLabels: {z: "1"}}
      template: {spec: {%s}}
"""


@pytest.mark.parametrize(
    "content",
    [
        PATCH % "containers: [{name: n1}, {name: side, image: x}, {name: n2}], volumes: null",
        PATCH % "containers: [{$patch: replace}, {name: n1}], tolerations: [{key: a}, {key: b}]",
        "{resources: [../base], namePrefix: a-, images: [{name: nginx, newTag: v2}, {name: pg, newName: 'a:5000/p'}]}",
        "{resources: [../one, ../two], labels: [{pairs: {k: v}, fields: [{path: spec/x, kind: Widget, create: true}]}]}",  # noqa: E501
        "{resources: [../one], configMapGenerator: [{name: cfg, behavior: replace, literals: [n=m]}]}",
        "{resources: [dep.yaml], sortOptions: {order: fifo}, namespace: other}",
        "{secretGenerator: [{name: a, files: [long.txt, q=x.txt], type: x/y}], generatorOptions: {immutable: true}}",
    ],
)
def test_one_more_layer(kubeconfig: Path, tmp_path: Path, content: str) -> None:
    assert assert_same(kubeconfig, ["kustomize", _layer(tmp_path, content)])[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        "resources: [absent.yaml]",
        "resource: [dep.yaml]",
        "resources: [dep.yaml, dep.yaml]",
        "{resources: [dep.yaml], patches: [{path: absent.yaml}]}",
        '{resources: [dep.yaml], patches: [{patch: "apiVersion: v1\\nkind: Pod\\nmetadata: {name: q}"}]}',
        '{resources: [dep.yaml], patches: [{patch: "- {op: remove, path: /absent}", target: {kind: Deployment}}]}',
        "{resources: [dep.yaml], configMapGenerator: [{name: a, literals: [xx]}]}",
        "{resources: [dep.yaml], replicas: [{name: absent, count: 3}]}",
        "{resources: [../component]}",
        "{resources: [dep.yaml, ../layer]}",
        "{}",
    ],
)
def test_what_is_wrong(kubeconfig: Path, tmp_path: Path, content: str) -> None:
    assert assert_same(kubeconfig, ["kustomize", _layer(tmp_path, content)])[0] == 1


def _layer(directory: Path, content: str) -> str:
    """A directory with a kustomization, beside the ones it may refer to."""
    shutil.copytree(DATA, directory, dirs_exist_ok=True)
    for name, text in (
        ("one", "{resources: [../base], namePrefix: a-, nameSuffix: -z}"),
        ("two", "{resources: [../base], namePrefix: b-, namespace: two}"),
        ("layer", content),
    ):
        (directory / name).mkdir()
        (directory / name / "kustomization.yaml").write_text(text)
    layer = directory / "layer"
    (layer / "long.txt").write_text("x" * 60)
    for name in ("dep.yaml", "x.txt"):
        shutil.copy(DATA / "base" / name, layer)
    return str(layer)


def test_what_is_not_done_is_refused_by_name(kubeconfig: Path, tmp_path: Path) -> None:
    code, _, err = run(OURS, kubeconfig, ["kustomize", _layer(tmp_path, "{helmCharts: [{name: x}]}")])
    assert (code, "helmCharts" in err) == (1, True)


def test_apply_and_delete_a_kustomization(kubeconfig: Path, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("configMapGenerator: [{name: kustomized, literals: [a=b]}]")
    name = "kustomized-4h2mbtbbt6"
    assert run(OURS, kubeconfig, ["apply", "-k", str(tmp_path)])[:2] == (0, f"configmap/{name} created\n")
    assert_same(kubeconfig, ["apply", "-k", str(tmp_path)])
    assert_same(kubeconfig, ["get", "-k", str(tmp_path), "-o", "name"])
    assert_same(kubeconfig, ["diff", "-k", str(tmp_path)])
    deleted = run(OURS, kubeconfig, ["delete", "-k", str(tmp_path)])
    assert deleted[:2] == (0, f'configmap "{name}" deleted from default namespace\n')
