"""kuberc, plugins, completion and warnings: what users set up around kubectl, beside the official one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .kubectl import OFFICIAL, OURS, ROOT, assert_same, environment, needs_official, ours, run

pytestmark = needs_official

KUBERC = """
apiVersion: kubectl.config.k8s.io/v1beta1
kind: Preference
defaults:
- command: get
  options: [{name: output, default: name}]
aliases:
- name: getn
  command: get
  prependArgs: [namespace]
  options: [{name: output, default: json}]
- name: setx
  command: create configmap
  appendArgs: [--from-literal=a=b, --dry-run=client]
- name: apply
  command: get
"""
HEAD = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"


@pytest.mark.parametrize(
    "line", ["get ns", "get ns -o wide", "getn default", "getn default -o name", "setx foo -o yaml", "apply"]
)
def test_kuberc(kubeconfig: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "kuberc").write_text(KUBERC)
    assert_same(kubeconfig, [*line.split(), f"--kuberc={tmp_path / 'kuberc'}"])


@pytest.mark.parametrize(
    "text",
    [
        "x: [",
        HEAD.replace("v1beta1", "v9"),
        HEAD + "defaults: [{command: get, options: [{name: nope, default: a}]}]",
        HEAD + "aliases: [{name: a b, command: get}]",
    ],
)
def test_kuberc_that_is_wrong(kubeconfig: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "kuberc").write_text(text)
    assert assert_same(kubeconfig, ["get", "ns", f"--kuberc={tmp_path / 'kuberc'}"])[0] == 1
    assert_same(kubeconfig, ["get", "ns", "--kuberc=/absent"])
    assert_same(kubeconfig, ["get", "ns"], KUBERC="off")


def test_kuberc_is_written(kubeconfig: Path, tmp_path: Path) -> None:
    file = f"--kuberc={tmp_path / 'kuberc'}"
    alias = ["--section=aliases", "--name=getn", "--command=get", "--prependarg=nodes", "--option=output=name"]
    assert run(OURS, kubeconfig, ["kuberc", "set", *alias, file])[0] == 0
    assert run(OURS, kubeconfig, ["kuberc", "set", *alias, file])[0] == 1
    assert "prependArgs" in ours(kubeconfig, "kuberc", "view", file)
    assert assert_same(kubeconfig, ["getn", file])[1] == "node/fake-0\n"


@pytest.fixture
def plugins(tmp_path: Path) -> str:
    """A PATH with plugins."""
    for name, text in (("foo", 'echo foo "$@"; exit 3'), ("foo-bar_baz", 'echo "$@"'), ("create-zz", "echo zz")):
        (tmp_path / f"kubectl-{name}").write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / f"kubectl-{name}").chmod(0o755)
    (tmp_path / "kubectl-get").write_text("")
    return f"{tmp_path}:/usr/bin:/bin"


@pytest.mark.parametrize(
    "line", ["foo a -b", "foo bar-baz q", "-n x foo", "create zz 1", "plugin list", "plugin list --name-only", "nope"]
)
def test_plugins(kubeconfig: Path, plugins: str, line: str) -> None:
    assert_same(kubeconfig, line.split(), PATH=plugins)


def test_warnings_as_errors(kubeconfig: Path) -> None:
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"w"},"foo":1,"bar":2}'
    line = ["create", "-f", "-", "--validate=warn", "--dry-run=server", "--warnings-as-errors"]
    assert assert_same(kubeconfig, line, text)[0] == 1
    assert assert_same(kubeconfig, ["get", "ns", "--warnings-as-errors", "--disable-compression"])[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        *("get no", "get svc/he", "-n kube-", "rollout ", "cr"),
        *(
            pytest.param(words, marks=pytest.mark.slow)
            for words in (
                *("get nodes ", "config use-context ", "rollout status ", "describe svc ", "cordon ", "completion "),
                *("top node ", "expose ", "auth ", "create secret ", "get svc -n def"),
            )
        ),
    ],
)
def test_completion(kubeconfig: Path, words: str) -> None:
    """The same candidates, whatever their order and description."""

    def names(program: list[str]) -> list[str]:
        out = run(program, kubeconfig, ["__complete", *words.split(" ")])[1]
        return sorted(line.partition("\t")[0] for line in out.splitlines())

    assert names(OURS) == names([str(OFFICIAL)])


def test_the_script_for_bash(kubeconfig: Path, tmp_path: Path) -> None:
    program = tmp_path / "pk"
    program.write_text(f'#!/bin/sh\nexec {" ".join(OURS)} "$@"\n')
    program.chmod(0o755)
    script = """
    source <(pk completion bash)
    COMP_LINE="pk describe svc he" COMP_WORDS=(pk describe svc he) COMP_CWORD=3
    COMP_POINT=${#COMP_LINE}
    __kubectl_complete 2>/dev/null
    echo "${COMPREPLY[@]}"
    """
    path = f"{tmp_path}:{os.environ['PATH']}"
    environ = {**environment(kubeconfig), "PYTHONPATH": str(ROOT), "PATH": path}
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "hello\n"
