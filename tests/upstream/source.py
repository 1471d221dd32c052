"""The suite's programs, built from Debian's source package.

A handful of lines is changed before: where v1.20's tests wait for what later versions have not (a Secret for each
ServiceAccount), or would compare with what their own types print (a template's `creationTimestamp: null`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "1.20.2"
#: Debian's packages: to build with, and whose programs the images get.
PACKAGES = [
    "golang-1.19-go",
    "dpkg-dev",
    "bash-static",
    "bind9-dnsutils",
    "curl",
    "netcat-openbsd",
    "iperf",
    "etcd-server",
]
_GO = Path("/usr/lib/go-1.19/bin/go")
#: File, what v1.20 has, what it takes today.
_CHANGES = (
    ("test/e2e/framework/util.go", "return len(t.Secrets) > 0, nil", 'return t.Name != "", nil'),
    (
        "pkg/controller/daemon/update.go",
        'template["$patch"] = "replace"',
        'delete(template["metadata"].(map[string]interface{}), "creationTimestamp")\n\ttemplate["$patch"] = "replace"',
    ),
)
#: What is built: its name and its package in the source.
_PROGRAMS = {
    "ginkgo": "./vendor/github.com/onsi/ginkgo/ginkgo",
    "gobindata": "./vendor/github.com/go-bindata/go-bindata/go-bindata",
    "agnhost": "./test/images/agnhost",
    "nnp": "./test/images/nonewprivs",
    "sample-apiserver": "./vendor/k8s.io/sample-apiserver",
    "consumer": "./test/images/resource-consumer",
    "consume-cpu": "./test/images/resource-consumer/consume-cpu",
    "regression": "./test/images/regression-issue-74839",
}
#: Files that the suite carries within itself.
_BINDATA = ("test/conformance/testdata", "test/e2e/testing-manifests", "test/e2e_node/testing-manifests")
_MORE_BINDATA = ("test/images", "test/fixtures")
_IGNORED = (r"\.jpg", r"\.png", r"\.md", r"BUILD(\.bazel)?")


def say(text: str) -> None:
    """One line of progress."""
    print(text, flush=True)


def build(work: Path) -> tuple[Path, Path]:
    """The source and the folder of programs, made in `work` if they are not there. Exits where Debian 12 is missing."""
    tree, programs = work / "go/src/k8s.io/kubernetes", work / "bin"
    if not (work / "source.done").exists():
        _fetch(work, tree)
    if not (programs / "e2e.test").exists():
        _compile(work, tree, programs)
    return tree, programs


def _fetch(work: Path, tree: Path) -> None:
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES], check=True)
    say(f"source of Kubernetes {VERSION} ...")
    targets = subprocess.check_output(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"],
        text=True,
    )
    lines = {line for line in targets.splitlines() if line.endswith(" bookworm main")}
    if not lines:
        sys.exit("the suite's source is in Debian 12 (bookworm) alone, and this machine has other packages")
    shutil.rmtree(tree, ignore_errors=True)
    lists = work / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (work / "sources.list").write_text(f"deb-src {lines.pop()}\n")
    apt = ["apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={work}/sources.list", "-o", "Dir::Etc::sourceparts=-"]
    apt += ["-o", f"Dir::State::lists={lists}"]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "source", "--download-only", "kubernetes"], check=True, cwd=work)
    subprocess.run(["tar", "xzf", *work.glob("kubernetes_*.orig.tar.gz")], check=True, cwd=work)
    tree.parent.mkdir(parents=True, exist_ok=True)
    (work / f"kubernetes-{VERSION}").rename(tree)
    for name, old, new in _CHANGES:
        file = tree / name
        text = file.read_text()
        if text.count(old) != 1:
            sys.exit(f"{name} of the suite is not what was expected: {old!r} is there {text.count(old)} times")
        file.write_text(text.replace(old, new))
    (work / "source.done").touch()


def _compile(work: Path, tree: Path, programs: Path) -> None:
    programs.mkdir(exist_ok=True)
    environment = {**os.environ, "GOPATH": str(work / "go"), "GO111MODULE": "off", "CGO_ENABLED": "0"}

    def go(*arguments: str) -> None:
        subprocess.run([str(_GO), *arguments], check=True, cwd=tree, env=environment)

    for name, package in _PROGRAMS.items():
        say(f"building {name} ...")
        go("build", "-o", str(programs / name), package)
    go("build", "-o", str(programs / "httpd"), str(Path(__file__).with_name("httpd.go")))
    ignored = [word for pattern in _IGNORED for word in ("-ignore", pattern)]
    bindata = [str(programs / "gobindata"), "-nometadata", "-pkg", "generated", *ignored]
    contents = [f"{folder}/..." for folder in (*_BINDATA, *_MORE_BINDATA)]
    subprocess.run([*bindata, "-o", "test/e2e/generated/bindata.go", *contents], check=True, cwd=tree)
    translations = "staging/src/k8s.io/kubectl/pkg/generated/bindata.go"
    subprocess.run([*bindata, "-nocompress", "-o", translations, "translations/..."], check=True, cwd=tree)
    say("building the suite (minutes) ...")
    go("test", "-c", "-o", str(programs / "e2e.test"), "./test/e2e")
