"""fsGroup on persistent volumes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from pybernetes.node.kubelet.volumes import ownership
from tests.unit.node.kubelet.world import pod


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("policy", ["Always", "OnRootMismatch"])
def test_a_volume_is_given_to_the_group(tmp_path: Path, policy: str) -> None:
    gid = os.getgid()
    root = tmp_path / "volume"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "file").write_text("")
    (root / "link").symlink_to("/etc/passwd")
    for path, bits in ((root, 0o755), (root / "deep", 0o700), (root / "deep" / "file", 0o604)):
        path.chmod(bits)
    before = Path("/etc/passwd").stat()
    ownership.give(root, pod("p"))
    assert mode(root) == 0o755, "no fsGroup"
    mine = pod("p", securityContext={"fsGroup": gid, "fsGroupChangePolicy": policy})
    ownership.give(root, mine)
    assert [mode(p) for p in (root, root / "deep", root / "deep" / "file")] == [0o2775, 0o2770, 0o664]
    assert Path("/etc/passwd").stat() == before
    (root / "deep" / "file").chmod(0o600)
    ownership.give(root, mine)
    assert mode(root / "deep" / "file") == (0o660 if policy == "Always" else 0o600)


def test_what_is_gone_or_cannot_be_given_does_not_keep_the_pod_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").write_text("")
    (tmp_path / "kept").chmod(0o600)
    (tmp_path / "fixed").write_text("")
    chown = os.lchown

    def refused(path: str, uid: int, gid: int) -> None:
        if path.endswith("fixed"):
            raise OSError(errno.EROFS, "Read-only file system", path)
        chown(path, uid, gid)

    monkeypatch.setattr(os, "lchown", refused)
    listed = [(str(tmp_path), [], ["gone", "fixed", "kept"])]
    monkeypatch.setattr(os, "walk", lambda root, topdown: listed)
    ownership.give(tmp_path, pod("p", securityContext={"fsGroup": os.getgid()}))
    assert mode(tmp_path / "kept") == 0o660
