"""The suite's images: Debian's programs with the libraries they need, and programs built from the suite's source.

Their names come from the suite itself. Debian's busybox loses environment variables that no shell could have, as
ConfigMaps make some, so `sh` is bash.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pybernetes.bootstrap.images import File, ImageConfig, build_image, directory

from .source import say

Layer = dict[str, File]
#: Programs of Debian that the suite's containers call.
_TOOLS = ["curl", "dig", "nslookup", "host", "nc.openbsd", "ss", "ip", "iperf", "wget", "getent", "bash"]
_ACCOUNTS = {
    "/etc/passwd": File(b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    "/etc/group": File(b"root:x:0:\nnobody:x:65534:\n"),
    "/etc/nsswitch.conf": File(b"passwd: files\ngroup: files\nhosts: files dns\n"),
}


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        sys.exit(f"{name} is not on this machine")
    return Path(found).resolve()


def _base() -> Layer:
    """Busybox with all its applets, and bash as the shell."""
    layer: Layer = {**_ACCOUNTS, "/tmp": directory(0o1777), "/root": directory(0o700), "/home": directory()}
    layer["/bin/busybox"] = File(_program("busybox"), mode=0o755)
    for applet in subprocess.check_output(["busybox", "--list"], text=True).split():
        if applet not in ("sh", "su", "busybox"):
            layer[f"/bin/{applet}"] = File(link="/bin/busybox")
    layer["/bin/sh"] = File(_program("bash-static"), mode=0o755)
    return layer


def _with_programs(*names: str) -> Layer:
    """The base and programs of this machine, with their libraries and the C library's resolver."""
    layer = _base()
    for name in names:
        path = _program(name)
        layer.pop(f"/bin/{name}", None)
        layer[f"/usr/bin/{name}"] = File(path, mode=0o755)
        told = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
        libraries = {Path(library) for library in re.findall(r"(/\S+\.so\S*)", told)}
        for library in libraries | {p for lib in libraries for p in lib.parent.glob("libnss_*.so.2")}:
            layer[str(library)] = File(library.resolve(), mode=0o755)
    return layer


@dataclass(frozen=True)
class _Recipe:
    layers: Callable[[], Sequence[Layer]]
    config: ImageConfig


def _recipes(tree: Path, programs: Path) -> dict[str, _Recipe]:
    """How each image is made, by the last part of its name."""

    def built(target: str, name: str, mode: int = 0o755) -> Layer:
        return {target: File(programs / name, mode=mode)}

    base, tools = _base(), _with_programs(*_TOOLS)
    tools["/bin/nc"] = File(link="/usr/bin/nc.openbsd")
    porter = tree / "test/images/agnhost/porter"
    agnhost: Layer = {
        **built("/agnhost", "agnhost"),
        "/agnhost-2": File(link="agnhost"),
        "/uploads": directory(),
        "/localhost.crt": File(porter / "localhost.crt"),
        "/localhost.key": File(porter / "localhost.key"),
    }

    def pictures(name: str) -> _Recipe:
        data: Layer = {"/data.json": File(tree / f"test/images/{name}/html/data.json")}
        return _Recipe(lambda: [tools, agnhost, data], ImageConfig(["/agnhost"], ["test-webserver"]))

    def web(root: str, *command: str) -> _Recipe:
        page = File(b"<html><body><h1>It works!</h1></body></html>\n")
        files: Layer = {**built(f"/usr/local/bin/{command[0]}", "httpd"), f"{root}/index.html": page}
        return _Recipe(lambda: [base, files], ImageConfig(cmd=command, exposed_ports=["80/tcp"]))

    return {
        "busybox": _Recipe(lambda: [base], ImageConfig(cmd=["sh"])),
        "agnhost": _Recipe(lambda: [tools, agnhost], ImageConfig(["/agnhost"], ["pause"])),
        "pause": _Recipe(lambda: [agnhost], ImageConfig(["/agnhost"], ["pause"])),
        "nautilus": pictures("nautilus"),
        "kitten": pictures("kitten"),
        "jessie-dnsutils": _Recipe(lambda: [tools], ImageConfig(cmd=["bash"])),
        "ipc-utils": _Recipe(lambda: [tools], ImageConfig(cmd=["sh"])),
        "nonroot": _Recipe(lambda: [tools, agnhost], ImageConfig(["/agnhost"], ["pause"], user="1234")),
        "nonewprivs": _Recipe(lambda: [base, built("/usr/local/bin/nnp", "nnp", 0o4755)], ImageConfig(cmd=["nnp"])),
        "httpd": web("/usr/local/apache2/htdocs", "httpd-foreground"),
        "nginx": web("/usr/share/nginx/html", "nginx", "-root", "/usr/share/nginx/html"),
        "etcd": _Recipe(
            lambda: [_with_programs("etcd"), {"/usr/local/bin/etcd": File(link="/usr/bin/etcd")}], ImageConfig()
        ),
        "sample-apiserver": _Recipe(
            lambda: [{"/tmp": directory(0o1777), **built("/sample-apiserver", "sample-apiserver")}],
            ImageConfig(["/sample-apiserver"]),
        ),
        "resource-consumer": _Recipe(
            lambda: [base, built("/consumer", "consumer"), built("/consume-cpu/consume-cpu", "consume-cpu")],
            ImageConfig(["/consumer"], exposed_ports=["8080/tcp"]),
        ),
        "regression-issue-74839-amd64": _Recipe(
            lambda: [built("/regression-issue-74839", "regression")], ImageConfig(["/regression-issue-74839"])
        ),
    }


def build(work: Path, tree: Path, programs: Path) -> list[Path]:
    """Archives of the images in `work`, made if they are not there. Private registries' and Windows' are left out."""
    folder = work / "images"
    told = subprocess.run([programs / "e2e.test", "--list-images"], capture_output=True, text=True, check=True).stdout
    names = [name for name in told.split() if "authenticated" not in name and not name.startswith("invalid")]
    recipes, archives = _recipes(tree, programs), list[Path]()
    for name in sorted(names):
        recipe = recipes.get(name.rpartition("/")[2].partition(":")[0])
        if recipe is None:
            continue
        archive = folder / (re.sub(r"[^a-z0-9.-]", "_", name) + ".tar")
        if not archive.exists():
            say(f"image {archive.stem} ...")
            build_image(name, recipe.layers(), recipe.config, archive)
        archives.append(archive)
    return archives
