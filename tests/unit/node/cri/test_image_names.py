from __future__ import annotations

import pytest

from pybernetes.node.cri.image_names import normalise, parse

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("hello:v1", "docker.io/library/hello:v1"),
        ("me/app", "docker.io/me/app:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("registry.k8s.io/e2e-test-images/agnhost:2.53", "registry.k8s.io/e2e-test-images/agnhost:2.53"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"r.io/a/b:1@{DIGEST}", f"r.io/a/b:1@{DIGEST}"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
    ],
)
def test_full_names(image: str, full: str) -> None:
    assert normalise(image) == full
    assert normalise(full) == full


@pytest.mark.parametrize("image", ["", "Busybox", "a:b c", "a@sha256:12", "r.io/", "/a", "a//b", "a:-x", "-a"])
def test_what_is_no_reference(image: str) -> None:
    with pytest.raises(ValueError, match="invalid reference format"):
        parse(image)
