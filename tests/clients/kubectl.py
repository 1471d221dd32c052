"""Both kubectls as programs: the official one of PyPI and ours, run with the same words against one cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

OFFICIAL = Path(sys.executable).with_name("kubectl")
OURS = [sys.executable, "-m", "pybernetes", "kubectl"]
ROOT = Path(__file__).resolve().parents[2]

needs_official = pytest.mark.skipif(not OFFICIAL.exists(), reason="the official kubectl is not installed")


def environment(kubeconfig: Path, **more: str) -> dict[str, str]:
    """Of a program that has nothing but this kubeconfig."""
    return {**os.environ, "HOME": str(kubeconfig.parent), "KUBECONFIG": str(kubeconfig), **more}


def run(
    program: list[str],
    kubeconfig: Path,
    arguments: list[str],
    text: str | None = None,
    cwd: Path = ROOT,
    **more: str,
) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = subprocess.run(
        [*program, *arguments],
        text=True,
        capture_output=True,
        check=False,
        input=text,
        timeout=60,
        cwd=cwd,
        env={**environment(kubeconfig, **more), "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout, done.stderr


def ours(kubeconfig: Path, *arguments: str, text: str | None = None) -> str:
    """What ours says when it succeeds."""
    code, out, err = run(OURS, kubeconfig, list(arguments), text)
    assert code == 0, err
    return out


def _plain(text: str) -> str:
    """Without what differs between two runs of one program."""
    text = re.sub(r"(LIVE|MERGED)-\w+", r"\1", text)
    text = re.sub(r"^([+-]{3} \S+)\t.*$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"uid: [0-9a-f-]{36}", "uid: U", text)
    return re.sub(r'(creationTimestamp|time): "[^"]*"', r"\1: T", text)


def assert_same(
    kubeconfig: Path, arguments: list[str], text: str | None = None, cwd: Path = ROOT, **more: str
) -> tuple[int, str, str]:
    """Both say the same, byte for byte; what ours said. Ages turn over between the two calls now and then."""
    for _ in range(3):
        mine = run(OURS, kubeconfig, arguments, text, cwd, **more)
        theirs = run([str(OFFICIAL)], kubeconfig, arguments, text, cwd, **more)
        if list(map(_plain, map(str, mine))) == list(map(_plain, map(str, theirs))):
            return mine
    for ours, official in zip(map(str, mine), map(str, theirs), strict=True):
        assert _plain(ours) == _plain(official)
    return mine
