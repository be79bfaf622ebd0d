"""Building from pinned sources: only what is missing, and never something that only looks finished."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cluster.space import eventually
from tools.onenode import build
from tools.onenode.programs import BY_NAME, PROGRAMS, Program

pytestmark = [pytest.mark.cluster]

_ROOT = Path(__file__).parents[2]
_SMALL = BY_NAME["small"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of our own; the compiler keeps its."""
    compiled = subprocess.run(["go", "env", "GOCACHE"], check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.setenv("GOCACHE", compiled)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "kirzl-lab" / "tools"


def _finished(cache: Path) -> list[str]:
    return [path.name for path in cache.glob("*-*") if path.is_dir() and not path.name.startswith(".")]


def test_a_killed_build_leaves_nothing_that_looks_finished_and_the_next_one_clears_up(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A compiler that never ends, so that the kill comes half-way.
    slow = tmp_path / "bin" / "go"
    slow.parent.mkdir()
    real = shutil.which("go")
    slow.write_text(
        f'#!/bin/sh\nif [ "$1" = build ]; then : > {tmp_path}/begun; exec sleep 600; fi\nexec {real} "$@"\n'
    )
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    command = [sys.executable, "-m", "tools.onenode.build", "small"]
    with subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE) as building:
        eventually((tmp_path / "begun").exists, "the build to begin")
        children = psutil.Process(building.pid).children()
        building.send_signal(signal.SIGKILL)
        building.wait()
    for child in children:
        child.kill()
    assert list(cache.glob(".partial-*"))
    assert _finished(cache) == []
    assert build.missing([_SMALL]) == [_SMALL]

    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2])
    build.build([_SMALL])
    assert _finished(cache) == [build.folder_of(_SMALL).name]
    assert not list(cache.glob(".partial-*"))
    assert {path.name for path in build.folder_of(_SMALL).iterdir()} == {"pause", "probe", "volume"}
    assert build.missing([_SMALL]) == []


def test_a_module_that_does_not_compile_is_named_with_what_the_compiler_said(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.onenode.programs.MODULES", tmp_path)
    shutil.copytree(_ROOT / "tools/onenode/modules/small", tmp_path / "small")
    (tmp_path / "small" / "pause" / "main.go").write_text("package main\n\nfunc main() { wrong }\n")
    with pytest.raises(build.BuildError, match=r"small v0 could not be built:\n(.|\n)*undefined: wrong"):
        build.build([_SMALL])
    assert _finished(cache) == []


def test_the_place_follows_the_content_of_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build.folder_of(_SMALL)
    monkeypatch.setattr("tools.onenode.programs.MODULES", tmp_path)
    shutil.copytree(_ROOT / "tools/onenode/modules/small", tmp_path / "small")
    assert build.folder_of(_SMALL) == before
    with (tmp_path / "small" / "pause" / "main.go").open("a") as file:
        file.write("// changed\n")
    assert build.folder_of(_SMALL) != before


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_program_is_pinned_with_its_sums(program: Program) -> None:
    assert program.version.startswith("v")
    assert (program.folder / "go.mod").is_file()
    if program.requires:
        sums = (program.folder / "go.sum").read_text("utf-8")
        assert f"{program.requires} {program.version} h1:" in sums
