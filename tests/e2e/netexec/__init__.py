"""`netexec`: the servers of the tests as images, out of the Python that runs the tests.

Only what the server imports goes in, at the paths where it lies here, above the layer of busybox.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pybernetes.bootstrap import images, pki

IMAGE = "docker.io/library/netexec:latest"
_SERVER = Path(__file__).with_name("server.py")


def build(to: Path, program: Path = _SERVER, image: str = IMAGE, arguments: tuple[str, ...] = ()) -> Path:
    """The archive, written to `to`, of one of the programs here. arguments: its first ones."""
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    command = [str(python), "-I", "-S", str(program), *arguments, "--modules"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    modules = [Path(name) for name in listed if Path(name) != program]
    library = next(path.parent for path in modules if path.name == "os.py")
    modules += [
        path for name in ("ascii", "latin_1", "cp437") if (path := library / "encodings" / f"{name}.py").exists()
    ]
    binaries = [python, *(path for path in modules if path.suffix == ".so")]
    found = {str(path): images.File(path, mode=0o755 if path == python else 0o644) for path in (*modules, *binaries)}
    for binary in binaries:
        said = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True, timeout=60).stdout
        for name in re.findall(r"(?:=> |^\s)(/\S+) \(0x", said, re.MULTILINE):
            found[name] = images.File(Path(name), mode=0o755)
    authority = pki.create_authority("netexec")
    pair = pki.server(authority, "netexec", ("netexec",))
    found["/tls.pem"] = images.File(pair.certificate + pair.key, mode=0o644)
    found["/netexec.py"] = images.File(program)
    layers = [images._busybox_layer(), found]
    return images.build_image(
        image, layers, images.ImageConfig(entrypoint=[str(python), "-I", "-S", "/netexec.py", *arguments]), to
    )
