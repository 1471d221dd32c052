"""Images assembled on this machine, and archives brought into nodes: a cluster needs no registry and no Docker.

`build_image()` writes an OCI archive out of a list of files. It is deterministic (sorted, fixed times and owners), so
an unchanged image has an unchanged digest and is not imported again. Three images are known by name: `pause` (the
sandbox container's), `busybox` (this machine's static busybox with all its applets) and `hello` (the web server of
`examples/hello`). Layers are plain tar: they only travel from one directory of the machine to another.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybernetes.node.cri.image_names import normalise

from .pause import program

PAUSE = "registry.pybernetes.local/pause:1"
BUSYBOX = "docker.io/library/busybox:latest"
HELLO = "docker.io/library/hello:latest"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_EPOCH = "2026-01-01T00:00:00Z"

_HELLO_SCRIPT = b"""#!/bin/sh
# Serves one page that tells which pod answers. Ends at once when told to, as process 1 has no default signal actions.
mkdir -p /tmp/www
{
  echo "Hello from $(hostname)"
  echo "served by pybernetes; this pod has the address $(hostname -i 2>/dev/null)"
} > /tmp/www/index.html
trap 'kill $! 2>/dev/null; exit 0' TERM INT
httpd -f -p "${PORT:-8080}" -h /tmp/www &
wait $!
"""


class ImageError(Exception):
    """An image cannot be assembled here; the text says what is missing."""


@dataclass(frozen=True)
class File:
    """An entry of a layer: `content` bytes or a path on this machine; or a `link` target; or neither: a directory."""

    content: bytes | Path | None = None
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    @property
    def is_directory(self) -> bool:
        return self.content is None and not self.link


def directory(mode: int = 0o755) -> File:
    """A directory entry."""
    return File(mode=mode)


@dataclass(frozen=True)
class ImageConfig:
    """What a container of the image runs, in Docker's words."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    user: str = ""
    working_dir: str = ""
    exposed_ports: Sequence[str] = ()
    stop_signal: str = ""
    #: "" for this machine's.
    architecture: str = ""


def architecture() -> str:
    """This machine's architecture in the words of images. Raises ImageError."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise ImageError(f"no images can be assembled on {machine}")
    return _ARCHITECTURES[machine]


def build_image(name: str, layers: Sequence[Mapping[str, File]], config: ImageConfig, to: Path) -> Path:
    """Write an OCI archive with the image `name` to the file `to`, and return `to`.

    Each layer maps absolute paths to entries; parent directories come by themselves. Same input, same bytes.
    """
    full = normalise(name)
    blobs: list[bytes] = [_layer(layer) for layer in layers]
    layer_descriptors = [_descriptor(_LAYER, blob) for blob in blobs]
    settings: dict[str, Any] = {
        "Env": [f"{key}={value}" for key, value in sorted(config.env.items())],
        "Entrypoint": list(config.entrypoint) or None,
        "Cmd": list(config.cmd) or None,
        "User": config.user,
        "WorkingDir": config.working_dir,
        "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
        "StopSignal": config.stop_signal,
    }
    image = {
        "created": _EPOCH,
        "architecture": config.architecture or architecture(),
        "os": "linux",
        "config": {key: value for key, value in settings.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in layer_descriptors]},
    }
    blobs.append(_json(image))
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, blobs[-1]),
        "layers": layer_descriptors,
    }
    blobs.append(_json(manifest))
    annotations = {"io.containerd.image.name": full, "org.opencontainers.image.ref.name": full.rpartition(":")[2]}
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [{**_descriptor(_MANIFEST, blobs[-1]), "annotations": annotations}],
    }
    entries: dict[str, File] = {
        "/oci-layout": File(_json({"imageLayoutVersion": "1.0.0"})),
        "/index.json": File(_json(index)),
    }
    for blob in blobs:
        entries[f"/blobs/sha256/{hashlib.sha256(blob).hexdigest()}"] = File(blob)
    to.parent.mkdir(parents=True, exist_ok=True)
    temporary = to.with_name(f"{to.name}.{os.getpid()}.new")  # several nodes may build the same one at once
    temporary.write_bytes(_layer(entries))
    temporary.replace(to)
    return to


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": "sha256:" + hashlib.sha256(blob).hexdigest(), "size": len(blob)}


def _layer(entries: Mapping[str, File]) -> bytes:
    """A tar with parents before children, in the order of names."""
    complete: dict[str, File] = {}
    for path, entry in entries.items():
        if not path.startswith("/") or ".." in path.split("/"):
            raise ImageError(f"{path!r} is not an absolute path")
        for parent in Path(path).parents:
            if str(parent) != "/":
                complete.setdefault(str(parent), directory())
        complete[path] = entry
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(complete):
            entry = complete[path]
            info = tarfile.TarInfo(path.lstrip("/"))
            info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, 0
            if entry.is_directory:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif entry.link:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
                tar.addfile(info)
            else:
                data = entry.content.read_bytes() if isinstance(entry.content, Path) else entry.content or b""
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return output.getvalue()


# --- the images of our own ---------------------------------------------------------------------------------------


def build_pause(to: Path) -> Path:
    """The sandbox container's image; see `pause`."""
    layer = {"/pause": File(program(platform.machine()), mode=0o755)}
    return build_image(PAUSE, [layer], ImageConfig(entrypoint=["/pause"], user="65535:65535"), to)


def _busybox_binary() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise ImageError("no busybox on this machine; install it (Debian, Ubuntu: apt install busybox-static)")
    path = Path(found).resolve()
    if b"/ld-" in path.read_bytes()[:4096]:  # the interpreter's path stands in the first page
        raise ImageError(f"{path} is not a static program; install busybox-static")
    return path


def _busybox_layer() -> dict[str, File]:
    binary = _busybox_binary()
    try:
        listed = subprocess.run([binary, "--list-full"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ImageError(f"{binary} does not run: {error}") from error
    layer = {f"/{path}": File(link="/bin/busybox") for path in listed.split() if path != "bin/busybox"}
    for name in {Path(path).name for path in listed.split()} - {"busybox"}:
        if f"/bin/{name}" not in layer:  # scripts write /bin/env as well as /usr/bin/env
            layer[f"/bin/{name}"] = File(link="/bin/busybox")
    return layer | {
        "/bin/busybox": File(binary, mode=0o755),
        "/etc/passwd": File(
            b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nwww-data:x:33:33:www-data:/:/bin/false\n"
            b"nobody:x:65534:65534:nobody:/:/bin/false\n"
        ),
        "/etc/group": File(b"root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n"),
        "/etc/nsswitch.conf": File(b"hosts: files dns\n"),
        "/root": directory(0o700),
        "/home": directory(),
        "/tmp": directory(0o1777),
        "/var/tmp": directory(0o1777),
        "/var/run": directory(),
        "/proc": directory(0o555),
        "/sys": directory(0o555),
        "/dev": directory(),
    }


def build_busybox(to: Path) -> Path:
    """`busybox:latest` from this machine's static busybox. Raises ImageError."""
    return build_image(BUSYBOX, [_busybox_layer()], ImageConfig(cmd=["sh"]), to)


def build_hello(to: Path) -> Path:
    """`hello:latest`, the web server of `examples/hello` on port 8080. Raises ImageError."""
    script = {"/hello": File(_HELLO_SCRIPT, mode=0o755)}
    config = ImageConfig(entrypoint=["/hello"], user="65534:65534", exposed_ports=["8080/tcp"], working_dir="/tmp")
    return build_image(HELLO, [_busybox_layer(), script], config, to)


#: What can be assembled here, by short name.
BUILDERS: Mapping[str, Callable[[Path], Path]] = {
    "pause": build_pause,
    "busybox": build_busybox,
    "hello": build_hello,
}


def assemble(cache: Path, names: Sequence[str] = ("pause",)) -> list[Path]:
    """Archives of these images below `cache`, built anew only when what they are made of has changed.

    Raises ImageError, and KeyError for a name that is not in BUILDERS.
    """
    archives: list[Path] = []
    for name in names:
        archive = cache / f"{name}-{_recipe(name)}.tar"
        if not archive.exists():
            BUILDERS[name](archive)
        archives.append(archive)
    return archives


def _recipe(name: str) -> str:
    """Changes whenever the image would."""
    parts = [Path(__file__).read_bytes(), program(platform.machine())]
    if name != "pause":
        status = os.stat(_busybox_binary())
        parts.append(f"{status.st_size} {status.st_mtime_ns}".encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
