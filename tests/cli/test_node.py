"""Which Node.js the lab takes."""

from pathlib import Path

import pytest

from kirzl_lab.cli import node
from kirzl_lab.cli.exits import Exit, Stop


def pretend(folder: Path, said: str) -> Path:
    folder.mkdir(parents=True)
    binary = folder / "node"
    binary.write_text(f"#!/bin/sh\necho '{said}'\n")
    binary.chmod(0o755)
    return binary


@pytest.mark.parametrize(("said", "version"), [("v20.11.0", 20), ("v24.19.0", 24), ("", 0), ("node 3", 0)])
def test_version(tmp_path: Path, said: str, version: int) -> None:
    assert node.version_of(pretend(tmp_path / "bin", said)) == version


def test_version_of_nothing(tmp_path: Path) -> None:
    assert node.version_of(tmp_path / "node") == 0


def test_the_first_that_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = pretend(tmp_path / "old", "v18.20.0"), pretend(tmp_path / "new", "v24.1.0")
    monkeypatch.setattr(node, "_candidates", lambda: [old, new])
    assert node.find_node() == new


@pytest.mark.parametrize(
    ("said", "sentence"), [(["v18.20.0"], r"too old \(18\), the lab needs 20"), ([], "There is no Node.js here")]
)
def test_none_that_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], sentence: str
) -> None:
    monkeypatch.setattr(node, "_candidates", lambda: [pretend(tmp_path / word, word) for word in said])
    with pytest.raises(Stop, match=sentence) as stop:
        node.find_node()
    assert stop.value.code == Exit.CANNOT
    assert "make env" in stop.value.sentence


def test_modules_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "PROXY", tmp_path / "proxy")
    with pytest.raises(Stop, match="make env"):
        node.need_modules(demo=False)


def test_a_wheel_says_to_run_from_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "PACKAGES", tmp_path / "package.json")
    with pytest.raises(Stop, match="checkout"):
        node.need_modules(demo=False)


def test_the_providers_are_only_needed_for_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proxy").write_text("")
    monkeypatch.setattr(node, "PROXY", tmp_path / "proxy")
    monkeypatch.setattr(node, "OIDC_PROVIDER", tmp_path / "oidc-provider")
    node.need_modules(demo=False)
    with pytest.raises(Stop, match="make env"):
        node.need_modules(demo=True)
