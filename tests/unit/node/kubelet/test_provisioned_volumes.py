"""Directories of the built-in StorageClass: made where the name says, and nothing else removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybernetes.node.kubelet.volumes import provisioned

NAME = "pvc-0f3c2a86-7a3e-4c1b-9d55-8f1f0f4e2b11"


def test_made_twice_it_keeps_what_is_in_it_and_goes_when_its_own_path_is_named(tmp_path: Path) -> None:
    path = provisioned.make(tmp_path / "volumes", NAME)
    assert path == str(tmp_path / "volumes" / NAME) and Path(path).stat().st_mode & 0o777 == 0o777
    Path(path, "data").write_text("x")
    assert provisioned.make(tmp_path / "volumes", NAME) == path
    assert Path(path, "data").read_text() == "x"
    provisioned.remove(tmp_path / "volumes", NAME, path)
    assert not Path(path).exists()
    provisioned.remove(tmp_path / "volumes", NAME, path)  # gone is what is wanted


def test_another_path_than_its_own_stays(tmp_path: Path) -> None:
    path = provisioned.make(tmp_path, NAME)
    with pytest.raises(LookupError, match="was not made here"):
        provisioned.remove(tmp_path, NAME, "/etc")
    assert Path(path).exists()


@pytest.mark.parametrize("name", ["..", "pvc-x", f"{NAME}/../x", f"../{NAME}", ""])
def test_names_that_the_provisioner_does_not_give(tmp_path: Path, name: str) -> None:
    with pytest.raises(LookupError, match="is not the name of a provisioned volume"):
        provisioned.make(tmp_path, name)
