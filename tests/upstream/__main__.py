"""`python -m tests.upstream [FOCUS]`: build the suite, bring a cluster of two nodes up, run, tell, take it down.

Tests that may run side by side do so, six at a time; the serial ones follow. FOCUS is a regular expression over the
names of tests; without it all conformance tests run.
"""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from . import images, source
from .source import say

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "upstream"
NAME = "upstream"
_ALONE = r"\[Serial\]|\[Disruptive\]|\[Slow\]"
#: What v1.36 does otherwise than v1.20, so that the test of v1.20 cannot pass: part of its name, why.
LATER = {
    "ServiceAccounts should mount an API token into pods": "a ServiceAccount has no Secret of its own since v1.24",
    "ServiceAccounts should allow opting out of API token automount": "likewise",
    "read only busybox container should not write to root filesystem": "expects the words of busybox's shell",
    "works for CRD with validation schema": "expects the words of a kubectl that validates by itself",
    "Events API should ensure that an event can be fetched, patched": "patches the note, immutable since v1.24",
    "describe prints relevant information for rc and pods": "expects the version of kube-proxy, gone since v1.33",
    "Kubectl version should check is all data is printed": "expects what kubectl version printed until v1.28",
}


def main(focus: str) -> int:
    """The number of failed tests, as an exit code."""
    tree, programs = source.build(WORK)
    archives = images.build(WORK, tree, programs)
    pybernetes = [sys.executable, "-m", "pybernetes"]
    try:
        subprocess.run([*pybernetes, "up", "--name", NAME, "--nodes", "2"], check=True, cwd=ROOT)
        say("importing the images ...")
        command = [*pybernetes, "image", "--name", NAME, "import", *map(str, archives)]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        skipped = "|".join(_escaped(name) for name in LATER)
        results = [
            _run(programs, "parallel", focus, f"{_ALONE}|{skipped}", 6),
            _run(programs, "serial", rf"({_ALONE}).*{focus}", skipped, 1),
        ]
    finally:
        subprocess.run([*pybernetes, "down", "--name", NAME], check=False, cwd=ROOT)
    passed, failed = sum(p for p, _ in results), [name for _, names in results for name in names]
    for name in failed:
        say(f"FAILED {name}")
    for name, reason in LATER.items():
        say(f"left out: {name}: {reason}")
    say(f"{passed} passed, {len(failed)} failed, {len(LATER)} skipped")
    return min(len(failed), 1)


def _escaped(name: str) -> str:
    return "".join(f"\\{c}" if c in "[]().*+?|" else c for c in name)


def _run(programs: Path, name: str, focus: str, skip: str, at_once: int) -> tuple[int, list[str]]:
    """How many tests passed, and the names of those that did not."""
    reports, log = WORK / name, WORK / f"{name}.log"
    for old in reports.glob("*.xml"):
        old.unlink()
    reports.mkdir(exist_ok=True)
    kubeconfig = Path("/var/lib/pybernetes") / NAME / "kubeconfig"
    command = [programs / "ginkgo", f"-nodes={at_once}", "-noColor", "-focus", focus, "-skip", skip]
    command += [programs / "e2e.test", "--", "-provider=skeleton", f"-kubeconfig={kubeconfig}"]
    command += [f"-kubectl-path={Path(sys.executable).parent / 'kubectl'}", f"-report-dir={reports}"]
    command += ["-minStartupPods=0", "-allowed-not-ready-nodes=0", "-dump-logs-on-failure=false"]
    say(f"running the {name} tests; their log is {log.relative_to(ROOT)} ...")
    with log.open("w") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, cwd=ROOT)
    passed, failed = 0, list[str]()
    for report in reports.glob("*.xml"):
        for case in ElementTree.parse(report).iter("testcase"):
            if case.find("failure") is not None:
                failed.append(case.get("name", ""))
            elif case.find("skipped") is None:
                passed += 1
    if done.returncode and not failed:
        failed.append(f"the {name} tests did not all run: {log} tells why")
    return passed, failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else r"\[Conformance\]"))
